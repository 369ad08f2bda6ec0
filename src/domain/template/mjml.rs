//! MJML: checked in the author's source against the elements that MJML has, since the converter passes
//! unknown ones on in silence, and converted once values stand in it. Nothing is included or fetched.

mod direction;
mod elements;

use super::jinja::FILLER;
use super::markup::{self, Tag, Token};
use crate::domain::likeness::nearest;
use crate::domain::locale::{Direction, Locale};
use elements::{ELEMENTS, EVERYWHERE, Element, GROUPS, Holds};
use mrml::prelude::parser::ParserOptions;
use mrml::prelude::render::RenderOptions;
use std::collections::HashMap;
use std::fmt::Write as _;

/// The parent of what is written for a layout to wrap, where the layout does not tell.
pub(super) const BODY: &str = "mj-body";

/// A mistake in the source, and the octet where it is.
pub(super) type Mistake = (usize, String);

/// Everything wrong with a source in which Jinja is blanked. `parent` is the element of the layout that the
/// text is put into; without one it is a whole document.
pub(super) fn mistakes(blanked: &str, parent: Option<&str>) -> Vec<Mistake> {
    let mut lint = Lint { open: Vec::new(), parent, mistakes: Vec::new(), roots: 0 };
    for (range, token) in markup::tokens(blanked) {
        lint.token(range.start, &token);
        if lint.mistakes.len() >= MOST_MISTAKES {
            break;
        }
    }
    if lint.mistakes.is_empty() {
        for (at, name) in std::mem::take(&mut lint.open) {
            lint.wrong(at, format!("<{name}> is never closed: add </{name}>"));
        }
        if lint.roots == 0 && parent.is_none() {
            lint.wrong(0, "is not MJML: it begins with <mjml><mj-body>".to_owned());
        }
    }
    lint.mistakes
}

/// Enough to read at once.
const MOST_MISTAKES: usize = 20;

struct Lint<'a> {
    /// The open tags with the octets where they are.
    open: Vec<(usize, &'a str)>,
    parent: Option<&'a str>,
    mistakes: Vec<Mistake>,
    /// How many elements stand outside of any other.
    roots: usize,
}

impl<'a> Lint<'a> {
    fn token(&mut self, at: usize, token: &Token<'a>) {
        match token {
            Token::Open(tag) => self.open(at, tag),
            Token::Close(name) => self.close(at, name),
            Token::Text(text) => self.text(at, text),
            Token::Raw(_) | Token::Comment(_) | Token::Conditional(_) => {}
        }
    }

    fn wrong(&mut self, at: usize, message: String) {
        self.mistakes.push((at, message));
    }

    fn within(&self) -> Option<&'a str> {
        self.open.last().map(|(_, name)| *name).or(self.parent)
    }

    fn open(&mut self, at: usize, tag: &Tag<'a>) {
        let name = tag.name;
        if !tag.complete {
            return self.wrong(at, format!("<{name} has no closing >"));
        }
        self.roots += usize::from(self.open.is_empty());
        if let Some(wrong) = self.misplaced(name) {
            self.wrong(at, wrong);
        } else if let Some(element) = known(name) {
            self.attributes(tag, element);
        } else {
            self.html_attributes(tag);
        }
        if !(tag.empty || tag.is_void()) {
            self.open.push((at, name));
        }
    }

    /// Why a tag may not stand where it stands.
    fn misplaced(&self, name: &str) -> Option<String> {
        let parent = self.within();
        let holds = parent.map(|parent| known(parent).map_or(Holds::Markup, |parent| parent.holds));
        if name == "mj-include" {
            return Some("mj-include does not exist here: nothing is fetched. For parts that several messages share use spec.layout".into());
        }
        if name == "mjml" && self.parent.is_some() && self.open.is_empty() {
            return Some("<mjml> is a whole document, but a layout wraps this text: leave out <mjml>, <mj-head> and <mj-body>, write what stands inside".into());
        }
        if matches!(name, "mj-html-attributes" | "mj-selector" | "mj-html-attribute") {
            return Some(format!("{name} is not supported: write the HTML in mj-raw"));
        }
        let Some(element) = known(name) else {
            return match (parent, holds) {
                (_, Some(Holds::Markup)) if !name.starts_with("mj-") => None,
                (None, _) if !name.starts_with("mj-") => {
                    Some(format!("<{name}> where <mjml> is expected: MJML begins with <mjml><mj-body>"))
                }
                (Some(parent), _) if !name.starts_with("mj-") && likely(name).is_none() => {
                    Some(format!("<{name}> cannot stand in <{parent}>: write HTML in mj-text or mj-raw"))
                }
                _ => Some(match likely(name) {
                    Some(likely) => format!("<{name}> does not exist in MJML: did you mean {likely}?"),
                    None => format!("<{name}> does not exist in MJML"),
                }),
            };
        };
        let fits = match parent {
            None => name == "mjml",
            // Defaults for an element: any of them, with its own attributes.
            Some("mj-attributes") => name.starts_with("mj-") || name == "mjml",
            Some(parent) => element.parents.split(' ').any(|allowed| allowed == parent),
        };
        if fits {
            return None;
        }
        let expected = if element.parents.is_empty() {
            "is the outermost tag".to_owned()
        } else {
            format!("stands in {}", element.parents.replace(' ', ", "))
        };
        Some(match parent {
            Some(parent) => format!("<{name}> cannot stand in <{parent}>: it {expected}"),
            None => format!("<{name}> cannot stand outside of <mjml>: it {expected}"),
        })
    }

    fn attributes(&mut self, tag: &Tag<'a>, element: &Element) {
        let anything = matches!(element.name, "mj-all" | "mj-class");
        for attribute in &tag.attributes {
            if attribute.name.contains(FILLER) {
                continue; // Refused for its place.
            }
            if anything && ELEMENTS.iter().any(|element| has(element, attribute.name))
                || has(element, attribute.name)
            {
                self.value(attribute);
                continue;
            }
            let all = ELEMENTS.iter().filter(|_| anything);
            let all = all.chain(std::iter::once(element)).flat_map(names);
            let similar = nearest(attribute.name, all);
            let hint = similar.map(|name| format!(": did you mean {name}?")).unwrap_or_default();
            self.wrong(attribute.at, format!("<{}> has no attribute {}{hint}", tag.name, attribute.name));
        }
    }

    fn html_attributes(&mut self, tag: &Tag<'a>) {
        for attribute in &tag.attributes {
            self.value(attribute);
        }
    }

    fn value(&mut self, attribute: &markup::Attribute<'a>) {
        if attribute.value.as_ref().is_some_and(|value| !value.quoted) {
            let name = attribute.name;
            self.wrong(attribute.at, format!("the value of {name} is not in quotes: write {name}=\"…\""));
        }
    }

    fn close(&mut self, at: usize, name: &str) {
        match self.open.last() {
            Some((_, open)) if *open == name => {
                self.open.pop();
            }
            Some((_, open)) => {
                let open = *open;
                self.wrong(
                    at,
                    format!("</{name}> closes nothing: <{open}> is open, so </{open}> comes first"),
                );
                if self.open.iter().any(|(_, open)| *open == name) {
                    while self.open.pop().is_some_and(|(_, open)| open != name) {}
                }
            }
            None if markup::VOID.contains(&name) => {}
            None => self.wrong(at, format!("</{name}> closes nothing: no <{name}> is open")),
        }
    }

    fn text(&mut self, at: usize, text: &str) {
        let Some(parent) = self.within() else {
            if let Some(word) = text.find(|c: char| !c.is_whitespace() && c != FILLER) {
                self.wrong(at + word, "stands outside of <mjml>: MJML begins with <mjml><mj-body>".into());
            }
            return;
        };
        let holds = known(parent).map_or(Holds::Markup, |parent| parent.holds);
        if matches!(holds, Holds::Markup | Holds::Words) {
            return;
        }
        if let Some(word) = text.find(|c: char| !c.is_whitespace() && c != FILLER) {
            self.wrong(at + word, format!("text cannot stand in <{parent}>: put it into <mj-text>"));
        }
    }
}

/// The element around the first place that holds something of Jinja from `at`, for what a layout wraps.
pub(super) fn parent_at(blanked: &str, at: usize) -> Option<&'static str> {
    let mut open: Vec<&str> = Vec::new();
    for (range, token) in markup::tokens(blanked) {
        if range.end > at {
            break;
        }
        match token {
            Token::Open(tag) if !(tag.empty || tag.is_void()) => open.push(tag.name),
            Token::Close(_) => drop(open.pop()),
            _ => {}
        }
    }
    open.last().map(|name| known(name).map_or("mj-raw", |element| element.name))
}

/// A small piece that can stand in an element, to try a layout out with.
pub(super) fn sample(parent: &str) -> &'static str {
    match parent {
        "mj-body" | "mj-wrapper" => {
            "<mj-section><mj-column><mj-text>Content</mj-text></mj-column></mj-section>"
        }
        "mj-section" | "mj-group" => "<mj-column><mj-text>Content</mj-text></mj-column>",
        "mj-column" | "mj-hero" => "<mj-text>Content</mj-text>",
        _ => "Content",
    }
}

fn known(name: &str) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| element.name == name)
}

fn likely(name: &str) -> Option<&'static str> {
    nearest(name, ELEMENTS.iter().map(|element| element.name))
}

fn has(element: &Element, attribute: &str) -> bool {
    names(element).any(|name| name == attribute)
}

/// All attributes of an element.
fn names(element: &Element) -> impl Iterator<Item = &'static str> + use<> {
    let in_head = matches!(
        element.name,
        "mjml"
            | "mj-head"
            | "mj-attributes"
            | "mj-breakpoint"
            | "mj-font"
            | "mj-preview"
            | "mj-style"
            | "mj-title"
    );
    let everywhere = EVERYWHERE.split(' ').filter(move |_| !in_head);
    let own = element.attributes.split(' ').filter(|word| !word.is_empty());
    own.flat_map(|word| {
        let group = GROUPS.iter().find(|(group, _)| *group == word).map_or(word, |(_, words)| words);
        group.split(' ')
    })
    .chain(everywhere)
}

/// Converts a document to HTML in a language, unless the document itself says in which it is.
pub(super) fn html(mjml: &str, locale: &Locale) -> Result<String, String> {
    let mut parsed = mrml::parse_with_options(plain_values(mjml), &ParserOptions::default())
        .map_err(|error| error.to_string())?;
    parsed.element.attributes.lang.get_or_insert_with(|| locale.as_str().to_owned());
    if locale.direction() == Direction::RightToLeft && parsed.element.attributes.dir.is_none() {
        direction::from_right_to_left(&mut parsed.element);
    }
    // The default brings fonts from Google into every message whose author did not ask for any.
    let options = RenderOptions { disable_comments: true, social_icon_origin: None, fonts: HashMap::new() };
    parsed.element.render(&options).map_err(|error| error.to_string())
}

/// The converter writes values of attributes as Rust writes strings for debugging, with backslashes: all
/// characters that this would change are written as references, which HTML reads back.
fn plain_values(mjml: &str) -> String {
    let changes = |c: char| c != '\'' && c.escape_debug().len() > 1;
    let (mut plain, mut end) = (String::with_capacity(mjml.len()), 0);
    for (_, token) in markup::tokens(mjml) {
        let Token::Open(tag) = token else { continue };
        for value in tag.attributes.iter().filter_map(|attribute| attribute.value.as_ref()) {
            if !value.text.contains(changes) {
                continue;
            }
            plain.push_str(mjml.get(end..value.at).unwrap_or_default());
            for c in value.text.chars() {
                if changes(c) {
                    let _ = write!(plain, "&#{};", u32::from(c));
                } else {
                    plain.push(c);
                }
            }
            end = value.at + value.text.len();
        }
    }
    plain.push_str(mjml.get(end..).unwrap_or_default());
    plain
}
