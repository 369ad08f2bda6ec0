//! Makes text that a server sent fit to be shown: secrets masked, printable, short. Servers do echo
//! what they were sent, whole, cut short or encoded, so pieces of a secret count as the secret.

use std::collections::HashSet;

/// Characters of server text that ever reach a status or a log.
pub(super) const MAX_SHOWN: usize = 200;

/// Characters looked at; what lies behind is not shown, so it need not be searched.
const MAX_READ: usize = 4096;

/// A piece of a secret this long is masked wherever it stands. Shorter pieces occur in ordinary words.
const PIECE: usize = 8;

/// The text without secrets, control characters and line ends, at most [`MAX_SHOWN`] characters.
/// `secrets` are masked as they are and percent-encoded.
pub(super) fn printable(text: &str, secrets: &[&str]) -> String {
    let characters: Vec<char> = text.chars().filter(|c| !is_invisible(*c)).take(MAX_READ).collect();
    let mut hidden = vec![false; characters.len()];
    for secret in secrets {
        mark(&characters, &secret.chars().collect::<Vec<_>>(), &mut hidden);
        mark(&characters, &percent_encoded(secret).chars().collect::<Vec<_>>(), &mut hidden);
    }
    let mut shown = String::new();
    let mut before = false;
    for (c, hide) in characters.into_iter().zip(hidden) {
        match (hide, before) {
            (true, false) => shown.push_str("***"),
            (true, true) => {}
            (false, _) => shown.push(if c.is_control() { ' ' } else { c }),
        }
        before = hide;
    }
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_SHOWN {
        return line;
    }
    line.chars().take(MAX_SHOWN - 1).chain(['…']).collect()
}

/// Marks every character of `characters` that belongs to a piece of `secret`.
fn mark(characters: &[char], secret: &[char], hidden: &mut [bool]) {
    let piece = PIECE.min(secret.len());
    if piece == 0 {
        return;
    }
    let pieces: HashSet<&[char]> = secret.windows(piece).collect();
    for (at, window) in characters.windows(piece).enumerate() {
        if pieces.contains(window) {
            hidden.iter_mut().skip(at).take(piece).for_each(|mark| *mark = true);
        }
    }
}

/// As in a form body (`application/x-www-form-urlencoded`).
fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Characters without a shape of their own: they could part a secret in two for the search and not
/// for the eye, or turn a line around.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let secret = "canary-secret/+=";
        for (text, shown) in [
            ("nothing to hide", "nothing to hide"),
            ("it is canary-secret/+=.", "it is ***."),
            ("canary-secret/+=canary-secret/+=", "***"),
            ("begins canary-se", "begins ***"),
            ("ends cret/+= here", "ends cret/+= here"), // seven characters are below what counts as a piece
            ("ends ecret/+= here", "ends *** here"),
            ("canary-secret%2F%2B%3D", "***"),
            ("can\u{200b}ary-sec\u{ad}ret/+=", "***"),
            ("one\r\ntwo\tthree\u{1b}[31m \u{202e}four", "one two three [31m four"),
        ] {
            assert_eq!(printable(text, &[secret]), shown, "{text:?}");
        }
        assert_eq!(printable("a pin: 1234", &["1234"]), "a pin: ***", "a short secret counts as a whole");
        assert_eq!(printable("no secret", &[""]), "no secret");
        assert_eq!(printable(&"ä".repeat(300), &[]).chars().count(), MAX_SHOWN);
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(before in ".{0,300}", secret in "[!-~]{8,60}", after in ".{0,50}") {
            // Stars are what is put in its place.
            prop_assume!(!secret.contains('*'));
            let shown = printable(&format!("{before}{secret}{after}"), &[&secret]);
            prop_assert!(!shown.contains(&secret));
            prop_assert!(shown.chars().count() <= MAX_SHOWN && !shown.chars().any(char::is_control));
        }
    }
}
