//! The saved corpus of each fuzz target, replayed with the compiler of every day: what fuzzing has once
//! found stays found. `make fuzz` looks for more.

#[path = "../../fuzz/bodies/mod.rs"]
#[allow(
    clippy::pedantic,
    unreachable_pub,
    reason = "compiled for the fuzzer as well, which has no lints of ours"
)]
mod bodies;

use crate::cluster::in_repository;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_saved_corpus_holds() {
    for (name, body) in bodies::ALL {
        let folder = in_repository(format!("fuzz/corpus/{name}"));
        let files = names(&folder);
        assert!(!files.is_empty(), "{} is empty: make fuzz fills it", folder.display());
        for file in files {
            // Tells on a panic which one it was.
            println!("{name}/{file}");
            body(&std::fs::read(folder.join(file)).unwrap());
        }
    }
}

#[test]
fn each_target_has_a_body_and_a_corpus() {
    let bodies: BTreeSet<String> = bodies::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let targets = names(&in_repository("fuzz/targets"));
    let targets: BTreeSet<String> = targets.iter().map(|file| file.replace(".rs", "")).collect();
    let corpora: BTreeSet<String> = names(&in_repository("fuzz/corpus")).into_iter().collect();
    assert_eq!(targets, bodies);
    assert_eq!(corpora, bodies);
    let manifest = std::fs::read_to_string(in_repository("fuzz/Cargo.toml")).unwrap();
    for name in bodies {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not built");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
