//! How single values are written: durations, sizes, secrets, the mapping of roles.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::secret::Secret;

/// The longest duration that is accepted: far enough, and adding it to any time cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A duration: `"15m"`, `"1h 30m"`, `"500ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// In the largest unit that needs no fraction, as people write it: `40d`, not `1month 9days 13h`.
impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
        let whole = units
            .into_iter()
            .find(|(_, length)| self.0.as_secs().is_multiple_of(*length) && self.0.as_secs() > 0);
        match (self.0.subsec_nanos(), whole) {
            (0, Some((unit, length))) => write!(formatter, "{}{unit}", self.0.as_secs() / length),
            _ => humantime::format_duration(self.0).fmt(formatter),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a duration of at most 100 years, such as \"500ms\", \"10s\", \"15m\", \"12h\" or \"7d\"",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                match humantime::parse_duration(text) {
                    Ok(duration) if duration <= LONGEST => Ok(Span(duration)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A number of bytes: `"64KiB"`, `"10MB"`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B", self.0))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a size such as \"64KiB\" or \"10MiB\" (\"10MB\" is 10 million bytes)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                match text.trim().parse::<bytesize::ByteSize>() {
                    Ok(size) => Ok(Size(size.as_u64())),
                    Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                match u64::try_from(bytes) {
                    Ok(bytes) => Ok(Size(bytes)),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(bytes), &self)),
                }
            }
        }

        deserializer.deserialize_any(Bytes)
    }
}

/// A text that is never shown; empty: not set. It serialises as *unit* when empty, so that the schema knows which keys
/// are secret, and as a mark that says nothing otherwise.
#[derive(Clone, Debug)]
pub struct SecretText(pub Secret<String>);

impl SecretText {
    /// Whether it is not set.
    pub fn is_empty(&self) -> bool {
        self.0.expose().is_empty()
    }
}

impl Default for SecretText {
    fn default() -> Self {
        Self(Secret::new(String::new()))
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.is_empty() {
            true => serializer.serialize_unit(),
            false => serializer.serialize_str("…"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// How another issuer's roles become ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roles {
    /// Not at all.
    #[default]
    Unset,
    /// A word; `"as_is"` is the one that means something.
    Word(String),
    /// By this table.
    Table(BTreeMap<String, String>),
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unset => serializer.serialize_none(),
            Self::Word(word) => serializer.serialize_str(word),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Roles;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"as_is\", or a table of their role = \"our role\"")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Roles, E> {
                Ok(Roles::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Roles, A::Error> {
                BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(Roles::Table)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}
