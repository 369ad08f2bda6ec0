//! Reading and writing objects. One that is not there is looked for elsewhere: people mistake the namespace or a letter.

use crate::cli::cluster::{Cluster, Request, refusal};
use crate::cli::failure::{Exit, Failure};
use crate::domain::access::Labels;
use crate::domain::likeness;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Who wrote it, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "kubectl-mail";

/// How many objects a page of a list holds.
const PAGE: u32 = 500;

/// How one says that an object of another namespace is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `-n NAMESPACE`.
    Flag,
    /// `NAMESPACE/NAME`, as in `--server`.
    Reference,
}

/// A namespaced kind of objects.
pub trait Kind:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Kind for K where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + 'static
{
}

impl Cluster {
    /// Objects of a kind in the namespace that is meant.
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object of that name in the namespace that is meant. If there is none, the failure says where there is one,
    /// or which name was likely meant.
    pub async fn get<K: Kind>(&self, name: &str) -> Result<K, Failure> {
        match self.find(&self.namespace, name).await? {
            Some(object) => Ok(object),
            None => Err(self.absent::<K>(name, Spelling::Flag).await),
        }
    }

    /// The object of that name; `None`: there is none.
    pub async fn find<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<K>, Failure> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let request = Request::new::<K>("get").namespace(Some(namespace)).name(name);
        match self.answer(api.get(name)).await? {
            Ok(object) => Ok(Some(object)),
            Err(error) => {
                let named = |error: &kube::Error| match error {
                    kube::Error::Api(status) => {
                        status.code == 404
                            && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
                    }
                    _ => false,
                };
                if named(&error) { Ok(None) } else { Err(refusal::explain(&error, &request, &self.url)) }
            }
        }
    }

    /// All objects of a kind that `fields` selects (empty: all), in one namespace or in all.
    pub async fn list<K: Kind>(&self, namespace: Option<&str>, fields: &str) -> Result<Vec<K>, Failure> {
        let api: Api<K> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let request = Request::new::<K>("list").namespace(namespace);
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE).fields(fields);
        loop {
            let page = self.ask(&request, api.list(&parameters)).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// Creates an object in the namespace that is meant. `dry_run`: the API server checks it and stores nothing.
    pub async fn create<K: Kind>(&self, object: &K, dry_run: bool) -> Result<K, Failure> {
        let parameters = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let name =
            object.meta().name.as_deref().or(object.meta().generate_name.as_deref()).unwrap_or_default();
        let request = Request::new::<K>("create").namespace(Some(&self.namespace)).name(name);
        self.ask(&request, self.api().create(&parameters, object)).await
    }

    /// Sets one annotation.
    pub async fn annotate<K: Kind>(&self, name: &str, key: &str, value: &str) -> Result<K, Failure> {
        let patch = serde_json::json!({ "metadata": { "annotations": { key: value } } });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let request = Request::new::<K>("patch").namespace(Some(&self.namespace)).name(name);
        self.ask(&request, self.api().patch(name, &parameters, &Patch::Merge(&patch))).await
    }

    /// Says that there is no such object, and where there is one, as far as one may look.
    pub async fn absent<K: Kind>(&self, name: &str, spelling: Spelling) -> Failure {
        let kind = K::kind(&());
        let namespace = &self.namespace;
        let failure =
            Failure::new(Exit::Failed, format!("there is no {kind} {name} in namespace {namespace}"));
        let elsewhere: Vec<K> = self.list(None, &format!("metadata.name={name}")).await.unwrap_or_default();
        let others: Vec<_> =
            elsewhere.iter().filter_map(|object| object.meta().namespace.as_deref()).collect();
        match (others.as_slice(), spelling) {
            ([], _) => {}
            ([only], Spelling::Flag) => {
                return failure.next(format!("there is one in namespace {only}: add -n {only}"));
            }
            ([only], Spelling::Reference) => {
                return failure.next(format!("there is one in namespace {only}: name it as {only}/{name}"));
            }
            (several, _) => {
                let how = match spelling {
                    Spelling::Flag => "add -n and one of",
                    Spelling::Reference => "name it as NAMESPACE/NAME with one of",
                };
                let several = several.join(", ");
                return failure.next(format!("there are some in other namespaces: {how} {several}"));
            }
        }
        let names = self.names::<K>().await;
        if let Some(meant) = likeness::nearest(name, names.iter().map(String::as_str)) {
            return failure.next(format!("did you mean {meant}?"));
        }
        if !names.is_empty() {
            let shown: Vec<_> = names.iter().take(8).map(String::as_str).collect();
            let more = if names.len() > shown.len() { ", ..." } else { "" };
            return failure.next(format!("there are: {}{more}", shown.join(", ")));
        }
        if self.is_namespace_absent().await {
            return Failure::new(Exit::Failed, format!("there is no namespace {namespace}")).next(
                match spelling {
                    Spelling::Flag => "kubectl get namespaces lists those there are; -n NAME chooses one",
                    Spelling::Reference => "kubectl get namespaces lists those there are",
                },
            );
        }
        let plural = K::plural(&());
        failure.next(format!("there are none at all in this namespace: kubectl get {plural} -A"))
    }

    /// Names of the objects of a kind in the namespace that is meant, as far as one may look.
    pub async fn names<K: Kind>(&self) -> Vec<String> {
        let here: Vec<K> = self.list(Some(&self.namespace), "").await.unwrap_or_default();
        here.iter().filter_map(|object| object.meta().name.clone()).collect()
    }

    /// Labels of the namespace that is meant, for selectors; nobody has to be permitted to see them.
    pub async fn labels(&self) -> Option<Labels> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let answer = self.answer(api.get_metadata(&self.namespace)).await;
        Some(answer.ok()?.ok()?.metadata.labels.unwrap_or_default())
    }

    /// Says that the cluster does not know the kind.
    pub fn not_installed<K: Kind>() -> Failure {
        refusal::not_installed(&Request::new::<K>("get").resource)
    }

    /// Whether it is certain that the namespace that is meant does not exist.
    pub async fn is_namespace_absent(&self) -> bool {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let answer = self.answer(api.get_metadata(&self.namespace)).await;
        matches!(answer, Ok(Err(kube::Error::Api(status))) if status.code == 404)
    }
}
