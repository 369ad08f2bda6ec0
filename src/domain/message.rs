//! The bytes of a mail, as a pure function of what it says and to whom: sent again, they are the
//! same. Everything that comes in is already validated by its type, so that nothing can fail here
//! and nothing in a text can become a header; encodings keep the bytes 7-bit except for addresses
//! that are not ASCII. Dot-stuffing is the SMTP session's.

mod attachment;
mod body;
mod fields;
mod inline;

pub use attachment::{Attachment, MAX_OCTETS as MAX_ATTACHED_OCTETS, too_large};
pub use fields::OwnFields;

use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::content::Rendered;
use crate::domain::problem::Problem;
use crate::domain::recipients;
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
    /// What it says. Where there are inline attachments, its HTML went through [`link`].
    pub content: &'a Rendered,
    /// What goes with it.
    pub additions: &'a Additions,
    /// Its Date: `sendAt` or the Notification's creation, never the time of an attempt.
    pub date: jiff::Timestamp,
    /// The Notification's uid, from which Message-ID, Content-IDs and boundaries come.
    pub uid: &'a str,
}

/// What a Notification adds to every message of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Additions {
    /// Header fields of its own.
    pub fields: OwnFields,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// The conversation it belongs to: a text that all its messages have in common and others have not.
    pub thread: Option<String>,
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
    let Parts { from, reply_to, to, cc, copy_of, content, additions, date, uid } = *parts;
    let domain = from.address().domain();
    let message_id = message_id(uid, copy_of, domain);
    let mut head = String::with_capacity(1024);
    fields::plain(&mut head, "Date", &date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string());
    fields::addresses(&mut head, "From", std::slice::from_ref(from));
    for (name, mailboxes) in [("To", to), ("Cc", cc)] {
        if !mailboxes.is_empty() {
            fields::addresses(&mut head, name, mailboxes);
        }
    }
    if let Some(address) = reply_to {
        fields::addresses(&mut head, "Reply-To", &[Mailbox::from(address.clone())]);
    }
    fields::subject(&mut head, content.subject());
    fields::plain(&mut head, "Message-ID", &message_id);
    if let Some(thread) = &additions.thread {
        let root = thread_root(thread, domain);
        fields::plain(&mut head, "In-Reply-To", &root);
        fields::plain(&mut head, "References", &root);
    }
    // Automatic mail must say so, or it is answered by out-of-office replies (RFC 3834, 5); Exchange looks at the
    // second one only. Who writes another value knows better.
    for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")] {
        if !additions.fields.has(name) {
            fields::plain(&mut head, name, value);
        }
    }
    additions.fields.write(&mut head);
    head.push_str("MIME-Version: 1.0\r\n");
    let mut bytes = head.into_bytes();
    let content_id = |file: &Attachment| format!("<{}>", content_id(file, uid, domain));
    bytes.extend_from_slice(&body::formatted(content, &additions.attachments, &token(uid), &content_id));
    let named = to.iter().chain(cc).chain([from]).map(Mailbox::address);
    Message {
        envelope_from: from.address().clone(),
        message_id,
        eight_bit: !bytes.is_ascii(),
        smtputf8: named.chain(reply_to).any(EmailAddress::needs_smtputf8),
        bytes,
    }
}

/// Points each `cid:` of the HTML to the inline attachment that it names. Fails where one names nothing, or where an
/// inline attachment is not named.
pub fn link(
    content: Rendered,
    additions: &Additions,
    from: &Mailbox,
    uid: &str,
) -> Result<Rendered, Vec<Problem>> {
    let domain = from.address().domain();
    let id = |file: &Attachment| content_id(file, uid, domain);
    match inline::link(content.html(), &additions.attachments, id)? {
        Some(html) => Ok(content.with_html(html)),
        None => Ok(content),
    }
}

/// `<uid.short-hash-of-address@sender-domain>`: the same for each attempt, so that a mail server can
/// drop a second copy, and different for each recipient who has a copy of his own, telling nobody who the
/// others are.
pub fn message_id(uid: &str, copy_of: Option<&EmailAddress>, sender_domain: &str) -> String {
    // No address is this word, since each has an `@`.
    let whose = copy_of.map_or_else(|| "shared".to_owned(), |address| recipients::identity(address.as_str()));
    // 48 bits: among 1000 recipients two share a hash once in 500 million Notifications.
    let hash = hex(whose.as_bytes(), 6);
    format!("<{}.{hash}@{sender_domain}>", token(uid))
}

/// The Message-ID of a first message that nobody ever sent: all of a conversation answer to it, whichever of them a
/// recipient gets, and in whichever order.
fn thread_root(thread: &str, sender_domain: &str) -> String {
    format!("<thread.{}@{sender_domain}>", hex(thread.as_bytes(), 16))
}

/// Names are of any letters, a Content-ID is not (RFC 2392, 2).
fn content_id(file: &Attachment, uid: &str, sender_domain: &str) -> String {
    format!("{}.{}@{sender_domain}", hex(file.name().as_bytes(), 6), token(uid))
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

#[cfg(test)]
use crate::api::notification::HeaderField;
#[cfg(test)]
#[allow(clippy::unwrap_used, missing_docs)]
mod anything;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
