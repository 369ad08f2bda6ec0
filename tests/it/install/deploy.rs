//! `deploy/`: the chart with its defaults, for those who use kustomize.

use super::rendered;
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
