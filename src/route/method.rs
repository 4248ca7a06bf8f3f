//! Sets of methods, and the `Allow` list of a 405.

use std::fmt;

use http::Method;

/// The methods a route is for. `GET` brings `HEAD` along (RFC 9110 section 9.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodSet(Vec<Method>);

impl MethodSet {
    /// The set of these methods.
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let mut set = Vec::new();
        for method in methods {
            let head = (method == Method::GET).then_some(Method::HEAD);
            for method in std::iter::once(method).chain(head) {
                if !set.contains(&method) {
                    set.push(method);
                }
            }
        }
        Self(set)
    }

    /// Whether the method is one of them.
    pub fn contains(&self, method: &Method) -> bool {
        self.0.contains(method)
    }

    /// Whether a method is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|method| other.contains(method))
    }

    /// The methods, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }
}

/// One of the entries that share a host and a path.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Its methods; none: any.
    pub(super) methods: Option<MethodSet>,
    /// Where its value is.
    pub(super) value: usize,
}

impl Choice {
    pub(super) fn accepts(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    pub(super) fn overlaps(&self, methods: Option<&MethodSet>) -> bool {
        match (&self.methods, methods) {
            (Some(mine), Some(other)) => mine.overlaps(other),
            (None, _) | (_, None) => true,
        }
    }
}

/// The methods that the routes of a path have between them. Displays as the value of `Allow` (RFC 9110 section 10.2.1).
#[derive(Clone, Copy, Debug)]
pub struct Allow<'t>(pub(super) &'t [Choice]);

impl<'t> Allow<'t> {
    /// The methods. No two routes of one path share one.
    pub fn iter(&self) -> impl Iterator<Item = &'t Method> {
        self.0
            .iter()
            .filter_map(|choice| choice.methods.as_ref())
            .flat_map(MethodSet::iter)
    }
}

impl fmt::Display for Allow<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, method) in self.iter().enumerate() {
            if number > 0 {
                formatter.write_str(", ")?;
            }
            formatter.write_str(method.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_includes_head() {
        let set = MethodSet::new([Method::GET, Method::HEAD, Method::GET]);
        assert!(set.contains(&Method::HEAD) && !set.contains(&Method::POST));
        assert!(set.overlaps(&MethodSet::new([Method::HEAD])));
        assert!(!MethodSet::new([Method::HEAD]).contains(&Method::GET));
        assert!(!MethodSet::new([]).contains(&Method::GET), "an empty list is not `any`");
    }
}
