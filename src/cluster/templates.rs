//! Fresh copies of MessageTemplates.

use crate::api::MessageTemplate;
use crate::cluster::references::exists;
use crate::cluster::{Cluster, Result, within};
use crate::domain::object::ObjectKey;
use kube::Api;
use kube::core::DeserializeGuard;

impl Cluster {
    /// A MessageTemplate as it is now; `None`: gone, or not of our types.
    pub async fn message_template(&self, key: &ObjectKey) -> Result<Option<MessageTemplate>> {
        let api: Api<DeserializeGuard<MessageTemplate>> =
            Api::namespaced(self.client.clone(), &key.namespace);
        let found = exists(within(api.get(&key.name)).await)?;
        Ok(found.and_then(|found| found.0.ok()))
    }
}
