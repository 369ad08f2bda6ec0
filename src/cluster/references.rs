//! What a MailServerConfig refers to, read with a GET each: never listed, never watched, so that the
//! operator needs no more than `get` on Secrets and holds no copy longer than it uses it.

use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::credentials::{Fetched, Stored};
use crate::domain::material::{Material, Needs};
use crate::domain::server::{References, Server};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::Api;
use kube::api::ObjectMeta;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

impl Cluster {
    /// Reads everything that `server` refers to, at once. What does not exist is left out.
    pub async fn references(&self, server: &Server) -> Result<Fetched> {
        let namespace = &*server.key.namespace;
        let References { secrets, config_maps, service_account } = server.references();
        let secrets =
            secrets.into_iter().map(|name| async move { Ok((name, self.secret(namespace, name).await?)) });
        let config_maps = config_maps
            .into_iter()
            .map(|name| async move { Ok((name, self.config_map(namespace, name).await?)) });
        let (secrets, config_maps, service_account) =
            tokio::try_join!(try_join_all(secrets), try_join_all(config_maps), async {
                match service_account {
                    Some(name) => self.service_account(namespace, name).await,
                    None => Ok(None),
                }
            },)?;
        Ok(Fetched { secrets: existing(secrets), config_maps: existing(config_maps), service_account })
    }

    /// Reads everything that a Notification of that namespace takes values or attachments from, at once. What does not
    /// exist is left out, what we may not read is named; an error may pass.
    pub async fn material(&self, namespace: &str, needs: &Needs<'_>) -> Result<Material> {
        let secret = async |name| permitted("secrets", name, self.secret(namespace, name).await);
        let config_map = async |name| permitted("configmaps", name, self.config_map(namespace, name).await);
        let (secrets, config_maps) = tokio::try_join!(
            try_join_all(needs.secrets.iter().copied().map(secret)),
            try_join_all(needs.config_maps.iter().copied().map(config_map))
        )?;
        let mut material = Material::default();
        for (read, found) in [(secrets, &mut material.secrets), (config_maps, &mut material.config_maps)] {
            for one in read {
                match one {
                    Read::Found(name, stored) => drop(found.insert(name, stored)),
                    Read::Absent => {}
                    Read::Denied(resource, name) => material.denied.push((resource, name)),
                }
            }
        }
        Ok(material)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Stored>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = exists(within(api.get(name)).await)?;
        Ok(found.map(|secret| {
            let data = secret.data.unwrap_or_default();
            stored(secret.metadata, data.into_iter().map(|(key, bytes)| (key, bytes.0)))
        }))
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Stored>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = exists(within(api.get(name)).await)?;
        Ok(found.map(|map| {
            let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
            let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
            stored(map.metadata, texts.chain(bytes))
        }))
    }

    /// Only its metadata counts: the annotation that permits its use.
    async fn service_account(&self, namespace: &str, name: &str) -> Result<Option<Stored>> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let found = exists(within(api.get_metadata(name)).await)?;
        Ok(found.map(|account| stored(account.metadata, std::iter::empty())))
    }
}

/// One object that was asked for.
enum Read {
    Found(String, Stored),
    Absent,
    Denied(&'static str, String),
}

/// A refusal is a finding like absence: it is told to whoever needs the object.
fn permitted(resource: &'static str, name: &str, answer: Result<Option<Stored>>) -> Result<Read> {
    match answer {
        Ok(Some(stored)) => Ok(Read::Found(name.into(), stored)),
        Ok(None) => Ok(Read::Absent),
        Err(Error::Refused(why)) => {
            tracing::debug!(resource, name, why, "may not be read");
            Ok(Read::Denied(resource, name.into()))
        }
        Err(error) => Err(error),
    }
}

fn existing(found: Vec<(&str, Option<Stored>)>) -> BTreeMap<String, Stored> {
    found.into_iter().filter_map(|(name, stored)| Some((name.to_owned(), stored?))).collect()
}

fn stored(metadata: ObjectMeta, data: impl Iterator<Item = (String, Vec<u8>)>) -> Stored {
    Stored {
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        data: data.map(|(key, bytes)| (key, Zeroizing::new(bytes))).collect(),
    }
}

/// Turns "not found" into `None`.
pub(super) fn exists<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
