//! The limits of an account: connections at once, messages a minute, recipients in 24 hours. Configs
//! that share an account share these, and the smallest number counts; but only configs whose login the
//! server accepted have a say, so that nobody can slow a mailbox he cannot log in to. A config has a say in one
//! account at a time, and none once it is deleted, suspended or wrong.

use crate::api::mail_server_config as api;
use crate::delivery::lock;
use crate::domain::connections::{Connections, Ticket};
use crate::domain::object::ObjectKey;
use crate::domain::server::{Account, Limits};
use crate::domain::throttle::{RAISE_EVERY, Throttle};
use crate::domain::usage::{Counted, Used};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;

/// Recipients of the last 24 hours, shared with the journal, which keeps them.
pub type SharedUse = Arc<Mutex<Used>>;

/// The accounts of all configs there are. A limiter lives as long as a config has it or something is sent by it.
#[derive(Default)]
pub struct Accounts(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    limiters: HashMap<Account, Weak<Limiter>>,
    configs: HashMap<ObjectKey, (Account, Arc<Limiter>)>,
}

/// The limits of one account, and what of them is used.
#[derive(Default)]
pub struct Limiter {
    /// Whether several namespaces may have it; then each sees its own numbers only.
    is_shared: bool,
    state: Mutex<State>,
    used: SharedUse,
    /// Of the counted recipients those that may still be taken back.
    reserved: AtomicU32,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// What each config with a say wants.
    limits: BTreeMap<ObjectKey, Limits>,
    connections: Connections,
    throttle: Throttle,
    pace: Option<(NonZeroU32, Arc<DefaultDirectRateLimiter>)>,
    /// Messages by the second they were accepted in, for a minute, and by the config's namespace.
    accepted: BTreeMap<(i64, Arc<str>), i32>,
}

/// A connection that counts until it is dropped.
pub struct Connection {
    limiter: Arc<Limiter>,
    config: ObjectKey,
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.limiter.state).connections.close(&self.config);
        self.limiter.changed.notify_waiters();
    }
}

/// Leaves the queue for a connection, also when the wait is cancelled.
struct Waiting<'a> {
    limiter: &'a Limiter,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.limiter.state).connections.leave(self.ticket);
        self.limiter.changed.notify_waiters();
    }
}

/// Recipients that are counted already, before they are sent to, so that several sessions together cannot exceed the
/// day's number. Taken back when it is dropped, unless the message may have gone.
pub struct Reservation {
    limiter: Arc<Limiter>,
    namespace: Arc<str>,
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
            self.limiter.take_back(&self.namespace, surplus);
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
            self.limiter.take_back(&self.namespace, counted);
        }
    }
}

impl Accounts {
    /// The limits of an account, whose recipients are counted in `used`.
    pub fn of(&self, account: &Account, used: impl FnOnce() -> SharedUse) -> Arc<Limiter> {
        lock(&self.0).of(account, used)
    }

    /// A config has this account from now on. What it said about another one counts no longer. Returns whether a day's
    /// limit may be another by that.
    pub fn join(&self, config: &ObjectKey, account: &Account, used: impl FnOnce() -> SharedUse) -> bool {
        let mut registry = lock(&self.0);
        if registry.configs.get(config).is_some_and(|(known, _)| known == account) {
            return false;
        }
        let limiter = registry.of(account, used);
        let before = registry.configs.insert(config.clone(), (account.clone(), limiter));
        registry.forget_unused();
        before.is_some_and(|(_, before)| before.dismiss(config))
    }

    /// How much is kept.
    #[cfg(test)]
    pub fn counts(&self) -> [(&'static str, usize); 2] {
        let registry = lock(&self.0);
        [("limiters", registry.limiters.len()), ("accounts of configs", registry.configs.len())]
    }

    /// The config is gone, and has no account.
    pub fn leave(&self, config: &ObjectKey) -> bool {
        let mut registry = lock(&self.0);
        let before = registry.configs.remove(config);
        let eased = before.is_some_and(|(_, before)| before.dismiss(config));
        registry.forget_unused();
        eased
    }

    /// Gives a config, whose login was accepted, a say in its account. None if it has left that meanwhile.
    pub fn admit(&self, config: &ObjectKey, account: &Account, limits: Limits) -> bool {
        let registry = lock(&self.0);
        let own = registry.configs.get(config).filter(|(known, _)| known == account);
        own.is_some_and(|(_, limiter)| limiter.admit(config, limits))
    }

    /// Takes the word of a config away: its login is no longer accepted, or it is suspended.
    pub fn dismiss(&self, config: &ObjectKey) -> bool {
        let registry = lock(&self.0);
        registry.configs.get(config).is_some_and(|(_, limiter)| limiter.dismiss(config))
    }
}

impl Registry {
    fn of(&mut self, account: &Account, used: impl FnOnce() -> SharedUse) -> Arc<Limiter> {
        if let Some(limiter) = self.limiters.get(account).and_then(Weak::upgrade) {
            return limiter;
        }
        let limiter = Limiter { is_shared: account.is_shared(), used: used(), ..Limiter::default() };
        let limiter = Arc::new(limiter);
        self.limiters.insert(account.clone(), Arc::downgrade(&limiter));
        limiter
    }

    fn forget_unused(&mut self) {
        self.limiters.retain(|_, limiter| limiter.strong_count() > 0);
    }
}

impl Limiter {
    /// Gives a config, whose login was accepted, a say. Returns whether the day's limit is another by that.
    pub fn admit(&self, config: &ObjectKey, limits: Limits) -> bool {
        self.change(|limits_of| limits_of.insert(config.clone(), limits))
    }

    fn dismiss(&self, config: &ObjectKey) -> bool {
        self.change(|limits_of| limits_of.remove(config))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<ObjectKey, Limits>) -> T) -> bool {
        let mut state = lock(&self.state);
        let before = state.recipients_per_day();
        change(&mut state.limits);
        let changed = state.recipients_per_day() != before;
        drop(state);
        self.changed.notify_waiters();
        changed
    }

    /// Waits for a connection.
    pub async fn connection(self: &Arc<Self>, config: &ObjectKey) -> Connection {
        let ticket = lock(&self.state).connections.wait(config);
        let _waiting = Waiting { limiter: self, ticket };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if lock(&self.state).take(ticket, Timestamp::now()) {
                return Connection { limiter: self.clone(), config: config.clone() };
            }
            // A lowered number rises with time alone.
            let _ = tokio::time::timeout(RAISE_EVERY / 4, changed).await;
        }
    }

    /// Whether somebody waits for a connection, so that an idle one had better be closed.
    pub fn is_wanted(&self) -> bool {
        lock(&self.state).connections.is_wanted()
    }

    /// Whether a config that has had a connection for a while should leave it to somebody else.
    pub fn owes(&self, config: &ObjectKey, now: Timestamp) -> bool {
        let state = lock(&self.state);
        state.connections.is_wanted() && state.connections.owes(config, state.allowed(now))
    }

    /// The server complained about one connection too many: fewer from now on. Returns whether others remain, so
    /// that mail goes on.
    pub fn lower(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let open = state.connections.open();
        state.throttle.lower(open, now);
        open > 1
    }

    /// How many connections a config may have open.
    pub fn allowed(&self, config: &ObjectKey, now: Timestamp) -> usize {
        let state = lock(&self.state);
        Connections::share(config, state.allowed(now), state.limits.keys())
    }

    /// Whether more connections are open than may be, so that one that is done with a message is closed.
    pub fn is_crowded(&self, now: Timestamp) -> bool {
        let state = lock(&self.state);
        state.connections.open() > state.allowed(now)
    }

    /// Waits until another message fits into the minute. The limit is spread evenly: one at a time, not
    /// all at its beginning.
    pub async fn pace(&self) {
        let limiter = lock(&self.state).pace();
        if let Some(limiter) = limiter {
            limiter.until_ready().await;
        }
    }

    /// Counts up to `wanted` recipients who are about to be sent to by a config of `namespace`, as many as the day still
    /// permits. `None`: no more for now, be they sent to or about to be.
    pub fn reserve(
        self: &Arc<Self>,
        namespace: &Arc<str>,
        wanted: usize,
        now: Timestamp,
    ) -> Option<Reservation> {
        let limit = lock(&self.state).recipients_per_day();
        let mut used = lock(&self.used);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let places = limit.map_or(wanted, |limit| wanted.min(used.total.room(limit, now)));
        if places == 0 {
            return None;
        }
        let counted = used.count(self.share(namespace), places, now);
        self.reserved.fetch_add(places, Ordering::AcqRel);
        Some(Reservation { counted: Some(counted), limiter: self.clone(), namespace: namespace.clone() })
    }

    /// The namespace, where its numbers are not those of the whole account.
    fn share<'a>(&self, namespace: &'a str) -> Option<&'a str> {
        self.is_shared.then_some(namespace)
    }

    fn take_back(&self, namespace: &str, counted: Counted) {
        lock(&self.used).take_back(self.share(namespace), counted);
        self.reserved.fetch_sub(counted.recipients(), Ordering::AcqRel);
    }

    /// Until when the day's recipients are used up, if they are by those who were sent to. What is only reserved may
    /// be free again in a moment, and nobody should be told to wait a day for that.
    pub fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let limit = lock(&self.state).recipients_per_day()?;
        let used = lock(&self.used);
        let reserved = self.reserved.load(Ordering::Acquire);
        used.total.exhausted_until(limit.saturating_add(reserved), now)
    }

    /// How many recipients may get the same message: the smallest number among the configs, `own` included.
    pub fn recipients_per_message(&self, own: usize) -> usize {
        let state = lock(&self.state);
        state.limits.values().map(|limits| limits.recipients_per_message).fold(own, usize::min)
    }

    /// Counts an accepted message of a config of `namespace`.
    pub fn accepted(&self, namespace: &Arc<str>, now: Timestamp) {
        let mut state = lock(&self.state);
        *state.accepted.entry((now.as_second(), namespace.clone())).or_default() += 1;
        let oldest = now.as_second() - 59;
        while let Some(entry) = state.accepted.first_entry().filter(|entry| entry.key().0 < oldest) {
            entry.remove();
        }
    }

    /// What is used, for the status of a config: by its namespace, and by no other.
    pub fn used(&self, config: &ObjectKey, now: Timestamp) -> api::Usage {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let namespace = &config.namespace;
        let recipients = lock(&self.used).last_day(self.share(namespace), now);
        let exhausted = self.exhausted_until(now);
        let allowed = self.allowed(config, now);
        let state = lock(&self.state);
        let accepted = state
            .accepted
            .iter()
            .filter(|((second, by), _)| *second >= now.as_second() - 59 && by == namespace);
        api::Usage {
            connections: number(state.connections.of_namespace(namespace)),
            connections_allowed: number(allowed),
            messages_last_minute: accepted.map(|(_, count)| count).sum(),
            recipients_last_day: i32::try_from(recipients).unwrap_or(i32::MAX),
            exhausted_until: exhausted.map(Time),
        }
    }
}

impl State {
    fn take(&mut self, ticket: Ticket, now: Timestamp) -> bool {
        let allowed = self.allowed(now);
        self.connections.take(ticket, allowed, &self.limits.keys())
    }

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
mod tests;
