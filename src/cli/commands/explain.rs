//! `kubectl mail explain`: the paragraph of the troubleshooting page about a reason, or about an SMTP code. The page is
//! compiled in, so it speaks about this version.

use crate::api::Reason;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output::{self, BOLD, Cell, Table, paint};
use crate::domain::likeness;
use anstyle::Style;
use clap::Args;

/// The page; each reason is a heading of the third level.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Reason of a condition, such as SecretNotBound, or SMTP code, such as 535 or 5.7.139. Default: all reasons.
    #[arg(value_name = "REASON")]
    word: Option<String>,
}

impl Explain {
    /// Prints it.
    pub fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let found = match &self.word {
            None => Reason::ALL.to_vec(),
            Some(word) => find(word)?,
        };
        if let Some(format) = flags.output {
            let all: Vec<_> = found.iter().map(|reason| serde_json::json!({
                "reason": reason.as_str(), "meaning": reason.meaning().trim(), "text": section(*reason).unwrap_or_default()
            })).collect();
            let names: Vec<_> = found.iter().map(|reason| reason.as_str()).collect();
            output::document(format, &names.join("\n"), &all)?;
            return Ok(Exit::Good);
        }
        if self.word.is_none() {
            let mut table = Table::new(&["REASON", "MEANING"]);
            for reason in found {
                table.row([Cell::new(reason.as_str(), Style::new()), reason.meaning().trim().into()]);
            }
            output::say_all(table.into_lines());
            return Ok(Exit::Good);
        }
        for (at, reason) in found.into_iter().enumerate() {
            if at > 0 {
                output::say("");
            }
            output::say(paint(BOLD, reason.as_str()));
            output::say_all(output::markdown(section(reason).unwrap_or_default(), 2));
        }
        Ok(Exit::Good)
    }
}

/// The reasons that a word is about.
fn find(word: &str) -> Result<Vec<Reason>, Failure> {
    let same = |reason: &&Reason| reason.as_str().eq_ignore_ascii_case(word);
    if let Some(reason) = Reason::ALL.iter().find(same) {
        return Ok(vec![*reason]);
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let about = |reason: &&Reason| section(**reason).is_some_and(|text| mentions(text, word));
        let found: Vec<_> = Reason::ALL.iter().filter(about).copied().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let failure = Failure::new(
            Exit::Failed,
            format!("the troubleshooting page says nothing about the code {word}"),
        );
        return Err(failure.next(match word.chars().next() {
            Some('4') => "codes that begin with 4 may pass: the operator tries again by itself",
            Some('5') => "codes that begin with 5 are final; the server's own words are in the message of the condition",
            _ => "kubectl mail explain lists all reasons",
        }));
    }
    let failure = Failure::new(Exit::Failed, format!("there is no reason {word}"));
    let meant = likeness::nearest(word, Reason::ALL.iter().map(|reason| reason.as_str()));
    Err(failure.next(match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "kubectl mail explain lists all reasons".into(),
    }))
}

/// What the page says about a reason.
fn section(reason: Reason) -> Option<&'static str> {
    let mut sections = PAGE.split("\n### ").skip(1);
    let (_, text) = sections
        .find_map(|section| section.split_once('\n').filter(|(heading, _)| *heading == reason.as_str()))?;
    text.split("\n## ").next().map(str::trim)
}

/// Whether a text has the code, not as a part of another one.
fn mentions(text: &str, code: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(code).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let mut after = text.get(at + code.len()..).unwrap_or_default().chars();
        let next = after.next();
        let longer = next == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit());
        !before.is_some_and(|c| part(c) || c == '.') && !next.is_some_and(part) && !longer
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_reason_has_a_paragraph_and_a_sentence() {
        for reason in Reason::ALL {
            assert!(section(*reason).is_some_and(|text| !text.is_empty()), "{reason}");
            assert!(reason.meaning().trim().ends_with(['.', '"']), "{reason}: {}", reason.meaning());
        }
    }

    #[test]
    fn words_are_found() {
        assert_eq!(find("secretnotbound").unwrap(), [Reason::SecretNotBound]);
        let refused = find("SecretNotBond").unwrap_err();
        assert_eq!(refused.next.unwrap(), "did you mean SecretNotBound?");
        assert!(find("5.7.139").is_ok());
        assert!(find("999").is_err());
    }

    #[test]
    fn codes_are_whole() {
        for (text, code, found) in [
            ("`535 5.7.3`", "535", true),
            ("`535 5.7.3`", "5.7.3", true),
            ("(5.7.39)", "5.7.3", false),
            ("15.7.3", "5.7.3", false),
            ("ends with 535.", "535", true),
            ("5.7.3", "5.7", false),
        ] {
            assert_eq!(mentions(text, code), found, "{code} in {text}");
        }
    }
}
