//! The objects of all files: ours, which are judged, and those that ours refer to. Everything else is only counted.

use crate::api::names::{GROUP, VERSION};
use crate::cli::lint::diagnostic::{Code, Diagnostic, ObjectName};
use crate::cli::lint::yaml::{self, Content, Node};
use crate::domain::access::Labels;
use crate::domain::likeness::{likeness, nearest};
use crate::domain::object::ObjectKey;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// One of our kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `MailServerConfig`.
    Server,
    /// `MessageTemplate`.
    Template,
    /// `Notification`.
    Notification,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Server, Self::Template, Self::Notification];

    /// The word behind `kind:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "MailServerConfig",
            Self::Template => "MessageTemplate",
            Self::Notification => "Notification",
        }
    }
}

/// An object and where it stands.
#[derive(Debug, Clone)]
pub struct Object {
    /// Which file.
    pub file: usize,
    /// Namespace and name; the name may be empty.
    pub key: ObjectKey,
    /// All of it.
    pub root: Node,
}

impl Object {
    /// What to point at when it is about the whole object.
    pub fn span(&self) -> Range<usize> {
        let name = self.root.get("metadata").and_then(|metadata| metadata.get("name"));
        match (name, self.root.entry("kind"), self.root.entries().first()) {
            (Some(name), _, _) => name.span.clone(),
            (None, Some(kind), _) => kind.value.span.clone(),
            (None, None, Some(first)) => first.span.clone(),
            (None, None, None) => self.root.span.clone(),
        }
    }

    /// Its annotations, as far as they are text.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &yaml::Entry)> {
        let annotations = self.root.get("metadata").and_then(|metadata| metadata.get("annotations"));
        annotations.into_iter().flat_map(Node::entries).map(|entry| (entry.key.as_str(), entry))
    }
}

/// An object of ours.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Which kind.
    pub kind: Kind,
    /// The object.
    pub object: Object,
}

impl Manifest {
    /// How messages call it.
    pub fn name(&self) -> ObjectName {
        ObjectName { kind: self.kind.as_str().into(), key: self.object.key.clone() }
    }
}

/// The objects of all files.
#[derive(Debug, Default)]
pub struct Set {
    /// Ours, in the order of the files.
    pub manifests: Vec<Manifest>,
    /// Secrets.
    pub secrets: HashMap<ObjectKey, Object>,
    /// ConfigMaps.
    pub config_maps: HashMap<ObjectKey, Object>,
    /// ServiceAccounts.
    pub service_accounts: HashMap<ObjectKey, Object>,
    /// Labels of Namespaces.
    pub namespaces: HashMap<String, Labels>,
    /// How many objects there are, of all kinds.
    pub objects: usize,
}

impl Set {
    /// Takes the objects of a file. `found`: it was found in a folder, where other things than manifests may stand.
    pub fn add(
        &mut self,
        (file, text, found): (usize, &str, bool),
        namespace: &str,
        problems: &mut Vec<Diagnostic>,
    ) {
        let documents = yaml::read(file, text, problems);
        if documents.is_empty() && problems.iter().all(|problem| problem.file != file) && !found {
            problems.push(Diagnostic::warning(Code::NoManifest, file, 0..0, "there is no object in it"));
        }
        for document in documents {
            self.take(document, (file, found), namespace, problems);
        }
    }

    fn take(
        &mut self,
        root: Node,
        (file, found): (usize, bool),
        namespace: &str,
        problems: &mut Vec<Diagnostic>,
    ) {
        let text = |key: &str| root.get(key).and_then(Node::text);
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if kind.is_some_and(|kind| kind.ends_with("List"))
            && let Some(Content::List(items)) = root.get("items").map(|items| &items.content)
        {
            for item in items.clone() {
                self.take(item, (file, found), namespace, problems);
            }
            return;
        }
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            let ours = api_version.is_some_and(|version| version.starts_with(GROUP));
            let alike = root.get("spec").is_some() && root.get("metadata").is_some();
            if !found || ours || alike {
                problems.push(no_manifest(&root, file, kind.is_none()));
            }
            return;
        };
        self.objects += 1;
        let metadata = root.get("metadata");
        let part = |key: &str| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text);
        let name = part("name").or(part("generateName")).unwrap_or_default();
        let key = ObjectKey::new(part("namespace").unwrap_or(namespace), name);
        match known(api_version, kind) {
            Known::Ours(kind) => {
                self.manifests.push(Manifest { kind, object: Object { file, key, root } });
            }
            Known::Mistaken(at, message, help) => {
                let span = root.get(at).map_or(root.span.clone(), |node| node.span.clone());
                problems.push(Diagnostic::error(Code::UnknownKind, file, span, message).help(help));
            }
            Known::Other => {
                let kind = (api_version == "v1").then(|| kind.to_owned());
                self.neighbour(kind.as_deref(), Object { file, key, root });
            }
        }
    }

    /// Keeps an object of the core group, if ours may refer to its kind.
    fn neighbour(&mut self, kind: Option<&str>, object: Object) {
        let key = object.key.clone();
        match kind {
            Some("Secret") => drop(self.secrets.insert(key, object)),
            Some("ConfigMap") => drop(self.config_maps.insert(key, object)),
            Some("ServiceAccount") => drop(self.service_accounts.insert(key, object)),
            Some("Namespace") => {
                let labels = object.root.get("metadata").and_then(|metadata| metadata.get("labels"));
                let labels = labels.into_iter().flat_map(Node::entries);
                let labels =
                    labels.filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned())));
                let mut labels: Labels = labels.collect();
                // The API server gives every namespace this one.
                labels.insert("kubernetes.io/metadata.name".into(), key.name.to_string());
                self.namespaces.insert(key.name.to_string(), labels);
            }
            _ => {}
        }
    }

    /// Says of objects that are there twice in one file that the last one wins.
    pub fn doubles(&self, problems: &mut Vec<Diagnostic>) {
        let mut seen = HashSet::new();
        for manifest in &self.manifests {
            let Object { file, key, .. } = &manifest.object;
            if key.name.is_empty()
                || manifest.object.root.get("metadata").is_some_and(|m| m.get("name").is_none())
            {
                continue;
            }
            if !seen.insert((*file, manifest.kind, key.clone())) {
                let message = format!("{} is there twice in this file", manifest.name());
                let span = manifest.object.span();
                let mut problem = Diagnostic::warning(Code::DuplicateObject, *file, span, message);
                problem.object = Some(manifest.name());
                problem.help = Some(match manifest.kind {
                    Kind::Notification => {
                        "a Notification cannot be changed, so the second one is refused: give it another name"
                            .into()
                    }
                    Kind::Server | Kind::Template => {
                        "the last one wins: remove one, or give it another name".into()
                    }
                });
                problems.push(problem);
            }
        }
    }
}

fn no_manifest(root: &Node, file: usize, no_kind: bool) -> Diagnostic {
    let span = root
        .entries()
        .first()
        .map_or_else(|| root.span.start..root.span.start + 1, |first| first.span.clone());
    let what = if no_kind { "kind" } else { "apiVersion" };
    let message = match root.content {
        Content::Map(_) => format!("{what} is missing: this is no Kubernetes object"),
        _ => "this is no Kubernetes object: it has no apiVersion and kind".into(),
    };
    let help = format!(
        "ours begin with apiVersion: {GROUP}/{VERSION} and kind: MailServerConfig, MessageTemplate or Notification"
    );
    Diagnostic::error(Code::NoManifest, file, span, message).help(help)
}

enum Known {
    Ours(Kind),
    /// Where the mistake is, what is wrong, and what would be right.
    Mistaken(&'static str, String, String),
    Other,
}

fn known(api_version: &str, kind: &str) -> Known {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let exact = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    if group == GROUP {
        let Some(exact) = exact else {
            let help = match nearest(kind, Kind::ALL.map(Kind::as_str)) {
                Some(best) => format!("did you mean {best}?"),
                None => "there are MailServerConfig, MessageTemplate and Notification".into(),
            };
            return Known::Mistaken("kind", format!("{GROUP} has no kind {kind}"), help);
        };
        if version == VERSION {
            return Known::Ours(exact);
        }
        let message = format!("{GROUP} has no version {version}");
        return Known::Mistaken("apiVersion", message, format!("write {GROUP}/{VERSION}"));
    }
    match exact {
        // `Notification` is a kind of other groups too.
        Some(exact) if likeness(group, GROUP).is_some() || exact != Kind::Notification => Known::Mistaken(
            "apiVersion",
            format!("{kind} is not a kind of {}", if group.is_empty() { api_version } else { group }),
            format!("did you mean {GROUP}/{VERSION}?"),
        ),
        _ => Known::Other,
    }
}
