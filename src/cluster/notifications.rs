//! Fresh copies of Notifications, and the removal of finished ones.

use crate::api::Notification;
use crate::cluster::references::exists;
use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::object::{ObjectKey, Uid};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::DeserializeGuard;

impl Cluster {
    /// A Notification as it is now; `None`: gone. One that does not fit our types is `Undecodable`.
    pub async fn notification(&self, key: &ObjectKey) -> Result<Option<Notification>> {
        let api: Api<DeserializeGuard<Notification>> = Api::namespaced(self.client.clone(), &key.namespace);
        match exists(within(api.get(&key.name)).await)? {
            None => Ok(None),
            Some(DeserializeGuard(Ok(notification))) => Ok(Some(notification)),
            Some(DeserializeGuard(Err(invalid))) => Err(Error::Refused(invalid.error)),
        }
    }

    /// Removes a finished Notification, unless it is another one by now.
    pub async fn remove(&self, key: &ObjectKey, uid: &Uid) -> Result<()> {
        let api: Api<Notification> = Api::namespaced(self.client.clone(), &key.namespace);
        let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match within(api.delete(&key.name, &parameters)).await {
            Ok(_) | Err(Error::NotFound | Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One page of finished Notifications and the token of the next. `namespace`: `None` for all.
    pub async fn finished(
        &self,
        namespace: Option<&str>,
        token: Option<String>,
    ) -> Result<(Vec<Notification>, Option<String>)> {
        let api: Api<DeserializeGuard<Notification>> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut parameters = ListParams::default().fields("status.finished=true").limit(super::PAGE);
        parameters.continue_token = token;
        let list = within(api.list(&parameters)).await?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        Ok((list.items.into_iter().filter_map(|guard| guard.0.ok()).collect(), next))
    }
}
