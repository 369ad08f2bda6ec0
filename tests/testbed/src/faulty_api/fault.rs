//! What goes wrong with a call, and where that can happen.

use super::Kind;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is done to a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Answered with this status, and not carried out. 429 says to come back in a second.
    Answers(u16),
    /// Carried out, and answered with this status all the same.
    AnswersAfter(u16),
    /// The connection breaks, and it is not carried out.
    LostBefore,
    /// Carried out, and the connection breaks before the answer.
    LostAfter,
    /// Passed on after so long, even if nobody waits any more.
    Late(Duration),
    /// Answered as the first of its like was: old news.
    Stale,
    /// The answer breaks off in its middle.
    Torn,
    /// A watch that ends at once.
    Ends,
    /// A watch that says that its version is too old.
    Expires,
    /// Never answered; whoever asked is to be ended, before it is carried out or after.
    Stop {
        /// It is carried out.
        after: bool,
    },
}

/// What an API server tells in a watch whose version is too old.
pub(super) const EXPIRED: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version","reason":"Expired","code":410}}"#,
    "\n"
);

impl Fault {
    /// All that can go wrong with a call of this sort.
    pub fn all(kind: Kind) -> Vec<Self> {
        /// Longer than the operator waits for an answer: it is carried out when nobody believes in it any more.
        const LATE: Duration = Duration::from_secs(12);
        /// Long enough that other things happen meanwhile.
        const SLOW: Duration = Duration::from_secs(2);
        let mut all = vec![
            Self::Answers(429),
            Self::Answers(500),
            Self::Answers(504),
            Self::LostBefore,
            Self::Late(SLOW),
        ];
        all.extend(match kind {
            Kind::Get => vec![Self::LostAfter, Self::Torn, Self::Late(LATE)],
            Kind::List => {
                vec![Self::LostAfter, Self::Torn, Self::Late(LATE), Self::Answers(410), Self::Stale]
            }
            Kind::Watch => vec![Self::Ends, Self::Expires, Self::Answers(410)],
            Kind::Write => vec![
                Self::Answers(409),
                Self::LostAfter,
                Self::AnswersAfter(504),
                Self::AnswersAfter(409),
                Self::Torn,
                Self::Late(LATE),
            ],
        });
        all.push(Self::Stop { after: false });
        if kind != Kind::Watch {
            all.push(Self::Stop { after: true });
        }
        all
    }
}

/// The `reason` that goes with a status.
pub(super) const fn reason(status: u16) -> &'static str {
    match status {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        504 => "Timeout",
        _ => "InternalError",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(status) => write!(f, "answers-{status}"),
            Self::AnswersAfter(status) => write!(f, "answers-after-{status}"),
            Self::LostBefore => f.write_str("lost-before"),
            Self::LostAfter => f.write_str("lost-after"),
            Self::Late(wait) => write!(f, "late-{}", wait.as_secs()),
            Self::Stale => f.write_str("stale"),
            Self::Torn => f.write_str("torn"),
            Self::Ends => f.write_str("ends"),
            Self::Expires => f.write_str("expires"),
            Self::Stop { after: false } => f.write_str("stop-before"),
            Self::Stop { after: true } => f.write_str("stop-after"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        Ok(match text {
            "lost-before" => Self::LostBefore,
            "lost-after" => Self::LostAfter,
            "stale" => Self::Stale,
            "torn" => Self::Torn,
            "ends" => Self::Ends,
            "expires" => Self::Expires,
            "stop-before" => Self::Stop { after: false },
            "stop-after" => Self::Stop { after: true },
            _ => match text.rsplit_once('-') {
                Some(("answers", status)) => Self::Answers(number(status)?),
                Some(("answers-after", status)) => Self::AnswersAfter(number(status)?),
                Some(("late", seconds)) => Self::Late(Duration::from_secs(number(seconds)?.into())),
                _ => return Err(format!("{text} is no fault")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        for kind in [Kind::Get, Kind::List, Kind::Watch, Kind::Write] {
            for fault in Fault::all(kind) {
                assert_eq!(fault.to_string().parse(), Ok(fault));
            }
        }
        assert!("answers-often".parse::<Fault>().is_err());
    }
}
