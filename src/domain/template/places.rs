//! Where values stand in markup. In text and in quoted attributes they are escaped; in an address they must
//! be one; everywhere else there is no escaping that makes them safe, and they are refused.

use super::bounds::MAX_ATTRIBUTES;
use super::jinja::{self, FILLER};
use super::layout::CONTENT;
use super::markup::{self, Tag, Token};
use crate::api::message_template::VariableType;
use crate::domain::values::Variables;
use std::ops::Range;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Text,
    /// In the content of the element.
    Raw(&'a str),
    /// In a tag that begins at the octet, outside of values.
    Tag(usize),
    /// In the value of an attribute.
    Value(Attribute<'a>),
    Comment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attribute<'a> {
    tag: &'a str,
    name: &'a str,
    /// What the value says before the place.
    at: usize,
    quoted: bool,
}

/// Attributes that hold an address.
pub(super) const ADDRESSES: [&str; 16] = [
    "action",
    "background",
    "cite",
    "data",
    "dynsrc",
    "formaction",
    "href",
    "icon-unwrapped-url",
    "icon-wrapped-url",
    "longdesc",
    "lowsrc",
    "ping",
    "poster",
    "src",
    "thumbnails-src",
    "xlink:href",
];

/// The attributes of MJML that become attributes of HTML; the others become CSS.
const PLAIN_IN_MJML: [&str; 12] = [
    "alt",
    "dir",
    "href",
    "icon-unwrapped-alt",
    "icon-unwrapped-url",
    "icon-wrapped-alt",
    "icon-wrapped-url",
    "lang",
    "src",
    "thumbnails-src",
    "title",
    "rel",
];

/// Every expression at a place where its value cannot be made safe, with the octet where it is and what to
/// write instead.
pub(super) fn unsafe_places(source: &str, blanked: &str, variables: &Variables) -> Vec<(usize, String)> {
    let mut places = Places { tokens: markup::tokens(blanked).collect(), at: 0 };
    if let Some(many) = places.crowded() {
        return vec![(many, format!("a tag has more than {MAX_ATTRIBUTES} attributes"))];
    }
    let mut found = Vec::new();
    let mut blocks: Vec<(&str, Place<'_>)> = Vec::new();
    for (start, tag) in jinja::tags(source) {
        let place = places.of(start);
        let (_, inside) = jinja::inside(tag);
        if tag.starts_with("{{") {
            let before = match place {
                Place::Value(attribute) => blanked.get(attribute.at..start).unwrap_or_default(),
                _ => "",
            };
            found.extend(refusal(place, before, inside, variables).map(|message| (start, message)));
            continue;
        }
        let statement = inside.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let changed = |open: Option<&(&str, Place<'_>)>| open.is_some_and(|(_, open)| *open != place);
        let message = "a block begins in one place of the markup and ends in another: begin and end it, and each of its branches, outside of tags, or inside of the same value";
        match statement {
            "if" | "for" | "macro" | "call" | "filter" | "with" => blocks.push((statement, place)),
            // `{% set a = 1 %}` is no block.
            "set" if !inside.contains('=') => blocks.push((statement, place)),
            "else" | "elif" if changed(blocks.last()) => found.push((start, message.into())),
            end => {
                let ends = |(begin, _): &&(&str, Place<'_>)| end.strip_prefix("end") == Some(begin);
                let Some(open) = blocks.last().filter(ends).copied() else { continue };
                blocks.pop();
                if changed(Some(&open)) {
                    found.push((start, message.into()));
                }
            }
        }
    }
    found
}

struct Places<'a> {
    tokens: Vec<markup::Placed<'a>>,
    /// The token of the last question; the next one is never before it.
    at: usize,
}

impl<'a> Places<'a> {
    /// Where a tag has too many attributes to look through them for each value.
    fn crowded(&self) -> Option<usize> {
        let crowded =
            |token: &Token<'_>| matches!(token, Token::Open(tag) if tag.attributes.len() > MAX_ATTRIBUTES);
        self.tokens.iter().find(|(_, token)| crowded(token)).map(|(range, _)| range.start)
    }

    fn of(&mut self, octet: usize) -> Place<'a> {
        while self.tokens.get(self.at).is_some_and(|(range, _)| range.end <= octet) {
            self.at += 1;
        }
        let Some((range, token)) = self.tokens.get(self.at) else { return Place::Text };
        match token {
            Token::Text(_) => Place::Text,
            Token::Raw(_) => Place::Raw(self.raw()),
            Token::Comment(_) | Token::Conditional(_) => Place::Comment,
            Token::Close(_) => Place::Tag(range.start),
            Token::Open(tag) => within(tag, range, octet),
        }
    }

    /// The element whose content the current token is.
    fn raw(&self) -> &'a str {
        match self.at.checked_sub(1).and_then(|before| self.tokens.get(before)) {
            Some((_, Token::Open(tag))) => tag.name,
            _ => "",
        }
    }
}

fn within<'a>(tag: &Tag<'a>, range: &Range<usize>, octet: usize) -> Place<'a> {
    let holds = |value: &markup::Value<'a>| (value.at..value.at + value.text.len()).contains(&octet);
    let found = tag.attributes.iter().find_map(|attribute| {
        let value = attribute.value.as_ref().filter(|value| holds(value))?;
        Some(Attribute { tag: tag.name, name: attribute.name, at: value.at, quoted: value.quoted })
    });
    found.map_or(Place::Tag(range.start), Place::Value)
}

/// Why an expression may not stand where it stands.
fn refusal(place: Place<'_>, before: &str, expression: &str, variables: &Variables) -> Option<String> {
    let content = expression.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == CONTENT);
    match place {
        Place::Text => None,
        Place::Raw(element) if content && !is(element, &["title", "textarea"]) => {
            Some(format!("content is markup and cannot stand in <{element}>"))
        }
        Place::Raw(element) if is(element, &["title", "textarea"]) => None,
        Place::Raw(element) if is(element, &["style", "mj-style"]) => {
            (!ends_with_filter(expression, "color")).then(|| {
                "a value cannot stand in CSS: only a colour can, as in {{ name | color }}. Else choose among classes with if".into()
            })
        }
        Place::Raw(element) => Some(format!("a value cannot stand in <{element}>: it could be read as code")),
        Place::Comment => Some("a value cannot stand in a comment of the markup, where nobody reads it: remove it".into()),
        Place::Tag(_) => Some(
            "a value cannot stand in the name of a tag or attribute: write the name out, choose among names with if, and put values into quotes, as in title=\"{{ name }}\"".into(),
        ),
        Place::Value(_) if content => Some("content is markup and cannot stand in an attribute".into()),
        Place::Value(attribute) => in_value(attribute, before, expression, variables),
    }
}

fn in_value(
    attribute: Attribute<'_>,
    before: &str,
    expression: &str,
    variables: &Variables,
) -> Option<String> {
    let Attribute { tag, name, quoted, .. } = attribute;
    if !quoted {
        return Some(format!(
            "the value of {name} is not in quotes: write {name}=\"{{{{ {expression} }}}}\""
        ));
    }
    if name.get(..2).is_some_and(|on| on.eq_ignore_ascii_case("on")) || is(name, &["srcdoc"]) {
        return Some(format!("a value cannot stand in {name}, which is code"));
    }
    if is(name, &["srcset", "sizes", "content", "http-equiv"]) && !is(tag, &["mj-text"]) {
        return Some(format!("a value cannot stand in {name}: write it out"));
    }
    if ADDRESSES.iter().any(|address| name.eq_ignore_ascii_case(address))
        && !is(tag, &["mj-font", "link", "base"])
    {
        return in_address(name, before, expression, variables);
    }
    let in_mjml = tag.starts_with("mj-") && !PLAIN_IN_MJML.contains(&name);
    if is(name, &["style"]) || in_mjml || is(tag, &["mj-font", "link", "base"]) {
        return (!ends_with_filter(expression, "color")).then(|| {
            format!("a value cannot stand in {name}, which becomes CSS: only a colour can, as in {{{{ name | color }}}}")
        });
    }
    None
}

/// An address begins with what is written out or with a value that is known to be one.
fn in_address(name: &str, before: &str, expression: &str, variables: &Variables) -> Option<String> {
    let before = before.trim_start();
    if before.starts_with(FILLER) {
        return None; // What comes first was looked at.
    }
    let lower = before.to_ascii_lowercase();
    if ["https://", "mailto:", "tel:", "cid:", "#"].iter().any(|scheme| lower.starts_with(scheme)) {
        return None;
    }
    if !before.is_empty() {
        return Some(format!(
            "{name} must begin with https://, mailto: or tel:, or with a variable of type URL"
        ));
    }
    let is_url = variables.type_of(expression) == Some(VariableType::URL);
    (!is_url && !ends_with_filter(expression, "url")).then(|| {
        format!("{name} begins with a value that may be no address: declare it with type URL, or write {{{{ {expression} | url }}}}, or write https:// before it")
    })
}

fn is(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether an expression is a name with members and filters, of which the last is this one: no operator can
/// then bring in anything that does not pass through it.
fn ends_with_filter(expression: &str, filter: &str) -> bool {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut quote) = (0_usize, 0, None);
    for (at, c) in expression.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, '|') if depth == 0 => {
                parts.push(expression.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = expression.get(start..).unwrap_or_default().trim();
    // Outside of brackets and strings a part is one word: `a if b else c` is not.
    let plain = |part: &&str| {
        let end = part.find(['(', '[']).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let closed = rest.is_empty() || rest.ends_with([')', ']']);
        !word.is_empty()
            && closed
            && word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
            && !rest.contains(") ")
            && !rest.contains("] ")
    };
    last == filter && !parts.is_empty() && parts.iter().all(plain)
}
