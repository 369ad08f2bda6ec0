//! The arrows of ARCHITECTURE.md, enforced on the sources: who may use whom, what stays pure, and how
//! long a file may grow. Comments, doc examples and strings do not count; code does.

use crate::cluster::in_repository;
use std::path::{Path, PathBuf};

/// Each module may use those before it.
const ORDER: [&str; 10] =
    ["api", "domain", "evaluation", "smtp", "oauth", "cluster", "delivery", "controller", "process", "cli"];

#[test]
fn arrows_point_one_way() {
    for source in sources() {
        let Some(from) = ORDER.iter().position(|module| *module == source.module) else { continue };
        for (target, to) in ORDER.iter().zip(0..) {
            let uses = source.code.contains(&format!("crate::{target}"));
            assert!(!uses || to <= from, "{} uses crate::{target}, which is below it", source.path.display());
        }
    }
}

#[test]
fn only_some_know_kubernetes() {
    // (words, modules that may say them)
    let rules: [(&[&str], &[&str]); 4] = [
        (&["kube_runtime"], &["controller"]),
        (
            &["kube::Client", "Client::try_from", "Api::namespaced", "Api::all"],
            &["cluster", "controller", "process", "cli"],
        ),
        (
            &["kube::", "k8s_openapi"],
            &["api", "domain", "cluster", "delivery", "controller", "process", "cli"],
        ),
        (&["TcpStream"], &["smtp"]),
    ];
    for source in sources() {
        for (words, modules) in rules {
            for word in words {
                // The recorder of Events lives in kube-runtime and is no controller.
                let code = source.code.replace("kube_runtime::events", "");
                let allowed = modules.contains(&source.module.as_str());
                assert!(allowed || !code.contains(word), "{} uses {word}", source.path.display());
            }
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let impure = [
        "tokio",
        "kube::Client",
        "kube_runtime",
        "async fn",
        "async move",
        ".await",
        "Timestamp::now",
        "SystemTime",
        "Instant::now",
        "std::env",
        "std::fs",
        "rand::",
        "tracing::",
        "Mutex",
        "static mut",
    ];
    for source in sources().into_iter().filter(|source| source.module == "domain" || source.module == "api") {
        for word in impure {
            assert!(!source.code.contains(word), "{} says {word}", source.path.display());
        }
    }
}

/// What users wrote may take for ever: only what can be ended may touch it.
#[test]
fn only_child_processes_evaluate() {
    let evaluates = ["Compiled::check", "Compiled::load", "evaluation::answer", "Loaded::", "derive_text("];
    let places = ["domain/evaluation.rs", "evaluation/child.rs", "domain/template", "domain/content"];
    for source in sources() {
        let path = source.path.to_string_lossy().into_owned();
        for word in evaluates {
            let allowed = places.iter().any(|place| path.starts_with(place));
            assert!(allowed || !source.code.contains(word), "{path} says {word}");
        }
    }
}

#[test]
fn files_stay_small() {
    for source in sources() {
        assert!(source.lines <= 500, "{} has {} lines: it is two files", source.path.display(), source.lines);
    }
}

#[test]
fn no_module_of_everything() {
    for source in sources() {
        for name in ["core", "kube", "utils", "helpers", "manager", "common"] {
            let parts = source
                .path
                .components()
                .any(|part| Path::new(part.as_os_str()).file_stem().is_some_and(|stem| stem == name));
            assert!(!parts, "{} has a name that says nothing", source.path.display());
        }
    }
}

struct Source {
    path: PathBuf,
    /// The first folder below `src`, or the file's stem.
    module: String,
    /// Without comments, strings and the tests at the end.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = in_repository("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let relative = path.strip_prefix(&root).unwrap().to_owned();
                let first = relative.components().next().unwrap();
                let module = Path::new(first.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned();
                // Files of tests only are named so.
                let is_test =
                    relative.components().any(|part| part.as_os_str().to_string_lossy().contains("test"));
                let code =
                    if is_test { String::new() } else { code(text.split("#[cfg(test)]").next().unwrap()) };
                found.push(Source { path: relative, module, code, lines: text.lines().count() });
            }
        }
    }
    assert!(found.len() > 50, "the sources are not where this test looks for them");
    found
}

/// Drops comments and the contents of strings.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                while let Some(c) = rest.next() {
                    match c {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push_str("\"\"");
            }
            // A quote as a character, not the start of a string.
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            c => code.push(c),
        }
    }
    code
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(code("a // tokio\nb \"tokio \\\" x\" c"), "a \nb \"\" c");
    assert_eq!(code("'\"' tokio"), "' tokio");
}
