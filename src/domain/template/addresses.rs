//! Every address in the HTML that is to be sent, looked at once more, however it came there: mail programs
//! follow some kinds of addresses only, and scripts are none of them.

use super::markup::{self, Token};
use super::places::ADDRESSES;
use crate::domain::values::RecipientValues;
use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Value as Json;

/// What an address may begin with.
const SCHEMES: [&str; 5] = ["https", "http", "mailto", "tel", "cid"];

/// The first address that may not be sent: attribute, address as a browser reads it.
pub(super) fn unsafe_address(html: &str) -> Option<(String, String)> {
    for (_, token) in markup::tokens(html) {
        let Token::Open(tag) = token else { continue };
        for attribute in &tag.attributes {
            let Some(value) = &attribute.value else { continue };
            if !ADDRESSES.iter().any(|address| attribute.name.eq_ignore_ascii_case(address)) {
                continue;
            }
            let address = read(value.text);
            if !is_safe(&address) {
                return Some((attribute.name.to_owned(), address.chars().take(60).collect()));
            }
        }
    }
    None
}

/// Whose value the address came from, as far as it can be told.
pub(super) fn source(address: &str, values: &RecipientValues) -> Option<String> {
    let begins = |value: &str| {
        let value = plain(value);
        value.len() > 3 && (address.starts_with(&value) || value.starts_with(address))
    };
    let holds = |value: &Json| {
        let shown = Value::from(Serde(value)).to_string();
        begins(&shown) || !value.is_string() && shown.contains(address)
    };
    values.0.iter().find(|(_, value)| holds(value)).map(|(name, _)| name.clone())
}

fn is_safe(address: &str) -> bool {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme);
    match scheme {
        // A colon after a slash or a question mark ends no scheme.
        Some(scheme) if !scheme.contains(['/', '?', '#']) => {
            SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        }
        _ => true,
    }
}

/// The address as a browser takes it: references resolved, spaces around it, controls anywhere left out.
fn read(value: &str) -> String {
    let (mut read, mut rest) = (String::new(), value);
    while let Some(at) = rest.find('&') {
        read.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let (c, length) = reference(rest);
        read.push(c);
        rest = rest.get(length..).unwrap_or_default();
    }
    read.push_str(rest);
    plain(&read)
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

/// The character that a reference stands for, and how long it is. Of the named ones only those matter that
/// can spell a scheme.
fn reference(text: &str) -> (char, usize) {
    let named = [
        ("&colon;", ':'),
        ("&tab;", '\t'),
        ("&newline;", '\n'),
        ("&sol;", '/'),
        ("&amp;", '&'),
        ("&num;", '#'),
        ("&nbsp;", ' '),
        ("&lpar;", '('),
        ("&quot;", '"'),
    ];
    let of = |name: &str| text.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    if let Some((name, c)) = named.iter().find(|(name, _)| of(name)) {
        return (*c, name.len());
    }
    let Some(number) = text.strip_prefix("&#") else { return ('&', 1) };
    let (digits, radix, skip) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 3),
        None => (number, 10, 2),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let code = digits.get(..end).unwrap_or_default().trim_start_matches('0');
    let semicolon = usize::from(digits.get(end..).is_some_and(|rest| rest.starts_with(';')));
    match u32::from_str_radix(code, radix).ok().and_then(char::from_u32) {
        Some(c) => (c, skip + end + semicolon),
        None if end > 0 => ('\u{fffd}', skip + end + semicolon),
        None => ('&', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_addresses_pass() {
        for address in [
            "https://a.example",
            "HTTP://a",
            "mailto:a@b",
            "tel:+1",
            "cid:a",
            "#a",
            "",
            "/a:b",
            "a?b:c",
            "//a",
            "&#104;ttps://a",
        ] {
            assert_eq!(unsafe_address(&format!("<a href=\"{address}\">")), None, "{address}");
        }
        for address in [
            "javascript:a",
            " jAvA\tscript:a",
            "java&#10;script:a",
            "&#x6A;avascript:a",
            "&#0000106avascript:a",
            "javascript&colon;a",
            "java&NewLine;script:a",
            "&#1;javascript:a",
            "data:text/html,a",
            "vbscript:a",
            "file:///a",
        ] {
            for html in
                [format!("<a href=\"{address}\">"), format!("<!--[if mso]><IMG SRC='{address}'><![endif]-->")]
            {
                assert!(unsafe_address(&html).is_some(), "{html}");
            }
        }
    }
}
