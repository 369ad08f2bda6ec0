//! Header fields: how their lines are folded and encoded (RFC 5322, 2.2.3; RFC 2047), and which ones people may
//! write themselves. Whatever a value holds, it stays within its field; nothing here knows bodies.

use crate::api::notification::HeaderField;
use crate::domain::address::Mailbox;
use crate::domain::problem::Problem;
use lettre::message::header::{From, Header, HeaderName, HeaderValue, Headers};
use std::collections::BTreeSet;
use std::fmt::Write;

/// How long a line should be at most, without its end (RFC 5322, 2.1.1; RFC 2047, 2).
const LINE: usize = 76;

/// How long a line may be at most, without its end.
const LONGEST: usize = 998;

/// How long the part of a value is at most that cannot be folded: it may have to stand alone behind a space.
const LONGEST_PART: usize = LONGEST - 1;

/// `=?utf-8?b?` and `?=`.
const WORD_FRAME: usize = 12;

/// Header fields of one's own, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnFields(Vec<OwnField>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct OwnField {
    name: String,
    value: String,
    structured: bool,
}

impl OwnFields {
    /// Checks `message.headers`. With a `thread`, References and In-Reply-To are ours.
    pub fn new(fields: &[HeaderField], threaded: bool) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut own = Vec::new();
        let mut seen = BTreeSet::new();
        for HeaderField { name, value } in fields {
            let lower = name.to_ascii_lowercase();
            let value = value.trim();
            let structured = !lower.starts_with("x-");
            let doubled = !seen.insert(lower.clone()) && (structured || lower == "x-auto-response-suppress");
            let checked = permitted(&lower)
                .and_then(|()| {
                    if doubled { Err("stands here twice: a message has it once".into()) } else { Ok(()) }
                })
                .and_then(|()| if structured { check_structured(value) } else { check_line(value) })
                .and_then(|()| check_meaning(&lower, value, threaded, fields));
            match checked {
                Ok(()) => own.push(OwnField { name: name.clone(), value: value.to_owned(), structured }),
                Err(message) => problems.push(Problem::new(format!("message.headers[{name}]"), message)),
            }
        }
        if problems.is_empty() { Ok(Self(own)) } else { Err(problems) }
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// All their lines.
    pub(super) fn write(&self, out: &mut String) {
        for OwnField { name, value, structured } in &self.0 {
            if *structured || survives(value) {
                plain(out, name, value);
            } else {
                encoded(out, name, value);
            }
        }
    }
}

/// The other fields say what the spec says, and must not contradict it.
fn permitted(lower: &str) -> Result<(), String> {
    let word = |prefix: &str| {
        lower.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    let known = ["auto-submitted", "precedence", "importance", "in-reply-to", "references"];
    if lower.len() <= 76 && (word("x-") || word("list-") || known.contains(&lower)) {
        return Ok(());
    }
    Err("must be X-…, List-…, Auto-Submitted, Precedence, Importance, In-Reply-To or References".into())
}

fn check_line(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("is empty".into());
    }
    match value.chars().find(|c| c.is_control()) {
        Some(c) => {
            Err(format!("holds the control character U+{:04X}: a value is a single line", u32::from(c)))
        }
        None => Ok(()),
    }
}

/// Programs read these: an encoded word in them means nothing.
fn check_structured(value: &str) -> Result<(), String> {
    check_line(value)?;
    if let Some(c) = value.chars().find(|c| !c.is_ascii()) {
        return Err(format!(
            "holds {c:?}, but only ASCII is possible here: write it as ASCII (in an address xn--…, in a URL %C3%BC)"
        ));
    }
    if parts(value).any(|part| part.len() > LONGEST_PART) {
        return Err(format!(
            "has more than {LONGEST_PART} characters without a space, which no line can hold"
        ));
    }
    Ok(())
}

fn check_meaning(lower: &str, value: &str, threaded: bool, all: &[HeaderField]) -> Result<(), String> {
    match lower {
        "in-reply-to" | "references" if threaded => {
            Err("is written by message.thread: leave one of them out".into())
        }
        "in-reply-to" | "references" if !value.split_whitespace().all(is_message_id) => {
            Err("must be Message-IDs in angle brackets, like <1234@corp.example>".into())
        }
        "list-unsubscribe" => targets(value).map(drop),
        "list-unsubscribe-post" => check_one_click(value, all),
        _ => Ok(()),
    }
}

fn is_message_id(word: &str) -> bool {
    let inner = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
    let sides = inner.and_then(|inner| inner.split_once('@'));
    sides.is_some_and(|(left, right)| {
        !left.is_empty()
            && !right.is_empty()
            && !word.chars().skip(1).any(|c| c == '<')
            && !right.contains('@')
    })
}

/// RFC 8058, 3.1: both fields, and one of the addresses is https.
fn check_one_click(value: &str, all: &[HeaderField]) -> Result<(), String> {
    if value != "List-Unsubscribe=One-Click" {
        return Err("must be List-Unsubscribe=One-Click (RFC 8058)".into());
    }
    let beside = all.iter().find(|field| field.name.eq_ignore_ascii_case("List-Unsubscribe"));
    let https = beside
        .and_then(|field| targets(field.value.trim()).ok())
        .is_some_and(|urls| urls.iter().any(|url| url.scheme() == "https"));
    if https {
        Ok(())
    } else {
        Err("needs List-Unsubscribe with an https address beside it (RFC 8058)".into())
    }
}

/// What List-Unsubscribe names (RFC 2369, 2): addresses in angle brackets, with commas between.
fn targets(value: &str) -> Result<Vec<url::Url>, String> {
    let wrong = || "must be <https://…>, <mailto:…> or both with a comma between".to_owned();
    let mut urls = Vec::new();
    let mut rest = value;
    loop {
        let (target, after) =
            rest.trim_start().strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(wrong)?;
        let url = url::Url::parse(target).map_err(|_| wrong())?;
        let names_somebody = url.scheme() == "https" || url.scheme() == "mailto" && url.path().contains('@');
        if !names_somebody || target.contains([' ', '<']) {
            return Err(wrong());
        }
        urls.push(url);
        match after.trim_start() {
            "" => return Ok(urls),
            more => rest = more.strip_prefix(',').ok_or_else(wrong)?,
        }
    }
}

/// Printable ASCII in which nobody sees an encoded word, and that fits into lines.
fn survives(value: &str) -> bool {
    value.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !value.contains("=?")
        && parts(value).all(|part| part.len() <= LONGEST_PART)
}

/// What stands between single spaces. A line is folded only there: some programs that unfold it make one space of
/// what they find.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let is_space = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b' ');
        let single = |at: &usize| {
            is_space(Some(*at)) && !is_space(at.checked_sub(1)) && !is_space(at.checked_add(1)) && *at > 0
        };
        let Some((part, after)) = (0..text.len()).find(single).and_then(|at| text.split_at_checked(at))
        else {
            rest = None;
            return Some(text);
        };
        rest = after.get(1..);
        Some(part)
    })
}

/// A field of printable ASCII as it is, folded where it has single spaces.
pub(super) fn plain(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    let mut column = name.len() + 2;
    for (index, part) in parts(value).enumerate() {
        let space = usize::from(index > 0);
        // A name alone on its line looks odd and is worse understood than a line that is a bit long.
        let limit = if index > 0 { LINE } else { LONGEST };
        if column + space + part.len() > limit {
            out.push_str("\r\n ");
            column = 1;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(part);
        column += part.len();
    }
    out.push_str("\r\n");
}

/// A field of any text in encoded words: base64 of whole characters, no line longer than 76 octets.
pub(super) fn encoded(out: &mut String, name: &str, value: &str) {
    use base64::Engine as _;
    out.push_str(name);
    out.push_str(": ");
    let mut room = LINE.saturating_sub(name.len() + 2 + WORD_FRAME) / 4 * 3;
    let mut rest = value;
    while !rest.is_empty() {
        // Four octets are the longest character.
        if room < 4 {
            out.push_str("\r\n ");
            room = (LINE - 1 - WORD_FRAME) / 4 * 3;
        }
        let (word, after) = rest.split_at(rest.floor_char_boundary(room));
        out.push_str("=?utf-8?b?");
        base64::engine::general_purpose::STANDARD.encode_string(word, out);
        out.push_str("?=");
        (rest, room) = (after, 0);
    }
    out.push_str("\r\n");
}

/// Plain where it survives folding and nobody could take a part of it for an encoded word, else in encoded words.
pub(super) fn subject(out: &mut String, subject: &str) {
    // Unlike a field for programs it may always be encoded, so long words are.
    if survives(subject) && subject.split(' ').all(|word| (1..=LINE - 6).contains(&word.len())) {
        plain(out, "Subject", subject);
    } else {
        encoded(out, "Subject", subject);
    }
}

/// A field with addresses. lettre encodes each of them well, but puts all of them on one line.
pub(super) fn addresses(out: &mut String, name: &str, of: &[Mailbox]) {
    let start = out.len();
    let _ = write!(out, "{name}: ");
    let mut column = out.len() - start;
    for (index, mailbox) in of.iter().enumerate() {
        let one = address(mailbox);
        let first = one.split("\r\n").next().unwrap_or_default();
        if index > 0 {
            out.push(',');
            // With the comma behind it.
            if column + 2 + first.len() + 1 > LINE {
                out.push_str("\r\n ");
                column = 1;
            } else {
                out.push(' ');
                column += 2;
            }
        }
        out.push_str(&one);
        column = match one.rsplit_once("\r\n") {
            Some((_, last)) => last.len(),
            None => column + one.len(),
        };
    }
    out.push_str("\r\n");
}

/// One mailbox, `name <address>`, its last line folded before the address if it would be too long.
fn address(mailbox: &Mailbox) -> String {
    let header = From::from(lettre::message::Mailboxes::from(mailbox.lettre())).display();
    let line = line(header);
    let value = line.trim_end().strip_prefix("From: ").unwrap_or(&line);
    let last = value.rsplit("\r\n").next().unwrap_or_default();
    match value.rsplit_once(" <") {
        Some((name, address)) if last.len() + "Reply-To: ".len() > LINE && !name.ends_with("\r\n") => {
            format!("{name}\r\n <{address}")
        }
        _ => value.to_owned(),
    }
}

/// A header of lettre's as it stands in a message, with its line end.
fn line(value: HeaderValue) -> String {
    let mut headers = Headers::new();
    headers.insert_raw(value);
    headers.to_string()
}

/// The name of an attached file behind its `Content-Disposition`: as it is where it is ASCII, since not all programs
/// put together what RFC 2231 lets one split, else as that RFC has it.
pub(super) fn disposition(kind: &str, file: &str) -> HeaderValue {
    let mut value = kind.to_owned();
    // Programs take `=?…?=` for an encoded word even where none may stand.
    if file.bytes().all(|b| (b' '..=b'~').contains(&b)) && !file.contains("=?") {
        let _ = write!(value, ";\r\n filename=\"{}\"", file.replace('\\', "\\\\").replace('"', "\\\""));
    } else {
        let characters: Vec<String> = file.chars().map(percent_encoded).collect();
        let one = characters.concat();
        if one.len() + " filename*=utf-8''".len() <= LINE {
            let _ = write!(value, ";\r\n filename*=utf-8''{one}");
        } else {
            sections(&mut value, &characters);
        }
    }
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str("Content-Disposition"),
        value.clone(),
        value,
    )
}

/// RFC 2231, 4.1: a long name in numbered sections, each of whole characters.
fn sections(value: &mut String, characters: &[String]) {
    let mut column = LINE;
    let mut number = 0;
    for character in characters {
        // With the semicolon behind it.
        if column + character.len() + 1 > LINE {
            let charset = if number == 0 { "utf-8''" } else { "" };
            let start = format!(" filename*{number}*={charset}");
            column = start.len();
            let _ = write!(value, ";\r\n{start}");
            number += 1;
        }
        value.push_str(character);
        column += character.len();
    }
}

fn percent_encoded(c: char) -> String {
    if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
        return c.to_string();
    }
    let mut octets = [0; 4];
    c.encode_utf8(&mut octets).bytes().fold(String::new(), |mut all, octet| {
        let _ = write!(all, "%{octet:02X}");
        all
    })
}

#[cfg(test)]
mod tests;
