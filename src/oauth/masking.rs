//! Makes text that a server sent fit to be shown: secrets masked, printable, short. Servers do echo
//! what they were sent, whole, cut short or encoded, so pieces of a secret count as the secret.

/// Characters of server text that ever reach a status or a log.
pub(super) const MAX_SHOWN: usize = 200;

/// Characters looked at; what lies behind is not shown, so it need not be searched.
const MAX_READ: usize = 4096;

/// A piece of a secret this long is masked wherever it stands. Shorter pieces occur in ordinary words.
const PIECE: usize = 8;

/// The text without secrets, control characters and line ends, at most [`MAX_SHOWN`] characters.
/// `secrets` are masked as they are and percent-encoded.
pub(super) fn printable(text: &str, secrets: &[&str]) -> String {
    let mut characters: Vec<char> = text.chars().filter(|c| !is_invisible(*c)).take(MAX_READ).collect();
    for secret in secrets {
        hide(&mut characters, &secret.chars().collect::<Vec<_>>());
        hide(&mut characters, &percent_encoded(secret).chars().collect::<Vec<_>>());
    }
    let words: String = characters.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ").replace(HIDDEN, "***");
    if line.chars().count() <= MAX_SHOWN {
        return line;
    }
    line.chars().take(MAX_SHOWN - 1).chain(['…']).collect()
}

/// Marks a hidden run until the end, so that no secret can be found in the stars of another one.
const HIDDEN: char = '\u{fffc}';

/// Replaces every run of `characters` that is a piece of `secret` with one [`HIDDEN`].
fn hide(characters: &mut Vec<char>, secret: &[char]) {
    let piece = PIECE.min(secret.len());
    if piece == 0 {
        return;
    }
    let pieces: std::collections::HashSet<&[char]> = secret.windows(piece).collect();
    let mut hidden = vec![false; characters.len()];
    for (at, window) in characters.windows(piece).enumerate() {
        if pieces.contains(window) {
            hidden.iter_mut().skip(at).take(piece).for_each(|mark| *mark = true);
        }
    }
    let mut before = false;
    *characters = characters
        .iter()
        .zip(hidden)
        .filter_map(|(c, hide)| {
            let first = hide && !before;
            before = hide;
            if first { Some(HIDDEN) } else { (!hide).then_some(*c) }
        })
        .collect();
}

/// As in a form body (`application/x-www-form-urlencoded`).
fn percent_encoded(text: &str) -> String {
    oauth2::url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Characters without a shape of their own: they could part a secret in two for the search and not
/// for the eye, or turn a line around.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | HIDDEN)
}
