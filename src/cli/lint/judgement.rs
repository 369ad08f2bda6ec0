//! What all checks of the operator's own rules share: the files, the objects, what is asked for, and how their
//! answers become findings.

use crate::cli::lint::File;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::place;
use crate::cli::lint::set::{Kind, Manifest, Object, Set};
use crate::cli::lint::yaml::{Content, Node};
use crate::domain::credentials::Stored;
use crate::domain::object::ObjectKey;
use crate::evaluation::Evaluator;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

/// What the checks look at.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The objects.
    pub set: &'a Set,
    /// The files.
    pub files: &'a [File],
    /// The operator's namespace.
    pub operator_namespace: &'a str,
    /// Whether references to objects that are not among the files are errors.
    pub strict_references: bool,
    /// Where templates are checked and rendered.
    pub evaluator: &'a Evaluator,
    /// The time.
    pub now: Timestamp,
}

impl Bench<'_> {
    /// The text of the file that an object stands in.
    pub fn text(&self, object: &Object) -> &str {
        self.files.get(object.file).map_or("", |file| &file.text)
    }

    /// An error about a field below `spec`.
    pub fn at_field(&self, manifest: &Manifest, code: Code, field: &str, message: &str) -> Diagnostic {
        let path = format!("spec.{field}");
        let place = place::find(&manifest.object.root, &place::steps(&path));
        let span = place.span(self.text(&manifest.object));
        Diagnostic::error(code, manifest.object.file, span, message).field(path)
    }

    /// What is to be said of a reference to something that is not among the files: nothing, unless asked to.
    pub fn missing(
        &self,
        manifest: &Manifest,
        field: &str,
        kind: &str,
        key: &ObjectKey,
    ) -> Option<Diagnostic> {
        self.strict_references.then(|| {
            let message = format!("{kind} {key} is not among these files");
            self.at_field(manifest, Code::MissingReference, field, &message)
                .help("add its file, or lint without --strict-references")
        })
    }
}

/// The object as the API server would give it to the operator. `None`: it would never get so far.
pub fn as_stored<K: DeserializeOwned>(manifest: &Manifest, json: &Json, now: Timestamp) -> Option<K> {
    let mut object = json.as_object()?.clone();
    let ObjectNameParts { namespace, name } = parts(&manifest.object.key);
    object.insert(
        "metadata".into(),
        json!({
            "namespace": namespace, "name": name, "uid": "lint", "generation": 1, "creationTimestamp": now.to_string()
        }),
    );
    object.insert("apiVersion".into(), "mail-operator.dev/v1alpha1".into());
    object.insert("kind".into(), manifest.kind.as_str().into());
    serde_json::from_value(object.into()).ok()
}

struct ObjectNameParts<'a> {
    namespace: &'a str,
    name: &'a str,
}

fn parts(key: &ObjectKey) -> ObjectNameParts<'_> {
    ObjectNameParts { namespace: &key.namespace, name: &key.name }
}

/// Whether a file is encrypted with SOPS: keys can be read, values cannot.
pub fn is_sealed(object: &Object) -> bool {
    object.root.get("sops").is_some()
}

/// A Secret or ConfigMap as the operator would read it.
pub fn stored(object: &Object) -> Stored {
    let annotations = object.annotations();
    let annotations = annotations
        .filter_map(|(name, entry)| Some((name.to_owned(), entry.value.text()?.to_owned())))
        .collect();
    let text = |node: &Node| match &node.content {
        Content::Text(text) => text.clone(),
        // The API server refuses these; that is said elsewhere, if at all.
        other => format!("{other:?}"),
    };
    let is_secret = object.root.get("kind").and_then(Node::text) == Some("Secret");
    let plain = if is_secret { "stringData" } else { "data" };
    let encoded = if is_secret { "data" } else { "binaryData" };
    let members = |name: &str| object.root.get(name).into_iter().flat_map(Node::entries);
    let decoded = members(encoded).map(|entry| {
        let text: String = text(&entry.value).split_whitespace().collect();
        (entry.key.clone(), STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes()))
    });
    let written = members(plain).map(|entry| (entry.key.clone(), text(&entry.value).into_bytes()));
    let sealed = is_sealed(object);
    let data = decoded
        .chain(written)
        .map(|(key, bytes)| (key, Zeroizing::new(if sealed { STAND_IN.as_bytes().to_vec() } else { bytes })));
    Stored { uid: object.key.to_string(), resource_version: String::new(), annotations, data: data.collect() }
}

/// Passes for a password, a certificate and a key wherever only their form is looked at.
pub const STAND_IN: &str = "-----BEGIN CERTIFICATE-----";

/// The kind of a manifest decides what is judged.
pub fn of_kind(set: &Set, kind: Kind) -> impl Iterator<Item = (usize, &Manifest)> {
    set.manifests.iter().enumerate().filter(move |(_, manifest)| manifest.kind == kind)
}
