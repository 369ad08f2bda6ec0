//! The limits of an account: connections at once, messages a minute, recipients in 24 hours. Configs
//! that share a login share these, and the smallest number counts; but only configs whose login the
//! server accepted have a say, so that nobody can slow a mailbox he cannot log in to.

use crate::delivery::lock;
use crate::domain::object::ObjectKey;
use crate::domain::server::{Account, Limits};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::{Timestamp, ToSpan};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// All accounts that this process has sent for.
#[derive(Default)]
pub struct Accounts(Mutex<HashMap<Account, Arc<Limiter>>>);

/// The limits of one account, and what of them is used.
#[derive(Default)]
pub struct Limiter {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    limits: HashMap<ObjectKey, Limits>,
    connections: usize,
    waiting: usize,
    pace: Option<(NonZeroU32, Arc<DefaultDirectRateLimiter>)>,
    /// Recipients by the minute they were sent to.
    sent: BTreeMap<i64, u32>,
}

/// A connection that counts until it is dropped.
pub struct Connection(Arc<Limiter>);

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.0.state).connections -= 1;
        self.0.changed.notify_waiters();
    }
}

/// Leaves the queue for a connection, also when the wait is cancelled.
struct Waiting<'a>(&'a Limiter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).waiting -= 1;
    }
}

impl Accounts {
    /// The limits of an account.
    pub fn of(&self, account: &Account) -> Arc<Limiter> {
        lock(&self.0).entry(account.clone()).or_default().clone()
    }

    /// Takes the word of a config away: deleted, or its login is no longer accepted.
    pub fn forget(&self, config: &ObjectKey) {
        for limiter in lock(&self.0).values() {
            lock(&limiter.state).limits.remove(config);
            limiter.changed.notify_waiters();
        }
    }
}

impl Limiter {
    /// Gives a config, whose login was accepted, a say.
    pub fn admit(&self, config: &ObjectKey, limits: Limits) {
        lock(&self.state).limits.insert(config.clone(), limits);
        self.changed.notify_waiters();
    }

    /// Waits for a connection.
    pub async fn connection(self: &Arc<Self>) -> Connection {
        lock(&self.state).waiting += 1;
        let _waiting = Waiting(self);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if state.connections < state.most(|limits| limits.connections) {
                    state.connections += 1;
                    return Connection(self.clone());
                }
            }
            changed.await;
        }
    }

    /// Whether somebody waits for a connection, so that an idle one had better be closed.
    pub fn is_wanted(&self) -> bool {
        lock(&self.state).waiting > 0
    }

    /// Waits until another message fits into the minute. The limit is spread evenly: one at a time, not
    /// all at its beginning.
    pub async fn pace(&self) {
        let limiter = lock(&self.state).pace();
        if let Some(limiter) = limiter {
            limiter.until_ready().await;
        }
    }

    /// Counts a recipient.
    pub fn count(&self, now: Timestamp) {
        let mut state = lock(&self.state);
        *state.sent.entry(now.as_second() / 60).or_default() += 1;
    }

    /// Until when the day's recipients are used up, if they are.
    pub fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        let day = state.limits.values().filter_map(|limits| limits.recipients_per_day).min()?;
        let oldest = now.as_second() / 60 - 24 * 60;
        state.sent = state.sent.split_off(&(oldest + 1));
        if state.sent.values().map(|count| u64::from(*count)).sum::<u64>() < u64::from(day) {
            return None;
        }
        let first = *state.sent.first_key_value()?.0;
        Timestamp::from_second(first * 60).ok()?.checked_add((24 * 60 + 1).minutes()).ok()
    }
}

impl State {
    /// The smallest number among the configs; the one connection of the first verification otherwise.
    fn most(&self, number: impl Fn(&Limits) -> usize) -> usize {
        self.limits.values().map(number).min().unwrap_or(1)
    }

    fn pace(&mut self) -> Option<Arc<DefaultDirectRateLimiter>> {
        let wanted = self.limits.values().filter_map(|limits| limits.messages_per_minute).min();
        let wanted = NonZeroU32::new(wanted?)?;
        match &self.pace {
            Some((number, limiter)) if *number == wanted => Some(limiter.clone()),
            _ => {
                let quota = Quota::per_minute(wanted).allow_burst(NonZeroU32::MIN);
                let limiter = Arc::new(RateLimiter::direct(quota));
                self.pace = Some((wanted, limiter.clone()));
                Some(limiter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn limits(connections: usize, per_day: Option<u32>) -> Limits {
        Limits {
            connections,
            messages_per_minute: None,
            recipients_per_day: per_day,
            recipients_per_message: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_number_counts() {
        let limiter = Arc::new(Limiter::default());
        limiter.admit(&ObjectKey::new("a", "x"), limits(3, None));
        limiter.admit(&ObjectKey::new("b", "y"), limits(1, None));
        let first = limiter.connection().await;
        assert!(tokio::time::timeout(Duration::from_secs(1), limiter.connection()).await.is_err());
        assert!(!limiter.is_wanted(), "who gave up waiting is not counted");
        drop(first);
        let _second = limiter.connection().await;
        limiter.admit(&ObjectKey::new("b", "y"), limits(2, None));
        tokio::time::timeout(Duration::from_secs(1), limiter.connection()).await.unwrap();
    }

    #[test]
    fn a_day_is_any_24_hours() {
        let limiter = Limiter::default();
        limiter.admit(&ObjectKey::new("a", "x"), limits(1, Some(2)));
        let start = Timestamp::from_second(1_000_000_020).unwrap();
        limiter.count(start);
        assert_eq!(limiter.exhausted_until(start), None);
        limiter.count(start);
        let until = limiter.exhausted_until(start).unwrap();
        let hours = until.duration_since(start).as_secs_f64() / 3600.0;
        assert!((23.9..24.1).contains(&hours), "{hours}");
        assert_eq!(limiter.exhausted_until(until), None);
    }
}
