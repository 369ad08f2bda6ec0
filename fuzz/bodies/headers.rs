//! Names, addresses, subjects and bodies that were accepted, built into a message and read by a parser
//! of another make: the headers are ours, each once, the texts are those that went in, and the bytes
//! are what SMTP takes.

use mail_operator::api::notification::HeaderField;
use mail_operator::domain::address::{EmailAddress, Mailbox};
use mail_operator::domain::content::Rendered;
use mail_operator::domain::message::{Additions, Attachment, OwnFields, Parts, build};
use mail_parser::{MessageParser, MimeHeaders as _};

/// From's address and name, To's address and name, Reply-To, uid, subject, text, HTML, a file's name and text, a field of
/// one's own, a conversation, with NUL between them.
pub fn headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parts: Vec<&str> = text.split('\0').collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let some = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    let Ok(from) = Mailbox::parse(part(0), some(1)) else { return };
    let Ok(to) = Mailbox::parse(part(2), some(3)) else { return };
    let reply_to = EmailAddress::parse(part(4)).ok();
    let Ok(content) = Rendered::new(part(6), some(7).map(String::from), some(8).map(String::from)) else {
        return;
    };
    let file =
        some(9).and_then(|name| Attachment::new(name, None, false, part(10).as_bytes().to_vec().into()).ok());
    let own = some(11).map(|value| HeaderField { name: "X-Own".into(), value: value.into() });
    let fields = OwnFields::new(own.as_slice(), false).ok();
    let written = fields.is_some() && own.is_some();
    let additions = Additions {
        fields: fields.unwrap_or_default(),
        attachments: file.iter().cloned().collect(),
        thread: some(12).map(String::from),
    };
    let date = "2026-11-24T08:15:30Z".parse().expect("a date");
    let parts = Parts {
        from: &from,
        reply_to: reply_to.as_ref(),
        to: std::slice::from_ref(&to),
        cc: &[],
        copy_of: Some(to.address()),
        content: &content,
        additions: &additions,
        date,
        uid: part(5),
    };
    let message = build(&parts);
    assert_eq!(message, build(&parts), "the same parts give the same bytes");
    check_bytes(&message.bytes);
    assert_eq!(message.eight_bit, !message.bytes.is_ascii());
    assert!(!message.eight_bit || message.smtputf8);

    let mut expected = vec!["Date", "From", "To"];
    expected.extend(reply_to.as_ref().map(|_| "Reply-To"));
    expected.extend(["Subject", "Message-ID"]);
    if additions.thread.is_some() {
        expected.extend(["In-Reply-To", "References"]);
    }
    expected.extend(["Auto-Submitted", "X-Auto-Response-Suppress"]);
    expected.extend(written.then_some("X-Own"));
    expected.extend(["MIME-Version", "Content-Type"]);
    let names = names(&message.bytes);
    let names: Vec<_> = names.iter().filter(|name| *name != "Content-Transfer-Encoding").collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>());

    let parsed = MessageParser::default().parse(&message.bytes).expect("a message");
    let from_parsed = parsed.from().and_then(|from| from.first()).expect("From");
    assert_eq!(from_parsed.address(), Some(from.address().as_str()));
    let to_parsed = parsed.to().and_then(|to| to.first()).expect("To");
    assert_eq!(to_parsed.address(), Some(to.address().as_str()));
    assert!(
        parsed.to().is_some_and(|to| to.iter().count() == 1)
            && parsed.bcc().is_none()
            && parsed.cc().is_none()
    );
    // Spaces around a name are nobody's.
    let name = parsed.attachments().next().and_then(|part| part.attachment_name().map(str::trim));
    assert_eq!(name, file.as_ref().map(|file| file.name().trim()));
    // The words survive; where one header line ends and the next begins, spaces may be folded.
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>().concat();
    assert_eq!(words(parsed.subject().unwrap_or_default()), words(content.subject()));
}

/// A parser of our own for the least that matters: line ends, lengths, NUL.
fn check_bytes(bytes: &[u8]) {
    assert!(bytes.ends_with(b"\r\n") && !bytes.contains(&0));
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        assert!(line.len() <= 999, "line {index} is too long");
        assert_eq!(
            line.iter().filter(|byte| **byte == b'\r').count(),
            usize::from(!line.is_empty() || index == 0)
        );
        assert!(line.is_empty() || line.ends_with(b"\r"), "line {index} ends with a bare LF");
    }
}

/// The names of the header lines, in order.
fn names(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    starts.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}
