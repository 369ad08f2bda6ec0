//! Secrets in every encoding that servers are known to echo, whole, cut and parted.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

const SECRET: &str = "Blue-horse/battery+7=";

fn mask(secret: &str) -> Mask {
    let mut mask = Mask::default();
    mask.hide(secret);
    mask.hide_name("u1@corp.example");
    mask
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Every form of a text that has to be found.
fn forms(secret: &str) -> Vec<String> {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let all = |prefix: &str, digits: usize| -> String {
        secret.encode_utf16().map(|unit| format!("{prefix}{unit:0digits$x}")).collect::<Vec<_>>().concat()
    };
    let by_bytes = |prefix: &str| -> String {
        secret.bytes().map(|byte| format!("{prefix}{byte:02X}")).collect::<Vec<_>>().concat()
    };
    let printable =
        |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("={:02X}", c as u32) };
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        percent.to_lowercase(),
        percent,
        by_bytes("%"),
        by_bytes("="),
        by_bytes("\\x"),
        by_bytes(" "),
        by_bytes(":"),
        all("\\u", 4),
        secret.chars().map(printable).collect(),
        serde_json::to_string(secret).unwrap().trim_matches('"').replace('/', "\\/"),
        hex(secret),
        hex(secret).to_uppercase(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD.encode(secret).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
    ]
}

#[test]
fn a_secret_is_found_in_each_encoding() {
    let mask = mask(SECRET);
    for form in forms(SECRET) {
        let shown = mask.line(&format!("no: {form} (sorry)"));
        // Padding is nobody's secret.
        let rest = shown.replace(['*', '=', ' ', ':', '%', '3', 'D'], "");
        assert_eq!(rest, "no(sorry)", "{form} became {shown}");
    }
}

#[test]
fn a_secret_is_found_within_a_login_and_a_header() {
    let mask = mask(SECRET);
    for said in [
        format!("\0u1@corp.example\0{SECRET}"),
        format!("user\0u1@corp.example\0{SECRET}"),
        format!("n,a=u1,\u{1}auth=Bearer {SECRET}\u{1}\u{1}"),
        format!("u1:{SECRET}"),
    ] {
        let shown = mask.masked(&format!("bad {} given", STANDARD.encode(said))).unwrap();
        let left = STANDARD.decode(shown.split(['*', ' ']).nth(1).unwrap().as_bytes()).unwrap_or_default();
        let left = String::from_utf8_lossy(&left).to_lowercase();
        assert!(!left.contains("blue") && !left.contains("horse"), "{shown}");
    }
}

#[test]
fn parted_and_cut() {
    let mask = mask(SECRET);
    for (text, shown) in [
        ("Blue-hor se/battery+7=", "***"),
        ("Blue-\r\n horse/bat\ttery+7=", "***"),
        ("Blue\u{200b}-ho\u{ad}rse/battery+7=", "***"),
        ("begins Blue-horse/ba", "begins ***"),
        ("tail e/battery+7= here", "tail *** here"),
        ("Blue-horse/battery+7=Blue-horse/battery+7=", "***"),
        ("Blue-horse/battery+7=, Blue-horse/battery+7=", "***, ***"),
        ("Blue-ho is too little", "Blue-ho is too little"),
        ("one\r\ntwo\tthree\u{1b}[31m \u{202e}four\u{9b}2J", "one two three [31m four 2J"),
        ("", ""),
    ] {
        assert_eq!(mask.line(text), shown, "{text:?}");
    }
    let line = mask.line(&format!("{}{SECRET}", "word ".repeat(36)));
    assert!(line.ends_with("word ***"), "{line}");
}

#[test]
fn names_count_as_words() {
    let mut mask = Mask::default();
    mask.hide_name("u1@corp.example");
    for (text, shown) in [
        ("mailbox u1@corp.example is full", "mailbox *** is full"),
        ("MAILBOX <U1@CORP.EXAMPLE>:", "MAILBOX <***>:"),
        ("see mail.corp.example", "see mail.corp.example"),
        ("for u1%40corp.example", "for ***"),
        ("dTFAY29ycC5leGFtcGxl it was", "*** it was"),
        ("7531 is no name", "7531 is no name"),
    ] {
        assert_eq!(mask.line(text), shown, "{text:?}");
    }
    let mut names = Mask::default();
    names.hide_name("postmaster@corp.example");
    for (text, shown) in [
        ("no Postmaster here", "no *** here"),
        ("two postmasters", "two postmasters"),
        ("at corp.example", "at corp.example"),
    ] {
        assert_eq!(names.line(text), shown, "{text:?}");
    }
}

#[test]
fn short_secrets_count_as_a_whole() {
    for (secret, text, shown) in [
        ("1234", "a pin: 1234", "a pin: ***"),
        ("hunter2", "bad password HUNTER2!", "bad password ***!"),
        ("hunter2", "bad aHVudGVyMg==", "bad ***=="),
        ("hunter2", "bad 68 75 6e 74 65 72 32", "bad ***"),
        ("", "nothing", "nothing"),
        ("abc", "616263 YWJj", "616263 YWJj"),
    ] {
        let mut mask = Mask::default();
        mask.hide(secret);
        assert_eq!(mask.line(text), shown, "{secret}");
    }
}

/// What servers say all day long is left as it is, and no memory is taken for it.
#[test]
fn ordinary_answers_are_untouched() {
    let mut mask = mask(SECRET);
    mask.hide(
        &URL_SAFE_NO_PAD.encode("a token of the usual length, of which each piece is looked for".repeat(30)),
    );
    for text in [
        "2.0.0 Ok: queued as 4bXyz12PqZz9",
        "<abc@AM0PR08MB1234.eurprd08.prod.outlook.com> [InternalId=1234567890, Hostname=AM0PR08MB1234] 17423 bytes in 0.141",
        "5.7.1 Client was not authenticated",
        "Recipient address rejected: User unknown in virtual mailbox table",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    ] {
        assert_eq!(mask.masked(text), None, "{text}");
        assert!(!mask.touches(text));
    }
    assert_eq!(format!("{mask:?}"), "Mask(***)");
}

proptest! {
    #[test]
    fn nothing_of_a_secret_is_left(before in "[ -~]{0,40}", secret in "[!-~]{8,60}", after in "[ -~]{0,40}", form in 0..18_usize) {
        // Stars are what is put in its place; a secret has to have a piece that counts.
        prop_assume!(!secret.contains('*') && Folded::new(&secret).count() >= PIECE);
        let form = &forms(&secret)[form];
        let shown = mask(&secret).masked(&format!("{before}\n{form}\n{after}")).unwrap();
        prop_assert!(!shown.contains(form), "{form} is in {shown}");
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}", secret in "\\PC{0,40}") {
        let mut mask = Mask::default();
        mask.hide(&secret);
        mask.hide_name(&secret);
        let line = mask.line(&text);
        prop_assert!(line.chars().count() <= LONGEST_LINE && !line.chars().any(char::is_control));
        prop_assert_eq!(mask.touches(&text), mask.masked(&text).is_some());
    }
}
