//! Bytes where a reply is due: scanned whole and in pieces alike, never beyond the bounds, and turned
//! into failures whose words are short, printable and, before login, our own.

use mail_operator::domain::failure::{LoginKind, Phase, Reply, classify};
use mail_operator::domain::masking::Mask;
use mail_operator::smtp::protocol::{Capabilities, LONGEST_REPLY, RawReply, Scanner};

/// The first byte says into how many pieces the rest is cut.
pub fn reply(data: &[u8]) {
    let Some((pieces, input)) = data.split_first() else { return };
    let whole = Scanner::default().scan(input);
    let mut scanner = Scanner::default();
    let mut stepwise = Ok(None);
    let step = input.len() / (usize::from(*pieces) + 1) + 1;
    for end in (0..input.len()).step_by(step).chain([input.len()]) {
        stepwise = scanner.scan(&input[..end]);
        if !matches!(stepwise, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole, stepwise, "whole and in pieces");
    if let Some(expected) = strict(input) {
        assert_eq!(whole, Ok(Some(expected)), "what RFC 5321 calls a reply is one");
    }
    let Ok(Some((code, length))) = whole else { return };
    assert!((200..600).contains(&code) && length <= input.len() && length <= LONGEST_REPLY);
    assert_eq!(Scanner::default().scan(&input[..length]), whole, "what follows a reply does not matter");
    assert_eq!(Scanner::default().scan(&input[..length - 1]), Ok(None), "a reply has one end");
    let raw = RawReply { code, bytes: &input[..length], mask: &Mask::default() };
    assert!(raw.lines().all(|line| line.len() < LONGEST_REPLY && !line.contains(&b'\n')));
    let offered = Capabilities::parse(raw);
    assert!(offered.extensions.len() <= 64 && offered.auth.len() <= 64);
    let words = offered.extensions.iter().chain(&offered.auth);
    assert!(
        words.into_iter().all(|word| word.len() <= 32 && word.bytes().all(|byte| byte.is_ascii_graphic()))
    );
    judge(&raw.to_reply());
}

fn judge(reply: &Reply) {
    let shown = reply.safe_text();
    assert!(shown.chars().count() <= 200 && !shown.contains('@') && is_one_line(&shown), "{shown:?}");
    // Two replies that differ in their words only.
    let mut other = Reply::new(reply.code, ["canary"]);
    other.enhanced = reply.enhanced;
    for phase in Phase::ALL {
        for login in [LoginKind::None, LoginKind::Password, LoginKind::OAuth2, LoginKind::Certificate] {
            let failure = classify(phase, reply, login);
            assert_eq!(failure.phase, phase);
            assert!(failure.detail.chars().count() < 1_000 && is_one_line(&failure.detail), "{failure}");
            let before_login = phase <= Phase::Auth;
            assert!(!(before_login && classify(phase, &other, login).detail.contains("canary")));
        }
    }
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// RFC 5321 section 4.2, to the letter: code and length of the reply that `input` starts with.
fn strict(input: &[u8]) -> Option<(u16, usize)> {
    let mut length = 0;
    let mut first = None;
    loop {
        let rest = &input[length..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = &rest[..end];
        let is_text = |byte: &u8| *byte == b'\t' || (32..127).contains(byte);
        if line.len() > 510 || line.len() < 4 || !line.iter().all(is_text) {
            return None;
        }
        let code: u16 = std::str::from_utf8(&line[..3]).ok()?.parse().ok()?;
        if !line[..3].iter().all(u8::is_ascii_digit) || !(200..600).contains(&code) {
            return None;
        }
        if *first.get_or_insert(code) != code {
            return None;
        }
        length += end + 2;
        if length > 60 * 1024 {
            return None;
        }
        match line[3] {
            b' ' => return Some((code, length)),
            b'-' => {}
            _ => return None,
        }
    }
}
