//! What a message says: a subject and one or two bodies, checked so that any of them can be sent.
//! Comes from a template or stands literally in a Notification; either way it ends up here.

mod derived;

use crate::api::notification::Content;
use crate::domain::problem::Problem;
use derived::MAX_TAGS;
pub(super) use derived::derive_text;
use serde::{Deserialize, Serialize};

/// How many octets a body may have, rendered. Mail servers take 10 MB and more; a message without
/// attachments of this size is a template that ran away.
pub const MAX_BODY_OCTETS: usize = 1024 * 1024;

/// How many characters a subject may have, rendered: the longest line of a mail (RFC 5322, 2.1.1).
pub const MAX_SUBJECT_CHARS: usize = 998;

/// A message's subject and bodies: the subject is one line, there is at least one body, no text holds
/// control characters other than tabs and line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Rendered {
    subject: String,
    text: Option<String>,
    html: Option<String>,
}

/// The same as it arrives from another process, which is not taken at its word.
#[derive(Deserialize)]
struct Unchecked {
    subject: String,
    text: Option<String>,
    html: Option<String>,
}

impl TryFrom<Unchecked> for Rendered {
    type Error = ContentProblem;

    fn try_from(Unchecked { subject, text, html }: Unchecked) -> Result<Self, ContentProblem> {
        Self::new(&subject, text, html).map_err(|(_, problem)| problem)
    }
}

/// Which text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The subject line.
    Subject,
    /// The plain text body.
    Text,
    /// The HTML body.
    HTML,
    /// What the HTML body is made from.
    MJML,
}

impl Part {
    /// The name of the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Text => "text",
            Self::HTML => "html",
            Self::MJML => "mjml",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text cannot be sent, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentProblem {
    /// Nothing but spaces.
    #[error("is empty")]
    EmptySubject,
    /// A subject with a line break could otherwise become a header of its own.
    #[error("has more than one line: a subject is a single line")]
    SubjectLines,
    /// See [`MAX_SUBJECT_CHARS`].
    #[error("is longer than {MAX_SUBJECT_CHARS} characters")]
    SubjectTooLong,
    /// NUL, escape sequences and the like.
    #[error("holds the control character U+{:04X}: remove it", u32::from(*.0))]
    Control(char),
    /// See [`MAX_BODY_OCTETS`].
    #[error("is larger than {} KiB", MAX_BODY_OCTETS / 1024)]
    TooLarge,
    /// Neither text nor HTML.
    #[error("is missing: set text, html or both, a message needs a body")]
    NoBody,
    /// The HTML is too intricate to derive text from it.
    #[error("has more than {MAX_TAGS} tags, too many to derive the plain text from it: set text too")]
    NotDerivable,
    /// Tags nest deeper than what makes sense in a mail.
    #[error("nests tags too deep: at most 100 levels are possible")]
    TooDeep,
    /// Markup that would take too long to convert.
    #[error("is too intricate to be converted: {0}")]
    TooIntricate(&'static str),
    /// What mail programs do not follow, or should not.
    #[error("has the address {address:?} in {attribute}: only https, http, mailto, tel and cid are possible")]
    UnsafeAddress {
        /// The attribute that it stands in.
        attribute: String,
        /// The beginning of the address.
        address: String,
    },
    /// What the converter says.
    #[error("is not MJML: {0}")]
    NotMJML(String),
    /// What the inliner says.
    #[error("has CSS that cannot be put into its tags: {0}")]
    NotInlined(String),
}

impl Rendered {
    /// Checks texts that are to be sent as they are. Spaces and line breaks around the subject are dropped. Nothing is
    /// derived from anything.
    pub fn new(
        subject: &str,
        text: Option<String>,
        html: Option<String>,
    ) -> Result<Self, (Part, ContentProblem)> {
        let subject = check_subject(subject).map_err(|problem| (Part::Subject, problem))?;
        for (part, body) in [(Part::Text, &text), (Part::HTML, &html)] {
            if let Some(body) = body {
                check_body(body).map_err(|problem| (part, problem))?;
            }
        }
        if text.is_none() && html.is_none() {
            return Err((Part::Text, ContentProblem::NoBody));
        }
        Ok(Self { subject: subject.to_owned(), text, html })
    }

    /// The subject: one line, not empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The plain text, given or derived.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The HTML, if there is any.
    pub fn html(&self) -> Option<&str> {
        self.html.as_deref()
    }

    /// The HTML that the plain text is still to be derived from.
    pub fn without_text(&self) -> Option<&str> {
        if self.text.is_none() { self.html() } else { None }
    }

    /// The same with the text that was derived from its HTML.
    pub fn with_text(self, text: String) -> Result<Self, ContentProblem> {
        check_body(&text)?;
        Ok(Self { text: Some(text), ..self })
    }

    /// The same with other HTML, which was made from this one and holds no more than it.
    pub(super) fn with_html(self, html: String) -> Self {
        Self { html: Some(html), ..self }
    }
}

/// A Notification's `message.content`, which is sent as it is written. All its problems are returned. A text that is
/// missing is still missing in what is returned.
pub fn from_literal(content: &Content) -> Result<Rendered, Vec<Problem>> {
    let Content { subject, text, html } = content;
    let field = |part: Part| format!("message.content.{part}");
    let bodies = [(Part::Text, text), (Part::HTML, html)];
    let problems: Vec<_> = std::iter::once((Part::Subject, check_subject(subject).err()))
        .chain(bodies.map(|(part, body)| (part, body.as_deref().and_then(|body| check_body(body).err()))))
        .filter_map(|(part, problem)| Some(Problem::new(field(part), problem?.to_string())))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    Rendered::new(subject, text.clone(), html.clone())
        .map_err(|(part, problem)| vec![Problem::new(field(part), problem.to_string())])
}

/// The first character that may not stand in any text of a mail: controls other than tab, CR and LF.
pub(super) fn stray_control(text: &str) -> Option<char> {
    // Almost no text has any, and each text of a message is looked at: by blocks, which the processor does at once.
    // Controls are 00 to 1F, 7F, and 80 to 9F, whose first octet in UTF-8 is C2.
    let suspicious = |octet: u8| match octet {
        b'\t' | b'\r' | b'\n' => false,
        0..0x20 | 0x7F | 0xC2 => true,
        _ => false,
    };
    if !text
        .as_bytes()
        .chunks(256)
        .any(|block| block.iter().fold(false, |found, octet| found | suspicious(*octet)))
    {
        return None;
    }
    text.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
}

fn check_subject(subject: &str) -> Result<&str, ContentProblem> {
    let subject = subject.trim();
    if subject.is_empty() {
        return Err(ContentProblem::EmptySubject);
    }
    // Also the separators that only some programs take for the end of a line.
    if subject.contains(['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}']) {
        return Err(ContentProblem::SubjectLines);
    }
    if let Some(control) = subject.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(ContentProblem::Control(control));
    }
    if subject.chars().count() > MAX_SUBJECT_CHARS {
        return Err(ContentProblem::SubjectTooLong);
    }
    Ok(subject)
}

fn check_body(body: &str) -> Result<(), ContentProblem> {
    if body.len() > MAX_BODY_OCTETS {
        return Err(ContentProblem::TooLarge);
    }
    stray_control(body).map_or(Ok(()), |control| Err(ContentProblem::Control(control)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// With a missing text derived.
    fn whole(
        subject: &str,
        text: Option<String>,
        html: Option<String>,
    ) -> Result<Rendered, (Part, ContentProblem)> {
        let rendered = Rendered::new(subject, text, html)?;
        let Some(html) = rendered.without_text() else { return Ok(rendered) };
        let wrong = |problem| (Part::HTML, problem);
        let text = derive_text(html).map_err(wrong)?;
        rendered.with_text(text).map_err(wrong)
    }

    #[test]
    fn what_can_be_sent() {
        use ContentProblem as P;
        let long = "x".repeat(MAX_SUBJECT_CHARS + 1);
        let large = "x".repeat(MAX_BODY_OCTETS + 1);
        let nested = "<div>".repeat(MAX_TAGS + 1);
        for (subject, text, html, expected) in [
            (" Hello\n", Some("a\r\n\tb"), None, Ok(())),
            ("Hello", None, Some("<p>x</p>"), Ok(())),
            ("Hello", Some("x"), Some(nested.as_str()), Ok(())),
            (" ", Some("x"), None, Err((Part::Subject, P::EmptySubject))),
            ("a\r\nBcc: x@y", Some("x"), None, Err((Part::Subject, P::SubjectLines))),
            ("a\rb", Some("x"), None, Err((Part::Subject, P::SubjectLines))),
            ("a\u{2028}b", Some("x"), None, Err((Part::Subject, P::SubjectLines))),
            ("a\u{0}b", Some("x"), None, Err((Part::Subject, P::Control('\0')))),
            (long.as_str(), Some("x"), None, Err((Part::Subject, P::SubjectTooLong))),
            ("Hello", None, None, Err((Part::Text, P::NoBody))),
            ("Hello", Some("a\u{1b}[31m"), None, Err((Part::Text, P::Control('\u{1b}')))),
            ("Hello", Some("x"), Some("\u{0}"), Err((Part::HTML, P::Control('\0')))),
            ("Hello", Some(large.as_str()), None, Err((Part::Text, P::TooLarge))),
            ("Hello", None, Some(nested.as_str()), Err((Part::HTML, P::NotDerivable))),
            ("Hello", None, Some("a&#27;&#0;b"), Ok(())), // the conversion drops them
        ] {
            let rendered = whole(subject, text.map(String::from), html.map(String::from));
            assert_eq!(rendered.map(drop), expected, "{subject:.30} {text:.30?} {html:.30?}");
        }
    }

    #[test]
    fn derives_text() {
        let html = "<html><head><style>p { color: red }</style><title>T</title></head><body><h1>Hi</h1>\
            <p>Go to <a href=\"https://corp.example/\">the portal</a>.</p><ul><li>one<li>two</ul>\
            <table><tr><td>a</td><td>b</td></tr></table></body></html>";
        let rendered = whole("x", None, Some(html.into())).unwrap();
        let text = rendered.text().unwrap();
        assert_eq!(
            text,
            "# Hi\n\nGo to [the portal][1].\n* one\n* two\n\na b\n\n[1]: https://corp.example/\n"
        );
        assert_eq!(rendered.html(), Some(html));
    }

    #[test]
    fn literal_content_tells_all_problems() {
        let literal = |subject: &str, text: Option<&str>| {
            from_literal(&Content { subject: subject.into(), text: text.map(String::from), html: None })
        };
        assert_eq!(literal("Hello", Some("{{ name }}")).unwrap().text(), Some("{{ name }}"));
        let shown = |subject, text| crate::domain::problem::summary(&literal(subject, text).unwrap_err());
        assert_eq!(
            shown("a\nb", Some("a\u{0}b")),
            "message.content.subject: has more than one line: a subject is a single line; \
             message.content.text: holds the control character U+0000: remove it"
        );
        assert_eq!(
            shown("Hello", None),
            "message.content.text: is missing: set text, html or both, a message needs a body"
        );
    }

    proptest! {
        #[test]
        fn any_html_gives_text_or_a_reason(html in "(<[a-z]{1,5}( [a-z]+=\"?[^\"]{0,5}\"?)?>|</[a-z]{1,5}>|[^<]{0,9}|&#?[a-z0-9]{1,4};|<!--|<!\\[CDATA\\[){0,40}") {
            if let Ok(rendered) = whole("x", None, Some(html)) {
                prop_assert!(rendered.text().is_some_and(|text| stray_control(text).is_none()));
            }
        }
    }
}
