//! How mail leaves. A [`Lane`](lane) is the queue of one MailServerConfig; its workers each own one
//! session and take the next due Notification on it. An [`account`] is what limits and the journal belong
//! to: a login at a host, shared by the configs that use it. Sessions are never shared between configs:
//! who cannot read a Secret must not send through a session that was opened with it.
//!
//! Everything shared is in [`Delivery`]; the controllers tell it what to queue, and hear through channels
//! what concerns them.

pub mod account;
mod attempt;
#[cfg(test)]
mod ends;
pub mod evaluation;
pub mod journal;
mod lane;
mod opening;
mod recovery;
pub mod removals;
mod results;
pub mod reviews;
pub mod metrics;
pub mod servers;
mod target;
mod token;
mod upkeep;
pub mod vitals;
mod worker;

use crate::cluster::Cluster;
use crate::cluster::events::Events;
use crate::domain::binding::Binding;
use crate::domain::catalog::Catalog;
use crate::domain::egress;
use crate::domain::lockdown::Lockdown;
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::outbox::{Item, Outbox};
use crate::domain::quota::{Excess, Quota};
use crate::domain::server::{Account, Server};
use crate::domain::vitals::PATIENCE;
use crate::evaluation::{Evaluator, Program};
use crate::oauth::Tokens;
use crate::smtp::Deadlines;
use account::{Accounts, Limiter};
use evaluation::Evaluations;
use jiff::Timestamp;
use journal::Journals;
use lane::Lanes;
use metrics::Metrics;
use removals::Removals;
use reviews::Reviews;
use servers::Servers;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use target::TlsConfigs;
use token::TokenUsers;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitals::Vitals;

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This process, as journals and Leases name it. Never the same for two processes.
    pub identity: String,
    /// Used by Notifications without `serverRef` in namespaces without a server `default`.
    pub default_server: Option<ObjectKey>,
    /// Whether Secrets must name their hosts.
    pub binding: Binding,
    /// Accounts that the MailServerConfigs of one namespace may have.
    pub accounts_per_namespace: usize,
    /// Where connections may go.
    pub egress: Arc<egress::Policy>,
    /// What specs may not say, and what tenants are not told.
    pub lockdown: Lockdown,
    /// Limits of each step of a session.
    pub deadlines: Deadlines,
    /// How long a session waits for the next message. Servers drop idle clients after 60 s.
    pub session_idle: Duration,
    /// Sessions are replaced after this long …
    pub session_age: Duration,
    /// … and after this many messages: some servers hang up at 100.
    pub session_messages: u32,
    /// What is started to evaluate what users wrote.
    pub evaluator: Program,
    /// Whether there are standard messages. True but in tests that start many processes: each checks them first.
    pub standard_messages: bool,
    /// Factor on all waits between attempts. 1.0 but in tests.
    pub pace: f64,
    /// How long a loop may be at one unit of work before `/livez` calls it stuck.
    pub patience: Duration,
}

impl Settings {
    /// The usual settings of a process called `identity`.
    pub fn new(identity: String) -> Self {
        Self {
            identity,
            default_server: None,
            binding: Binding::default(),
            accounts_per_namespace: ACCOUNTS_PER_NAMESPACE,
            egress: Arc::default(),
            lockdown: Lockdown::default(),
            deadlines: Deadlines::default(),
            session_idle: Duration::from_secs(45),
            session_age: Duration::from_mins(30),
            session_messages: 100,
            evaluator: Program::this(),
            standard_messages: true,
            pace: 1.0,
            patience: PATIENCE,
        }
    }
}

/// Results under way at once, over all lanes: what a crash of the API server can leave in memory. Three times as many as
/// are usually written at once keep the writers busy, and each stands in a journal, whose every write carries them all.
const RESULTS_UNDER_WAY: usize = 48;

/// Accounts that the MailServerConfigs of one namespace may have, unless an argument says otherwise: more than anybody is
/// known to need, and few enough that a namespace without end of them is no trouble to the others.
pub const ACCOUNTS_PER_NAMESPACE: usize = 100;

/// So many crashes of one object, and it is left alone.
const CRASHES: u32 = 3;

/// Everything that delivering mail shares.
pub struct Delivery {
    pub(crate) cluster: Cluster,
    pub(crate) settings: Settings,
    pub(crate) servers: Servers,
    pub(crate) metrics: Metrics,
    /// Where loops tell that they go on.
    pub vitals: Vitals,
    pub(crate) accounts: Accounts,
    quota: Mutex<Quota>,
    pub(crate) journals: Journals,
    catalog: RwLock<Catalog>,
    outbox: Mutex<Outbox>,
    lanes: Lanes,
    tokens: Tokens,
    token_users: TokenUsers,
    tls_configs: TlsConfigs,
    roots: Arc<rustls::RootCertStore>,
    pub(crate) events: Events,
    /// Notifications that their controller should look at again.
    pub reviews: Reviews,
    /// Finished Notifications that are to be removed soon.
    pub removals: Removals,
    pub(crate) evaluator: Evaluator,
    pub(crate) evaluations: Evaluations,
    crashes: Mutex<HashMap<Uid, u32>>,
    results: Arc<Semaphore>,
    /// Cancelled while this process stops to send.
    draining: Mutex<CancellationToken>,
    /// Tasks that hold an outcome which is not stored yet, or a session past DATA.
    unfinished: TaskTracker,
}

impl Delivery {
    /// Nothing is sent before [`Delivery::lead`].
    pub fn new(cluster: Cluster, settings: Settings, metrics: Metrics, vitals: Vitals) -> Arc<Self> {
        Arc::new(Self {
            servers: Servers::default(),
            accounts: Accounts::default(),
            quota: Mutex::new(Quota::new(settings.accounts_per_namespace)),
            journals: Journals::new(cluster.clone(), &settings.identity, vitals.clone()),
            catalog: RwLock::default(),
            outbox: Mutex::default(),
            lanes: Lanes::default(),
            tokens: Tokens::new(settings.egress.clone()),
            token_users: TokenUsers::default(),
            tls_configs: TlsConfigs::default(),
            roots: crate::smtp::tls::system_roots(),
            events: Events::new(&cluster, &settings.identity),
            reviews: Reviews::default(),
            removals: Removals::default(),
            evaluator: Evaluator::new(settings.evaluator.clone()),
            evaluations: Evaluations::default(),
            crashes: Mutex::default(),
            results: Arc::new(Semaphore::new(RESULTS_UNDER_WAY)),
            draining: Mutex::default(),
            unfinished: TaskTracker::new(),
            cluster,
            settings,
            metrics,
            vitals,
        })
    }

    /// Servers, templates and namespaces.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To bring news of servers, templates and namespaces in.
    pub fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The waiting Notifications.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    /// Queues a Notification and wakes its lane.
    pub fn queue(self: &Arc<Self>, item: Item) {
        let lane = item.lane.clone();
        self.outbox().put(item);
        self.wake(&lane);
    }

    /// Takes note of a spec that is in the catalog by now: from here on the config has that account and no other.
    pub fn learn(self: &Arc<Self>, server: &Server) {
        let others = lock(&self.quota).join(server);
        self.assign(server);
        self.reassign(&others);
    }

    /// Forgets what belongs to a spec that is none any more: wrong, or deleted.
    pub fn unlearn(self: &Arc<Self>, server: &ObjectKey) {
        let changed = self.accounts.leave(server);
        let now = Timestamp::now();
        let lingers = |account: &Account| !lock(&self.journals.used_of(account)).is_over(now);
        let others = lock(&self.quota).leave(server, lingers);
        self.limits_changed(changed);
        self.wake(server);
        self.reassign(&others);
    }

    /// Gives a config its account, if its namespace may have one more.
    fn assign(self: &Arc<Self>, server: &Server) {
        let (account, excess) = (server.account(), self.excess(server));
        let mut changed = match excess {
            None => self.accounts.join(&server.key, &account, || self.journals.used_of(&account)),
            Some(_) => self.accounts.leave(&server.key),
        };
        if server.suspended {
            changed |= self.accounts.dismiss(&server.key);
        }
        self.servers.set_excess(&server.key, excess.is_some());
        self.limits_changed(changed);
        self.wake(&server.key);
    }

    /// Why a config has no account, if its namespace has as many as it may have.
    pub(crate) fn excess(&self, server: &Server) -> Option<Excess> {
        lock(&self.quota).excess(&server.key, &server.account())
    }

    /// The same for configs whose standing is another because of others.
    fn reassign(self: &Arc<Self>, servers: &[ObjectKey]) {
        for key in servers {
            let server = self.catalog().servers.get(key).and_then(|known| known.as_ref().ok().cloned());
            if let Some(server) = server {
                self.assign(&server);
            }
        }
    }

    /// Forgets what is known of a server whose config is gone, and not in the catalog any more.
    pub fn forget(self: &Arc<Self>, server: &ObjectKey) {
        self.servers.forget(server);
        self.unlearn(server);
        self.lanes.forget(server);
        self.forget_if_gone(server);
    }

    /// Forgets what work for a config has left that was gone when it ended. Whoever leaves something behind that is
    /// kept by the config's name calls this afterwards: so what was under way at the end leaves nothing either.
    pub(crate) fn forget_if_gone(&self, server: &ObjectKey) {
        if self.servers.knows(server) {
            return;
        }
        self.tls_configs.forget(server);
        self.forget_token(server);
        self.metrics.forget(server);
    }

    /// Has those look again who wait for the end of a day, if it may have come with a limit that somebody wanted.
    pub(crate) fn limits_changed(self: &Arc<Self>, changed: bool) {
        if changed {
            for server in self.servers.held_by_limits() {
                self.wake(&server);
            }
        }
    }

    /// Has a lane look at its queue and its server again.
    pub fn wake(self: &Arc<Self>, lane: &ObjectKey) {
        self.lanes.wake(self, lane);
    }

    /// Begins to send, until `term` is cancelled.
    pub fn lead(self: &Arc<Self>, term: &CancellationToken) {
        self.lanes.open(term);
        let waiting: Vec<_> = self.outbox().waiting().keys().map(|lane| (*lane).clone()).collect();
        for lane in waiting {
            self.wake(&lane);
        }
    }

    /// Stops taking Notifications, waits until every message past DATA is answered and every outcome is
    /// stored, but no longer than `limit`, and lets the journals go. Returns whether all was stored.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.lanes.close();
        self.outbox().clear();
        self.unfinished.close();
        lock(&self.draining).cancel();
        let stored = tokio::time::timeout(limit, self.unfinished.wait()).await.is_ok();
        self.unfinished.reopen();
        *lock(&self.draining) = CancellationToken::new();
        self.journals.release(Duration::from_secs(5)).await;
        stored
    }

    /// Counts a crash while one object was handled; whether that makes enough.
    pub fn crashed(&self, uid: &Uid) -> bool {
        *lock(&self.crashes).entry(uid.clone()).and_modify(|count| *count += 1).or_insert(1) >= CRASHES
    }

    /// Whether handling an object has crashed so often that it is left alone.
    pub fn is_quarantined(&self, uid: &Uid) -> bool {
        lock(&self.crashes).get(uid).is_some_and(|count| *count >= CRASHES)
    }

    /// The limits of a server's account.
    pub(crate) fn limiter(&self, account: &Account) -> Arc<Limiter> {
        self.accounts.of(account, || self.journals.used_of(account))
    }

    /// A wait between attempts, as long as the settings want it.
    pub(crate) fn paced(&self, delay: Duration) -> Duration {
        delay.mul_f64(self.settings.pace)
    }
}

/// The contents of a mutex. Nothing panics while holding one of ours half changed, so a poisoned one is as
/// good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `now` plus a wait.
pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
