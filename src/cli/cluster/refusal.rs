//! What an error of the API server means to the person who asked: what was attempted, what is missing, and the next
//! command. The words of the API server itself are kept where they say more than we know.

use crate::api::names::GROUP;
use crate::cli::failure::{Exit, Failure};
use std::borrow::Cow;

/// What the API server was asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `get`, `list`, `create`, `patch`, ...
    pub verb: &'static str,
    /// The kind, as people write it.
    pub kind: Cow<'a, str>,
    /// Plural and group: `notifications.mail-operator.dev`.
    pub resource: String,
    /// Where; `None`: in all namespaces, or outside of any.
    pub namespace: Option<&'a str>,
    /// Which; `None` for lists and what has no name yet.
    pub name: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request about objects of a kind.
    pub fn new<K: kube::Resource<DynamicType = ()>>(verb: &'static str) -> Self {
        let (plural, group) = (K::plural(&()), K::group(&()));
        let resource = if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") };
        Self { verb, kind: K::kind(&()), resource, namespace: None, name: None }
    }

    /// In a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: Option<&'a str>) -> Self {
        self.namespace = namespace;
        self
    }

    /// About one object.
    #[must_use]
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// In words: `get Notification news in namespace shop`.
    fn in_words(&self) -> String {
        let name = self.name.map(|name| format!(" {name}")).unwrap_or_default();
        let place = match self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None if self.name.is_none() => " in all namespaces".into(),
            None => String::new(),
        };
        let plural = if self.name.is_none() && self.verb == "list" { "s" } else { "" };
        format!("{} {}{plural}{name}{place}", self.verb, self.kind)
    }

    fn flags(&self) -> String {
        match self.namespace {
            Some(namespace) => format!(" -n {namespace}"),
            None if self.name.is_none() => " -A".into(),
            None => String::new(),
        }
    }
}

/// Explains an error.
pub(super) fn explain(error: &kube::Error, request: &Request<'_>, url: &str) -> Failure {
    let attempted = request.in_words();
    match error {
        kube::Error::Api(status) => match status.code {
            401 => Failure::new(Exit::Cluster, format!("the API server {url} does not know who you are"))
                .next("log in to the cluster again; kubectl auth whoami shows as whom you come"),
            403 if status.message.contains("namespace") && status.message.contains("being terminated") => {
                Failure::new(Exit::Cluster, format!("may not {attempted}: {}", status.message))
            }
            403 => Failure::new(Exit::Cluster, format!("no permission to {attempted}")).forbidden().next(format!(
                "see what you may: kubectl auth can-i {} {}{}; Kubernetes' role view permits reading, edit also writing \
                 (the chart adds both to them)",
                request.verb,
                request.resource,
                request.flags()
            )),
            404 if is_kind_unknown(status, request) => not_installed(&request.resource),
            404 if status.details.as_ref().is_some_and(|details| details.kind == "namespaces") => {
                let namespace = request.namespace.unwrap_or_default();
                Failure::new(Exit::Cluster, format!("there is no namespace {namespace}"))
                    .next("kubectl get namespaces lists those there are; kubectl create namespace NAME makes one")
            }
            404 => Failure::new(Exit::Failed, format!("cannot {attempted}: there is none")),
            409 if request.verb == "create" => Failure::new(
                Exit::Failed,
                format!("{} {} exists already", request.kind, request.name.unwrap_or_default()),
            ),
            409 => Failure::new(Exit::Failed, format!("cannot {attempted}: somebody changed it at the same moment"))
                .next("try again"),
            400 | 422 => Failure::new(Exit::Failed, format!("the API server refused to {attempted}: {}", objection(status))),
            _ => Failure::new(Exit::Cluster, format!("cannot {attempted}: the API server answered: {}", status.message)),
        },
        kube::Error::SerdeError(problem) => Failure::new(
            Exit::Cluster,
            format!("cannot {attempted}: what the cluster has does not fit this program: {problem}"),
        )
        .next("kubectl mail version compares this program with the operator and its CustomResourceDefinitions"),
        kube::Error::Auth(problem) => {
            Failure::new(Exit::Cluster, format!("the credentials of the kubeconfig do not work: {}", chain(problem)))
                .next("log in to the cluster again; kubectl config view --minify shows what is used")
        }
        other => Failure::new(Exit::Cluster, format!("the API server {url} cannot be reached: {}", chain(other)))
            .next("see whether it is the right one: kubectl config get-contexts; --context NAME chooses another"),
    }
}

/// None of our kinds is served.
pub(super) fn not_installed(resource: &str) -> Failure {
    Failure::new(
        Exit::Cluster,
        format!("this cluster does not know {resource}: mail-operator is not installed"),
    )
    .next(
        "install it: helm install mail-operator charts/mail-operator -n mail-operator --create-namespace \
             (docs/installation.md); another cluster: --context NAME",
    )
}

/// Whether a 404 speaks about the kind instead of an object: lists are never absent, and what is said of an object
/// names it.
fn is_kind_unknown(status: &kube::core::Status, request: &Request<'_>) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    request.resource.ends_with(GROUP) && !named
}

/// What the API server objects to: each field by itself, where it says so.
fn objection(status: &kube::core::Status) -> String {
    let causes: Vec<_> = status.details.iter().flat_map(|details| &details.causes).collect();
    if causes.is_empty() {
        return status.message.clone();
    }
    let told = causes.iter().filter(|cause| !cause.message.is_empty());
    let mut told: Vec<_> = told.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    told.dedup();
    told.join("; ")
}

/// An error and its causes in one line, without repetitions.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
