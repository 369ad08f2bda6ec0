//! What is wrong with a field that a person wrote, in words for that person. Checks collect all of
//! these at once instead of stopping at the first; how many of them a status shows is decided here.

use std::fmt;

/// A field, what is wrong with it and what would be right. `message` never holds control characters,
/// whatever the field held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path below `spec`, for example `message.values.name`.
    pub field: String,
    /// Lower case, without a full stop.
    pub message: String,
}

impl Problem {
    /// Joins a field and what is wrong with it. Control characters become `\u{..}` and a message
    /// longer than 500 characters is cut, since what users wrote is quoted in it.
    pub fn new(field: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self { field: printable(&field.into(), 300), message: printable(message.as_ref(), 500) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// How many problems one status message lists. A Notification with 1000 recipients can have
/// thousands of the same kind; after these the number of the others is enough.
const LISTED: usize = 20;

/// All problems as one text for a condition: at most [`LISTED`] of them, then how many more.
pub fn summary<P: fmt::Display>(problems: &[P]) -> String {
    let mut listed: Vec<_> = problems.iter().take(LISTED).map(P::to_string).collect();
    if let Some(more @ 1..) = problems.len().checked_sub(LISTED) {
        listed.push(format!("and {more} more"));
    }
    listed.join("; ")
}

/// The text with control characters made visible, at most `limit` characters long.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for (at, c) in text.chars().enumerate() {
        if at == limit {
            shown.push('…');
            break;
        }
        if c.is_control() || is_direction(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks that change the direction or order in which the text around them is shown, so that a
/// message could seem to say something else.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_a_bounded_number_and_counts_the_rest() {
        let problems: Vec<_> = (0..23).map(|n| Problem::new(format!("to[{n}]"), "is wrong")).collect();
        assert_eq!(summary(problems.get(..2).unwrap_or_default()), "to[0]: is wrong; to[1]: is wrong");
        assert!(summary(&problems).ends_with("to[19]: is wrong; and 3 more"));
        assert!(!summary(problems.get(..20).unwrap_or_default()).contains("more"));
    }

    #[test]
    fn shows_control_characters_and_cuts() {
        let problem = Problem::new("a\r\nb", format!("x\u{0}\u{202e}{}", "y".repeat(600)));
        assert_eq!(problem.field, r"a\u{d}\u{a}b");
        assert!(problem.message.starts_with(r"x\u{0}\u{202e}yyy") && problem.message.ends_with("y…"));
    }
}
