//! What comes out is read back by a parser that is not ours: whatever goes in, the headers are those
//! we wrote, the texts are those that went in, and the bytes are what SMTP takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;

const UID: &str = "0f9d5a5e-8f5c-4b1e-9d3b-6c1f2e7a4b10";

static NOTHING: std::sync::LazyLock<Additions> = std::sync::LazyLock::new(Additions::default);

fn mailbox(address: &str, name: Option<&str>) -> Mailbox {
    Mailbox::parse(address, name).unwrap()
}

fn content(subject: &str, text: Option<&str>, html: Option<&str>) -> Rendered {
    Rendered::new(subject, text.map(String::from), html.map(String::from)).unwrap()
}

fn built(from: &Mailbox, to: &Mailbox, content: &Rendered) -> Message {
    let date = "2026-11-24T08:15:30Z".parse().unwrap();
    build(&to_one(from, to, content, date))
}

/// The parts of a recipient's own copy.
fn to_one<'a>(from: &'a Mailbox, to: &'a Mailbox, content: &'a Rendered, date: jiff::Timestamp) -> Parts<'a> {
    let copy_of = Some(to.address());
    let to = std::slice::from_ref(to);
    Parts { from, reply_to: None, to, cc: &[], copy_of, content, additions: &NOTHING, date, uid: UID }
}

/// What a mail server takes, and nothing that could be read in two ways.
pub(super) fn assert_well_formed(message: &Message) {
    let bytes = &message.bytes;
    assert!(bytes.ends_with(b"\r\n"));
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "bare CR at {at}"),
            b'\n' => {
                assert_eq!(at.checked_sub(1).and_then(|at| bytes.get(at)), Some(&b'\r'), "bare LF at {at}");
            }
            0 => panic!("NUL at {at}"),
            _ => {}
        }
    }
    assert!(bytes.split(|b| *b == b'\n').all(|line| line.len() <= 999), "a line is too long");
    assert!(!message.eight_bit || message.smtputf8);
    assert_eq!(message.eight_bit, !bytes.is_ascii());
}

/// Names of the headers at the top, in order.
fn header_names(bytes: &[u8]) -> Vec<String> {
    let message = MessageParser::default().parse(bytes).unwrap();
    message.headers().iter().map(|header| header.name().to_owned()).collect()
}

#[test]
fn a_plain_message() {
    let message = built(
        &mailbox("it@corp.example", Some("IT Support")),
        &mailbox("anna@corp.example", None),
        &content("Welcome", Some("Hello Anna,\n.\nFrom here on it is easy.\n"), None),
    );
    assert_eq!(
        String::from_utf8(message.bytes.clone()).unwrap(),
        "Date: Tue, 24 Nov 2026 08:15:30 +0000\r\n\
         From: \"IT Support\" <it@corp.example>\r\n\
         To: anna@corp.example\r\n\
         Subject: Welcome\r\n\
         Message-ID: <0f9d5a5e-8f5c-4b1e-9d3b-6c1f2e7a4b10.bc4d1816e9a1@corp.example>\r\n\
         Auto-Submitted: auto-generated\r\n\
         X-Auto-Response-Suppress: All\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hello Anna,\r\n.\r\nFrom here on it is easy.\r\n"
    );
    assert!(!message.eight_bit && !message.smtputf8);
}

#[test]
fn both_bodies_and_every_language() {
    let text = "Grüße aus Köln\n\nЗдравствуйте";
    let html = "<p>Grüße &amp; <b>Küsse</b></p>";
    let message = built(
        &mailbox("it@bücher.example", Some("Jörg von der IT")),
        &mailbox("anna@corp.example", Some("O'Hara, \"Anna\"")),
        &content("Grüße — ваш счёт №5", Some(text), Some(html)),
    );
    assert_well_formed(&message);
    let parsed = MessageParser::default().parse(&message.bytes).unwrap();
    assert_eq!(parsed.subject(), Some("Grüße — ваш счёт №5"));
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Jörg von der IT"), Some("it@xn--bcher-kva.example")));
    let to = parsed.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (Some("O'Hara, \"Anna\""), Some("anna@corp.example")));
    assert_eq!(parsed.date().unwrap().to_rfc3339(), "2026-11-24T08:15:30Z");
    assert_eq!(parsed.content_type().unwrap().subtype(), Some("alternative"));
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), text);
    assert_eq!(parsed.body_html(0).unwrap(), html);
    assert!(!message.eight_bit && !message.smtputf8, "an international domain needs no SMTPUTF8");
}

#[test]
fn addresses_that_are_not_ascii_need_smtputf8() {
    let plain = mailbox("it@corp.example", None);
    let utf8 = mailbox("jörg@corp.example", None);
    let content = content("x", Some("y"), None);
    for message in [built(&plain, &utf8, &content), built(&utf8, &plain, &content)] {
        assert_well_formed(&message);
        assert!(message.smtputf8 && message.eight_bit);
    }
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    let (from, to) = (mailbox("it@corp.example", None), mailbox("anna@corp.example", None));
    let content = content("x", Some("text"), Some("<p>html</p>"));
    assert_eq!(built(&from, &to, &content), built(&from, &to, &content));
}

#[test]
fn message_ids() {
    let id = |uid: &str, to: &str| message_id(uid, Some(&EmailAddress::parse(to).unwrap()), "corp.example");
    let anna = id(UID, "anna@corp.example");
    assert!(anna.starts_with("<0f9d5a5e-8f5c-4b1e-9d3b-6c1f2e7a4b10.") && anna.ends_with("@corp.example>"));
    assert_eq!(anna, id(UID, "anna@CORP.example"), "a domain has no case");
    assert_ne!(anna, id(UID, "Anna@corp.example"), "who gets a message of his own has an ID of his own");
    assert_ne!(anna, id(UID, "bert@corp.example"));
    let shared = message_id(UID, None, "corp.example");
    assert!(shared.starts_with("<0f9d5a5e-8f5c-4b1e-9d3b-6c1f2e7a4b10.") && shared != anna, "{shared}");
    let odd = id("a\r\nBcc: x@y.example\r\n", "anna@corp.example");
    assert!(!odd.contains(['\r', '\n', ' ']) && odd.len() < 80, "{odd}");
}

#[test]
fn a_boundary_never_stands_in_a_text() {
    let boundary = format!("--=_{UID}");
    let message = built(
        &mailbox("it@corp.example", None),
        &mailbox("anna@corp.example", None),
        &content("x", Some(&format!("a\n{boundary}--\nb")), Some("<p>html</p>")),
    );
    let parsed = MessageParser::default().parse(&message.bytes).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), format!("a\n{boundary}--\nb"));
    assert_eq!(parsed.body_html(0).unwrap(), "<p>html</p>");
}

/// Texts as people and attackers write them.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,200}",
        "[a-zäöüß ,.;:@<>\"\\\\=?]{0,120}",
        "(=\\?utf-8\\?[bq]\\?[A-Za-z0-9_=]{0,12}\\?= ?){1,3}",
        "[A-Za-z]{900,1000}",
        "[a-z]{0,5}[\r\n\t\u{0}\u{b}\u{85}\u{2028} ]{1,3}(Bcc: x@evil\\.example)?[a-z]{0,5}",
    ]
}

fn any_body() -> impl Strategy<Value = String> {
    prop_oneof![
        any_line(),
        "([a-zé.=<>&\"' -]{0,90}(\r\n|\n|\r)){0,20}",
        "[a-z ]{2000,3000}",
        "(\\.\r?\n){1,5}",
    ]
}

proptest! {
    #[test]
    fn nothing_becomes_a_header(
        from_name in any_line(), to_name in any_line(), subject in any_line(),
        text in any_body(), html in proptest::option::of(any_body()), uid in any_line(),
    ) {
        let (Ok(from), Ok(to)) = (
            Mailbox::parse("it@corp.example", Some(&from_name)),
            Mailbox::parse("anna@corp.example", Some(&to_name)),
        ) else { return Ok(()) };
        let Ok(content) = Rendered::new(&subject, Some(text), html) else { return Ok(()) };
        let date = jiff::Timestamp::UNIX_EPOCH;
        let reply_to = EmailAddress::parse("hr@corp.example").unwrap();
        let message = build(&Parts { reply_to: Some(&reply_to), uid: &uid, ..to_one(&from, &to, &content, date) });

        assert_well_formed(&message);
        prop_assert!(message.bytes.is_ascii());
        let mut expected = vec![
            "Date", "From", "To", "Reply-To", "Subject", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type",
        ];
        if content.html().is_none() {
            expected.push("Content-Transfer-Encoding");
        }
        prop_assert_eq!(header_names(&message.bytes), expected);

        let parsed = MessageParser::default().parse(&message.bytes).unwrap();
        prop_assert_eq!(parsed.subject(), Some(content.subject()));
        let first = |address: Option<&mail_parser::Address<'_>>| {
            let first = address.and_then(|a| a.first()).unwrap();
            (first.name().map(String::from), first.address().map(String::from))
        };
        prop_assert_eq!(parsed.to().unwrap().iter().count(), 1);
        prop_assert_eq!(first(parsed.to()), (to.display_name().map(String::from), Some("anna@corp.example".into())));
        prop_assert_eq!(first(parsed.from()), (from.display_name().map(String::from), Some("it@corp.example".into())));
        let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned();
        prop_assert_eq!(lines(&parsed.body_text(0).unwrap()), lines(content.text().unwrap()));
        if let Some(html) = content.html() {
            prop_assert_eq!(lines(&parsed.body_html(0).unwrap()), lines(html));
        }
    }

    #[test]
    fn any_date_is_a_date(seconds in -62_000_000_000i64..253_000_000_000) {
        let date = jiff::Timestamp::from_second(seconds).unwrap();
        let (from, to) = (mailbox("it@corp.example", None), mailbox("anna@corp.example", None));
        let content = content("x", Some("y"), None);
        let message = build(&to_one(&from, &to, &content, date));
        assert_well_formed(&message);
        let parsed = MessageParser::default().parse(&message.bytes).unwrap();
        if seconds >= 0 {
            prop_assert_eq!(parsed.date().unwrap().to_timestamp(), seconds);
        }
    }
}
