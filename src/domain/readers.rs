//! Who may read the metrics, where not everybody may: whoever holds a token that the API server knows, of somebody who
//! may `get` their path. What the API server said is remembered for a short time, by the token's digest.

use crate::domain::secret::Secret;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What a reader needs the right to `get`.
pub const PATH: &str = "/metrics";

/// How long a permission counts: for as long a right that was taken away still works.
const PERMITTED_FOR: Duration = Duration::from_secs(30);

/// How long a refusal counts: for as long a right that was just given does not work yet.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Tokens remembered of each kind. A handful read metrics.
const MAX: usize = 256;

/// Longer than any token of a ServiceAccount.
const MAX_TOKEN: usize = 16 * 1024;

/// What the API server says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its holder may read.
    Permitted,
    /// The API server does not know it.
    Unknown,
    /// The API server knows its holder, who may not read.
    Forbidden,
}

/// The token in an `Authorization` header, if there is one.
pub fn bearer(header: &[u8]) -> Option<Secret> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_token =
        (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then(|| Secret::new(token.to_owned()))
}

/// What a token is remembered by.
pub type Fingerprint = [u8; 32];

/// Of a token.
pub fn fingerprint(token: &Secret) -> Fingerprint {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// Verdicts of the last seconds. Refusals have a place of their own: however many tokens somebody makes up, those that
/// are permitted stay remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    permitted: HashMap<Fingerprint, Instant>,
    refused: HashMap<Fingerprint, (Verdict, Instant)>,
}

impl Remembered {
    /// What was said of a token, if that still counts.
    pub fn verdict(&self, token: &Fingerprint, now: Instant) -> Option<Verdict> {
        let counts = |said: Instant, long: Duration| now.saturating_duration_since(said) < long;
        if let Some(said) = self.permitted.get(token)
            && counts(*said, PERMITTED_FOR)
        {
            return Some(Verdict::Permitted);
        }
        let (verdict, said) = self.refused.get(token)?;
        counts(*said, REFUSED_FOR).then_some(*verdict)
    }

    /// Remembers what was said of a token.
    pub fn note(&mut self, token: Fingerprint, verdict: Verdict, now: Instant) {
        self.permitted.retain(|_, said| now.saturating_duration_since(*said) < PERMITTED_FOR);
        self.permitted.remove(&token);
        self.refused.retain(|_, (_, said)| now.saturating_duration_since(*said) < REFUSED_FOR);
        self.refused.remove(&token);
        match verdict {
            Verdict::Permitted if self.permitted.len() < MAX => drop(self.permitted.insert(token, now)),
            Verdict::Unknown | Verdict::Forbidden if self.refused.len() < MAX => {
                self.refused.insert(token, (verdict, now));
            }
            // Asked about at each request.
            Verdict::Permitted | Verdict::Unknown | Verdict::Forbidden => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_its_header_and_nothing_else_is() {
        let token = |header: &[u8]| bearer(header).map(|token| token.expose().to_owned());
        for header in ["Bearer abc.d-e_f", "bearer abc.d-e_f", "BEARER  abc.d-e_f "] {
            assert_eq!(token(header.as_bytes()).as_deref(), Some("abc.d-e_f"), "{header}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        for header in
            ["", "Bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Basic YTpi", "abc", "Bearer ä", &long]
        {
            assert_eq!(token(header.as_bytes()), None, "{header:.20}");
        }
        assert_eq!(token(b"Bearer \xff"), None);
    }

    #[test]
    fn verdicts_are_remembered_for_seconds_and_a_flood_of_tokens_displaces_no_reader() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let print = |name: &str| fingerprint(&Secret::new(name.to_owned()));
        let mut remembered = Remembered::default();
        remembered.note(print("reader"), Verdict::Permitted, start);
        for number in 0..2 * MAX {
            remembered.note(print(&number.to_string()), Verdict::Unknown, start);
        }
        assert_eq!(remembered.refused.len(), MAX);
        assert_eq!(remembered.verdict(&print("reader"), at(29)), Some(Verdict::Permitted));
        assert_eq!(remembered.verdict(&print("reader"), at(30)), None, "a right that was taken away ends");
        assert_eq!(remembered.verdict(&print("0"), at(9)), Some(Verdict::Unknown));
        assert_eq!(remembered.verdict(&print("0"), at(10)), None, "a right that was given begins");
        assert_eq!(remembered.verdict(&print("stranger"), start), None);

        remembered.note(print("reader"), Verdict::Forbidden, at(11));
        assert_eq!(
            remembered.verdict(&print("reader"), at(12)),
            Some(Verdict::Forbidden),
            "the last word counts"
        );
        assert_eq!(
            (remembered.permitted.len(), remembered.refused.len()),
            (0, 1),
            "what is over is forgotten"
        );
    }
}
