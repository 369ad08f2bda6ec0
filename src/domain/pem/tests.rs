//! Thirty ways in which files come to harm, each with a key in it that is searched for in what is said.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use super::*;
use mail_operator_testbed::certificates::CertificateAuthority;

/// A file and what it became on its way into a Secret.
pub(crate) fn broken_forms(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> = good.lines().collect();
    let body: String = lines.iter().filter(|line| !line.starts_with("-----")).copied().collect();
    let der = STANDARD.decode(&body).unwrap();
    let first = lines.first().copied().unwrap();
    let last = lines.last().copied().unwrap();
    let text = |text: String| text.into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("spaces", text(" \n\n ".into())),
        ("spaces for line breaks", text(good.replace('\n', " "))),
        ("no line breaks", text(good.replace('\n', ""))),
        ("written line breaks", text(good.replace('\n', "\\n"))),
        ("written line breaks in quotes", text(format!("\"{}\"", good.replace('\n', "\\n")))),
        ("written CR and LF", text(good.replace('\n', "\\r\\n"))),
        ("commas for line breaks", text(good.replace('\n', ","))),
        ("tabs for line breaks", text(good.replace('\n', "\t"))),
        ("semicolons for line breaks", text(good.replace('\n', ";"))),
        ("without its end", text(good.replace(last, ""))),
        ("without its beginning", text(good.replace(first, ""))),
        ("cut in the middle", good.as_bytes()[..good.len() / 2].to_vec()),
        ("cut in the first line", good.as_bytes()[..20].to_vec()),
        ("cut in the last line", good.as_bytes()[..good.len() - 12].to_vec()),
        ("base64 only", text(body.clone())),
        ("encoded twice", text(STANDARD.encode(good))),
        (
            "encoded twice in lines",
            text(
                STANDARD
                    .encode(good)
                    .as_bytes()
                    .chunks(64)
                    .map(|line| String::from_utf8_lossy(line) + "\n")
                    .collect(),
            ),
        ),
        ("encoded three times", text(STANDARD.encode(STANDARD.encode(good)))),
        ("DER", der.clone()),
        ("hex", text(hex(&der))),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (
            "zeroes at the end",
            [good.as_bytes(), &[0, 0]].concat().into_iter().map(|b| if b == b'-' { 0 } else { b }).collect(),
        ),
        ("four dashes", text(good.replace("-----", "----"))),
        ("typographic dashes", text(good.replace("-----", "—————"))),
        ("other label", text(good.replace("BEGIN", "BEGINNING"))),
        ("labels that differ", text(good.replacen("BEGIN ", "BEGIN X ", 1))),
        ("quoted lines", text(format!("> {}", lines.join("\n> ")))),
        ("as JSON", text(format!("{{\"key\": {good:?}}}"))),
        ("a stray letter", text(good.replacen(&body[..8], &format!("é{}", &body[1..8]), 1))),
    ]
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat()
}

/// The base64 of a PEM file.
fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// Whether a text gives away eight octets or more of a file, in whichever way it is written.
#[track_caller]
pub(crate) fn gives_nothing_away(said: &str, pem: &str, form: &str) {
    let body = body(pem);
    for at in 0..body.len() - 8 {
        let piece = &body[at..at + 8];
        let octets = piece.as_bytes();
        let decimal = octets.iter().map(ToString::to_string).collect::<Vec<_>>();
        let hex = hex(octets);
        for found in [piece.to_owned(), decimal.join(", "), decimal.join(","), decimal.join(" "), hex] {
            assert!(!said.to_lowercase().contains(&found.to_lowercase()), "{form}: {said}");
        }
        assert!(!said.contains(STANDARD.encode(octets).trim_end_matches('=')), "{form}: {said}");
    }
}

#[test]
fn broken_files_are_told_in_words_of_our_own() {
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let pair = authority.client("robot").unwrap();
    let (key, chain) = (pair.key_pem.as_str(), pair.certificate_pem.as_str());
    assert_eq!(broken_forms(key).len(), 30);
    for (form, bytes) in broken_forms(key) {
        let broken = signing_key(&bytes).err().unwrap_or_else(|| panic!("{form} was read"));
        gives_nothing_away(&broken.to_string(), key, form);
        gives_nothing_away(&format!("{broken:?}"), key, form);
        let error = super::pair(chain.as_bytes(), &bytes).err().unwrap();
        gives_nothing_away(&format!("{error} {error:?}"), key, form);
        // A key where a certificate belongs, which is how somebody reads one who may name Secrets only.
        let broken = roots(&bytes).err().unwrap();
        gives_nothing_away(&format!("{broken} {broken:?}"), key, form);
        let bundle = [chain.as_bytes(), &bytes].concat();
        if let Err(broken) = roots(&bundle) {
            gives_nothing_away(&format!("{broken} {broken:?}"), key, form);
        }
    }
    for (form, bytes) in broken_forms(chain) {
        let broken = roots(&bytes).err().unwrap_or_else(|| panic!("{form} was read"));
        gives_nothing_away(&broken.to_string(), chain, form);
    }
}

#[test]
fn what_happened_to_it_is_recognised() {
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let pair = authority.client("robot").unwrap();
    let expected = |form: &str, other: Broken| match form {
        "nothing" | "spaces" => Broken::Empty,
        "spaces for line breaks"
        | "no line breaks"
        | "commas for line breaks"
        | "tabs for line breaks"
        | "semicolons for line breaks" => Broken::OneLine,
        "written line breaks" | "written line breaks in quotes" | "written CR and LF" | "as JSON" => {
            Broken::WrittenLineBreaks
        }
        "encoded twice" | "encoded twice in lines" => Broken::EncodedTwice,
        "DER" | "UTF-16" | "zeroes at the end" => Broken::Binary,
        "without its end"
        | "cut in the middle"
        | "cut in the last line"
        | "a stray letter"
        | "base64 only" => Broken::Incomplete,
        _ => other,
    };
    for (form, bytes) in broken_forms(&pair.certificate_pem) {
        let found = roots(&bytes).err().unwrap();
        let expected = expected(form, found);
        assert_eq!(found, expected, "{form}");
    }
}

#[test]
fn whole_files_are_read() {
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let pair = authority.client("robot").unwrap();
    let (key, chain) = (&pair.key_pem, &pair.certificate_pem);
    let described = format!("Certificate:\n    Data: x\n{chain}");
    for (chain, key) in [
        (chain.clone(), key.clone()),
        (chain.replace('\n', "\r\n"), key.replace('\n', "\r\n")),
        (described, format!("{key}\n\n")),
        (format!("{key}{chain}"), format!("{chain}{key}")),
    ] {
        assert!(super::pair(chain.as_bytes(), key.as_bytes()).is_ok(), "{chain}");
    }
    let other = authority.client("other").unwrap();
    let error = super::pair(chain.as_bytes(), other.key_pem.as_bytes()).err();
    assert_eq!(error, Some(BrokenPair::Key(Broken::OtherKey)));
}
