//! Status writes: merge patches that hold only against the version that was read, so that nobody's
//! news is overwritten.

use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::object::ObjectKey;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Who wrote it, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "mail-operator";

/// Longest wait for a turn. While the API server does not answer each turn takes as long as a request may, and those
/// who wait would add up to hours.
const TURN: Duration = Duration::from_secs(30);

impl Cluster {
    /// Writes a status over version `resource_version` of the object. What the new status does not
    /// contain is removed by naming it `null`: a merge patch keeps what it does not mention.
    ///
    /// Fails with `Conflict` if the object has changed since.
    pub async fn write_status<K, S>(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        old: Option<&S>,
        new: &S,
    ) -> Result<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: Serialize,
    {
        let turn = tokio::time::timeout(TURN, self.writes.acquire()).await;
        let _turn = turn.map_err(|_| Error::NoAnswer)?;
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let status = difference(old, new);
        let patch =
            serde_json::json!({ "metadata": { "resourceVersion": resource_version }, "status": status });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        within(api.patch_status(&key.name, &parameters, &Patch::Merge(&patch))).await
    }
}

/// The members of `new`, and `null` for those that only `old` has. Lists are replaced as a whole by a merge
/// patch, so one level is enough, except for objects inside: they are replaced member by member.
fn difference<S: Serialize>(old: Option<&S>, new: &S) -> serde_json::Value {
    let value = |status: &S| serde_json::to_value(status).unwrap_or_default();
    let mut new = value(new);
    if let Some(old) = old.map(value) {
        add_removals(&old, &mut new);
    }
    new
}

fn add_removals(old: &serde_json::Value, new: &mut serde_json::Value) {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object_mut()) else { return };
    for (name, before) in old {
        match new.get_mut(name) {
            Some(after) => add_removals(before, after),
            None => {
                new.insert(name.clone(), serde_json::Value::Null);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_what_is_gone() {
        let old = json!({ "a": 1, "b": { "c": 1, "d": 2 }, "e": [1, 2], "f": 1 });
        let new = json!({ "a": 1, "b": { "c": 3 }, "e": [1] });
        assert_eq!(
            difference(Some(&old), &new),
            json!({ "a": 1, "b": { "c": 3, "d": null }, "e": [1], "f": null })
        );
        assert_eq!(difference(None, &new), new);
    }
}
