//! `kubectl mail explain`: the paragraph of the troubleshooting page about a reason, or about what the operator makes of
//! a mail server's answer. The page is compiled in, so it speaks about this version.

use crate::api::Reason;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output::{self, BOLD, Cell, Table, paint};
use crate::domain::failure::{LoginKind, Phase, Reply, classify};
use crate::domain::likeness;
use anstyle::Style;
use clap::Args;

/// The page; each reason is a heading of the third level.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// The steps of a session at which a server's answer has a meaning of its own.
const STEPS: [(Phase, &str); 4] = [
    (Phase::Auth, "at the login"),
    (Phase::MailFrom, "to the sender"),
    (Phase::RcptTo, "to a recipient"),
    (Phase::FinalDot, "to the message"),
];

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Reason of a condition, such as SecretNotBound, or a mail server's answer, such as 535, 5.7.60 or "550 5.1.1 No
    /// such user". Default: all reasons.
    #[arg(value_name = "REASON")]
    word: Option<String>,
}

/// A reason, and where a server's answer means it.
struct Found {
    reason: Reason,
    steps: Vec<&'static str>,
}

impl Explain {
    /// Prints it.
    pub fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let found = match &self.word {
            None => Reason::ALL.iter().map(|reason| Found { reason: *reason, steps: Vec::new() }).collect(),
            Some(word) => find(word)?,
        };
        if let Some(format) = flags.output {
            let one = |Found { reason, steps }: &Found| {
                serde_json::json!({
                    "reason": reason.as_str(), "meaning": reason.meaning().trim(), "text": section(*reason), "steps": steps
                })
            };
            let names: Vec<_> = found.iter().map(|found| found.reason.as_str()).collect();
            output::document(format, &names.join("\n"), &found.iter().map(one).collect::<Vec<_>>())?;
            return Ok(Exit::Good);
        }
        if self.word.is_none() {
            let mut table = Table::new(&["REASON", "MEANING"]);
            for Found { reason, .. } in found {
                table.row([Cell::new(reason.as_str(), Style::new()), reason.meaning().trim().into()]);
            }
            output::say_all(table.into_lines());
            return Ok(Exit::Good);
        }
        for (at, Found { reason, steps }) in found.into_iter().enumerate() {
            if at > 0 {
                output::say("");
            }
            let steps = if steps.is_empty() {
                String::new()
            } else {
                format!(" (as the answer {})", steps.join(", "))
            };
            output::say(format_args!("{}{steps}", paint(BOLD, reason.as_str())));
            let text = section(reason).unwrap_or_else(|| reason.meaning().trim());
            output::say_all(output::markdown(text, 2));
        }
        Ok(Exit::Good)
    }
}

/// The reasons that a word is about.
fn find(word: &str) -> Result<Vec<Found>, Failure> {
    let same = |reason: &&Reason| reason.as_str().eq_ignore_ascii_case(word);
    if let Some(reason) = Reason::ALL.iter().find(same) {
        return Ok(vec![Found { reason: *reason, steps: Vec::new() }]);
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let reply = reply(word).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{word} is no answer of a mail server that refuses something"))
                .next("such answers begin with 4 or 5: 535, 5.7.60, or the whole line in quotes")
        })?;
        let mut found: Vec<Found> = Vec::new();
        for (phase, step) in STEPS {
            let reason = classify(phase, &reply, LoginKind::Password).reason;
            match found.iter_mut().find(|found| found.reason == reason) {
                Some(found) => found.steps.push(step),
                None => found.push(Found { reason, steps: vec![step] }),
            }
        }
        if let [only] = found.as_mut_slice() {
            only.steps.clear(); // the same wherever it comes
        }
        return Ok(found);
    }
    let failure = Failure::new(Exit::Failed, format!("there is no reason {word}"));
    let meant = likeness::nearest(word, Reason::ALL.iter().map(|reason| reason.as_str()));
    Err(failure.next(match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "kubectl mail explain lists all reasons".into(),
    }))
}

/// A refusal as a server writes it: a code, an enhanced code, or both with text.
fn reply(text: &str) -> Option<Reply> {
    let text = text.trim();
    let first = text.split_whitespace().next()?;
    let class: u16 = first.chars().next()?.to_digit(10)?.try_into().ok()?;
    if class != 4 && class != 5 {
        return None;
    }
    if first.contains('.') {
        // The usual code of the class stands for the one that is not given.
        return Some(Reply::new(class * 100 + 50, [text]));
    }
    let code = first.get(..3).filter(|digits| digits.len() == first.len())?.parse().ok()?;
    Some(Reply::new(code, [text.get(3..).unwrap_or_default()]))
}

/// What the page says about a reason.
fn section(reason: Reason) -> Option<&'static str> {
    let mut sections = PAGE.split("\n### ").skip(1);
    let (_, text) = sections
        .find_map(|section| section.split_once('\n').filter(|(heading, _)| *heading == reason.as_str()))?;
    text.split("\n## ").next().map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_reason_has_a_sentence() {
        for reason in Reason::ALL {
            assert!(reason.meaning().trim().ends_with('.'), "{reason}: {}", reason.meaning());
        }
        assert!(section(Reason::SecretNotBound).is_some_and(|text| text.contains("kubectl annotate secret")));
    }

    #[test]
    fn words_and_answers_are_found() {
        let reasons =
            |word| find(word).map(|found| found.iter().map(|found| found.reason).collect::<Vec<_>>());
        assert_eq!(reasons("secretnotbound").unwrap(), [Reason::SecretNotBound]);
        assert_eq!(reasons("SecretNotBond").unwrap_err().next.unwrap(), "did you mean SecretNotBound?");
        for (answer, first) in [
            ("535", Reason::AuthenticationFailed),
            ("550 5.1.1 No such user", Reason::RecipientRefused),
            ("535 5.7.139 basic authentication is disabled", Reason::BasicAuthDisabled),
            ("5.7.60", Reason::SendAsDenied),
            ("432 4.3.2 Concurrent connections limit exceeded", Reason::Throttled),
        ] {
            assert!(reasons(answer).unwrap().contains(&first), "{answer}");
        }
        for wrong in ["250", "5", "55", "5500", "550-x"] {
            assert!(reasons(wrong).is_err(), "{wrong}");
        }
    }
}
