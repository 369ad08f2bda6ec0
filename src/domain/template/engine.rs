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

/// Longest expression or statement, in octets. `a+a+a…` becomes a tree as deep as it is long, which is
/// walked by recursion, and folding `1~1~1…` takes the square of its length: this keeps both small.
pub(super) const MAX_TAG: usize = 2048;

/// Stack for compiling, in octets: at least four times what the deepest tree takes in a debug build, a
/// source full of `elif`. Pages of it that are not needed are never touched.
const COMPILE_STACK: usize = 64 * 1024 * 1024;

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

/// Line and column, both from 1 and the column in characters, of an octet of a text.
pub(super) fn position(source: &str, octet: usize) -> (usize, usize) {
    let (before, _) = source.split_at(source.floor_char_boundary(octet));
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The octet where a text first uses a name, in an expression or a statement. The engine does not
/// keep this, and a name inside a string is taken for a use.
pub(super) fn first_use(source: &str, name: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    tags(source).find_map(|(start, tag)| {
        let uses = tag.match_indices(name).find(|(found, _)| {
            let before = tag.get(..*found).and_then(|before| before.chars().next_back());
            let after = tag.get(found + name.len()..).and_then(|after| after.chars().next());
            !before.is_some_and(|c| in_word(c) || c == '.') && !after.is_some_and(in_word)
        });
        uses.map(|(found, _)| start + found)
    })
}

/// The first expression or statement that is longer than [`MAX_TAG`].
pub(super) fn too_long(source: &str) -> Option<usize> {
    tags(source).find(|(_, tag)| tag.len() > MAX_TAG).map(|(start, _)| start)
}

/// Expressions and statements with their opening and where that is, as the engine's lexer sees them:
/// closings inside strings do not count, comments and raw blocks are left out.
fn tags(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut raw = false;
    std::iter::from_fn(move || {
        loop {
            let rest = source.get(at..)?;
            let start = rest.match_indices('{').map(|(found, _)| found).find(|found| {
                let follows = rest.as_bytes().get(found + 1);
                matches!((follows, raw), (Some(b'%'), _) | (Some(b'{' | b'#'), false))
            })?;
            let tag = rest.get(start..)?;
            let (tag, is_comment) = match tag.as_bytes().get(1) {
                Some(b'#') => (tag.get(..tag.find("#}").map_or(tag.len(), |end| end + 2))?, true),
                Some(b'%') => (tag.get(..tag_end(tag, b'%'))?, false),
                _ => (tag.get(..tag_end(tag, b'}'))?, false),
            };
            let found = at + start;
            let word = tag.trim_matches(|c: char| "{%}-+".contains(c) || c.is_whitespace());
            if raw && word != "endraw" {
                at = found + 2;
                continue;
            }
            at = found + tag.len();
            if is_comment {
                continue;
            }
            raw = tag.starts_with("{%") && word == "raw";
            return Some((found, tag));
        }
    })
}

/// Where the tag ends that the text starts with: after the closing `}` that is not in a string.
fn tag_end(tag: &str, before: u8) -> usize {
    let bytes = tag.as_bytes();
    let (mut quote, mut at) = (None, 2);
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) if *byte == before && bytes.get(at + 1) == Some(&b'}') => return at + 2,
            _ => {}
        }
        at += 1;
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tags_as_the_engine_does() {
        for (source, expected) in [
            ("a {{ b }} { c } {% d %}", &["{{ b }}", "{% d %}"] as &[_]),
            ("{{ '}}' ~ \"\\\"}}\" }}é{{ é }}", &["{{ '}}' ~ \"\\\"}}\" }}", "{{ é }}"]),
            ("{# {{ a }} #}{{ b", &["{{ b"]),
            ("{%- raw -%}{{ a }}{% b %}{%+ endraw %}{{ c }}", &["{%- raw -%}", "{%+ endraw %}", "{{ c }}"]),
            ("{% raw %}{{ '{% endraw %}{{ a }}", &["{% raw %}", "{% endraw %}", "{{ a }}"]),
            ("{{ {'a': {}} }}", &["{{ {'a': {}}"]), // so does the engine
            ("{", &[]),
            ("{{", &["{{"]),
            ("{{ 'a", &["{{ 'a"]),
            ("{{ 'a\\", &["{{ 'a\\"]),
        ] {
            let found: Vec<_> = tags(source).map(|(_, tag)| tag).collect();
            assert_eq!(found, expected, "{source}");
        }
    }

    #[test]
    fn positions() {
        assert_eq!(position("a\né{{ b", 3), (2, 1));
        assert_eq!(position("a\né{{ b", 4), (2, 2));
        assert_eq!(first_use("b {{ a.b }} {# b #} {% if bb or b %}", "b"), Some(32));
        assert_eq!(first_use("{{ a }}", "b"), None);
        assert_eq!(too_long(&format!("{{{{ a }}}} {{{{ {} }}}}", "a".repeat(MAX_TAG))), Some(8));
    }
}
