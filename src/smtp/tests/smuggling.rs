//! SMTP smuggling: whatever stands in messages and addresses, what leaves on a real connection means
//! exactly one message from and to whom it was meant, to a strict reader and to readers that also take
//! a bare LF or a bare CR for the end of a line. Or it does not leave at all.

use super::*;
use crate::domain::address::Mailbox;
use crate::domain::content::Rendered;
use crate::domain::message::{Additions, Parts, build};
use mail_operator_testbed::scripted_smtp::Step;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

/// What a reader takes for the end of a line, besides CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Strict,
    BareLf,
    BareCr,
}

/// What a reader finds in a session's bytes.
#[derive(Debug, PartialEq, Eq, Default)]
struct Found {
    commands: Vec<Vec<u8>>,
    /// Their lines, without dot-stuffing and line ends.
    messages: Vec<Vec<Vec<u8>>>,
}

impl Reader {
    /// Line and rest.
    fn line(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let crlf = bytes.windows(2).position(|pair| pair == b"\r\n").map(|at| (at, 2));
        let bare = match self {
            Self::Strict => None,
            Self::BareLf => bytes.iter().position(|byte| *byte == b'\n').map(|at| (at, 1)),
            Self::BareCr => bytes.iter().position(|byte| *byte == b'\r').map(|at| (at, 1)),
        };
        // Where both start at one byte, CRLF is the longer.
        let (at, length) = [crlf, bare].into_iter().flatten().min_by_key(|(at, length)| (*at, 2 - length))?;
        Some((&bytes[..at], &bytes[at + length..]))
    }

    /// Reads commands, and after each DATA a message up to the lone dot.
    fn read(self, mut bytes: &[u8]) -> Found {
        let mut found = Found::default();
        while let Some((command, rest)) = self.line(bytes) {
            bytes = rest;
            found.commands.push(command.to_vec());
            if command == b"DATA" {
                let mut lines = Vec::new();
                loop {
                    let (line, rest) = self.line(bytes).expect("a message has an end");
                    bytes = rest;
                    if line == b"." {
                        break;
                    }
                    lines.push(line.strip_prefix(b".").unwrap_or(line).to_vec());
                }
                found.messages.push(lines);
            }
        }
        assert!(bytes.is_empty(), "{self:?} has something left: {}", bytes.escape_ascii());
        found
    }
}

/// Sends it, and lets all readers look at what left.
async fn check(from: &str, recipients: &[&str], message: &[u8]) -> Result<bool, TestCaseError> {
    let server = ScriptedSmtp::builder().start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    let envelope = Envelope {
        from,
        recipients: recipients.to_vec(),
        size: message.len() as u64,
        eight_bit: true,
        smtputf8: false,
    };
    let accepted: Vec<&str> = match session.begin(&envelope).await {
        Ok(opened) => {
            let pairs = recipients.iter().zip(&opened.recipients);
            pairs.filter(|(_, answer)| **answer == Answer::Accepted).map(|(to, _)| *to).collect()
        }
        Err(_) => Vec::new(),
    };
    let sent = !accepted.is_empty() && matches!(session.data(message).await, DataOutcome::Accepted(_));
    session.quit().await;
    server.idle().await;
    let heard = server.heard();

    let mut intended = vec![b"EHLO client.test".to_vec()];
    if !accepted.is_empty() {
        let utf8 =
            if from.is_ascii() && recipients.iter().all(|to| to.is_ascii()) { "" } else { " SMTPUTF8" };
        let size = message.len();
        intended.push(format!("MAIL FROM:<{from}> SIZE={size} BODY=8BITMIME{utf8}").into_bytes());
        intended.extend(accepted.iter().map(|to| format!("RCPT TO:<{to}>").into_bytes()));
    }
    if sent {
        intended.push(b"DATA".to_vec());
    }
    intended.push(b"QUIT".to_vec());
    // The message by its CRLFs, the last of which may have been added.
    let text = String::from_utf8_lossy(message.strip_suffix(b"\r\n").unwrap_or(message)).into_owned();
    for reader in [Reader::Strict, Reader::BareLf, Reader::BareCr] {
        let found = reader.read(&heard);
        prop_assert_eq!(&found.commands, &intended, "{:?}", reader);
        prop_assert_eq!(found.messages.len(), usize::from(sent));
        if let Some(lines) = found.messages.first() {
            let read = String::from_utf8_lossy(&lines.join(b"\r\n".as_slice())).into_owned();
            prop_assert_eq!(read, text.clone(), "{:?}", reader);
        }
    }
    let ledger = server.ledger();
    prop_assert_eq!(ledger.len(), usize::from(sent));
    prop_assert_eq!(server.count(Step::Quit), 1);
    Ok(sent)
}

/// Pieces that have meant something to one server or another.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        1 => prop::sample::select(vec![
            "\r", "\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\n.\n", "\r\n.\r", "\r\n\0.\r\n", "\n\r\n.\r\n", "\u{85}.\u{85}",
            "\u{2028}.\u{2028}", "\u{b}.\u{b}",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec![
            ".", "..", ".\r\n", "\r\n.\r\n", "\r\n..\r\n", "\r\n. \r\n", "\0", "MAIL FROM:<evil@evil.test>\r\n",
            "RCPT TO:<evil@evil.test>\r\n", "DATA\r\n", "QUIT\r\n", "Subject: x\r\n", "From: a@b\r\n\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 1..6),
        1 => (900_usize..1100).prop_map(|length| vec![b'l'; length]),
    ];
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

/// The same with nothing but proper lines, so that most of them are sent.
fn proper() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        3 => "[.]{0,3}[ -~\u{0}é]{0,12}",
        1 => prop::sample::select(vec![".", "..", "MAIL FROM:<evil@evil.test>", "QUIT", "DATA", ""]).prop_map(String::from),
        1 => (990_usize..999).prop_map(|length| format!(".{}", "l".repeat(length - 1))),
    ];
    (prop::collection::vec(line, 1..12), any::<bool>()).prop_map(|(lines, ends)| {
        let mut message = lines.join("\r\n");
        if ends || message.is_empty() {
            message.push_str("\r\n");
        }
        message.into_bytes()
    })
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,5}@[a-z]{1,5}\\.test",
        1 => "[a-zé.<> \r\n\u{0}\u{85}\"\\\\@]{1,12}@[a-z.>\r\n ]{1,8}",
        1 => prop::sample::select(vec![
            "a@b.test>\r\nRCPT TO:<evil@evil.test", "a@b.test> SIZE=1", "a@b.test\n", "a\r@b.test", "", "\"a b\"@c.test", "<a@b.test>",
        ]).prop_map(String::from),
    ]
}

fn run<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(&Runtime, S::Value) -> Result<bool, TestCaseError>,
) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = std::cell::Cell::new(0);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(strategy, |value| {
            sent.set(sent.get() + usize::from(test(&runtime, value)?));
            Ok(())
        })
        .unwrap();
    sent.get()
}

#[test]
fn every_reader_finds_exactly_the_message() {
    let envelope = || (address(), prop::collection::vec(address(), 1..4));
    let test = |runtime: &Runtime, ((from, to), message): ((String, Vec<String>), Vec<u8>)| {
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        runtime.block_on(check(&from, &to, &message))
    };
    let sent = run(400, &(envelope(), hostile()), test);
    assert!(sent > 0, "all hostile messages were refused: they are not hostile enough");
    let sent = run(300, &(envelope(), proper()), test);
    assert!(sent > 100, "only {sent} were sent: the property says little");
}

/// The whole way: whatever people write into subjects, names and texts.
#[test]
fn what_people_write_is_sent_as_one_message() {
    let body = || {
        prop_oneof![hostile().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()), any::<String>()]
    };
    let deliver = |runtime: &Runtime,
                   (subject, name, text, html): (String, String, String, Option<String>)| {
        let from = Mailbox::parse("news@corp.test", Some(&name));
        let (Ok(from), Ok(to), Ok(content)) =
            (from, Mailbox::parse("jane@example.org", None), Rendered::new(&subject, Some(text), html))
        else {
            return Ok(false);
        };
        let date = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let copy_of = Some(to.address());
        let to = std::slice::from_ref(&to);
        let (content, additions) = (&content, &Additions::default());
        let parts =
            Parts { from: &from, reply_to: None, to, cc: &[], copy_of, content, additions, date, uid: "uid" };
        let message = build(&parts);
        let sent = runtime.block_on(check("news@corp.test", &["jane@example.org"], &message.bytes))?;
        prop_assert!(sent, "what was accepted from people can be sent");
        Ok(sent)
    };
    let names = prop_oneof![Just("News".to_owned()), ".{0,20}"];
    let sent = run(200, &("[ -~é.\u{1f600}]{1,40}", names, body(), prop::option::of(body())), deliver);
    assert!(sent > 50, "only {sent} were sent: the property says little");
}
