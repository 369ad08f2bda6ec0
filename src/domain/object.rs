//! Names of Kubernetes objects, as the rest of the domain passes them around.

use std::fmt;
use std::sync::Arc;

/// The most characters of an object's name.
pub const LONGEST_NAME: usize = 253;

/// Namespace and name. Cloning shares the text: one namespace's thousand Notifications hold it once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name within the namespace.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// From borrowed parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// From an object's metadata; `None` for objects without name or namespace, which a
    /// namespaced kind never has.
    pub fn of<K: kube::Resource>(object: &K) -> Option<Self> {
        let meta = object.meta();
        Some(Self::new(meta.namespace.as_deref()?, meta.name.as_deref()?))
    }

    /// Reads `namespace/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        let valid = |part: &str| {
            !part.is_empty()
                && part.len() <= LONGEST_NAME
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
        };
        (valid(namespace) && valid(name)).then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// `metadata.uid`, which tells an object from a later one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Uid(pub Arc<str>);

impl Uid {
    /// From an object's metadata.
    pub fn of<K: kube::Resource>(object: &K) -> Option<Self> {
        object.meta().uid.as_deref().map(Self::from)
    }
}

impl From<&str> for Uid {
    fn from(uid: &str) -> Self {
        Self(uid.into())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_namespace_and_name() {
        assert_eq!(ObjectKey::parse("mail/default"), Some(ObjectKey::new("mail", "default")));
        for wrong in
            ["", "default", "/default", "mail/", "Mail/default", "a/b/c", &format!("a/{}", "b".repeat(254))]
        {
            assert_eq!(ObjectKey::parse(wrong), None, "{wrong}");
        }
    }
}
