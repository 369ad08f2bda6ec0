//! Reads HTML and MJML as a row of tags with their positions, the way a browser's tokenizer does: enough to
//! know where a place is, what a tag is called and what its attributes say. It builds no tree and decides
//! nothing; what it reads may be broken in any way.

use super::jinja::FILLER;
use std::ops::Range;

/// One piece of markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Between tags.
    Text(&'a str),
    /// What a `<style>`, `<script>` or the like holds, in which tags are not tags.
    Raw(&'a str),
    /// `<name …>`.
    Open(Tag<'a>),
    /// `</name>`.
    Close(&'a str),
    /// A comment, a doctype and what a browser takes for such.
    Comment(&'a str),
    /// `<!--[if …]>`, `<![endif]-->`: Outlook reads what stands between them.
    Conditional(&'a str),
}

/// A token and the octets it takes up.
pub(super) type Placed<'a> = (Range<usize>, Token<'a>);

/// An opening tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// As written; [`Tag::is`] compares as HTML does.
    pub name: &'a str,
    pub attributes: Vec<Attribute<'a>>,
    /// Whether it ends with `/>`.
    pub empty: bool,
    /// Whether its `>` is there.
    pub complete: bool,
}

/// An attribute of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    /// Where its name begins.
    pub at: usize,
    pub value: Option<Value<'a>>,
}

/// The value of an attribute, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub text: &'a str,
    pub at: usize,
    pub quoted: bool,
}

/// HTML elements that have no closing tag.
pub(super) const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];

/// Elements whose content a browser does not read as tags.
const RAW: [&str; 11] = [
    "style",
    "script",
    "title",
    "textarea",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "mj-style",
];

impl Tag<'_> {
    /// Whether it has the attribute, with or without a value.
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|found| found.name.eq_ignore_ascii_case(attribute))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether nothing can stand inside.
    pub(super) fn is_void(&self) -> bool {
        VOID.iter().any(|void| self.is(void))
    }
}

/// The tokens of a text, from its beginning to its end.
pub(super) fn tokens(source: &str) -> impl Iterator<Item = Placed<'_>> {
    let mut reader = Reader { source, at: 0, raw: None };
    std::iter::from_fn(move || reader.next())
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// The element whose raw content comes next.
    raw: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Placed<'a>> {
        let rest = self.source.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (length, token) = match self.raw.take() {
            Some(name) => match raw_end(rest, name) {
                0 => self.markup(rest),
                end => (end, Token::Raw(rest.get(..end)?)),
            },
            None => self.markup(rest),
        };
        let start = self.at;
        self.at += length.max(1);
        Some((start..self.at, token))
    }

    fn markup(&mut self, rest: &'a str) -> (usize, Token<'a>) {
        if !rest.starts_with('<') || !opens(rest) {
            let skip = usize::from(rest.starts_with('<'));
            let end = find_tag(rest, skip).unwrap_or(rest.len());
            return (end, Token::Text(rest.get(..end).unwrap_or(rest)));
        }
        let upto = |end: Option<usize>, length: usize| end.map_or(rest.len(), |end| end + length);
        let slice = |end: usize| rest.get(..end).unwrap_or(rest);
        if let Some(comment) = rest.strip_prefix("<!--") {
            if comment.trim_start().starts_with("[if") {
                let end = upto(rest.find("]>"), 2);
                return (end, Token::Conditional(slice(end)));
            }
            // `<!-->` and `<!--->` are complete, and `--!>` ends a comment as well.
            if comment.starts_with('>') || comment.starts_with("->") {
                let end = upto(rest.find('>'), 1);
                return (end, Token::Comment(slice(end)));
            }
            let dashes = comment.find("-->").map(|end| end + 7);
            let bang = comment.find("--!>").map(|end| end + 8);
            let end = dashes.into_iter().chain(bang).min().unwrap_or(rest.len());
            return (end, Token::Comment(slice(end)));
        }
        if rest.starts_with("<![") {
            let end = upto(rest.find('>'), 1);
            return (end, Token::Conditional(slice(end)));
        }
        if rest.starts_with("<!") || rest.starts_with("<?") {
            let end = upto(rest.find('>'), 1);
            return (end, Token::Comment(slice(end)));
        }
        if let Some(name) = rest.strip_prefix("</") {
            let name = name.get(..name_end(name)).unwrap_or(name);
            return (upto(rest.find('>'), 1), Token::Close(name));
        }
        let (end, tag) = open(rest, self.at);
        if !tag.empty && RAW.iter().any(|raw| tag.is(raw)) {
            self.raw = Some(tag.name);
        }
        (end, Token::Open(tag))
    }
}

/// Whether the `<` that the text starts with opens anything. A filler stands for a name from a value.
fn opens(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('/') => chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == FILLER),
        Some(c) => c.is_ascii_alphabetic() || matches!(c, '!' | '?' | FILLER),
        None => false,
    }
}

fn find_tag(rest: &str, skip: usize) -> Option<usize> {
    rest.match_indices('<')
        .map(|(found, _)| found)
        .find(|found| *found >= skip && rest.get(*found..).is_some_and(opens))
}

/// Where the raw content of an element ends: before its closing tag.
fn raw_end(rest: &str, name: &str) -> usize {
    let closes = |found: &usize| {
        rest.get(found + 2..found + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
            && rest.as_bytes().get(found + 2 + name.len()).is_none_or(|b| b"\t\n\x0c\r />".contains(b))
    };
    rest.match_indices("</").map(|(found, _)| found).find(closes).unwrap_or(rest.len())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| is_space(c) || matches!(c, '/' | '>')).unwrap_or(text.len())
}

/// The opening tag that the text starts with, and its length.
fn open(rest: &str, offset: usize) -> (usize, Tag<'_>) {
    let get = |range: Range<usize>| rest.get(range).unwrap_or_default();
    let name = get(1..rest.len());
    let name = name.get(..name_end(name)).unwrap_or(name);
    let mut tag = Tag { name, attributes: Vec::new(), empty: false, complete: false };
    let mut at = 1 + name.len();
    loop {
        let before = at;
        at += get(at..rest.len()).find(|c: char| !is_space(c)).unwrap_or(rest.len() - at);
        match rest.as_bytes().get(at) {
            None => return (rest.len(), tag),
            Some(b'>') => {
                tag.complete = true;
                tag.empty = before > 0 && rest.as_bytes().get(at - 1) == Some(&b'/');
                return (at + 1, tag);
            }
            Some(b'/') => at += 1,
            Some(_) => {
                let (end, attribute) = attribute(rest, at, offset);
                tag.attributes.push(attribute);
                at = end;
            }
        }
    }
}

/// The attribute that begins at an octet, and where it ends.
fn attribute(rest: &str, start: usize, offset: usize) -> (usize, Attribute<'_>) {
    let from = |at: usize| rest.get(at..).unwrap_or_default();
    // A name may begin with `=`.
    let first = from(start).chars().next().map_or(0, char::len_utf8);
    let ends = |c: char| is_space(c) || matches!(c, '/' | '>' | '=');
    let name_end = start + first + from(start + first).find(ends).unwrap_or(from(start + first).len());
    let name = rest.get(start..name_end).unwrap_or_default();
    let spaces = |at: usize| at + from(at).find(|c: char| !is_space(c)).unwrap_or(from(at).len());
    let equals = spaces(name_end);
    let mut attribute = Attribute { name, at: offset + start, value: None };
    if !from(equals).starts_with('=') {
        return (name_end, attribute);
    }
    let at = spaces(equals + 1);
    let quote = from(at).chars().next().filter(|c| matches!(c, '"' | '\''));
    let (begin, end, after) = if let Some(quote) = quote {
        let end = from(at + 1).find(quote).map_or(rest.len(), |end| at + 1 + end);
        (at + 1, end, (end + 1).min(rest.len()))
    } else {
        let end = from(at).find(|c: char| is_space(c) || c == '>').map_or(rest.len(), |end| at + end);
        (at, end, end)
    };
    let text = rest.get(begin..end).unwrap_or_default();
    attribute.value = Some(Value { text, at: offset + begin, quoted: quote.is_some() });
    (after, attribute)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(source: &str) -> String {
        let words = tokens(source).map(|(_, token)| match token {
            Token::Text(text) => format!("T({text})"),
            Token::Raw(text) => format!("R({text})"),
            Token::Close(name) => format!("/{name}"),
            Token::Comment(_) => "!".into(),
            Token::Conditional(_) => "?".into(),
            Token::Open(tag) => {
                let attributes = tag.attributes.iter().map(|attribute| match &attribute.value {
                    Some(value) => format!(" {}={}", attribute.name, value.text),
                    None => format!(" {}", attribute.name),
                });
                let end = if tag.empty { "/" } else { "" };
                format!("<{}{}{end}>", tag.name, attributes.collect::<String>())
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_as_a_browser_does() {
        for (source, expected) in [
            ("a<b>c</b>d", "T(a) <b> T(c) /b T(d)"),
            ("a < b <1>", "T(a < b <1>)"),
            ("<a href='x' b=y c d = \"e>f\"/>", "<a href=x b=y c d=e>f/>"),
            ("<a/b>", "<a b>"),
            ("<a b=/>", "<a b=//>"),
            ("<!-- a > b --><!--[if mso]><i><![endif]-->", "! ? <i> ?"),
            ("<!--><b>", "! <b>"),
            ("<!doctype html><style>a<b></style >x", "! <style> R(a<b>) /style T(x)"),
            ("<title>a<b></title>", "<title> R(a<b>) /title"),
            ("<a", "<a>"),
            ("<a b='", "<a b=>"),
            ("<\u{1}\u{1}>", "<\u{1}\u{1}>"),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }

    #[test]
    fn tokens_cover_the_source() {
        for source in ["é<a é=é>é</é><!--é", "<", "</", "<!", "<a =", "<style>", "<style></styl", "a<é"]
        {
            let mut end = 0;
            for (range, _) in tokens(source) {
                assert_eq!(range.start, end, "{source}");
                end = range.end;
            }
            assert_eq!(end, source.len(), "{source}");
        }
    }
}
