//! The template engine, set up so that a text can do nothing but produce text: undefined names are
//! errors, values are escaped in HTML, work is bounded, and there is nothing to include or to call
//! that looks at more than the values.

use super::filters;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};
use std::collections::BTreeSet;

/// Steps that rendering one text may take; a usual one takes a few hundred. Each 64 octets that are
/// produced are a step too, so this also bounds memory, to about 6 MB.
pub(super) const FUEL: u64 = 100_000;

/// Longest source of a text, in octets. The schema counts characters.
pub(super) const MAX_SOURCE: usize = 64 * 1024;

/// Stack for compiling, in octets: at least four times what the deepest tree takes in a debug build, a
/// source full of `elif`. Pages of it that are not needed are never touched.
const COMPILE_STACK: usize = 64 * 1024 * 1024;

/// What the engine makes of a slash in HTML.
const SLASH: &str = "&#x2f;";

/// An engine without any text yet.
pub(super) fn new() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    // Errors then say where they are and what was undefined; nothing else changes.
    engine.set_debug(true);
    engine.remove_global("debug");
    filters::add(&mut engine);
    engine.set_auto_escape_callback(|name| {
        // What is no HTML is text; names end with the part, and MJML becomes HTML.
        if name.ends_with("html") || name.ends_with("mjml") { AutoEscape::Html } else { AutoEscape::None }
    });
    engine
}

/// Adds a text under a name that ends with its part. Fails on syntax errors.
pub(super) fn add(engine: &mut Environment<'static>, name: &str, source: &str) -> Result<(), Error> {
    stacker::grow(COMPILE_STACK, || engine.add_template_owned(name.to_owned(), source.to_owned()))
}

/// Renders a text that was added.
pub(super) fn render(engine: &Environment<'static>, name: &str, scope: &Value) -> Result<String, Error> {
    let text = engine.get_template(name)?.render(scope.clone())?;
    // The engine escapes slashes as well, which HTML never needs and which makes addresses unreadable.
    Ok(if text.contains(SLASH) { text.replace(SLASH, "/") } else { text })
}

/// The names that a text takes from outside, those that the engine provides among them.
pub(super) fn names(engine: &Environment<'static>, name: &str) -> BTreeSet<String> {
    undeclared(engine, name, false)
}

/// The same with members, as far as the text spells them out: `recipient.address`.
pub(super) fn paths(engine: &Environment<'static>, name: &str) -> BTreeSet<String> {
    undeclared(engine, name, true)
}

/// Whether the engine itself provides the name, as it does `range`.
pub(super) fn provides(engine: &Environment<'static>, name: &str) -> bool {
    engine.globals().any(|(global, _)| global == name)
}

fn undeclared(engine: &Environment<'static>, name: &str, nested: bool) -> BTreeSet<String> {
    let names = || engine.get_template(name).map(|text| text.undeclared_variables(nested));
    // Only texts that were added are asked for.
    stacker::grow(COMPILE_STACK, names).unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The uses that hostile values are put to, in the processes where they can be ended.
    const USES: &str = include_str!("../../../tests/hostile_templates/uses.txt");

    /// The names that the engine shows after a word.
    fn names(shown: &str, word: &str) -> Vec<String> {
        let (_, after) = shown.split_once(&format!("{word}: [")).unwrap();
        let (list, _) = after.split_once("], ").unwrap();
        list.split(", ").map(|name| name.trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn hostile_values_are_put_to_every_use_there_is() {
        let engine = new();
        let shown = format!("{engine:?}");
        let (filters, tests) = (names(&shown, "filters"), names(&shown, "tests"));
        let functions: Vec<_> = engine.globals().map(|(name, _)| name.to_owned()).collect();
        assert!(filters.len() > 50 && tests.len() > 40 && functions.len() > 2, "{shown}");
        let uses: Vec<&str> = USES.lines().filter(|line| !line.starts_with("##")).collect();
        let is_used =
            |marks: [String; 3]| uses.iter().any(|line| marks.iter().any(|mark| line.contains(mark)));
        let mut missing = Vec::new();
        for name in filters {
            if !is_used([format!("|{name} "), format!("|{name}("), format!("|{name}|")]) {
                missing.push(format!("filter {name}"));
            }
        }
        for name in tests {
            if !is_used([format!(" is {name} "), format!(" is {name}("), format!("(\"{name}\",")]) {
                missing.push(format!("test {name}"));
            }
        }
        for name in functions {
            if !is_used([format!("{{ {name}("), format!("== {name}("), format!("= {name}(")]) {
                missing.push(format!("function {name}"));
            }
        }
        assert!(missing.is_empty(), "tests/hostile_templates/uses.txt has no line for {missing:?}");
    }
}
