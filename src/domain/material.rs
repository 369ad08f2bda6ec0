//! What a Notification takes from ConfigMaps and Secrets of its namespace: values of variables and attachments. Read
//! by whoever judges or sends it, just before; what it means and whether it is permitted is decided here.

use crate::api::notification::Notification;
use crate::domain::credentials::Stored;
use std::collections::{BTreeMap, BTreeSet};

/// The names of what has to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs<'a> {
    /// ConfigMaps.
    pub config_maps: BTreeSet<&'a str>,
    /// Secrets.
    pub secrets: BTreeSet<&'a str>,
}

/// What was read, as far as it exists, by name.
#[derive(Clone, Default)]
pub struct Material {
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, Stored>,
    /// Secrets.
    pub secrets: BTreeMap<String, Stored>,
    /// What the operator itself may not read: the resource in Kubernetes' words, and the name.
    pub denied: Vec<(&'static str, String)>,
}

impl Material {
    /// Which right is missing to read everything, if one is.
    pub fn missing_right(&self, namespace: &str) -> Option<String> {
        let (resource, name) = self.denied.first()?;
        let kind = if *resource == "secrets" { "Secret" } else { "ConfigMap" };
        Some(format!(
            "{kind} {namespace}/{name}: the operator may not read it: its ServiceAccount needs the right to get {resource} in namespace \
             {namespace}, which the chart grants in every namespace that the operator works in; this message goes out by itself then"
        ))
    }
}

impl<'a> Needs<'a> {
    /// Everything that the Notification names, each once.
    pub fn of(notification: &'a Notification) -> Self {
        let message = &notification.spec.message;
        let values = message.values_from.iter().map(|from| (&from.secret_key_ref, &from.config_map_key_ref));
        let files = message.attachments.iter().map(|file| (&file.secret_key_ref, &file.config_map_key_ref));
        let mut needs = Self::default();
        for (secret, config_map) in values.chain(files) {
            needs.secrets.extend(secret.as_ref().map(|reference| reference.name.as_str()));
            needs.config_maps.extend(config_map.as_ref().map(|reference| reference.name.as_str()));
        }
        needs
    }

    /// Whether nothing has to be read.
    pub fn is_empty(&self) -> bool {
        self.config_maps.is_empty() && self.secrets.is_empty()
    }
}
