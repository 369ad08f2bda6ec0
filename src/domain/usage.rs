//! How many recipients a login has sent to in the last 24 hours, by the hour: a number that has to outlive
//! the process, so it is kept with the journal and is small. Counted a little too long rather than too short: a
//! recipient counts until 24 hours after the end of the hour it was sent to in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const HOUR: i64 = 3600;
const DAY: i64 = 24;

/// Recipients by the hour, counted from 1970.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<i64, u32>);

/// Recipients that were counted, to be taken back as far as they are not sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "who does not send takes the recipients back"]
pub struct Counted {
    hour: i64,
    recipients: u32,
}

impl Counted {
    /// How many.
    pub const fn recipients(&self) -> u32 {
        self.recipients
    }

    /// Keeps so many; the others, if there are more, are returned, to be taken back.
    pub fn split(&mut self, keep: u32) -> Self {
        let more = self.recipients.saturating_sub(keep);
        self.recipients -= more;
        Self { hour: self.hour, recipients: more }
    }
}

impl Usage {
    /// Counts recipients.
    pub fn count(&mut self, recipients: u32, now: Timestamp) -> Counted {
        let hour = hour(now);
        let slot = self.0.entry(hour).or_default();
        *slot = slot.saturating_add(recipients);
        self.forget(now);
        Counted { hour, recipients }
    }

    /// Takes recipients back.
    pub fn take_back(&mut self, counted: Counted) {
        if let Some(slot) = self.0.get_mut(&counted.hour) {
            *slot = slot.saturating_sub(counted.recipients);
        }
    }

    /// Recipients that still count.
    pub fn last_day(&self, now: Timestamp) -> u32 {
        self.0.range(hour(now) - DAY..).map(|(_, count)| *count).fold(0, u32::saturating_add)
    }

    /// How many more recipients a `limit` permits.
    pub fn room(&self, limit: u32, now: Timestamp) -> u32 {
        limit.saturating_sub(self.last_day(now))
    }

    /// Until when a `limit` is used up, if it is: when enough of what counts now counts no longer.
    pub fn exhausted_until(&self, limit: u32, now: Timestamp) -> Option<Timestamp> {
        let mut left = self.last_day(now);
        if left < limit {
            return None;
        }
        for (hour, count) in self.0.range(hour(now) - DAY..) {
            left = left.saturating_sub(*count);
            if left < limit {
                return Timestamp::from_second((hour + DAY + 1) * HOUR).ok();
            }
        }
        None
    }

    /// Takes over what another process, or this one earlier, has counted. Both counted on from the same, so the
    /// larger number of each hour is the one that has seen more.
    pub fn learn(&mut self, other: &Self) {
        for (hour, count) in &other.0 {
            let slot = self.0.entry(*hour).or_default();
            *slot = (*slot).max(*count);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = hour(now) - DAY;
        while let Some(entry) = self.0.first_entry().filter(|entry| *entry.key() < oldest) {
            entry.remove();
        }
    }
}

/// The recipients of an account, and of those that namespaces share, also how many each of them sent to: a
/// namespace is shown its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Used {
    /// All of them, which is what limits are about.
    pub total: Usage,
    /// By the namespace of the MailServerConfig.
    pub shares: BTreeMap<String, Usage>,
}

impl Used {
    /// Counts recipients, for a namespace that shares the account.
    pub fn count(&mut self, namespace: Option<&str>, recipients: u32, now: Timestamp) -> Counted {
        if let Some(namespace) = namespace {
            if !self.shares.contains_key(namespace) {
                self.shares.insert(namespace.into(), Usage::default());
                self.shares.retain(|name, share| name == namespace || share.last_day(now) > 0);
            }
            if let Some(share) = self.shares.get_mut(namespace) {
                let _ = share.count(recipients, now);
            }
        }
        self.total.count(recipients, now)
    }

    /// Takes recipients back.
    pub fn take_back(&mut self, namespace: Option<&str>, counted: Counted) {
        if let Some(share) = namespace.and_then(|namespace| self.shares.get_mut(namespace)) {
            share.take_back(counted);
        }
        self.total.take_back(counted);
    }

    /// Recipients that a namespace sees: its own, and all of them where the account is its own.
    pub fn last_day(&self, namespace: Option<&str>, now: Timestamp) -> u32 {
        match namespace {
            None => self.total.last_day(now),
            Some(namespace) => self.shares.get(namespace).map_or(0, |share| share.last_day(now)),
        }
    }

    /// Whether nothing of it counts any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.total.last_day(now) == 0
    }

    /// Takes over what another process, or this one earlier, has counted.
    pub fn learn(&mut self, other: &Self) {
        self.total.learn(&other.total);
        for (namespace, share) in &other.shares {
            self.shares.entry(namespace.clone()).or_default().learn(share);
        }
    }
}

fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_limit_is_used_up_until_enough_is_a_day_old() {
        let mut usage = Usage::default();
        let _ = usage.count(2, at(0));
        let _ = usage.count(1, at(2 * HOUR));
        assert_eq!((usage.last_day(at(3 * HOUR)), usage.exhausted_until(4, at(3 * HOUR))), (3, None));
        assert_eq!(usage.exhausted_until(3, at(3 * HOUR)), Some(at(25 * HOUR)));
        assert_eq!(usage.exhausted_until(1, at(3 * HOUR)), Some(at(27 * HOUR)));
        assert_eq!(usage.exhausted_until(3, at(25 * HOUR)), None);
        assert_eq!(usage.exhausted_until(1, at(25 * HOUR)), Some(at(27 * HOUR)));
    }

    #[test]
    fn what_was_not_sent_is_taken_back() {
        let mut usage = Usage::default();
        let mut counted = usage.count(5, at(0));
        let _ = usage.count(1, at(HOUR));
        let surplus = counted.split(2);
        assert_eq!((counted.recipients(), surplus.recipients()), (2, 3));
        usage.take_back(surplus);
        assert_eq!(usage.last_day(at(HOUR)), 3);
        assert_eq!(counted.split(9).recipients(), 0, "there are no more");
        usage.take_back(counted);
        assert_eq!(usage.last_day(at(HOUR)), 1);
        usage.take_back(counted);
        assert_eq!(usage.last_day(at(HOUR)), 1, "never below nothing");
    }

    #[test]
    fn it_is_stored_and_read_back() {
        let mut usage = Usage::default();
        let _ = usage.count(7, at(0));
        let stored = serde_json::to_string(&usage).unwrap();
        assert_eq!(stored, r#"{"500000":7}"#);
        let mut later: Usage = serde_json::from_str(&stored).unwrap();
        let _ = later.count(2, at(1));
        usage.learn(&later);
        assert_eq!(usage.last_day(at(1)), 9);
        later.learn(&Usage::default());
        assert_eq!(later.last_day(at(1)), 9);
    }

    #[test]
    fn who_shares_an_account_sees_what_is_his_own() {
        let (ours, theirs) = (Some("ours"), Some("theirs"));
        let mut used = Used::default();
        let mut counted = used.count(ours, 5, at(0));
        let _ = used.count(theirs, 3, at(0));
        used.take_back(ours, counted.split(4));
        assert_eq!(used.last_day(None, at(0)), 7);
        assert_eq!((used.last_day(ours, at(0)), used.last_day(theirs, at(0))), (4, 3));
        assert_eq!(used.last_day(Some("who never sent"), at(0)), 0);
        let mut later = Used::default();
        later.learn(&used);
        assert_eq!(later, used);
        // What counts no longer is forgotten, whoever it belonged to.
        let _ = later.count(Some("new"), 1, at(26 * HOUR));
        assert_eq!(later.shares.keys().collect::<Vec<_>>(), ["new"]);
    }

    proptest! {
        /// Whoever asks before each recipient never sends more than the limit in any 24 hours.
        #[test]
        fn no_24_hours_see_more_than_the_limit(
            pauses in proptest::collection::vec(0i64..5 * HOUR, 1..200),
            limit in 1u32..20,
        ) {
            let mut usage = Usage::default();
            let mut now = 0;
            let mut sent = Vec::new();
            for pause in pauses {
                now += pause;
                if let Some(until) = usage.exhausted_until(limit, at(now)) {
                    prop_assert!(until > at(now) && until <= at(now + 25 * HOUR));
                    continue;
                }
                let _ = usage.count(1, at(now));
                sent.push(now);
                let day = sent.iter().filter(|then| now - **then < DAY * HOUR).count();
                prop_assert!(day <= limit as usize);
                prop_assert!(usage.0.len() <= 25);
            }
        }
    }
}
