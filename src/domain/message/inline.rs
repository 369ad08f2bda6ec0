//! Images within the HTML: an attribute that names a file as `cid:logo.png` gets the Content-ID that the file has in
//! the message. Only values of attributes change, and of those only such ones: every other byte of the HTML stays.

use super::attachment::Attachment;
use crate::domain::problem::Problem;
use std::collections::BTreeSet;
use std::fmt::Write;

/// How many dangling references are told.
const TOLD: usize = 20;

/// The HTML with Content-IDs; or each `cid:` without a file and each inline file without a `cid:`.
pub(super) fn link(
    html: Option<&str>,
    files: &[Attachment],
    id: impl Fn(&Attachment) -> String,
) -> Result<Option<String>, Vec<Problem>> {
    let mut named = BTreeSet::new();
    let mut problems = Vec::new();
    let html = html.map(|html| {
        rewrite(html, &mut |attribute, value| {
            let text = decoded(value);
            let mut replace = |reference: &str| {
                let name = reference.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("cid:"));
                let name = name.and_then(|_| reference.get(4..))?;
                let whole = unescaped(name);
                let is_meant =
                    |file: &&Attachment| file.name() == name || whole.as_deref() == Some(file.name());
                match files.iter().find(is_meant) {
                    Some(file) if file.inline() => {
                        named.insert(file.name());
                        Some(format!("cid:{}", id(file)))
                    }
                    found => {
                        // A text can hold any number of them.
                        if problems.len() < TOLD {
                            problems.push(Problem::new("html", dangling(name, found, files)));
                        }
                        None
                    }
                }
            };
            if attribute.eq_ignore_ascii_case("style") {
                in_style(&text, &mut replace).map(|style| encoded(&style))
            } else {
                replace(text.trim())
            }
        })
    });
    for file in files.iter().filter(|file| file.inline() && !named.contains(file.name())) {
        let field = format!("message.attachments[{}].inline", file.name());
        let name = file.name();
        let message = format!(
            "is true, but the HTML of this message does not show it: write <img src=\"cid:{name}\"> there, or leave inline out"
        );
        problems.push(Problem::new(field, message));
    }
    if problems.is_empty() { Ok(html) } else { Err(problems) }
}

fn dangling(name: &str, found: Option<&Attachment>, files: &[Attachment]) -> String {
    if found.is_some() {
        return format!(
            "names cid:{name}, which is an attachment that is not inline: set inline: true there"
        );
    }
    let inline: Vec<_> = files.iter().filter(|file| file.inline()).map(Attachment::name).collect();
    let there_are =
        if inline.is_empty() { "there is none".into() } else { format!("there is {}", inline.join(", ")) };
    format!(
        "names cid:{name}, but no inline attachment of the Notification is called so ({there_are}): add it to message.attachments with inline: true"
    )
}

/// Copies HTML and asks for each value of an attribute, as it is written, whether another takes its place.
fn rewrite(html: &str, value: &mut impl FnMut(&str, &str) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 16);
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        rest = copy(rest, open, &mut out);
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = copy(rest, "<!--".len() + comment_end(comment), &mut out);
        } else if rest.get(1..).is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())) {
            rest = tag(rest, &mut out, value);
        } else {
            rest = copy(rest, 1, &mut out);
        }
    }
    out.push_str(rest);
    out
}

/// Where a comment's text ends. That of a conditional one does not: Outlook reads it as HTML.
fn comment_end(comment: &str) -> usize {
    if comment.starts_with('>') {
        return 1;
    }
    let end = if comment.trim_start().starts_with("[if") { "]>" } else { "-->" };
    comment.find(end).map_or(comment.len(), |at| at + end.len())
}

/// Copies one tag, and the text of an element that holds no tags; returns what follows.
fn tag<'a>(html: &'a str, out: &mut String, value: &mut impl FnMut(&str, &str) -> Option<String>) -> &'a str {
    let space = |c: char| c.is_ascii_whitespace();
    let name = html.get(1..).unwrap_or_default();
    let name =
        name.find(|c| space(c) || c == '/' || c == '>').and_then(|end| name.get(..end)).unwrap_or(name);
    let mut rest = copy(html, 1 + name.len(), out);
    loop {
        rest = copy(rest, rest.find(|c| !space(c) && c != '/').unwrap_or(rest.len()), out);
        if rest.is_empty() {
            return rest;
        }
        if rest.starts_with('>') {
            rest = copy(rest, 1, out);
            break;
        }
        // An attribute may even begin with `=`.
        let ends =
            |(at, c): (usize, char)| (space(c) || c == '/' || c == '>' || (c == '=' && at > 0)).then_some(at);
        let end = rest.char_indices().find_map(ends).unwrap_or(rest.len());
        let attribute = rest.get(..end).unwrap_or_default();
        rest = copy(rest, end, out);
        let after = rest.trim_start_matches(space);
        let Some(behind) = after.strip_prefix('=') else { continue };
        let behind = behind.trim_start_matches(space);
        rest = copy(rest, rest.len() - behind.len(), out);
        let (quote, text) = match rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => (1, rest.get(1..).and_then(|text| text.split(quote).next())),
            None => (0, rest.split(|c| space(c) || c == '>').next()),
        };
        let text = text.unwrap_or_default();
        rest = copy(rest, quote, out);
        match value(attribute, text) {
            Some(other) => {
                out.push_str(&other);
                rest = rest.get(text.len()..).unwrap_or_default();
            }
            None => rest = copy(rest, text.len(), out),
        }
        rest = copy(rest, quote.min(rest.len()), out);
    }
    let raw = ["script", "style", "textarea", "title", "xmp"];
    if raw.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
        let closes = |at: &usize| {
            let closing = rest.get(at + 2..).and_then(|rest| rest.get(..name.len()));
            closing.is_some_and(|closing| closing.eq_ignore_ascii_case(name))
        };
        let end = rest.match_indices("</").map(|(at, _)| at).find(closes);
        rest = copy(rest, end.unwrap_or(rest.len()), out);
    }
    rest
}

/// Moves the first octets of a text over, and returns the others.
fn copy<'a>(text: &'a str, octets: usize, out: &mut String) -> &'a str {
    let (moved, rest) = text.split_at_checked(octets).unwrap_or((text, ""));
    out.push_str(moved);
    rest
}

/// `url(cid:logo.png)`, in quotes or not. `None` if nothing changes.
fn in_style(style: &str, replace: &mut impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = style;
    let mut changed = false;
    while let Some(at) = rest.find("url(") {
        rest = copy(rest, at + "url(".len(), &mut out);
        let Some(end) = rest.find(')') else { break };
        let inner = rest.get(..end).unwrap_or_default();
        let bare = inner.trim().trim_matches(['"', '\'']);
        if let Some(other) = replace(bare) {
            out.push_str(&inner.replace(bare, &other));
            rest = rest.get(end..).unwrap_or_default();
            changed = true;
        } else {
            rest = copy(rest, end, &mut out);
        }
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// An attribute's value without character references: those that templates and people write.
fn decoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        rest = copy(rest, at, &mut out);
        // `&#x10ffff;` is the longest of these.
        let known = rest.bytes().take(10).position(|b| b == b';').and_then(|end| {
            let name = rest.get(1..end)?;
            Some((character(name)?, end + 1))
        });
        if let Some((c, length)) = known {
            out.push(c);
            rest = rest.get(length..).unwrap_or_default();
        } else {
            rest = copy(rest, 1, &mut out);
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

/// A value for an attribute in either kind of quotes. Control characters stay references, as they were.
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            c if c.is_control() || "&\"'<>".contains(c) => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A URL's text without its `%20`; `None` if that is no text.
fn unescaped(url: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let octet = pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        octets.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::problem;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn file(name: &str, inline: bool) -> Attachment {
        Attachment::new(name, None, inline, Zeroizing::new(vec![1])).unwrap()
    }

    fn linked(html: &str, files: &[Attachment]) -> Result<String, String> {
        let id = |file: &Attachment| format!("{}@corp.example", file.len());
        link(Some(html), files, id)
            .map(Option::unwrap_or_default)
            .map_err(|problems| problem::summary(&problems))
    }

    #[test]
    fn attributes_that_name_a_file_get_its_content_id() {
        for (name, html, expected) in [
            ("a.png", r#"<img src="cid:a.png">"#, r#"<img src="cid:1@corp.example">"#),
            ("a.png", "<IMG alt=x SRC = 'CID:a.png'/>", "<IMG alt=x SRC = 'cid:1@corp.example'/>"),
            ("a.png", "<img src=cid:a.png><p>", "<img src=cid:1@corp.example><p>"),
            ("a.png", "<img src=cid:a.png alt>", "<img src=cid:1@corp.example alt>"),
            ("a&b's.png", r#"<img src="cid:a&amp;b&#x27;s.png">"#, r#"<img src="cid:1@corp.example">"#),
            ("Logo ö.png", r#"<img src="cid:Logo ö.png">"#, r#"<img src="cid:1@corp.example">"#),
            ("Logo ö.png", r#"<img src="cid:Logo%20%C3%b6.png">"#, r#"<img src="cid:1@corp.example">"#),
            ("a.png", r#"<td background="cid:a.png">"#, r#"<td background="cid:1@corp.example">"#),
            (
                "a.png",
                r#"<td style="color: red; background: url('cid:a.png') &amp; url(x)">"#,
                r#"<td style="color: red; background: url(&#39;cid:1@corp.example&#39;) &#38; url(x)">"#,
            ),
            (
                "a.png",
                r#"<!--[if mso]><v:fill src="cid:a.png"/><![endif]--><p a>b"#,
                r#"<!--[if mso]><v:fill src="cid:1@corp.example"/><![endif]--><p a>b"#,
            ),
            (
                "a.png",
                r#"<!--[if !mso]><!--><img src="cid:a.png"><!--<![endif]-->"#,
                r#"<!--[if !mso]><!--><img src="cid:1@corp.example"><!--<![endif]-->"#,
            ),
            // Text and what is no markup stays.
            (
                "a.png",
                r#"cid:a.png <!-- <img src="cid:x"> --> a < b <style>p[a="cid:x"]{}</style> <title><a b="cid:x"></title><img src="cid:a.png">"#,
                r#"cid:a.png <!-- <img src="cid:x"> --> a < b <style>p[a="cid:x"]{}</style> <title><a b="cid:x"></title><img src="cid:1@corp.example">"#,
            ),
        ] {
            assert_eq!(linked(html, &[file(name, true)]).as_deref(), Ok(expected), "{html}");
        }
    }

    #[test]
    fn what_names_nothing_and_what_is_not_named_is_told() {
        for (files, html, words) in [
            (&[] as &[_], r#"<img src="cid:a.png">"#, &["html: names cid:a.png", "there is none"] as &[_]),
            (&[("b.png", true)], r#"<img src="cid:a.png"><img src="cid:b.png">"#, &["there is b.png"]),
            (&[("a.png", false)], r#"<img src="cid:a.png">"#, &["set inline: true"]),
            (
                &[("a.png", true)],
                "<p>cid:a.png</p>",
                &["message.attachments[a.png].inline", "src=\"cid:a.png\""],
            ),
        ] {
            let files: Vec<_> = files.iter().map(|(name, inline)| file(name, *inline)).collect();
            let problem = linked(html, &files).unwrap_err();
            for word in words {
                assert!(problem.contains(word), "{word:?} is missing in: {problem}");
            }
        }
        let without_html = link(None, &[file("a.png", true)], |_| String::new()).unwrap_err();
        assert!(problem::summary(&without_html).contains("a.png"));
    }

    proptest! {
        #[test]
        fn html_without_cid_stays_as_it_is(html in "(<!?(--)?(\\[if x\\])?[a-z]{0,3}|[ =\"'/>é&;#-]|style|url\\(|</?(p|style|title)|x){0,60}") {
            prop_assert_eq!(linked(&html, &[]), Ok(html));
        }
    }
}
