//! How often something is tried again that the API server refuses: a policy, a quota or a missing right stands in the way
//! for as long as somebody wants, so ever more rarely; and it is told once, not each time.

use jiff::Timestamp;
use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_secs(5);
/// Longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// What is known of writes that were refused in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    refusals: u32,
    not_before: Option<Timestamp>,
}

impl Patience {
    /// Whether it is time to try.
    pub fn may_try(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// It was refused. Returns whether that is news.
    pub fn refused(&mut self, now: Timestamp) -> bool {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.refusals)).min(LONGEST);
        self.refusals = self.refusals.saturating_add(1);
        self.not_before = now.checked_add(wait).ok();
        self.refusals == 1
    }

    /// It went through.
    pub const fn succeeded(&mut self) {
        self.refusals = 0;
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ever_more_rarely_and_told_once() {
        let mut patience = Patience::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut waits = Vec::new();
        for number in 0..10 {
            assert!(patience.may_try(now));
            assert_eq!(patience.refused(now), number == 0);
            let begin = now;
            while !patience.may_try(now) {
                now += Duration::from_secs(1);
            }
            waits.push((now - begin).get_seconds());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
        patience.succeeded();
        assert_eq!(patience, Patience::default());
        assert!(patience.refused(now), "the next one is news again");
    }
}
