//! The control plane that all plans share, each in a namespace of its own. What becomes of objects is learnt from one
//! watch for each kind, since asking again and again would keep the API server from its work.

use futures::StreamExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event, watcher};
use mail_operator_testbed::ControlPlane;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::faulty_api::Behind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Our kinds.
pub const NOTIFICATIONS: &str = "Notification";
pub const SERVERS: &str = "MailServerConfig";
pub const TEMPLATES: &str = "MessageTemplate";

type Objects = HashMap<(&'static str, String, String), Value>;

/// The shared control plane.
pub struct Cluster {
    // First to be dropped: a watch whose API server is gone complains.
    _following: JoinSet<()>,
    pub plane: ControlPlane,
    pub behind: Behind,
    /// Signs the certificates of all mail servers.
    pub authority: CertificateAuthority,
    client: Client,
    objects: Arc<Mutex<Objects>>,
    changes: watch::Sender<u64>,
    namespaces: AtomicUsize,
}

impl Cluster {
    /// Starts it with our kinds in it.
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plane = ControlPlane::start().await.unwrap();
        plane.install_crds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).await.unwrap();
        let client = Client::try_from(config(&plane).await).unwrap();
        let (objects, changes) = (Arc::<Mutex<Objects>>::default(), watch::Sender::new(0));
        let mut following = JoinSet::new();
        for kind in [NOTIFICATIONS, SERVERS, TEMPLATES] {
            following.spawn(follow(client.clone(), kind, objects.clone(), changes.clone()));
        }
        Self {
            behind: Behind::new(&plane).unwrap(),
            authority: CertificateAuthority::new("CA of all mail servers").unwrap(),
            plane,
            client,
            objects,
            changes,
            namespaces: AtomicUsize::new(0),
            _following: following,
        }
    }

    /// A new namespace.
    pub async fn namespace(&self, scenario: &str) -> String {
        let name = format!("{scenario}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.create("", &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
            .await;
        name
    }

    /// Creates an object.
    pub async fn create(&self, namespace: &str, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = object.types.clone().unwrap();
        let api = self.api(&types.api_version, &types.kind, namespace);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Changes an object by a merge patch.
    pub async fn patch(&self, namespace: &str, version: &str, kind: &str, name: &str, patch: &Value) {
        let api = self.api(version, kind, namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// All objects of a kind in a namespace, as they are stored.
    pub async fn list(&self, namespace: &str, version: &str, kind: &str) -> Vec<Value> {
        let list = self.api(version, kind, namespace).list(&kube::api::ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    fn api(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    /// An object as it was seen last; null if there is none.
    pub fn seen(&self, namespace: &str, kind: &'static str, name: &str) -> Value {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.objects.lock().unwrap().get(&key).cloned().unwrap_or_default()
    }

    /// Waits until something holds, and looks whenever an object has changed; tells whether it did in time.
    pub async fn until(&self, limit: Duration, holds: impl Fn() -> bool) -> bool {
        let mut changes = self.changes.subscribe();
        tokio::time::timeout(limit, changes.wait_for(|_| holds())).await.is_ok()
    }
}

/// A configuration that leads to a control plane as its administrator.
pub async fn config(plane: &ControlPlane) -> kube::Config {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

async fn follow(
    client: Client,
    kind: &'static str,
    objects: Arc<Mutex<Objects>>,
    changes: watch::Sender<u64>,
) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("mail-operator.dev", "v1alpha1", kind));
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let key = |object: &DynamicObject| {
        let (name, namespace) = (object.metadata.name.clone(), object.metadata.namespace.clone());
        (kind, namespace.unwrap_or_default(), name.unwrap_or_default())
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                objects.lock().unwrap().insert(key(&object), serde_json::to_value(&object).unwrap());
            }
            Ok(Event::Delete(object)) => {
                objects.lock().unwrap().remove(&key(&object));
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("the tests' own watch: {error}"),
        }
        changes.send_modify(|count| *count += 1);
    }
}
