//! Every file of `examples/` is accepted by the API server as it stands, and applying it again changes nothing.

use super::{ask, objects};
use crate::cluster::{in_repository, namespace};
use crate::objects::{Space, soon};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn each_is_accepted_as_it_stands() {
    let plane = namespace("examples").await;
    let files = yaml_files(&in_repository("examples"));
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{} does not begin by saying what it shows", file.display());
        let name = file.display().to_string();
        // Without server-side apply, as people do it; unknown fields are errors either way.
        let applied = ask(plane, &["apply", "-n", "examples", "-f", &name]).await;
        assert_eq!(applied.lines().count(), objects(&text).len(), "{name}: {applied}");
        assert!(applied.lines().all(|line| line.ends_with(" created")), "{name}: {applied}");
        ask(plane, &["apply", "-n", "examples", "--server-side", "--force-conflicts", "-f", &name]).await;
        // Names may come again in another file.
        ask(plane, &["delete", "-n", "examples", "-f", &name]).await;
    }
}

/// Where a tool sees a difference each time, it applies for ever: what is written into an object, be it by the API server or
/// by the operator, must be nothing that the file says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn applied_again_each_is_unchanged() {
    let space = Space::new("examples-again").await;
    let case = in_repository("tests/it/install/lists.yaml");
    for file in yaml_files(&in_repository("examples")).into_iter().chain([case]) {
        let name = file.display().to_string();
        let mut ours = objects(&std::fs::read_to_string(&file).unwrap());
        // Of a Secret with `stringData` kubectl sees a difference each time, whoever reads it.
        ours.retain(|object| object["apiVersion"] == "mail-operator.dev/v1alpha1");
        let text = ours.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
        let runs = async |arguments: &[&str]| {
            let arguments = [arguments, &["-n", &space.name, "-f", "-"]].concat();
            space.plane.kubectl_with_input(&arguments, &text).await.unwrap().success().unwrap()
        };
        runs(&["apply"]).await;
        for object in &ours {
            let kind = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
            let written =
                |found: &Value| found["status"]["conditions"].as_array().is_some_and(|all| !all.is_empty());
            space.until(&kind, object["metadata"]["name"].as_str().unwrap(), "written to", written).await;
        }
        let again = runs(&["apply"]).await;
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{name}: {again}");
        // The operator may write a status between the two reads that kubectl compares. A difference that makes a tool apply
        // again is there each time.
        let differs_in_nothing = async |arguments: &[&str]| {
            let arguments = [&["diff"], arguments, &["-n", &space.name, "-f", "-"]].concat();
            soon("nothing differs", async || {
                space.plane.kubectl_with_input(&arguments, &text).await.unwrap().success().is_ok()
            })
            .await;
        };
        differs_in_nothing(&[]).await;
        let other = ["--server-side", "--field-manager", "argocd-controller", "--force-conflicts"];
        runs(&[&["apply"][..], &other].concat()).await;
        differs_in_nothing(&other).await;
        runs(&["delete", "--wait"]).await;
    }
}

/// The schemas as tools make them of the CRDs for validation without a cluster (kubeconform's openapi2jsonschema): they
/// read YAML 1.1, in which an unquoted time is no text, and write JSON; members that are not named are mistakes.
#[test]
fn each_fits_the_schemas_that_tools_make_of_the_crds() {
    let mut schemas = std::collections::BTreeMap::new();
    for file in yaml_files(&in_repository("crds")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let bare = text.lines().filter(|line| {
            let value = line.split_once(": ").map(|(_, value)| value);
            value.is_some_and(|value| value.parse::<jiff::Timestamp>().is_ok())
        });
        assert_eq!(bare.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", file.display());
        let crd: Value = serde_yaml::from_str(&text).unwrap();
        let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        // What every object has beside spec and status is Kubernetes' own.
        for member in ["apiVersion", "kind", "metadata"] {
            schema["properties"][member] = serde_json::json!({});
        }
        close(&mut schema);
        schemas.insert(
            crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
            jsonschema::validator_for(&schema).unwrap(),
        );
    }
    assert_eq!(schemas.len(), 3);
    for file in yaml_files(&in_repository("examples")) {
        for object in objects(&std::fs::read_to_string(&file).unwrap()) {
            let Some(schema) = schemas.get(object["kind"].as_str().unwrap()) else { continue };
            let problems: Vec<_> = schema.iter_errors(&object).map(|problem| problem.to_string()).collect();
            assert_eq!(problems, Vec::<String>::new(), "{}", file.display());
        }
    }
}

/// Permits no members but those that are named.
fn close(schema: &mut Value) {
    let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if schema["properties"].is_object() && schema.get("additionalProperties").is_none() && !keeps {
        schema["additionalProperties"] = Value::Bool(false);
    }
    for member in ["properties", "items", "additionalProperties"] {
        match (member, schema.get_mut(member)) {
            ("properties", Some(Value::Object(properties))) => properties.values_mut().for_each(close),
            (_, Some(nested @ Value::Object(_))) => close(nested),
            _ => {}
        }
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}
