//! Every file of `examples/` is accepted by the API server as it stands.

use super::{ask, objects};
use crate::cluster::{in_repository, namespace};
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
