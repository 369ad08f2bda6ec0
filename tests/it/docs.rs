//! What the documentation says is there, is there, and the other way round; and its YAML is accepted by the API server.

mod walk_throughs;

use crate::cluster::{in_repository, namespace};
use kube::CustomResourceExt;
use mail_operator::api::{MailServerConfig, MessageTemplate, Notification, Reason};
use std::collections::BTreeSet;

fn page(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).unwrap()
}

fn pages() -> Vec<String> {
    let mut pages = pages_in("docs");
    pages.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(String::from),
    );
    pages.sort();
    pages
}

pub fn pages_in(folder: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(in_repository(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().display());
        if entry.file_type().unwrap().is_dir() {
            pages.extend(pages_in(&path));
        } else {
            pages.push(path);
        }
    }
    pages
}

#[test]
fn each_reason_has_a_paragraph() {
    let page = page("docs/troubleshooting.md");
    let sections: Vec<_> =
        page.split("\n### ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    for (heading, text) in &sections {
        assert!(Reason::parse(heading).is_some(), "### {heading}: there is no such reason");
        assert!(!text.split("\n## ").next().unwrap().trim().is_empty(), "### {heading} says nothing");
    }
    for reason in Reason::ALL {
        let found = sections.iter().filter(|(heading, _)| *heading == reason.as_str()).count();
        assert_eq!(found, 1, "docs/troubleshooting.md has {found} paragraphs ### {reason}");
    }
}

/// What a running operator exports is on the page, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_on_its_page() {
    let (_, text) = crate::operator::shared().await.get("/metrics").await.unwrap();
    let exported: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name.to_owned())
        .collect();
    let table = page("docs/metrics.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(String::from).collect();
    // Families that count nothing yet are not exported, so the other way round the sources are asked.
    let missing: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let sources =
        ["src/delivery/metrics.rs", "src/controller/metrics.rs", "src/process/admin.rs"].map(page).join("\n");
    for name in documented {
        let bare = name.trim_start_matches("mail_operator_").trim_start_matches("controller_runtime_");
        let stems = [bare, bare.trim_end_matches("_total"), bare.trim_end_matches("_seconds")];
        assert!(
            stems.iter().any(|stem| sources.contains(&format!("\"{stem}\""))),
            "{name} is not registered"
        );
    }
}

/// Every field of a kind is on its page, in backticks, by its full path or by its own name; a group of fields by its members.
#[test]
fn each_field_is_on_its_kinds_page() {
    for (path, crd) in [
        ("docs/mailserverconfig.md", MailServerConfig::crd()),
        ("docs/messagetemplate.md", MessageTemplate::crd()),
        ("docs/notification.md", Notification::crd()),
    ] {
        let page = page(path);
        let code: BTreeSet<_> = page.split('`').skip(1).step_by(2).collect();
        let crd = serde_json::to_value(crd).unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            for field in fields(&root[part]) {
                let last = field.rsplit('.').next().unwrap();
                let shown = code.iter().any(|word| *word == field || word.rsplit('.').next() == Some(last));
                assert!(shown, "{path} does not mention `{field}` of {part}");
            }
        }
    }
}

/// The dotted paths of all fields that are no groups; conditions and label selectors are Kubernetes' own.
fn fields(schema: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if name == "conditions" {
            continue; // the pages have a table of their types
        }
        let inner = if field["items"].is_object() { &field["items"] } else { field };
        if inner["properties"].is_object() && name != "selector" {
            found.extend(fields(inner).iter().map(|inner| format!("{name}.{inner}")));
        } else {
            found.push(name.clone());
        }
    }
    found
}

/// Links inside the repository lead somewhere, to the heading they name.
#[test]
fn links_lead_somewhere() {
    for path in pages() {
        let text = page(&path);
        let folder = in_repository(&path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { in_repository(&path) } else { folder.join(file) };
            assert!(target.exists(), "{path} links to {link}");
            if !anchor.is_empty() {
                let headings = std::fs::read_to_string(&target).unwrap();
                let anchors = headings.lines().filter(|line| line.starts_with('#')).map(slug);
                assert!(anchors.into_iter().any(|slug| slug == anchor), "{path} links to {link}");
            }
        }
    }
}

/// Whoever reads the documentation is led to each of the files that one can start from.
#[test]
fn each_example_is_linked() {
    let text = pages().iter().map(|path| page(path)).collect::<String>();
    for entry in std::fs::read_dir(in_repository("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().display();
        let linked = text.contains(&format!("examples/{name})"));
        assert!(
            linked || path.extension().is_none_or(|kind| kind != "yaml"),
            "no page links to examples/{name}"
        );
    }
}

/// A heading's anchor, as the usual renderers make it.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

#[tokio::test]
async fn yaml_in_the_documentation_is_accepted() {
    let plane = namespace("documentation").await;
    let mut tried = 0;
    for path in pages() {
        for block in page(&path).split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            if block.starts_with("apiVersion: ") {
                let create = ["create", "--namespace", "documentation", "--dry-run=server", "-f", "-"];
                let answer = plane.kubectl_with_input(&create, block).await.unwrap();
                assert!(answer.status.success(), "{path}: {}\n{block}", answer.stderr);
                tried += 1;
            }
        }
    }
    assert!(tried >= 5, "only {tried} were found");
}
