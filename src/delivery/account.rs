//! The limits of an account: connections at once, messages a minute, recipients in 24 hours. Configs
//! that share a login share these, and the smallest number counts; but only configs whose login the
//! server accepted have a say, so that nobody can slow a mailbox he cannot log in to.

use crate::api::mail_server_config as api;
use crate::delivery::lock;
use crate::domain::object::ObjectKey;
use crate::domain::server::{Account, Limits};
use crate::domain::throttle::{RAISE_EVERY, Throttle};
use crate::domain::usage::{Counted, Usage};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Recipients of the last 24 hours, shared with the journal, which keeps them.
pub type SharedUsage = Arc<Mutex<Usage>>;

/// All accounts that this process has sent for.
#[derive(Default)]
pub struct Accounts(Mutex<HashMap<Account, Arc<Limiter>>>);

/// The limits of one account, and what of them is used.
#[derive(Default)]
pub struct Limiter {
    state: Mutex<State>,
    usage: SharedUsage,
    changed: Notify,
}

#[derive(Default)]
struct State {
    limits: HashMap<ObjectKey, Limits>,
    connections: usize,
    waiting: usize,
    throttle: Throttle,
    pace: Option<(NonZeroU32, Arc<DefaultDirectRateLimiter>)>,
    /// Messages by the second they were accepted in, for a minute.
    accepted: BTreeMap<i64, i32>,
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

/// A recipient that is counted already, before it is sent to, so that several sessions together cannot exceed the
/// day's number. Taken back when it is dropped, unless the message may have gone.
pub struct Reservation {
    usage: SharedUsage,
    counted: Option<Counted>,
}

impl Reservation {
    /// The message has gone, or may have.
    pub fn keep(mut self) {
        self.counted = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Code that panics may have sent.
        if let Some(counted) = self.counted.filter(|_| !std::thread::panicking()) {
            lock(&self.usage).take_back(counted);
        }
    }
}

impl Accounts {
    /// The limits of an account, whose recipients are counted in `usage`.
    pub fn of(&self, account: &Account, usage: impl FnOnce() -> SharedUsage) -> Arc<Limiter> {
        let new = || Arc::new(Limiter { usage: usage(), ..Limiter::default() });
        lock(&self.0).entry(account.clone()).or_insert_with(new).clone()
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
                if state.connections < state.allowed(Timestamp::now()) {
                    state.connections += 1;
                    return Connection(self.clone());
                }
            }
            // A lowered number rises with time alone.
            let _ = tokio::time::timeout(RAISE_EVERY / 4, changed).await;
        }
    }

    /// Whether somebody waits for a connection, so that an idle one had better be closed.
    pub fn is_wanted(&self) -> bool {
        lock(&self.state).waiting > 0
    }

    /// The server complained about one connection too many: fewer from now on. Returns whether others remain, so
    /// that mail goes on.
    pub fn lower(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let open = state.connections;
        state.throttle.lower(open, now);
        open > 1
    }

    /// How many connections may be open.
    pub fn allowed(&self, now: Timestamp) -> usize {
        lock(&self.state).allowed(now)
    }

    /// Whether more connections are open than may be, so that one that is done with a message is closed.
    pub fn is_crowded(&self, now: Timestamp) -> bool {
        let state = lock(&self.state);
        state.connections > state.allowed(now)
    }

    /// Waits until another message fits into the minute. The limit is spread evenly: one at a time, not
    /// all at its beginning.
    pub async fn pace(&self) {
        let limiter = lock(&self.state).pace();
        if let Some(limiter) = limiter {
            limiter.until_ready().await;
        }
    }

    /// Counts a recipient who is about to be sent to; or says until when the day's number is used up.
    pub fn reserve(&self, now: Timestamp) -> Result<Reservation, Timestamp> {
        let limit = lock(&self.state).recipients_per_day();
        let mut usage = lock(&self.usage);
        match limit.and_then(|limit| usage.exhausted_until(limit, now)) {
            Some(until) => Err(until),
            None => Ok(Reservation { counted: Some(usage.count(1, now)), usage: self.usage.clone() }),
        }
    }

    /// Until when the day's recipients are used up, if they are.
    pub fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let limit = lock(&self.state).recipients_per_day()?;
        lock(&self.usage).exhausted_until(limit, now)
    }

    /// Counts an accepted message.
    pub fn accepted(&self, now: Timestamp) {
        let mut state = lock(&self.state);
        *state.accepted.entry(now.as_second()).or_default() += 1;
        let oldest = now.as_second() - 59;
        state.accepted = state.accepted.split_off(&oldest);
    }

    /// What is used, for the status.
    pub fn used(&self, now: Timestamp) -> api::Usage {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let recipients = lock(&self.usage).last_day(now);
        let exhausted = self.exhausted_until(now);
        let state = lock(&self.state);
        api::Usage {
            connections: number(state.connections),
            connections_allowed: number(state.allowed(now)),
            messages_last_minute: state.accepted.range(now.as_second() - 59..).map(|(_, count)| count).sum(),
            recipients_last_day: i32::try_from(recipients).unwrap_or(i32::MAX),
            exhausted_until: exhausted.map(Time),
        }
    }
}

impl State {
    /// Connections that may be open: the smallest number among the configs, or fewer if the server asked for
    /// fewer; the one connection of the first verification where no config has a say.
    fn allowed(&self, now: Timestamp) -> usize {
        let limit = self.limits.values().map(|limits| limits.connections).min().unwrap_or(1);
        self.throttle.allowed(limit, now)
    }

    fn recipients_per_day(&self) -> Option<u32> {
        self.limits.values().filter_map(|limits| limits.recipients_per_day).min()
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
    fn several_sessions_together_do_not_exceed_the_day() {
        let limiter = Limiter::default();
        limiter.admit(&ObjectKey::new("a", "x"), limits(1, Some(2)));
        let now = Timestamp::from_second(1_000_000_020).unwrap();
        let first = limiter.reserve(now).unwrap();
        let second = limiter.reserve(now).unwrap();
        assert!(limiter.reserve(now).is_err(), "nothing is sent yet, and yet it is taken");
        first.keep();
        drop(second);
        limiter.reserve(now).unwrap().keep();
        let until = limiter.reserve(now).err().unwrap();
        assert_eq!(limiter.exhausted_until(now), Some(until));
        let hours = until.duration_since(now).as_secs_f64() / 3600.0;
        assert!((24.0..=25.0).contains(&hours), "{hours}");
        assert_eq!(limiter.exhausted_until(until), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_costs_one_connection() {
        let limiter = Arc::new(Limiter::default());
        limiter.admit(&ObjectKey::new("a", "x"), limits(3, None));
        let _first = limiter.connection().await;
        let second = limiter.connection().await;
        let now = Timestamp::now();
        assert!(limiter.lower(now), "another one remains");
        assert!(limiter.is_crowded(now));
        drop(second);
        assert!(!limiter.is_crowded(now));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), limiter.connection()).await.is_err());
        let used = limiter.used(now);
        assert_eq!((used.connections, used.connections_allowed), (1, 1));
        assert!(!limiter.lower(now), "the last one");
    }
}
