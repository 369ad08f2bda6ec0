//! The object as somebody edits it: written without what only the API server cares about, and read back with everything
//! that cannot be meant.

use crate::api::MessageTemplate;
use crate::cli::failure::{Exit, Failure};
use crate::cli::world::World;
use crate::domain::lookup::Source;
use crate::domain::standard;
use serde_json::{Map, Value as Json, json};

/// What stands above it: what it is, and how to get rid of it again.
pub fn introduction(name: &str, world: &World, exists: bool) -> Vec<String> {
    let namespace = &world.namespace;
    let operator = world.catalog.operator_namespace();
    let source = Source::object(namespace, name);
    let before = world.catalog.overridden(&source).map(|(before, _)| before);
    let mut lines = Vec::new();
    match (&before, exists) {
        (Some(before), true) => lines.push(format!("MessageTemplate {source}, which stands for {before}.")),
        (Some(before), false) => lines.push(format!("{before}, to become MessageTemplate {source}.")),
        (None, _) => lines.push(format!("MessageTemplate {source}.")),
    }
    if before.is_some() {
        lines.push(if namespace == operator && standard::find(name).is_some() {
            "It is for the Notifications of all namespaces that have none of this name themselves.".into()
        } else {
            format!("It is for the Notifications of namespace {namespace}.")
        });
        lines.push(format!("To have the text before it back: kubectl mail restore {name} -n {namespace}"));
    }
    lines.push(String::new());
    lines.push(
        "It is checked when you leave the editor, and applied if it is right. Unchanged or empty, nothing"
            .into(),
    );
    lines.push("happens. Fields: kubectl explain messagetemplate.spec".into());
    lines
}

/// The manifest, without status and bookkeeping.
pub fn write(template: &MessageTemplate) -> Result<String, Failure> {
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(template.metadata.name));
    metadata.insert("namespace".into(), json!(template.metadata.namespace));
    for (key, entries) in
        [("labels", &template.metadata.labels), ("annotations", &template.metadata.annotations)]
    {
        let mut entries = entries.clone().unwrap_or_default();
        entries.remove(LAST_APPLIED);
        if !entries.is_empty() {
            metadata.insert(key.into(), json!(entries));
        }
    }
    let unwritable = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("the template cannot be written as YAML: {error}"))
    };
    let mut spec = serde_json::to_value(&template.spec).map_err(|error| unwritable(&error))?;
    // Defaults say nothing.
    if let Some(spec) = spec.as_object_mut()
        && spec.get("access") == Some(&json!({ "namespaces": { "from": "Same" } }))
    {
        spec.remove("access");
    }
    let value = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MessageTemplate", "metadata": metadata, "spec": spec
    });
    serde_yaml::to_string(&value).map_err(|error| unwritable(&error))
}

/// kubectl's copy of what was applied last: it is kubectl's to keep.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether two manifests say the same.
pub fn is_same(text: &str, other: &str) -> bool {
    let read = |text: &str| serde_yaml::from_str::<Json>(text).ok();
    text == other || read(text).is_some_and(|value| Some(value) == read(other))
}

/// The edited object, with the version that it is based on; else what is wrong.
pub fn read(text: &str, before: &MessageTemplate) -> Result<MessageTemplate, Vec<String>> {
    let value: Json =
        serde_yaml::from_str(text).map_err(|error| vec![format!("this is not YAML: {error}")])?;
    let mut wrong = Vec::new();
    for (path, expected) in [
        ("/apiVersion", Some("mail-operator.dev/v1alpha1")),
        ("/kind", Some("MessageTemplate")),
        ("/metadata/name", before.metadata.name.as_deref()),
        ("/metadata/namespace", before.metadata.namespace.as_deref()),
    ] {
        if value.pointer(path).and_then(Json::as_str) != expected {
            let field = path.trim_start_matches('/').replace('/', ".");
            wrong.push(format!("{field} must stay {}", expected.unwrap_or_default()));
        }
    }
    let template: MessageTemplate = match serde_json::from_value(value.clone()) {
        Ok(template) => template,
        Err(error) => {
            wrong.push(format!("this is no MessageTemplate: {error}"));
            return Err(wrong);
        }
    };
    let spec = serde_json::to_value(&template.spec).unwrap_or_default();
    unknown("spec", value.get("spec").unwrap_or(&Json::Null), &spec, &mut wrong);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut edited = before.clone();
    edited.spec = template.spec;
    edited.metadata.labels = template.metadata.labels;
    let applied = before.metadata.annotations.as_ref().and_then(|all| all.get(LAST_APPLIED)).cloned();
    edited.metadata.annotations = template.metadata.annotations;
    if let Some(applied) = applied {
        edited.metadata.annotations.get_or_insert_default().insert(LAST_APPLIED.into(), applied);
    }
    edited.metadata.managed_fields = None;
    edited.status = None;
    Ok(edited)
}

/// Fields that were written and not understood: the API server would drop them without a word.
fn unknown(path: &str, written: &Json, understood: &Json, wrong: &mut Vec<String>) {
    match (written, understood) {
        (Json::Object(written), Json::Object(understood)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                match understood.get(name) {
                    Some(understood) => unknown(&path, value, understood, wrong),
                    None if is_nothing(value) => {}
                    None => wrong.push(format!("{path}: there is no such field")),
                }
            }
        }
        (Json::Array(written), Json::Array(understood)) => {
            for (at, (written, understood)) in written.iter().zip(understood).enumerate() {
                unknown(&format!("{path}[{at}]"), written, understood, wrong);
            }
        }
        _ => {}
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn template() -> MessageTemplate {
        let mut template =
            MessageTemplate::new("test-message", standard::find("test-message").unwrap().clone());
        template.metadata.namespace = Some("hr".into());
        template
    }

    #[test]
    fn written_and_read_back_it_is_the_same() {
        let before = template();
        let text = write(&before).unwrap();
        assert!(!text.contains("status") && !text.contains("access"), "{text}");
        assert_eq!(read(&text, &before).unwrap().spec, before.spec);
        assert!(is_same(&text, &format!("\n{text}")));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let before = template();
        let text = write(&before).unwrap();
        for (from, to, expected) in [
            ("kind: MessageTemplate", "kind: Secret", "kind must stay MessageTemplate"),
            ("namespace: hr", "namespace: it", "metadata.namespace must stay hr"),
            ("subject:", "subjct:", "this is no MessageTemplate"),
            ("  description:", "  descriptoin:", "spec.descriptoin: there is no such field"),
            ("kind:", "kind: [", "this is not YAML"),
        ] {
            let wrong = read(&text.replacen(from, to, 1), &before).unwrap_err().join("; ");
            assert!(wrong.contains(expected), "{to}: {wrong}");
        }
    }
}
