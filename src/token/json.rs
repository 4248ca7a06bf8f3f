//! A strict reading of JSON for headers and claims: no member twice, no deep nesting, numbers as they were written.
//!
//! RFC 7519 section 4 lets a parser take the last of two members of one name; two parsers that choose differently are
//! how tokens are smuggled, so here they are refused, at every depth.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// How deep arrays and objects may lie in each other. Real claims need three or four.
const MAX_DEPTH: u8 = 16;

/// Up to so many members each new name is compared with all before it; beyond, the names are sorted once.
const FEW: usize = 16;

/// A JSON value that borrows what it can.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool,
    /// A number written as an integer that fits.
    Integer(i64),
    /// Any other number, always finite.
    Number(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// A JSON object whose names are all different.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// Reads a text that is one object and nothing else.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Depth(MAX_DEPTH).deserialize(&mut reader)?;
        reader.end()?;
        match value {
            Json::Object(object) => Ok(object),
            _ => Err(de::Error::custom("not an object")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// The value at a path of names, each the member of an object.
    pub(super) fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Json<'a>> {
        let (last, objects) = path.split_last()?;
        let mut object = self;
        for name in objects {
            match object.get(name.as_ref())? {
                Json::Object(inner) => object = inner,
                _ => return None,
            }
        }
        object.get(last.as_ref())
    }

    fn insert(&mut self, name: Cow<'a, str>, value: Json<'a>) -> bool {
        let twice = self.0.len() < FEW && self.0.iter().any(|(have, _)| *have == name);
        self.0.push((name, value));
        !twice
    }

    /// Whether no name stands twice; [`Object::insert`] has looked as long as there were few.
    fn unique(&self) -> bool {
        if self.0.len() <= FEW {
            return true;
        }
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair.first() != pair.last())
    }
}

/// How much deeper the value to be read may go.
#[derive(Clone, Copy)]
struct Depth(u8);

impl Depth {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

/// A member's name, borrowed where it holds no escape.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Cow<'de, str>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Integer(number))
    }

    #[expect(clippy::as_conversions, reason = "any u64 has a nearest float")]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Json::Number(number as f64), Json::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Object::default();
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(deeper)?;
            if !object.insert(name, value) {
                return Err(de::Error::custom("a member stands twice"));
            }
        }
        if !object.unique() {
            return Err(de::Error::custom("a member stands twice"));
        }
        Ok(Json::Object(object))
    }
}
