//! Which filters and tests a text names: the engine finds unknown ones only when it comes to them, which
//! may be in somebody's message.

use super::super::jinja;
use crate::domain::likeness::nearest;

/// The filters that the engine has. A test holds them against it.
const FILTERS: [&str; 46] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];
const MORE_FILTERS: [&str; 2] = ["urlencode", "zip"];

/// Enough to read at once.
const MOST: usize = 20;

/// The tests that the engine has.
const TESTS: [&str; 35] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
];
const MORE_TESTS: [&str; 1] = ["upper"];

/// Unknown filters and tests, and statements that would end escaping, with the octets where they are.
pub(in super::super) fn unknown(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, tag) in jinja::tags(source) {
        if found.len() >= MOST {
            break;
        }
        let (skip, inside) = jinja::inside(tag);
        let start = start + skip;
        if !tag.starts_with("{%") {
            calls(inside, start, &mut found);
            continue;
        }
        let (statement, rest) = word(inside);
        if statement == "autoescape" {
            let message = "autoescape does not exist here: values are escaped in HTML and nowhere else";
            found.push((start, message.to_owned()));
        }
        if statement == "filter" {
            let name = rest.trim_start();
            found.extend(unknown_filter(word(name).0).map(|m| (start + inside.len() - name.len(), m)));
        }
        calls(inside, start, &mut found);
    }
    found
}

/// The filters and tests of an expression: what follows `|` and `is`, outside of strings.
fn calls(expression: &str, start: usize, found: &mut Vec<(usize, String)>) {
    let bytes = expression.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = expression.get(at..).unwrap_or_default();
        match byte {
            b'"' | b'\'' => at = string_end(bytes, at),
            b'|' => {
                let name = rest.get(1..).unwrap_or_default().trim_start();
                let name_at = at + rest.len() - name.len();
                found.extend(unknown_filter(word(name).0).map(|message| (start + name_at, message)));
                at = name_at;
            }
            byte if byte.is_ascii_alphabetic() || *byte == b'_' => {
                let (name, after) = word(rest);
                let member = expression.get(..at).unwrap_or_default().trim_end().ends_with('.');
                if name == "is" && !member {
                    let test = after.trim_start();
                    let test = match word(test) {
                        ("not", after) => after.trim_start(),
                        _ => test,
                    };
                    let test_at = at + rest.len() - test.len();
                    found.extend(unknown_test(word(test).0).map(|message| (start + test_at, message)));
                }
                at += name.len().max(1);
            }
            _ => at += 1,
        }
    }
}

/// Where the string that begins at an octet ends.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            byte if bytes.get(open) == Some(byte) => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The word that a text begins with, and the rest.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()))
}

fn unknown_filter(name: &str) -> Option<String> {
    let known = || FILTERS.iter().chain(&MORE_FILTERS).chain(&super::OWN).copied();
    if name == "safe" {
        return Some("filter safe does not exist here: values are always escaped in HTML, write markup in the template itself".into());
    }
    missing("filter", name, known)
}

fn unknown_test(name: &str) -> Option<String> {
    missing("test", name, || TESTS.iter().chain(&MORE_TESTS).copied())
}

fn missing<I: Iterator<Item = &'static str>>(
    kind: &str,
    name: &str,
    known: impl Fn() -> I,
) -> Option<String> {
    if name.is_empty() || known().any(|known| known == name) {
        return None;
    }
    Some(match nearest(name, known()) {
        Some(likely) => format!("{kind} {name} does not exist: did you mean {likely}?"),
        None => format!("{kind} {name} does not exist: those of Jinja that MiniJinja has can be used"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn finds_filters_and_tests() {
        for (source, expected) in [
            ("{{ a | upper | shout('|x') }}", &["15 filter shout"] as &[_]),
            ("{{ '|x' ~ a|uper }}", &["12 filter uper does not exist: did you mean upper?"]),
            ("{% if a is loud or b is not odd %}{{ this.is.x }}", &["11 test loud"]),
            ("{% filter shout %}x{% endfilter %}{% raw %}{{ a|b }}{% endraw %}", &["10 filter shout"]),
            ("{% set a %}{% endset %}{{ a|safe }}{# |x #}", &["28 filter safe"]),
            ("{% autoescape false %}{% endautoescape %}", &["3 autoescape"]),
        ] {
            let found: Vec<_> = unknown(source).into_iter().map(|(at, m)| format!("{at} {m}")).collect();
            assert_eq!(found.len(), expected.len(), "{source} {found:?}");
            assert!(found.iter().zip(expected).all(|(f, e)| f.starts_with(e)), "{source} {found:?}");
        }
    }

    /// The lists are those of the engine, as far as they can be asked for.
    #[test]
    fn the_engine_has_what_is_listed() {
        let engine = crate::domain::template::engine::new();
        let unknown = |expression: String| {
            let error = engine.render_str(&expression, minijinja::context! { a => "x" }).err();
            error.is_some_and(|e| {
                matches!(e.kind(), minijinja::ErrorKind::UnknownFilter | minijinja::ErrorKind::UnknownTest)
            })
        };
        for filter in FILTERS.iter().chain(&MORE_FILTERS).chain(&super::super::OWN) {
            assert!(!unknown(format!("{{{{ a|{filter} }}}}")), "{filter}");
        }
        for test in TESTS.iter().chain(&MORE_TESTS) {
            assert!(!unknown(format!("{{{{ a is {test} }}}}")), "{test}");
        }
        assert!(unknown("{{ a|shout }}".into()) && unknown("{{ a is loud }}".into()));
    }
}
