//! Following one object through every version it has, by a watch; where that is not permitted, by looking again.

use crate::cli::cluster::{Cluster, Kind, Request};
use crate::cli::failure::Failure;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use std::time::Duration;

/// Between two looks, where the watch is not permitted or broke off.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Follows one object. Dropping it ends the watch.
pub struct Follow<K: Kind> {
    cluster: Cluster,
    api: Api<K>,
    name: String,
    uid: Option<String>,
    version: String,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<K>>>>,
}

/// What was seen of an object.
enum News<K> {
    /// Another version of it.
    Version(Box<K>),
    /// It is gone, or is another one by now.
    Gone,
}

impl<K: Kind> Follow<K> {
    /// From this version of the object on.
    pub fn new(cluster: &Cluster, object: &K) -> Self {
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or(&cluster.namespace);
        let cluster = cluster.in_namespace(namespace);
        Self {
            api: cluster.api(),
            cluster,
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone(),
            version: meta.resource_version.clone().unwrap_or_default(),
            events: None,
        }
    }

    /// The next version; `None`: the object is gone, or is another one by now. May be cancelled.
    pub async fn next(&mut self) -> Result<Option<K>, Failure> {
        loop {
            if let Some(events) = &mut self.events {
                match events.try_next().await {
                    Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                        match self.take(object) {
                            Some(News::Version(object)) => return Ok(Some(*object)),
                            Some(News::Gone) => return Ok(None),
                            None => {}
                        }
                    }
                    Ok(Some(WatchEvent::Deleted(_))) => return Ok(None),
                    Ok(Some(WatchEvent::Bookmark(_))) => {}
                    Ok(Some(WatchEvent::Error(_)) | None) | Err(_) => self.events = None,
                }
                continue;
            }
            let parameters = WatchParams::default().fields(&format!("metadata.name={}", self.name));
            match self.api.watch(&parameters, &self.version).await {
                Ok(events) => self.events = Some(events.boxed()),
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
            // Whatever was missed between the last version and the watch, or instead of it.
            match self.look().await? {
                Some(News::Version(object)) => return Ok(Some(*object)),
                Some(News::Gone) => return Ok(None),
                None => {}
            }
        }
    }

    /// Reads the object; `None`: nothing new.
    async fn look(&mut self) -> Result<Option<News<K>>, Failure> {
        let request = Request::new::<K>("get").namespace(Some(&self.cluster.namespace)).name(&self.name);
        match self.cluster.answer(self.api.get_opt(&self.name)).await {
            Ok(Ok(Some(object))) => Ok(self.take(object)),
            Ok(Ok(None)) => Ok(Some(News::Gone)),
            // An API server that is away comes back; who follows has a deadline of his own.
            Ok(Err(kube::Error::Service(_) | kube::Error::HyperError(_))) | Err(_) => Ok(None),
            Ok(Err(error)) => self.cluster.ask(&request, std::future::ready(Err(error))).await,
        }
    }

    fn take(&mut self, object: K) -> Option<News<K>> {
        if object.meta().uid != self.uid {
            return Some(News::Gone);
        }
        let version = object.meta().resource_version.clone().unwrap_or_default();
        if version == self.version {
            return None;
        }
        self.version = version;
        Some(News::Version(Box::new(object)))
    }
}
