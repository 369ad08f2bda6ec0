//! What a Notification takes from a ConfigMap or Secret, if it is there and may be sent. Names no contents in what it
//! says; of a Secret that does not permit to be sent, not even its keys.

use crate::api::Reason;
use crate::api::names::ALLOW_VALUES;
use crate::api::shared::{ConfigMapKeyRef, SecretKeyRef};
use crate::domain::credentials::Stored;
use crate::domain::material::Material;

/// What stands under a key.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// The contents.
    pub bytes: &'a [u8],
    /// Whether nobody may see them but the recipients.
    pub secret: bool,
    kind: &'static str,
    name: &'a str,
    key: &'a str,
}

/// Why something cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// `SourceNotFound`, `SourceKeyMissing` or `SourceNotPermitted`.
    pub reason: Reason,
    /// What is wrong, and the way out.
    pub message: String,
}

impl Lack {
    /// Whether it is likely to appear, as opposed to a permission that somebody has to give.
    pub fn passes_by_itself(&self) -> bool {
        self.reason != Reason::SourceNotPermitted
    }
}

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {} of {} {}", self.key, self.kind, self.name)
    }
}

/// Looks up the one of both references that is set.
pub fn find<'a>(
    material: &'a Material,
    namespace: &str,
    secret: Option<&'a SecretKeyRef>,
    config_map: Option<&'a ConfigMapKeyRef>,
) -> Result<Found<'a>, Lack> {
    let (kind, name, key, stored) = match (secret, config_map) {
        (Some(SecretKeyRef { name, key }), _) => ("Secret", name, key, material.secrets.get(name)),
        (None, Some(ConfigMapKeyRef { name, key })) => {
            ("ConfigMap", name, key, material.config_maps.get(name))
        }
        (None, None) => {
            let message = "set exactly one of secretKeyRef, configMapKeyRef".into();
            return Err(Lack { reason: Reason::SourceNotFound, message });
        }
    };
    let Some(stored) = stored else {
        let message = format!(
            "{kind} {name} does not exist in namespace {namespace}: create it, and this message goes out by itself"
        );
        return Err(Lack { reason: Reason::SourceNotFound, message });
    };
    if secret.is_some() && stored.annotations.get(ALLOW_VALUES).is_none_or(|value| value != "true") {
        let message = format!(
            "Secret {name} does not permit that mail carries what it holds; if the recipients may see it: \
             kubectl annotate secret {name} -n {namespace} {ALLOW_VALUES}=true"
        );
        return Err(Lack { reason: Reason::SourceNotPermitted, message });
    }
    let Some(bytes) = stored.data.get(key) else {
        let message = format!(
            "{kind} {name} in namespace {namespace} has no key {key} ({}): add it, and this message goes out by itself",
            keys(stored)
        );
        return Err(Lack { reason: Reason::SourceKeyMissing, message });
    };
    Ok(Found { bytes, secret: secret.is_some(), kind, name, key })
}

fn keys(stored: &Stored) -> String {
    let keys: Vec<_> = stored.data.keys().map(String::as_str).collect();
    match keys.len() {
        0 => "it is empty".into(),
        1..=20 => format!("it has {}", keys.join(", ")),
        more => format!("it has {more} others"),
    }
}
