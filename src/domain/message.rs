//! The bytes of a mail, as a pure function of what it says and to whom: sent again, they are the
//! same. Everything that comes in is already validated by its type, so that nothing can fail here
//! and nothing in a text can become a header; encodings keep the bytes 7-bit except for addresses
//! that are not ASCII. Dot-stuffing is the SMTP session's.

use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::content::Rendered;
use lettre::message::header::{Cc, ReplyTo, To};
use lettre::message::header::{
    ContentType, From, Header, HeaderName, HeaderValue, Headers, MIME_VERSION_1_0,
};
use lettre::message::{MultiPart, SinglePart};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;

/// What a message is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Who it is from; also the envelope's return path.
    pub from: &'a Mailbox,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<&'a EmailAddress>,
    /// Whom To names. Who else gets it is the envelope's business: `bcc` stands nowhere in the bytes.
    pub to: &'a [Mailbox],
    /// Whom Cc names.
    pub cc: &'a [Mailbox],
    /// Whose own copy it is; `None` for one message to all.
    pub copy_of: Option<&'a EmailAddress>,
    /// What it says.
    pub content: &'a Rendered,
    /// Its Date: `sendAt` or the Notification's creation, never the time of an attempt.
    pub date: jiff::Timestamp,
    /// The Notification's uid, from which Message-ID and boundaries come.
    pub uid: &'a str,
}

/// A message ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// For MAIL FROM.
    pub envelope_from: EmailAddress,
    /// The Message-ID with its angle brackets.
    pub message_id: String,
    /// Header and body: CRLF line ends only, the last line complete, no line over 998 octets.
    pub bytes: Vec<u8>,
    /// Whether `bytes` need 8BITMIME: only where `smtputf8` is set too.
    pub eight_bit: bool,
    /// Whether the server must take SMTPUTF8, since an address is not ASCII before the `@`.
    pub smtputf8: bool,
}

/// Puts the message together. The same parts give the same bytes.
pub fn build(parts: &Parts<'_>) -> Message {
    let Parts { from, reply_to, to, cc, copy_of, content, date, uid } = *parts;
    let message_id = message_id(uid, copy_of, from.address().domain());
    let mut headers = vec![
        pre_encoded("Date", date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()),
        From::from(lettre::message::Mailboxes::from(from.lettre())).display(),
    ];
    if !to.is_empty() {
        headers.push(To::from(mailboxes(to)).display());
    }
    if !cc.is_empty() {
        headers.push(Cc::from(mailboxes(cc)).display());
    }
    if let Some(address) = reply_to {
        let mailbox = lettre::message::Mailbox::new(None, address.lettre());
        headers.push(ReplyTo::from(lettre::message::Mailboxes::from(mailbox)).display());
    }
    headers.extend([
        subject(content.subject()),
        pre_encoded("Message-ID", message_id.clone()),
        // Automatic mail must say so, or it is answered by out-of-office replies (RFC 3834, 5).
        pre_encoded("Auto-Submitted", "auto-generated".into()),
        MIME_VERSION_1_0.display(),
    ]);
    let bytes = match (content.text(), content.html()) {
        (text, None) => single(headers, ContentType::TEXT_PLAIN, text.unwrap_or_default()),
        (None, Some(html)) => single(headers, ContentType::TEXT_HTML, html),
        (Some(text), Some(html)) => alternative(headers, uid, text, html),
    };
    let named = to.iter().chain(cc).chain([from]).map(Mailbox::address);
    Message {
        envelope_from: from.address().clone(),
        message_id,
        eight_bit: !bytes.is_ascii(),
        smtputf8: named.chain(reply_to).any(EmailAddress::needs_smtputf8),
        bytes,
    }
}

fn mailboxes(of: &[Mailbox]) -> lettre::message::Mailboxes {
    of.iter().map(Mailbox::lettre).collect()
}

/// `<uid.short-hash-of-address@sender-domain>`: the same for each attempt, so that a mail server can
/// drop a second copy, and different for each recipient who has a copy of his own, telling nobody who the
/// others are.
pub fn message_id(uid: &str, copy_of: Option<&EmailAddress>, sender_domain: &str) -> String {
    // No address is this word, since each has an `@`.
    let whose = copy_of.map_or_else(|| "shared".to_owned(), |address| address.as_str().to_ascii_lowercase());
    // 48 bits: among 1000 recipients two share a hash once in 500 million Notifications.
    let hash = hex(whose.as_bytes(), 6);
    format!("<{}.{hash}@{sender_domain}>", token(uid))
}

/// The uid where it fits into a Message-ID and a boundary, as those of Kubernetes do, else its hash.
fn token(uid: &str) -> Cow<'_, str> {
    let fits = (1..=40).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { Cow::Borrowed(uid) } else { Cow::Owned(hex(uid.as_bytes(), 16)) }
}

fn hex(bytes: &[u8], octets: usize) -> String {
    Sha256::digest(bytes).iter().take(octets).fold(String::new(), |mut hex, octet| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

fn single(top: Vec<HeaderValue>, content_type: ContentType, body: &str) -> Vec<u8> {
    let part = leaf(content_type, body);
    let mut bytes = formatted(top);
    bytes.extend_from_slice(&part.formatted());
    bytes
}

fn alternative(top: Vec<HeaderValue>, uid: &str, text: &str, html: &str) -> Vec<u8> {
    let mut boundary = format!("=_{}", token(uid));
    // Nobody can know the uid when he writes a text, except by an edit of a template in between.
    while text.contains(&boundary) || html.contains(&boundary) {
        boundary = format!("=_{}", hex(boundary.as_bytes(), 16));
    }
    let parts = MultiPart::alternative()
        .boundary(boundary)
        .singlepart(leaf(ContentType::TEXT_PLAIN, text))
        .singlepart(leaf(ContentType::TEXT_HTML, html));
    let mut bytes = formatted(top);
    bytes.extend_from_slice(&parts.formatted());
    bytes
}

/// One body in the encoding that fits it: as it is where it is ASCII in short lines, else
/// quoted-printable or base64, whichever is shorter.
fn leaf(content_type: ContentType, body: &str) -> SinglePart {
    SinglePart::builder().content_type(content_type).body(crlf(body))
}

/// The text with CRLF at the end of each line but the last, which the MIME writer ends.
fn crlf(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push_str("\r\n");
            }
            '\n' => out.push_str("\r\n"),
            c => out.push(c),
        }
    }
    out
}

fn formatted(values: Vec<HeaderValue>) -> Vec<u8> {
    let mut headers = Headers::with_capacity(values.len());
    for value in values {
        headers.insert_raw(value);
    }
    headers.to_string().into_bytes()
}

/// A header whose value is printable ASCII by its making, and short.
fn pre_encoded(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// Plain where it survives folding and nobody could take a part of it for an encoded word, else in
/// encoded words (RFC 2047).
fn subject(subject: &str) -> HeaderValue {
    let plain = subject.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !subject.contains("=?")
        && subject.split(' ').all(|word| (1..=70).contains(&word.len()));
    if plain {
        return lettre::message::header::Subject::from(subject.to_owned()).display();
    }
    let name = HeaderName::new_from_ascii_str("Subject");
    HeaderValue::dangerous_new_pre_encoded(name, subject.to_owned(), encoded_words(subject))
}

/// Base64 words of whole characters, each on a line of at most 76 octets: `=?utf-8?b?` and `?=` are 12
/// octets, `Subject: ` 9, and 39 octets become 52.
fn encoded_words(text: &str) -> String {
    use base64::Engine as _;
    let mut words = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(39));
        if !words.is_empty() {
            words.push_str("\r\n ");
        }
        words.push_str("=?utf-8?b?");
        base64::engine::general_purpose::STANDARD.encode_string(word, &mut words);
        words.push_str("?=");
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests;
