//! Tables for replies, capabilities and commands.

use super::*;

/// Scans `input` whole and byte by byte; both must agree.
fn scan(input: &[u8]) -> Result<Option<(u16, usize)>, Violation> {
    let whole = Scanner::default().scan(input);
    let mut scanner = Scanner::default();
    let mut stepwise = Ok(None);
    for end in 0..=input.len() {
        stepwise = scanner.scan(&input[..end]);
        if !matches!(stepwise, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole, stepwise, "{:?}", String::from_utf8_lossy(input));
    whole
}

#[test]
fn replies() {
    for (input, expected) in [
        (&b""[..], Ok(None)),
        (b"2", Ok(None)),
        (b"250", Ok(None)),
        (b"250 Ok", Ok(None)),
        (b"250 Ok\r\n", Ok(Some((250, 8)))),
        (b"250\r\n", Ok(Some((250, 5)))),
        (b"250\n", Ok(Some((250, 4)))),
        (b"250 Ok\nrest", Ok(Some((250, 7)))),
        (b"250-a\r\n250 b\r\n354 c\r\n", Ok(Some((250, 14)))),
        (b"250-a\r\n250", Ok(None)),
        (b"250-a\r\n250\r\n", Ok(Some((250, 12)))),
        (b"550 \xff\xfe\x00\r\n", Ok(Some((550, 9)))),
        (b"250-a\r\n251 b\r\n", Err(Violation::MixedCodes)),
        (b"199 a\r\n", Err(Violation::NoCode)),
        (b"600 a\r\n", Err(Violation::NoCode)),
        (b"2500 a\r\n", Err(Violation::NoCode)),
        (b"25\r\n", Err(Violation::NoCode)),
        (b"\r\n", Err(Violation::NoCode)),
        (b"HTTP/1.1 400 Bad Request\r\n", Err(Violation::NoCode)),
        (b"SSH-2.0-x\r\n", Err(Violation::NoCode)),
        (b"\x15\x03\x01\x00\x02\x02\x46", Err(Violation::Tls)),
    ] {
        assert_eq!(scan(input), expected, "{:?}", String::from_utf8_lossy(input));
    }
}

#[test]
fn replies_are_bounded() {
    let line = |start: &[u8], length: usize| [start, &vec![b'x'; length - 6], b"\r\n"].concat();
    // One line or many: the bound is the same, and up to it the length of a line means nothing.
    for length in [512, 3_000, LONGEST_REPLY - 1, LONGEST_REPLY] {
        assert_eq!(scan(&line(b"250 ", length)), Ok(Some((250, length))));
    }
    assert_eq!(scan(&line(b"250-", LONGEST_REPLY - 1)), Ok(None));
    assert_eq!(scan(&line(b"250-", LONGEST_REPLY)), Err(Violation::LongReply), "no room for the last line");
    assert_eq!(scan(&line(b"250 ", LONGEST_REPLY + 1)), Err(Violation::LongReply));
    assert_eq!(scan(&line(b"250 ", LONGEST_REPLY)[..LONGEST_REPLY - 1]), Ok(None));
    assert_eq!(scan(&vec![b'2'; LONGEST_REPLY]), Err(Violation::LongReply));
    assert_eq!(scan(&vec![b'x'; 2 * LONGEST_REPLY]), Err(Violation::NoCode));
    let full = line(b"250-", 1024).repeat(LONGEST_REPLY / 1024);
    assert_eq!(scan(&full[..63 * 1024]), Ok(None));
    assert_eq!(scan(&[full.as_slice(), b"250 x\r\n"].concat()), Err(Violation::LongReply));
    assert_eq!(scan(&[&full[..63 * 1024], b"250 x\r\n"].concat()), Ok(Some((250, 63 * 1024 + 7))));
}

#[test]
fn the_codes_of_a_long_line_count() {
    let mask = &Mask::default();
    let bytes = format!("550 5.1.1 {}\r\n", "no such user ".repeat(300));
    let reply = RawReply { code: 550, bytes: bytes.as_bytes(), mask }.to_reply();
    assert_eq!(reply.code_and_enhanced(), "550 5.1.1");
    assert_eq!(reply.safe_text().chars().count(), 200);
}

#[test]
fn lines_and_texts() {
    let mask = &Mask::default();
    let raw = RawReply { code: 550, bytes: b"550-5.7.1 a\r\n550-\r\n550-\xff\r\n550 5.7.1 b\r\n", mask };
    assert_eq!(raw.lines().collect::<Vec<_>>(), [&b"5.7.1 a"[..], b"", b"\xff", b"5.7.1 b"]);
    assert_eq!(raw.to_reply().safe_text(), "a  b");
    let bare = RawReply { code: 250, bytes: b"250\r\n", mask };
    assert_eq!((bare.lines().count(), bare.to_reply().safe_text()), (1, String::new()));
}

#[test]
fn capabilities() {
    let parse = |bytes: &[u8]| Capabilities::parse(RawReply { code: 250, bytes, mask: &Mask::default() });
    let offered = parse(
        b"250-mail.example.org PIPELINING\r\n250-size 1000\r\n250-pipelining\r\n250-Auth PLAIN login\r\n\
          250-AUTH=XOAUTH2 PLAIN\r\n250-8bitMIME\r\n250-SMTPUTF8\r\n250-STARTTLS\r\n\
          250-LIMITS RCPTMAX=50 MAILMAX=100 X\r\n250-\r\n250 Ok\r\n",
    );
    assert_eq!(
        offered,
        Capabilities {
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: true,
            size: true,
            max_message_bytes: Some(1000),
            max_recipients: Some(50),
            max_transactions: Some(100),
            auth: ["PLAIN", "LOGIN", "XOAUTH2"].map(String::from).to_vec(),
            extensions: ["SIZE", "PIPELINING", "AUTH", "8BITMIME", "SMTPUTF8", "STARTTLS", "LIMITS"]
                .map(String::from)
                .to_vec(),
        }
    );
    for (line, size, limit) in [
        ("SIZE", true, None),
        ("SIZE 0", true, None),
        ("SIZE x", true, None),
        ("SIZE 99999999999999999999999", true, None),
        ("SIZE 35882577", true, Some(35_882_577)),
        ("SIZES 1", false, None),
    ] {
        let offered = parse(format!("250-x\r\n250 {line}\r\n").as_bytes());
        assert_eq!((offered.size, offered.max_message_bytes), (size, limit), "{line}");
    }
    // The greeting line announces nothing, and what is no keyword is not shown.
    assert_eq!(parse(b"250 STARTTLS\r\n"), Capabilities::default());
    assert_eq!(parse(b"250-x\r\n250 <script>\r\n"), Capabilities::default());
}

#[test]
fn commands() {
    let written = |from, parameters| {
        let mut out = Vec::new();
        mail(&mut out, from, parameters);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written("", MailParameters::default()), "MAIL FROM:<>\r\n");
    let all = MailParameters { size: Some(1234), eight_bit: true, smtputf8: true };
    assert_eq!(written("a@b", all), "MAIL FROM:<a@b> SIZE=1234 BODY=8BITMIME SMTPUTF8\r\n");
    let mut out = Vec::new();
    rcpt(&mut out, "c@d");
    assert_eq!(out, b"RCPT TO:<c@d>\r\n");
}

#[test]
fn nothing_in_an_address_becomes_a_command() {
    let long = format!("{}@example.org", "x".repeat(250));
    for (address, fits) in [
        ("a@b", true),
        ("", true),
        ("grüße@example.org", true),
        ("a@b>\r\nRCPT TO:<c@d", false),
        ("a\rb@c", false),
        ("a\nb@c", false),
        ("a\0b@c", false),
        ("a b@c", false),
        ("a@b> SIZE=1", false),
        ("a\u{85}b@c", false),
        (long.as_str(), false),
    ] {
        assert_eq!(fits_in_path(address), fits, "{address:?}");
    }
}
