//! How many connections a login may have, after its server has asked for fewer (421, 432): lowered at once,
//! raised again one by one. A function of the time that has passed, so nothing has to run for it.

use jiff::Timestamp;
use std::time::Duration;

/// One connection more is tried after each such time without a complaint.
pub const RAISE_EVERY: Duration = Duration::from_mins(2);

/// What a server has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle(Option<Lowered>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lowered {
    to: usize,
    at: Timestamp,
}

impl Throttle {
    /// The server complained about one of `open` connections: one fewer from now on, but always one.
    pub fn lower(&mut self, open: usize, now: Timestamp) {
        self.0 = Some(Lowered { to: open.saturating_sub(1).max(1), at: now });
    }

    /// How many of `limit` connections may be open.
    pub fn allowed(&self, limit: usize, now: Timestamp) -> usize {
        let Some(Lowered { to, at }) = self.0 else { return limit };
        let passed = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        let raised = usize::try_from(passed.as_secs() / RAISE_EVERY.as_secs()).unwrap_or(usize::MAX);
        limit.min(to.saturating_add(raised))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lowered_at_once_and_raised_slowly() {
        let at = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.allowed(8, at(0)), 8);
        throttle.lower(4, at(0));
        for (minutes, allowed) in [(0, 3), (1, 3), (2, 4), (4, 5), (9, 7), (10, 8), (12, 8), (100_000, 8)] {
            assert_eq!(throttle.allowed(8, at(minutes)), allowed, "{minutes}");
        }
        assert_eq!(throttle.allowed(2, at(100)), 2, "a limit is a limit");
        throttle.lower(1, at(0));
        assert_eq!(throttle.allowed(8, at(0)), 1, "one always may try");
        assert_eq!(throttle.allowed(8, at(-5)), 1, "a clock that was set back");
    }
}
