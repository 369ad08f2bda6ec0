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
use std::sync::atomic::{AtomicU32, Ordering};
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
    /// Of the counted recipients those that may still be taken back.
    reserved: AtomicU32,
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

/// Recipients that are counted already, before they are sent to, so that several sessions together cannot exceed the
/// day's number. Taken back when it is dropped, unless the message may have gone.
pub struct Reservation {
    limiter: Arc<Limiter>,
    counted: Option<Counted>,
}

impl Reservation {
    /// For how many recipients.
    pub fn places(&self) -> usize {
        self.counted.map_or(0, |counted| counted.recipients() as usize)
    }

    /// Takes the places back that are more than `needed`.
    pub fn shrink(&mut self, needed: usize) {
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        if let Some(surplus) = self.counted.as_mut().map(|counted| counted.split(needed)) {
            self.limiter.take_back(surplus);
        }
    }

    /// The message has gone, or may have.
    pub fn keep(mut self) {
        if let Some(counted) = self.counted.take() {
            self.limiter.reserved.fetch_sub(counted.recipients(), Ordering::AcqRel);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(counted) = self.counted else { return };
        if std::thread::panicking() {
            // Code that panics may have sent.
            self.limiter.reserved.fetch_sub(counted.recipients(), Ordering::AcqRel);
        } else {
            self.limiter.take_back(counted);
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

    /// Counts up to `wanted` recipients who are about to be sent to, as many as the day still permits. `None`: no
    /// more for now, be they sent to or about to be.
    pub fn reserve(self: &Arc<Self>, wanted: usize, now: Timestamp) -> Option<Reservation> {
        let limit = lock(&self.state).recipients_per_day();
        let mut usage = lock(&self.usage);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let places = limit.map_or(wanted, |limit| wanted.min(usage.room(limit, now)));
        if places == 0 {
            return None;
        }
        let counted = usage.count(places, now);
        self.reserved.fetch_add(places, Ordering::AcqRel);
        Some(Reservation { counted: Some(counted), limiter: self.clone() })
    }

    fn take_back(&self, counted: Counted) {
        lock(&self.usage).take_back(counted);
        self.reserved.fetch_sub(counted.recipients(), Ordering::AcqRel);
    }

    /// Until when the day's recipients are used up, if they are by those who were sent to. What is only reserved may
    /// be free again in a moment, and nobody should be told to wait a day for that.
    pub fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let limit = lock(&self.state).recipients_per_day()?;
        let usage = lock(&self.usage);
        let reserved = self.reserved.load(Ordering::Acquire);
        usage.exhausted_until(limit.saturating_add(reserved), now)
    }

    /// How many recipients may get the same message: the smallest number among the configs, `own` included.
    pub fn recipients_per_message(&self, own: usize) -> usize {
        let state = lock(&self.state);
        state.limits.values().map(|limits| limits.recipients_per_message).fold(own, usize::min)
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
        let limiter = Arc::new(Limiter::default());
        limiter.admit(&ObjectKey::new("a", "x"), limits(1, Some(5)));
        let now = Timestamp::from_second(1_000_000_020).unwrap();
        let first = limiter.reserve(2, now).unwrap();
        let second = limiter.reserve(100, now).unwrap();
        assert_eq!((first.places(), second.places()), (2, 3), "as many as the day permits");
        assert!(limiter.reserve(1, now).is_none(), "nothing is sent yet, and yet it is taken");
        assert_eq!(limiter.exhausted_until(now), None, "it may be free again in a moment");
        first.keep();
        drop(second);
        let mut third = limiter.reserve(3, now).unwrap();
        third.shrink(1);
        assert_eq!(third.places(), 1);
        third.keep();
        assert_eq!(limiter.exhausted_until(now), None);
        limiter.reserve(9, now).unwrap().keep();
        assert!(limiter.reserve(1, now).is_none());
        let until = limiter.exhausted_until(now).unwrap();
        let hours = until.duration_since(now).as_secs_f64() / 3600.0;
        assert!((24.0..=25.0).contains(&hours), "{hours}");
        assert_eq!(limiter.exhausted_until(until), None);
        assert_eq!(limiter.used(now).recipients_last_day, 5);
        assert!(limiter.reserve(1, until).is_some());
    }

    #[test]
    fn the_smallest_number_of_recipients_counts() {
        let limiter = Limiter::default();
        assert_eq!(limiter.recipients_per_message(500), 500, "nobody else has a say");
        limiter.admit(&ObjectKey::new("a", "x"), Limits { recipients_per_message: 20, ..limits(1, None) });
        assert_eq!(limiter.recipients_per_message(500), 20);
        assert_eq!(limiter.recipients_per_message(5), 5);
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
