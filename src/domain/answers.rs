//! Whether a mail server answers at the end of a message. One whose last answer never arrives, or cannot be read, may have
//! taken the message and may not: each is in doubt, and is sent again or waits for a person. Once may be an accident,
//! several in a row are a fault of the server or of what stands before it, which its MailServerConfig should say.

use jiff::Timestamp;

/// Messages in a row, from which on it is told. A server that restarts loses the answers of the sessions it had.
const TOLD_FROM: u32 = 3;

/// Messages in a row that a server gave no answer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LostAnswers {
    count: u32,
    told: Option<Told>,
}

/// What the status says. It changes with the third, tenth, hundredth and so on, so that it costs few writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// At least so many in a row.
    pub count: u32,
    /// When the last of them was.
    pub at: Timestamp,
    /// What the last of them met, in words.
    pub what: String,
}

impl LostAnswers {
    /// An answer was lost. Returns whether there is something new to tell.
    pub fn lost(&mut self, what: &str, now: Timestamp) -> bool {
        self.count = self.count.saturating_add(1);
        let is_step = self.count == TOLD_FROM || self.count >= 10 && is_power_of_ten(self.count);
        if is_step {
            self.told = Some(Told { count: self.count, at: now, what: what.to_owned() });
        }
        is_step
    }

    /// The server has answered, whatever it said. Returns whether that is news.
    pub fn heard(&mut self) -> bool {
        self.count = 0;
        self.told.take().is_some()
    }

    /// What there is to tell.
    pub const fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }
}

const fn is_power_of_ten(number: u32) -> bool {
    10_u32.pow(number.ilog10()) == number
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn several_in_a_row_are_told_in_steps() {
        let now = Timestamp::UNIX_EPOCH;
        let mut lost = LostAnswers::default();
        let mut steps = Vec::new();
        for number in 1..=2000 {
            if lost.lost("it hung up", now) {
                steps.push(number);
            }
            let told = lost.told().map_or(0, |told| told.count);
            assert_eq!(Some(&told), steps.last().or(Some(&0)), "{number}");
        }
        assert_eq!(steps, [3, 10, 100, 1000]);
        assert!(lost.heard(), "it is over");
        assert_eq!(lost, LostAnswers::default());
    }

    #[test]
    fn an_answer_in_between_begins_at_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let mut lost = LostAnswers::default();
        for _ in 0..10 {
            assert!(!lost.lost("silence", now) && !lost.lost("silence", now));
            assert!(lost.told().is_none());
            assert!(!lost.heard(), "nothing was told");
        }
    }
}
