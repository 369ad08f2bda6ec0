//! What a MailServerConfig refers to, read with a GET each: never listed, never watched, so that the
//! operator needs no more than `get` on Secrets and holds no copy longer than it uses it.

use crate::api::shared::{CAKind, CARef};
use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::credentials::{Fetched, Stored};
use crate::domain::server::{Login, Server};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::ObjectMeta;
use zeroize::Zeroizing;

impl Cluster {
    /// Reads every Secret and bundle that `server` names, at once. What does not exist is `None`.
    pub async fn references(&self, server: &Server) -> Result<Fetched> {
        let namespace = &*server.key.namespace;
        let token_ca = match &server.login {
            Login::OAuth2(oauth2) => oauth2.token_ca.as_ref(),
            Login::None | Login::Password { .. } => None,
        };
        let (login, ca, client_certificate, token_ca) = tokio::try_join!(
            self.secret(namespace, server.login.secret().map(|secret| secret.name.as_str())),
            self.bundle(namespace, server.tls.ca.as_ref()),
            self.secret(namespace, server.tls.client_certificate.as_deref()),
            self.bundle(namespace, token_ca),
        )?;
        Ok(Fetched { login, ca, client_certificate, token_ca })
    }

    async fn secret(&self, namespace: &str, name: Option<&str>) -> Result<Option<Stored>> {
        let Some(name) = name else { return Ok(None) };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = exists(within(api.get(name)).await)?;
        Ok(found.map(|secret| {
            let data = secret.data.unwrap_or_default();
            stored(secret.metadata, data.into_iter().map(|(key, bytes)| (key, bytes.0)))
        }))
    }

    async fn bundle(&self, namespace: &str, reference: Option<&CARef>) -> Result<Option<Stored>> {
        let Some(CARef { kind, name, .. }) = reference else { return Ok(None) };
        if *kind == CAKind::Secret {
            return self.secret(namespace, Some(name)).await;
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = exists(within(api.get(name)).await)?;
        Ok(found.map(|map| {
            let texts = map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
            let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
            stored(map.metadata, texts.chain(bytes))
        }))
    }
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
