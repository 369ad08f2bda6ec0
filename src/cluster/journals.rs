//! Journals as they are stored: one ConfigMap an account in the operator's namespace, written by PUT
//! with the resourceVersion last seen.

use crate::api::names::JOURNAL_LABEL;
use crate::cluster::references::exists;
use crate::cluster::{Cluster, Error, Result, within};
use crate::domain::journal::Journal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use std::collections::BTreeMap;

/// The key of the ConfigMap that holds the journal.
const KEY: &str = "journal.json";

/// A journal as it was read or stored.
#[derive(Debug, Clone)]
pub struct StoredJournal {
    /// Contents; an unreadable journal is an empty one held by nobody, with the epoch it cannot tell.
    pub journal: Journal,
    /// The version that the next PUT has to name.
    pub resource_version: String,
    /// `metadata.uid`: a journal that was deleted and made again is another one.
    pub uid: Option<String>,
}

impl Cluster {
    /// Reads a journal; `None`: there is none.
    pub async fn journal(&self, name: &str) -> Result<Option<StoredJournal>> {
        exists(within(self.journals().get(name)).await)?.map(read).transpose()
    }

    /// Stores a journal: over the version last seen, or as a new object. Fails with `Conflict` if it was
    /// written meanwhile (or exists), with `NotFound` if it is gone.
    pub async fn put_journal(
        &self,
        name: &str,
        seen: Option<&str>,
        journal: &Journal,
    ) -> Result<StoredJournal> {
        let text = serde_json::to_string(journal).map_err(|error| Error::Refused(error.to_string()))?;
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.into()),
                labels: Some(BTreeMap::from([(JOURNAL_LABEL.into(), "true".into())])),
                resource_version: seen.map(Into::into),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.into(), text)])),
            ..ConfigMap::default()
        };
        let parameters = PostParams::default();
        let api = self.journals();
        let stored = match seen {
            Some(_) => within(api.replace(name, &parameters, &object)).await?,
            None => within(api.create(&parameters, &object)).await?,
        };
        Ok(StoredJournal {
            journal: journal.clone(),
            resource_version: stored.metadata.resource_version.unwrap_or_default(),
            uid: stored.metadata.uid,
        })
    }

    /// Deletes a journal as it was read; returns whether it did. One that was written since, or is gone, is left alone.
    pub async fn delete_journal(&self, name: &str, seen: &StoredJournal) -> Result<bool> {
        let preconditions =
            Preconditions { uid: seen.uid.clone(), resource_version: Some(seen.resource_version.clone()) };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match within(self.journals().delete(name, &parameters)).await {
            Ok(_) => Ok(true),
            Err(Error::Conflict | Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All journals by name.
    pub async fn all_journals(&self) -> Result<BTreeMap<String, StoredJournal>> {
        let list = within(self.journals().list(&ListParams::default().labels(JOURNAL_LABEL))).await?;
        let named = |map: ConfigMap| Some((map.metadata.name.clone()?, read(map).ok()?));
        Ok(list.items.into_iter().filter_map(named).collect())
    }

    fn journals(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.operator_namespace)
    }
}

fn read(map: ConfigMap) -> Result<StoredJournal> {
    let (resource_version, uid) = (map.metadata.resource_version.unwrap_or_default(), map.metadata.uid);
    let text = map.data.and_then(|mut data| data.remove(KEY)).unwrap_or_default();
    let journal = serde_json::from_str(&text).map_err(|error| {
        // Sending on without knowing what is in flight could send twice: a person has to look.
        Error::Refused(format!("journal {} cannot be read ({error}); nothing is sent for its account until it is mended or deleted", map.metadata.name.unwrap_or_default()))
    })?;
    Ok(StoredJournal { journal, resource_version, uid })
}
