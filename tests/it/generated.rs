//! Files that are generated from the code, compared byte for byte.
//! `UPDATE_GENERATED=1 cargo test --test it generated` rewrites them, and with `standard` in its place those of the standard
//! messages.

use mail_operator::api::crds;
use std::path::{Path, PathBuf};

/// Compares `path` (relative to the repository) with `wanted`, or rewrites it.
pub fn compare(path: impl AsRef<Path>, wanted: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is out of date: run UPDATE_GENERATED=1 cargo test --test it, and look at the difference",
        path.display()
    );
}

#[test]
fn crds_match_the_types() {
    for crd in crds::all() {
        let name = crd.metadata.name.clone().unwrap();
        let yaml = crds::to_yaml(&crd).unwrap();
        for folder in ["crds", "charts/mail-operator/crds"] {
            compare(format!("{folder}/{name}.yaml"), &yaml);
        }
    }
}

#[test]
fn the_page_of_outcomes_matches_the_rules() {
    compare("docs/outcomes.md", &crate::outcomes::page());
}
