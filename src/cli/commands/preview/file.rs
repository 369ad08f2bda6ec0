//! A file with what is to be previewed, and with what that refers to.

use super::subject::as_new;
use crate::api::{MailServerConfig, MessageTemplate, Notification, Reason};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::world::World;
use crate::domain::credentials::Stored;
use crate::domain::lookup::Source;
use crate::domain::material::Material;
use crate::domain::object::ObjectKey;
use crate::domain::preparation;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// The objects of a file that a preview takes.
#[derive(Default)]
pub struct File {
    /// Its Notifications.
    pub notifications: Vec<Notification>,
    /// Its templates.
    pub templates: Vec<MessageTemplate>,
    servers: Vec<MailServerConfig>,
    /// Its ConfigMaps and Secrets.
    pub material: Material,
}

impl File {
    /// Reads YAML or JSON, one document or several; kinds that no message needs are left out.
    pub fn read(text: &str, flags: &Flags) -> Result<Self, Failure> {
        let mut file = Self::default();
        let namespace = flags.cluster.namespace.as_deref().unwrap_or("default");
        for document in serde_yaml::Deserializer::from_str(text) {
            let unreadable = |error: &dyn std::fmt::Display| {
                Failure::new(Exit::Failed, format!("the file is not YAML: {error}"))
            };
            let value: Json =
                serde::Deserialize::deserialize(document).map_err(|error| unreadable(&error))?;
            let items = match value.get("items").and_then(Json::as_array) {
                Some(items) if value.get("kind") == Some(&"List".into()) => items.clone(),
                _ => vec![value],
            };
            for item in items {
                file.take(item, namespace)?;
            }
        }
        Ok(file)
    }

    fn take(&mut self, mut object: Json, namespace: &str) -> Result<(), Failure> {
        let kind = object.get("kind").and_then(Json::as_str).unwrap_or_default().to_owned();
        if !["Notification", "MessageTemplate", "MailServerConfig", "ConfigMap", "Secret"]
            .contains(&kind.as_str())
        {
            return Ok(());
        }
        let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) else {
            return Err(Failure::new(Exit::Failed, format!("a {kind} of the file has no metadata")));
        };
        let named = ["name", "generateName"].iter().find_map(|field| metadata.get(*field)?.as_str());
        let name = named.unwrap_or("preview").to_owned();
        let missing =
            [("namespace", namespace), ("name", &name), ("uid", "00000000-0000-0000-0000-000000000000")];
        for (field, value) in missing {
            if metadata.get(field).is_none_or(Json::is_null) {
                metadata.insert(field.into(), value.into());
            }
        }
        let failure = |error: serde_json::Error| {
            Failure::new(Exit::Failed, format!("{kind} {name} of the file cannot be read: {error}"))
        };
        match kind.as_str() {
            "Notification" => {
                self.notifications.push(as_new(serde_json::from_value(object).map_err(failure)?));
            }
            "MessageTemplate" => self.templates.push(serde_json::from_value(object).map_err(failure)?),
            "MailServerConfig" => self.servers.push(serde_json::from_value(object).map_err(failure)?),
            "ConfigMap" => {
                let map: ConfigMap = serde_json::from_value(object).map_err(failure)?;
                let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
                let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
                self.material.config_maps.insert(name, stored(&map.metadata, texts.chain(bytes)));
            }
            _ => {
                let secret: Secret = serde_json::from_value(object).map_err(failure)?;
                let texts =
                    secret.string_data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
                let bytes = secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
                self.material.secrets.insert(name, stored(&secret.metadata, bytes.chain(texts)));
            }
        }
        Ok(())
    }

    /// Brings its objects in; what was there under their names is replaced.
    pub fn add_to(&self, world: &mut World) {
        let first = self.notifications.first().and_then(ResourceExt::namespace);
        let first = first.or_else(|| self.templates.first().and_then(ResourceExt::namespace));
        if let Some(namespace) = first {
            world.namespace = namespace;
        }
        for template in &self.templates {
            world.catalog.learn(template);
        }
        for server in &self.servers {
            world.add_server(server);
        }
    }

    /// Whether the file refers to something that is not in it.
    pub fn lacks(&self, world: &World) -> bool {
        let template = self.templates.iter().filter_map(ObjectKey::of).any(|key| {
            let known = world.catalog.template(&Source::Object(key));
            let problems = known.map(|known| known.problems()).unwrap_or_default();
            problems.iter().any(|problem| problem.reason == Reason::LayoutNotFound)
        });
        template
            || self.notifications.iter().any(|notification| {
                let server = preparation::server_key(notification, None, &world.catalog);
                let named = notification.spec.message.template_ref.is_some();
                !world.catalog.servers.contains_key(&server)
                    || named
                        && preparation::template_places(notification, &world.catalog)
                            .iter()
                            .all(|source| world.catalog.template(source).is_none())
            })
    }
}

fn stored(metadata: &kube::api::ObjectMeta, data: impl Iterator<Item = (String, Vec<u8>)>) -> Stored {
    Stored {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        data: data.map(|(key, bytes)| (key, Zeroizing::new(bytes))).collect(),
    }
}
