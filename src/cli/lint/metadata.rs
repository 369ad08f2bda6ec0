//! What the API server says of `metadata`, and which annotations the operator reads. The rules are those of
//! apimachinery; only what people write by hand is looked at.

use crate::api::names;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::set::{Kind, Manifest, Object};
use crate::cli::lint::yaml::{Content, Entry, Node};
use crate::domain::likeness::nearest;
use crate::domain::problem::printable;

/// Every field of `metadata` (apimachinery, `ObjectMeta`).
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks the metadata of an object of ours.
pub fn check(manifest: &Manifest) -> Vec<Diagnostic> {
    let object = &manifest.object;
    let mut problems = Vec::new();
    let Some(metadata) = object.root.get("metadata") else {
        let message = "metadata is missing: an object needs a name";
        return vec![
            Diagnostic::error(Code::Metadata, object.file, object.span(), message).field("metadata"),
        ];
    };
    let wrong = |node: &Node, field: &str, message: String| {
        Diagnostic::error(Code::Metadata, object.file, first_line(node), message).field(field)
    };
    if !matches!(metadata.content, Content::Map(_)) {
        return vec![wrong(metadata, "metadata", "must be a map of fields".into())];
    }
    for entry in metadata.entries() {
        problems.extend(field(object, entry));
    }
    match (metadata.get("name"), metadata.entry("generateName")) {
        (None, None) => {
            let message = "name is missing in metadata";
            problems.push(
                Diagnostic::error(Code::Metadata, object.file, object.span(), message).field("metadata.name"),
            );
        }
        (None, Some(generate)) => problems.push(
            Diagnostic::warning(
                Code::GenerateName,
                object.file,
                generate.value.span.clone(),
                "kubectl apply, Flux and Argo CD need a name: generateName works with kubectl create only",
            )
            .field("metadata.generateName"),
        ),
        (Some(name), _) => {
            problems
                .extend(object_name(name, 253, true).map(|message| wrong(name, "metadata.name", message)));
        }
    }
    if let Some(namespace) = metadata.get("namespace") {
        problems.extend(
            object_name(namespace, 63, false).map(|message| wrong(namespace, "metadata.namespace", message)),
        );
    }
    let known: &[&'static str] = match manifest.kind {
        Kind::Server => &[names::VERIFY_REQUESTED_AT],
        Kind::Template => &[],
        Kind::Notification => &[names::RESOLVE],
    };
    problems.extend(annotations(object, known));
    problems
}

/// Checks our annotations on a Secret or ServiceAccount.
pub fn neighbour(object: &Object, is_secret: bool) -> Vec<Diagnostic> {
    let all = [
        names::ALLOWED_HOSTS,
        names::ALLOWED_CA,
        names::EXPIRES_AT,
        names::ALLOW_PLAINTEXT,
        names::ALLOW_VALUES,
    ];
    let known = if is_secret { &all[..] } else { all.get(..2).unwrap_or_default() };
    let ours = object.annotations().filter(|(name, _)| name.starts_with(names::GROUP));
    let types = ours.filter_map(|(_, entry)| must_be_text(object, entry, "metadata.annotations"));
    types.chain(annotations(object, known)).collect()
}

fn field(object: &Object, entry: &Entry) -> Vec<Diagnostic> {
    let path = format!("metadata.{}", entry.key);
    if !FIELDS.contains(&entry.key.as_str()) {
        let message = format!("{} is not a field of metadata", printable(&entry.key, 60));
        let problem =
            Diagnostic::error(Code::UnknownField, object.file, entry.span.clone(), message).field(&path);
        let help = match nearest(&entry.key, FIELDS) {
            Some(best) => Some(format!("did you mean {best}?")),
            None if entry.key.contains('/') => {
                Some("did you mean to write it below annotations or labels?".into())
            }
            None => None,
        };
        return vec![Diagnostic { help, ..problem }];
    }
    match entry.key.as_str() {
        "annotations" | "labels" => {
            let each = entry.value.entries().iter();
            each.filter_map(|entry| must_be_text(object, entry, &path)).collect()
        }
        _ => Vec::new(),
    }
}

fn must_be_text(object: &Object, entry: &Entry, path: &str) -> Option<Diagnostic> {
    let found = match &entry.value.content {
        Content::Text(_) | Content::Null => return None,
        Content::Bool(value) => value.to_string(),
        Content::Number(number) => format!("the number {number}"),
        Content::List(_) => "a list".into(),
        Content::Map(_) => "a map".into(),
    };
    let what = path.trim_start_matches("metadata.");
    let message = format!("the values of {what} must be text, not {found}");
    let span = if entry.value.raw.is_some() { entry.value.span.clone() } else { entry.span.clone() };
    let problem =
        Diagnostic::error(Code::Metadata, object.file, span, message).field(format!("{path}.{}", entry.key));
    Some(match &entry.value.raw {
        Some(raw) => problem.help(format!("put it in quotes: \"{raw}\"")),
        None => problem,
    })
}

fn object_name(node: &Node, longest: usize, dots: bool) -> Option<String> {
    let (letters, longest) = if dots {
        ("lower-case letters, digits, - and .", longest)
    } else {
        ("lower-case letters, digits and -", longest)
    };
    let Some(name) = node.text() else {
        let raw = node.raw.as_deref().unwrap_or_default();
        return Some(match node.content {
            Content::Bool(_) | Content::Number(_) => format!("must be text: put it in quotes: \"{raw}\""),
            _ => "must be text".into(),
        });
    };
    if name.chars().count() > longest {
        return Some(format!("may have at most {longest} characters"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part_fits = |part: &str| {
        part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || c == '-')
    };
    let fits = if dots { name.split('.').all(part_fits) } else { part_fits(name) };
    (!fits).then(|| {
        format!(
            "must consist of {letters}, and begin and end with a letter or digit, not {}",
            printable(name, 60)
        )
    })
}

fn annotations(object: &Object, known: &[&'static str]) -> Vec<Diagnostic> {
    let ours = object.annotations().filter(|(name, _)| name.split('/').next() == Some(names::GROUP));
    let mut problems = Vec::new();
    for (name, entry) in ours {
        if known.contains(&name) {
            if name == names::RESOLVE && !matches!(entry.value.text(), Some("sent" | "resend") | None) {
                let span = entry.value.span.clone();
                let message = "the annotation resolve takes sent or resend";
                problems.push(Diagnostic::warning(Code::InvalidValue, object.file, span, message));
            }
            continue;
        }
        let word = |name: &'static str| name.rsplit('/').next().unwrap_or_default();
        let best =
            nearest(name.rsplit('/').next().unwrap_or_default(), known.iter().map(|known| word(known)));
        let message = format!("the operator does not read an annotation {} here", printable(name, 80));
        let problem = Diagnostic::warning(Code::UnknownAnnotation, object.file, entry.span.clone(), message);
        problems.push(match best {
            Some(best) => problem.help(format!("did you mean {}/{best}?", names::GROUP)),
            None => problem,
        });
    }
    problems
}

fn first_line(node: &Node) -> std::ops::Range<usize> {
    match node.content {
        Content::List(_) | Content::Map(_) => node.span.start..node.span.start + 1,
        _ => node.span.clone(),
    }
}
