//! From the words of checks to places of files: a field's path to its key or value, a line and column of a text to
//! where that stands in the YAML around it.

use crate::cli::lint::yaml::{Content, Node};
use saphyr_parser::ScalarStyle;
use std::ops::Range;

/// A step down from a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the member of a map.
    Key(String),
    /// To an item, by its number.
    Index(usize),
    /// To the item that is known by this word: `to[ada@corp.example]`.
    Named(String),
}

/// Where a path leads to, as far as it can be followed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The key, if the last step that could be taken went to a member.
    pub key: Option<&'a Range<usize>>,
    /// The value.
    pub value: &'a Node,
    /// Whether every step could be taken.
    pub complete: bool,
}

/// Reads `spec.to[0].address` or `to[ada@corp.example].values.name`.
pub fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (inside, after) = bracket.split_once(']').unwrap_or((bracket, ""));
            let inside = inside.trim_matches(['"', '\'']);
            steps.push(inside.parse().map_or_else(|_| Step::Named(inside.to_owned()), Step::Index));
            rest = after;
        } else {
            let bare = rest.strip_prefix('.').unwrap_or(rest);
            let end = bare.find(['.', '[']).unwrap_or(bare.len());
            let (word, after) = bare.split_at(end);
            if !word.is_empty() {
                steps.push(Step::Key(word.to_owned()));
            }
            rest = after;
        }
    }
    steps
}

/// Follows steps down from a value, as far as there is something.
pub fn find<'a>(root: &'a Node, steps: &[Step]) -> Place<'a> {
    let mut place = Place { key: None, value: root, complete: true };
    for step in steps {
        let next = match step {
            Step::Key(key) => place.value.entry(key).map(|entry| (Some(&entry.span), &entry.value)),
            Step::Index(at) => place.value.items().get(*at).map(|item| (None, item)),
            Step::Named(name) => named(place.value, name).map(|item| (None, item)),
        };
        let Some((key, value)) = next else {
            place.complete = false;
            return place;
        };
        place = Place { key, value, complete: true };
    }
    place
}

fn named<'a>(list: &'a Node, name: &str) -> Option<&'a Node> {
    // What the keys of our list maps are.
    let known_by = ["address", "locale", "name", "type"];
    list.items().iter().find(|item| {
        known_by.iter().any(|key| item.get(key).and_then(Node::text).is_some_and(|text| text == name))
    })
}

impl Place<'_> {
    /// What to point at: a value on one line, else its key, else where it begins.
    pub fn span(&self, text: &str) -> Range<usize> {
        let value = &self.value.span;
        let is_scalar = !matches!(self.value.content, Content::List(_) | Content::Map(_));
        let inside = text.get(value.clone()).unwrap_or_default();
        if self.complete && is_scalar && !inside.is_empty() && !inside.contains('\n') {
            return value.clone();
        }
        if let (Some(key), true) = (self.key, !is_scalar || self.complete) {
            return key.clone();
        }
        if let Some(first) = self.value.entries().first() {
            let span = first.span.start..first.value.span.end.max(first.span.end);
            let is_one_line = text.get(span.clone()).is_some_and(|inside| !inside.trim_end().contains('\n'));
            return if is_one_line { span } else { first.span.clone() };
        }
        let first = inside.lines().next().unwrap_or_default().trim_end();
        value.start..value.start + first.len()
    }
}

/// The octet of the file at which the character of a text stands that is on this line and column, both from 1.
pub fn origin(file: &str, node: &Node, (line, column): (usize, usize)) -> Range<usize> {
    let text = node.text().unwrap_or_default();
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within: usize = rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    let before = text.get(..start + within).unwrap_or(text);
    // Folding and indentation touch spaces and line breaks only: the other characters can be counted.
    let wanted = before.chars().filter(|c| !c.is_whitespace()).count();
    let source = file.get(node.span.clone()).unwrap_or_default();
    let mut characters = printed(source, node.style);
    let at = characters.nth(wanted).or_else(|| printed(source, node.style).last());
    let at = at.map_or(node.span.start, |at| node.span.start + at);
    let width = file.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at + width
}

/// Where in the source of a scalar its characters stand, those aside that are spaces or line breaks.
fn printed(source: &str, style: ScalarStyle) -> impl Iterator<Item = usize> {
    let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
    // The span of a block begins with its first character, behind the line of the | or >.
    let begin = usize::from(quoted);
    let end = if quoted { source.len().saturating_sub(1) } else { source.len() };
    let mut characters = source.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, character) = characters.next()?;
            if at < begin || at >= end || character.is_whitespace() {
                continue;
            }
            match (style, character) {
                (ScalarStyle::SingleQuoted, '\'') => {
                    characters.next();
                }
                (ScalarStyle::DoubleQuoted, '\\') => {
                    let (_, escape) = characters.next()?;
                    let digits = match escape {
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        _ => 0,
                    };
                    for _ in 0..digits {
                        characters.next();
                    }
                    if matches!(
                        escape,
                        'n' | 't' | 'r' | ' ' | '\n' | '\t' | 'N' | '_' | 'L' | 'P' | 'v' | 'f'
                    ) {
                        continue;
                    }
                }
                _ => {}
            }
            return Some(at);
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::cli::lint::yaml;

    fn read(text: &str) -> Node {
        let mut found = Vec::new();
        let mut documents = yaml::read(0, text, &mut found);
        assert!(found.is_empty(), "{found:?}");
        documents.remove(0)
    }

    #[test]
    fn paths() {
        let text = "spec:\n  to:\n  - address: ada@corp.example\n    values: {name: Ada}\n  long: |\n    x\n";
        let root = read(text);
        let at = |path: &str| &text[find(&root, &steps(path)).span(text)];
        assert_eq!(at("spec.to[0].address"), "ada@corp.example");
        assert_eq!(at("spec.to[ada@corp.example].values.name"), "Ada");
        assert_eq!(at("spec.to[ada@corp.example].values"), "values");
        assert_eq!(at("spec.to[ada@corp.example].values.other"), "values");
        assert_eq!(at("spec.to[1]"), "to");
        assert_eq!(at("spec.long"), "long");
        assert_eq!(at("spec"), "spec");
        assert_eq!(at("metadata"), "spec");
        assert_eq!(at("spec.to[0]"), "address: ada@corp.example");
    }

    #[test]
    fn texts_in_every_style() {
        for (text, position, rest) in [
            ("a: |\n  one\n\n  é {{ two }}\n", (3, 6), "two }}"),
            ("a: |2-\n   one\n", (1, 2), "one"),
            ("a: >\n  one\n  two\n\n  three\n", (2, 1), "three"),
            ("a: >\n  one\n  two\n", (1, 5), "two"),
            ("a: one two\n", (1, 5), "two"),
            ("a: \"one\\n\\u00e9 \\\"two\\\"\"\n", (2, 4), "two"),
            ("a: 'it''s two'\n", (1, 6), "two"),
            ("é: é\nb: [\"é {{\"]\n", (1, 3), "{{"),
        ] {
            let root = read(text);
            let Content::Map(entries) = &root.content else { panic!() };
            let last = &entries.last().unwrap().value;
            let node = last.items().first().unwrap_or(last);
            let at = origin(text, node, position);
            assert!(text[at.start..].starts_with(rest), "{text:?}: {:?}", &text[at.start..]);
        }
    }
}
