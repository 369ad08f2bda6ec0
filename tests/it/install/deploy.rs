//! `deploy/`: the chart with its defaults, for those who use kustomize, and the image; both of this version.

use super::rendered;
use crate::cluster::in_repository;
use crate::generated::compare;
use mail_operator::api::crds;

#[tokio::test]
async fn generated_from_the_chart() {
    compare("deploy/operator.yaml", &normalised(&rendered(None).await));
    let crds: Vec<_> = crds::all().iter().map(|crd| crds::to_yaml(crd).unwrap()).collect();
    compare("deploy/crds.yaml", &crds.join("---\n"));
}

/// Helm's output without the names of its template files, and with one way of separating documents.
fn normalised(output: &str) -> String {
    let documents = output.split("---\n").map(|document| {
        let lines = document.lines().filter(|line| !line.starts_with("# Source: "));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    });
    let documents: Vec<_> = documents.filter(|document| !document.is_empty()).collect();
    documents.join("\n---\n") + "\n"
}

/// One version number, and one Rust version, wherever they are written down.
#[test]
fn versions_agree() {
    let (version, rust) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION"));
    for (file, line) in [
        ("charts/mail-operator/Chart.yaml", format!("version: {version}")),
        ("charts/mail-operator/Chart.yaml", format!("appVersion: \"{version}\"")),
        ("CHANGELOG.md", format!("## {version} ")),
        ("README.md", format!("mail-operator:{version} .")),
        ("README.md", format!("Rust {rust};")),
        ("deploy/Dockerfile", format!("mail-operator:{version} .")),
        ("deploy/Dockerfile", format!("FROM rust:{rust}-")),
        ("deploy/kustomization.yaml", format!("newTag: \"{version}\"")),
    ] {
        let text = std::fs::read_to_string(in_repository(file)).unwrap();
        assert!(text.contains(&line), "{file} does not say {line:?}");
    }
}
