//! Words that kubectl's YAML 1.1 takes for something else, where no schema says that text is meant: keys that become
//! `true` or `false`, values such as `yes`, numbers that become octal.

use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::scalar;
use crate::cli::lint::set::Manifest;
use crate::cli::lint::yaml::{Entry, Node};

/// All of them in an object.
pub fn check(manifest: &Manifest) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for entry in manifest.object.root.entries() {
        below(entry, &entry.key, manifest.object.file, &mut found);
    }
    found
}

fn below(entry: &Entry, path: &str, file: usize, found: &mut Vec<Diagnostic>) {
    let surprise =
        |raw: &Option<String>| raw.as_ref().and_then(|raw| Some((raw.clone(), scalar::surprise(raw)?)));
    if let Some((raw, meaning)) = surprise(&entry.raw)
        && matches!(meaning.as_str(), "true" | "false")
    {
        let message = format!("kubectl reads the key {raw} as {meaning}");
        let problem = Diagnostic::error(Code::YAMLWord, file, entry.span.clone(), message);
        found.push(problem.help(format!("put it in quotes: \"{raw}\"")).field(path));
    }
    value(&entry.value, path, file, found);
}

fn value(node: &Node, path: &str, file: usize, found: &mut Vec<Diagnostic>) {
    if let Some((raw, meaning)) = node.raw.as_ref().and_then(|raw| Some((raw, scalar::surprise(raw)?))) {
        let message = format!("kubectl reads {raw} as {meaning}");
        let help = if matches!(meaning.as_str(), "true" | "false") {
            format!("write {meaning}, or \"{raw}\" in quotes if the word is meant")
        } else {
            format!("leave the zero out, or write \"{raw}\" in quotes if text is meant")
        };
        let problem = Diagnostic::warning(Code::YAMLWord, file, node.span.clone(), message);
        found.push(problem.help(help).field(path));
    }
    for entry in node.entries() {
        below(entry, &format!("{path}.{}", entry.key), file, found);
    }
    for (at, item) in node.items().iter().enumerate() {
        value(item, &format!("{path}[{at}]"), file, found);
    }
}
