//! Whatever goes in comes out, as a parser that is not ours reads it: addresses, names, texts, files, fields; and the
//! bytes are what SMTP takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::anything::{Sample, anything};
use super::*;
use mail_parser::{HeaderForm, MessageParser, MimeHeaders as _};
use proptest::prelude::*;

fn mailboxes(address: Option<&mail_parser::Address<'_>>) -> Vec<(Option<String>, String)> {
    let all = address.into_iter().flat_map(|address| address.iter());
    all.map(|one| (one.name().map(String::from), one.address().unwrap_or_default().to_owned())).collect()
}

fn expected(of: &[Mailbox]) -> Vec<(Option<String>, String)> {
    of.iter().map(|one| (one.display_name().map(String::from), one.address().to_string())).collect()
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

fn check(sample: &Sample) -> Result<(), TestCaseError> {
    let message = build(&sample.parts());
    prop_assert_eq!(&message, &build(&sample.parts()));
    tests::assert_well_formed(&message);
    prop_assert!(message.smtputf8 || message.bytes.is_ascii());
    // What can be folded is, at spaces: all but long words and the addresses themselves.
    let head = String::from_utf8_lossy(&message.bytes);
    for line in head.split("\r\n").take_while(|line| !line.is_empty()) {
        let longest = line.trim_start().split(' ').map(str::len).max().unwrap_or_default();
        let folded = line.chars().count() <= 78 || longest > 50 || line.contains("  ") || line.contains('@');
        prop_assert!(folded, "not folded: {}", line);
    }
    let parsed = MessageParser::default().parse(&message.bytes).unwrap();
    prop_assert_eq!(mailboxes(parsed.from()), expected(std::slice::from_ref(&sample.from)));
    prop_assert_eq!(mailboxes(parsed.to()), expected(&sample.to));
    prop_assert_eq!(mailboxes(parsed.cc()), expected(&sample.cc));
    prop_assert!(parsed.bcc().is_none());
    prop_assert_eq!(parsed.subject(), Some(sample.content.subject()));
    let text = parsed.text_bodies().next().unwrap();
    prop_assert_eq!(lines(text.text_contents().unwrap()), lines(sample.linked.text().unwrap()));
    if let Some(html) = sample.linked.html() {
        prop_assert_eq!(lines(&parsed.body_html(0).unwrap()), lines(html));
    }
    for (name, value) in &sample.fields {
        // The parser knows what of ours is no text.
        let form = if name.starts_with("X-") { HeaderForm::Text } else { HeaderForm::Raw };
        let found: Vec<_> = parsed
            .header_as(name.as_str(), form)
            .into_iter()
            .filter_map(|value| value.as_text().map(|text| text.trim().replace("\r\n", "")))
            .collect();
        prop_assert_eq!(found, [value.trim()], "{}", name);
    }
    // Inline images come first, since they are in the inner part.
    let mut files: Vec<_> = sample.files.iter().collect();
    files.sort_by_key(|file| !file.inline);
    let found: Vec<_> = parsed.attachments().collect();
    prop_assert_eq!(found.len(), files.len());
    for (part, file) in found.into_iter().zip(files) {
        prop_assert_eq!(part.attachment_name(), Some(file.name.as_str()));
        prop_assert_eq!(raw(&message.bytes, part), &file.bytes[..]);
        let named = part.content_id().map(|id| format!("\"cid:{id}\""));
        prop_assert_eq!(named.is_some(), file.inline);
        if let Some(named) = named {
            prop_assert!(sample.linked.html().unwrap().contains(&named));
        }
    }
    Ok(())
}

/// A part's octets: the parser makes text of those that it thinks are.
fn raw(bytes: &[u8], part: &mail_parser::MessagePart<'_>) -> Vec<u8> {
    use base64::Engine as _;
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    let text: Vec<u8> = bytes[range].iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_goes_in_comes_out(sample in anything()) {
        check(&sample)?;
    }
}

/// As many as a Notification may name.
#[test]
fn a_thousand_recipients_are_folded() {
    let to: Vec<_> = (0..1000)
        .map(|n| {
            Mailbox::parse(&format!("somebody.{n}@corp.example"), Some("O'Hara, \"Anna\" Żółć")).unwrap()
        })
        .collect();
    let from = Mailbox::parse("it@corp.example", None).unwrap();
    let content = Rendered::new("x", Some("y".into()), None).unwrap();
    let additions = Additions::default();
    let date = jiff::Timestamp::UNIX_EPOCH;
    let parts = Parts {
        from: &from,
        reply_to: None,
        to: &to,
        cc: &to,
        copy_of: None,
        content: &content,
        additions: &additions,
        date,
        uid: "uid",
    };
    let message = build(&parts);
    let text = String::from_utf8(message.bytes.clone()).unwrap();
    assert!(text.split("\r\n").all(|line| line.len() <= 78), "a line is too long");
    let parsed = MessageParser::default().parse(&message.bytes).unwrap();
    assert_eq!(mailboxes(parsed.to()), expected(&to));
    assert_eq!(mailboxes(parsed.cc()), expected(&to));
}
