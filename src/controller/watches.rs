//! Watches that lose nothing: after each (re)list it is known what is gone, one undecodable object is
//! reported as itself and hides no other, and several namespaces look like one stream.

use crate::domain::object::{ObjectKey, Uid};
use crate::domain::outbox::shrink;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt::Debug;

/// Something that a watch has seen.
#[derive(Debug)]
pub enum Seen<K> {
    /// An object, new or changed, or the same again after a relist.
    Object(Box<K>),
    /// An object that does not fit our types: its key, version, creation and what is wrong.
    Undecodable { key: ObjectKey, resource_version: String, created: Timestamp, problem: String },
    /// An object is gone, or does not match the selection any more.
    Gone(ObjectKey, Uid),
    /// Everything that existed at the start has been seen.
    Synced,
}

/// Seconds after which a watch is renewed. kube's client gives up silently on one that was quiet for 295 s.
const TIMEOUT: u32 = 60;

/// What a stream yields for each event of the watcher.
type News<K> = stream::Iter<std::vec::IntoIter<Seen<K>>>;

/// Watches a kind in all namespaces, or in those given.
pub fn watch<K>(client: &Client, namespaces: &[String], fields: Option<&str>) -> BoxStream<'static, Seen<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let apis: Vec<Api<DeserializeGuard<K>>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let mut config = watcher::Config::default().timeout(TIMEOUT).page_size(crate::cluster::PAGE);
    if let Some(fields) = fields {
        config = config.fields(fields);
    }
    let count = apis.len();
    let streams = apis.into_iter().map(move |api| one(api, config.clone()));
    let mut unsynced = count;
    stream::select_all(streams)
        .filter_map(move |seen| {
            let news = match seen {
                // Synced once, when all namespaces are.
                Seen::Synced => {
                    unsynced = unsynced.saturating_sub(1);
                    (unsynced == 0).then_some(Seen::Synced)
                }
                other => Some(other),
            };
            std::future::ready(news)
        })
        .boxed()
}

fn one<K>(api: Api<DeserializeGuard<K>>, config: watcher::Config) -> BoxStream<'static, Seen<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known = Known::default();
    watcher::watcher(api, config)
        .default_backoff()
        .flat_map(move |event| -> News<K> {
            let seen = match event {
                Ok(event) => known.take(event),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), error = %bounded(&error), "watch interrupted; trying again");
                    Vec::new()
                }
            };
            stream::iter(seen)
        })
        .boxed()
}

/// The objects that exist as far as the watch has told.
#[derive(Default)]
struct Known {
    keys: HashMap<ObjectKey, Uid>,
    listed: HashMap<ObjectKey, Uid>,
    synced: bool,
}

impl Known {
    fn take<K>(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Seen<K>>
    where
        K: Resource<DynamicType = ()> + Clone,
    {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let Some((key, uid)) = identity(&object) else { return Vec::new() };
                let mut news = replaced(self.keys.get(&key), &key, &uid);
                self.listed.insert(key.clone(), uid);
                news.push(seen(key, object));
                news
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let before = std::mem::replace(&mut self.keys, listed);
                let gone: Vec<_> =
                    before.into_iter().filter(|(key, _)| !self.keys.contains_key(key)).collect();
                let first = !std::mem::replace(&mut self.synced, true);
                gone.into_iter()
                    .map(|(key, uid)| Seen::Gone(key, uid))
                    .chain(first.then_some(Seen::Synced))
                    .collect()
            }
            Event::Apply(object) => {
                let Some((key, uid)) = identity(&object) else { return Vec::new() };
                let mut news = replaced(self.keys.get(&key), &key, &uid);
                self.keys.insert(key.clone(), uid);
                news.push(seen(key, object));
                news
            }
            Event::Delete(object) => {
                let Some((key, uid)) = identity(&object) else { return Vec::new() };
                self.keys.remove(&key);
                shrink(&mut self.keys);
                vec![Seen::Gone(key, uid)]
            }
        }
    }
}

fn identity<K: Resource<DynamicType = ()>>(object: &K) -> Option<(ObjectKey, Uid)> {
    Some((ObjectKey::of(object)?, Uid::of(object)?))
}

/// An object deleted and created anew between two lists was never reported as gone.
fn replaced<K>(before: Option<&Uid>, key: &ObjectKey, uid: &Uid) -> Vec<Seen<K>> {
    before
        .filter(|before| *before != uid)
        .map(|before| Seen::Gone(key.clone(), before.clone()))
        .into_iter()
        .collect()
}

fn seen<K: Resource<DynamicType = ()>>(key: ObjectKey, object: DeserializeGuard<K>) -> Seen<K> {
    match object.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
            Seen::Object(Box::new(object))
        }
        Err(invalid) => Seen::Undecodable {
            key,
            resource_version: invalid.metadata.resource_version.unwrap_or_default(),
            created: invalid.metadata.creation_timestamp.map_or(Timestamp::UNIX_EPOCH, |created| created.0),
            problem: invalid.error.chars().take(300).collect(),
        },
    }
}

/// An error without the object that it may quote.
fn bounded(error: &watcher::Error) -> String {
    error.to_string().chars().take(300).collect()
}
