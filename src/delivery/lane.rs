//! A lane: the queue of one MailServerConfig, with as many workers as it has use for and the limits
//! permit. A lane whose server is not ready has none, and nothing is written to what waits in it.

use crate::api::Reason;
use crate::delivery::servers::{Hold, ServerState};
use crate::delivery::{Delivery, after, lock};
use crate::domain::failure::{Failure, LoginKind, Permanence};
use crate::domain::object::ObjectKey;
use crate::domain::retry;
use crate::domain::server::{Login, Server};
use crate::domain::verification::{StageFailure, Verification};
use crate::domain::vitals::Loop;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All lanes of a term of leadership.
#[derive(Default)]
pub(super) struct Lanes {
    term: Mutex<Option<CancellationToken>>,
    lanes: Mutex<HashMap<ObjectKey, Arc<Lane>>>,
}

/// One lane.
pub(super) struct Lane {
    key: ObjectKey,
    /// Cancelled when nothing more may be taken.
    pub(super) closing: CancellationToken,
    news: watch::Sender<u64>,
    workers: AtomicUsize,
    idle: AtomicUsize,
}

/// Counts while it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A worker, which counts for as long as it is there, however it ends.
struct Present(Arc<Lane>);

impl Present {
    fn new(lane: Arc<Lane>) -> Self {
        lane.workers.fetch_add(1, Ordering::AcqRel);
        Self(lane)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::AcqRel);
        // What came in while it was leaving has nobody else.
        self.0.news.send_modify(|version| *version += 1);
    }
}

impl Lane {
    /// Changes whenever there may be something to do.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Marks a worker as waiting for work.
    pub(super) fn idle(&self) -> Counted<'_> {
        Counted::new(&self.idle)
    }
}

impl Lanes {
    /// Begins a term.
    pub(super) fn open(&self, term: &CancellationToken) {
        *lock(&self.term) = Some(term.child_token());
    }

    /// Ends the term: nothing more is taken.
    pub(super) fn close(&self) {
        if let Some(term) = lock(&self.term).take() {
            term.cancel();
        }
        lock(&self.lanes).clear();
    }

    /// Has a lane look around, and makes it if there is none. Of a config that is gone there is no lane.
    pub(super) fn wake(&self, delivery: &Arc<Delivery>, key: &ObjectKey) {
        let Some(term) = lock(&self.term).clone() else { return };
        let mut lanes = lock(&self.lanes);
        if !delivery.catalog().servers.contains_key(key) {
            return;
        }
        let lane = lanes.entry(key.clone()).or_insert_with(|| {
            let lane = Arc::new(Lane {
                key: key.clone(),
                closing: term.child_token(),
                news: watch::channel(0).0,
                workers: AtomicUsize::new(0),
                idle: AtomicUsize::new(0),
            });
            tokio::spawn(delivery.clone().supervise(lane.clone()));
            lane
        });
        lane.news.send_modify(|version| *version += 1);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.lanes).len()
    }

    /// The config is gone: its workers finish the message they are at, and end.
    pub(super) fn forget(&self, key: &ObjectKey) {
        if let Some(lane) = lock(&self.lanes).remove(key) {
            lane.closing.cancel();
        }
    }
}

impl Delivery {
    /// The server of a lane, if mail may be sent through it now.
    pub(super) fn usable(&self, lane: &ObjectKey) -> Option<Arc<Server>> {
        let server = self.catalog().servers.get(lane)?.as_ref().ok()?.clone();
        let is_open = |state: &ServerState| state.is_open(server.generation, Timestamp::now());
        let open = !server.suspended && self.servers.look(lane, is_open);
        open.then_some(server)
    }

    /// Whether a server is still what its config says.
    pub(super) fn is_current(&self, server: &Arc<Server>) -> bool {
        let known = self.catalog().servers.get(&server.key).and_then(|known| known.as_ref().ok().cloned());
        known.is_some_and(|known| Arc::ptr_eq(&known, server))
    }

    /// Keeps as many workers at a lane as it has use for.
    async fn supervise(self: Arc<Self>, lane: Arc<Lane>) {
        let mut news = lane.news();
        let pulse = self.vitals.of(Loop::Lane);
        loop {
            pulse.begin();
            news.mark_unchanged();
            let now = Timestamp::now();
            self.lift(&lane.key, now);
            if let Some(server) = self.usable(&lane.key) {
                self.staff(&lane, &server, now);
            }
            let next = [
                self.outbox().next_due(&lane.key),
                self.servers.look(&lane.key, |state| state.hold.as_ref().map(|hold| hold.until)),
            ];
            let next = next.into_iter().flatten().filter(|next| *next > now).min();
            let wait = next.map_or(Duration::from_mins(1), |next| next.duration_since(now).unsigned_abs());
            pulse.rest();
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(wait + Duration::from_millis(1)) => {}
                () = lane.closing.cancelled() => return,
            }
        }
    }

    /// Ends a hold for a used-up day that is none any more: limits and who has a say in them may have changed.
    fn lift(&self, lane: &ObjectKey, now: Timestamp) {
        let is_held = |state: &ServerState| {
            state.hold.as_ref().is_some_and(|hold| hold.failure.reason == Reason::LimitReached)
        };
        let Some(Ok(server)) = self.catalog().servers.get(lane).cloned() else { return };
        if self.servers.look(lane, is_held) && self.limiter(&server.account()).exhausted_until(now).is_none()
        {
            self.servers.update(lane, |state| state.hold = None);
        }
    }

    fn staff(self: &Arc<Self>, lane: &Arc<Lane>, server: &Arc<Server>, now: Timestamp) {
        // After a failure one message goes first, to see.
        let probing = self.servers.look(&lane.key, |state| state.hold.is_some());
        let allowed = self.limiter(&server.account()).allowed(&server.key, now);
        let most = if probing { 1 } else { server.limits.connections.min(allowed) };
        let due = self.outbox().due(&lane.key, now, most);
        let needed = due.saturating_sub(lane.idle.load(Ordering::Acquire));
        let present = lane.workers.load(Ordering::Acquire);
        for _ in 0..needed.min(most.saturating_sub(present)) {
            let present = Present::new(lane.clone());
            let (delivery, server) = (self.clone(), server.clone());
            self.unfinished.spawn(async move { delivery.work(&present.0, server).await });
        }
    }

    /// Takes note of a way through the stages: the server's state, its lane and its account follow it.
    pub fn verified(self: &Arc<Self>, server: &Arc<Server>, mut verification: Verification) {
        let now = Timestamp::now();
        let jitter = rand::random::<f64>();
        if !self.is_current(server) {
            // Deleted, or changed: what was found is about something that is no more.
            return self.servers.update(&server.key, ServerState::end_verification);
        }
        let account = server.account();
        let unread = verification
            .failed
            .as_ref()
            .is_some_and(|(_, failure)| failure.reason == Reason::APIServerUnavailable);
        if unread && self.servers.look(&server.key, |state| state.is_open(server.generation, now)) {
            // Nothing was learnt about the mail server: what was known of it still counts.
            return self.servers.note(&server.key, |state| {
                state.verifying = false;
                state.next = Some(after(now, Duration::from_secs(10)));
            });
        }
        let refused_replacement =
            self.servers.look(&server.key, |state| state.is_refused_replacement(&verification));
        let limits_changed = if verification.succeeded() && !server.suspended {
            self.accounts.admit(&server.key, &account, server.limits)
        } else {
            !refused_replacement && self.accounts.dismiss(&server.key)
        };
        let used = self.limiter(&account).used(&server.key, now);
        self.servers.update(&server.key, |state| {
            state.end_verification();
            state.usage = Some(used);
            if verification.succeeded() {
                state.proven = Some((verification.generation, verification.fingerprint.clone()));
            }
            if let Some((_, known)) = &mut verification.failed {
                state.failures += 1;
                // The same words from the third time on, so that they are written once.
                let failure =
                    Failure::from(known.clone()).repeated(state.failures.min(3), kind(&server.login));
                *known = failure.clone().into();
                if refused_replacement {
                    known
                        .message
                        .push_str("; sessions opened with the credential before it go on until they end");
                }
                let wait = self.paced(retry::probe_delay(state.failures, &failure, jitter));
                state.next = Some(after(now, wait));
            } else {
                state.failures = 0;
                // Give or take 20 %, so that many servers are not verified at the same moment for ever.
                let wait = server.verify_every.map(|every| every.mul_f64(0.8 + 0.4 * jitter));
                state.next = wait.map(|wait| after(now, wait));
            }
            let changed = state.verification.as_ref().is_some_and(|before| {
                (before.generation, &before.fingerprint)
                    != (verification.generation, &verification.fingerprint)
            });
            if changed {
                // What held it was about the spec and the credentials of before.
                state.hold = None;
            }
            state.verification = Some(Arc::new(verification));
        });
        self.limits_changed(limits_changed);
        self.wake(&server.key);
    }

    /// Holds a server that can be logged in to and yet takes no mail.
    pub(super) fn hold(self: &Arc<Self>, server: &Server, failure: StageFailure) {
        let failures =
            self.servers.look(&server.key, |state| state.hold.as_ref().map_or(0, |hold| hold.failures)) + 1;
        let wait = self.paced(retry::probe_delay(failures, &failure.clone().into(), rand::random()));
        let until = after(Timestamp::now(), wait);
        tracing::warn!(server = %server.key, reason = %failure.reason, phase = failure.phase.as_str(), %until, "sending is held");
        let temporary = failure.permanence == Permanence::Temporary;
        self.servers.update(&server.key, |state| {
            state.hold = Some(Hold { failure, until, failures });
            // A lost connection may mean that the server is down: then the stages show where.
            if temporary {
                state.next = Some(Timestamp::now());
            }
        });
    }

    /// Whether a failure costs the account one connection and nothing else: the server finds that there are too
    /// many, and others remain that mail goes on with.
    pub(super) fn yields(&self, server: &Server, failure: &StageFailure) -> bool {
        let about_number = failure.reason == Reason::Throttled
            && failure.reply.as_ref().is_some_and(|reply| matches!(reply.code, 421 | 432));
        let yields = about_number && self.limiter(&server.account()).lower(Timestamp::now());
        if yields {
            tracing::info!(server = %server.key, reason = %failure.reason, "one connection fewer");
        }
        yields
    }

    /// Holds a server until a time that is known.
    pub(super) fn hold_until(&self, server: &Server, failure: StageFailure, until: Timestamp) {
        let usage = self.limiter(&server.account()).used(&server.key, Timestamp::now());
        self.servers.update(&server.key, |state| {
            state.hold = Some(Hold { failure, until, failures: 0 });
            state.usage = Some(usage);
        });
    }
}

/// The login, for the advice in messages.
const fn kind(login: &Login) -> LoginKind {
    match login {
        Login::None => LoginKind::None,
        Login::Password { .. } => LoginKind::Password,
        Login::ClientCertificate { .. } => LoginKind::Certificate,
        Login::OAuth2(_) => LoginKind::OAuth2,
    }
}
