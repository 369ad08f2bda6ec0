//! The template engine, set up so that a text can do nothing but produce text: undefined names are
//! errors, values are escaped in HTML, work is bounded, and there is nothing to include or to call
//! that looks at more than the values.

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};
use std::collections::BTreeSet;

/// Steps that rendering one text may take; a usual one takes a few hundred. Each 64 octets that are
/// produced are a step too, so this also bounds memory, to about 6 MB.
pub(super) const FUEL: u64 = 100_000;

/// Longest source of a text, in octets. The schema counts characters.
pub(super) const MAX_SOURCE: usize = 64 * 1024;

/// Parsing is bounded in depth, but `a.b.b.b…` and `a+a+a…` still become trees as deep as the text is
/// long, and these are walked by recursion. This is for the longest source in a debug build; pages
/// of it that are not needed are never touched.
const COMPILE_STACK: usize = 256 * 1024 * 1024;

/// What the names of HTML texts end with; it decides on escaping.
const HTML_SUFFIX: &str = "html";

/// An engine without any text yet.
pub(super) fn new() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    // Errors then say where they are and what was undefined; nothing else changes.
    engine.set_debug(true);
    engine.remove_global("debug");
    engine.set_auto_escape_callback(|name| {
        if name.ends_with(HTML_SUFFIX) { AutoEscape::Html } else { AutoEscape::None }
    });
    engine
}

/// Adds a text under a name that ends with its part. Fails on syntax errors.
pub(super) fn add(engine: &mut Environment<'static>, name: &str, source: &str) -> Result<(), Error> {
    stacker::grow(COMPILE_STACK, || engine.add_template_owned(name.to_owned(), source.to_owned()))
}

/// Renders a text that was added.
pub(super) fn render(engine: &Environment<'static>, name: &str, scope: &Value) -> Result<String, Error> {
    engine.get_template(name)?.render(scope.clone())
}

/// The names that a text takes from outside, without those the engine provides.
pub(super) fn names(engine: &Environment<'static>, name: &str) -> BTreeSet<String> {
    let mut names = undeclared(engine, name, false);
    for (global, _) in engine.globals() {
        names.remove(global);
    }
    names
}

/// The same with members, as far as the text spells them out: `recipient.address`.
pub(super) fn paths(engine: &Environment<'static>, name: &str) -> BTreeSet<String> {
    undeclared(engine, name, true)
}

fn undeclared(engine: &Environment<'static>, name: &str, nested: bool) -> BTreeSet<String> {
    let names = || engine.get_template(name).map(|text| text.undeclared_variables(nested));
    // Only texts that were added are asked for.
    stacker::grow(COMPILE_STACK, names).unwrap_or_default().into_iter().collect()
}

/// Line and column, both from 1 and the column in characters, of an octet of a text.
pub(super) fn position(source: &str, octet: usize) -> (usize, usize) {
    let before = source.get(..octet).unwrap_or(source);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The octet where a text first uses a name, in an expression or a statement. The engine does not
/// keep this, and a name inside a string is taken for a use.
pub(super) fn first_use(source: &str, name: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    loop {
        let rest = source.get(at..)?;
        let (opening, closing) =
            match rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
                None => return None,
                Some(opening) if rest[opening..].starts_with("{{") => (opening, "}}"),
                Some(opening) if rest[opening..].starts_with("{%") => (opening, "%}"),
                Some(opening) => (opening, "#}"),
            };
        let tag = rest.get(opening..)?;
        let tag = tag.get(..tag.find(closing).unwrap_or(tag.len()))?;
        let used = tag.match_indices(name).find(|(found, _)| {
            let before = tag.get(..*found).and_then(|before| before.chars().next_back());
            let after = tag.get(found + name.len()..).and_then(|after| after.chars().next());
            !before.is_some_and(|c| in_word(c) || c == '.') && !after.is_some_and(in_word)
        });
        match used {
            Some((found, _)) if closing != "#}" => return Some(at + opening + found),
            _ => at += opening + tag.len().max(2),
        }
    }
}
