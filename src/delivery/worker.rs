//! A worker: one connection of an account, one session on it, one Notification after the other.

use crate::api::Reason;
use crate::delivery::account::Limiter;
use crate::delivery::attempt::{Flow, Means, Run};
use crate::delivery::journal::JournalHandle;
use crate::delivery::lane::Lane;
use crate::delivery::opening::Opened;
use crate::delivery::results::{Refused, Report, Stored};
use crate::delivery::servers::ServerState;
use crate::delivery::{Delivery, after};
use crate::domain::ledger;
use crate::domain::material::Needs;
use crate::domain::object::Uid;
use crate::domain::outbox::Item;
use crate::domain::outcome::Outcome;
use crate::domain::preparation::Prepared;
use crate::domain::reconciliation::examine;
use crate::domain::server::Server;
use crate::domain::verification::StageFailure;
use crate::smtp::Session;
use futures::FutureExt;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Wait before something that another process or the API server keeps from going on is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Wait while the API server refuses to store the journal.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How long a worker keeps its connection at least while others wait for one and it has work.
const TURN: Duration = Duration::from_secs(5);

/// What a worker has for its whole life.
struct Desk<'a> {
    lane: &'a Lane,
    /// Since when it has its connection.
    since: Instant,
    server: Arc<Server>,
    limiter: Arc<Limiter>,
    journal: JournalHandle,
}

impl Delivery {
    /// Works on a lane until nothing is left to do for a while, the server changes, or the term ends.
    pub(super) async fn work(self: &Arc<Self>, lane: &Lane, server: Arc<Server>) {
        let account = server.account();
        let limiter = self.limiter(&account);
        let connection = tokio::select! {
            connection = limiter.connection(&server.key) => connection,
            () = lane.closing.cancelled() => return,
        };
        let journal = self.journals.of(&account);
        let desk = Desk { lane, since: Instant::now(), limiter, journal, server };
        let mut session = None;
        loop {
            if let Some(held) = session.take() {
                session = self.keep(&desk, held).await;
            }
            if !self.may_take(&desk, session.as_ref()) {
                break;
            }
            let Some(item) = self.next(&desk, session.as_ref()).await else { break };
            if session.is_none() {
                session = self.open_for(&desk, &item).await;
            }
            if session.is_none() {
                break;
            }
            match self.deliver(&desk, &mut session, &item).await {
                Flow::Continue | Flow::Yield => {}
                Flow::Renew | Flow::Reopen => session = None,
                Flow::Stop => {
                    if let Some(failure) = desk.journal.refusal() {
                        // Looked at again by a worker of its own.
                        let until = after(Timestamp::now(), self.paced(REFUSED_PAUSE));
                        self.hold_until(&desk.server, failure, until);
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = lane.closing.cancelled() => {}
                    }
                }
                Flow::Hold(failure) => {
                    let failure = (*failure).into();
                    if !self.yields(&desk.server, &failure) {
                        self.hold(&desk.server, failure);
                    }
                    break;
                }
            }
        }
        if let Some(opened) = session {
            opened.session.quit().await;
        }
        drop(connection);
        self.forget_if_gone(&desk.server.key);
    }

    /// Whether the lane is open for the server this worker was made for, and with the credentials of its session.
    fn may_take(&self, desk: &Desk<'_>, session: Option<&Opened>) -> bool {
        let Desk { lane, server, .. } = desk;
        let current = self.is_current(server);
        let now = Timestamp::now();
        if desk.since.elapsed() >= TURN && desk.limiter.owes(&server.key, now) {
            return false;
        }
        let open = self.servers.look(&server.key, |state| match session {
            Some(opened) => state.may_go_on(server.generation, &opened.fingerprint, now),
            None => state.is_open(server.generation, now),
        });
        !lane.closing.is_cancelled() && current && !server.suspended && open
    }

    /// The session, if it is fit for another message; else says goodbye to it.
    async fn keep(&self, desk: &Desk<'_>, mut opened: Opened) -> Option<Opened> {
        let session = &mut opened.session;
        let settings = &self.settings;
        let now = Timestamp::now();
        let (generation, fingerprint) = (desk.server.generation, &opened.fingerprint);
        let goes_on = |state: &ServerState| state.may_go_on(generation, fingerprint, now);
        let fit = self.servers.look(&desk.server.key, goes_on)
            && !desk.limiter.is_crowded(now)
            && session.usable()
            && !session.has_ended()
            && session.age() < settings.session_age
            && session.messages() < settings.session_messages;
        if fit {
            return Some(opened);
        }
        opened.session.quit().await;
        None
    }

    /// Waits for the next Notification, but not longer than an idle session may be kept.
    async fn next(self: &Arc<Self>, desk: &Desk<'_>, session: Option<&Opened>) -> Option<Item> {
        let mut news = desk.lane.news();
        let patience =
            tokio::time::sleep(if session.is_some() { self.settings.session_idle } else { Duration::ZERO });
        tokio::pin!(patience);
        loop {
            let now = Timestamp::now();
            if let Some(until) = desk.limiter.exhausted_until(now) {
                let message = "as many recipients as limits.recipientsPerDay permits were sent to in the last 24 hours with this \
                               login; it goes on by itself";
                let failure = StageFailure::temporary(Reason::LimitReached, message);
                self.hold_until(&desk.server, failure, until);
                return None;
            }
            if !self.may_take(desk, session) {
                return None;
            }
            news.mark_unchanged();
            // Not ahead of the results that are still to be stored.
            drop(self.results.acquire().await.ok()?);
            let taken = self.outbox().take(&desk.server.key, now);
            if let Some(item) = taken {
                // With a message in hand: who has none must not use up what others of the account may send.
                tokio::select! {
                    () = desk.limiter.pace() => return Some(item),
                    () = desk.lane.closing.cancelled() => {
                        self.outbox().done(&item.uid, Some(item.due));
                        return None;
                    }
                }
            }
            if desk.limiter.is_wanted() {
                return None;
            }
            let due = self.outbox().next_due(&desk.server.key);
            let until_due = due.map_or(Duration::MAX, |due| due.duration_since(now).unsigned_abs());
            let _idle = desk.lane.idle();
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(until_due.min(PAUSE)) => {}
                () = desk.lane.closing.cancelled() => return None,
                () = &mut patience => return None,
            }
        }
    }

    /// Opens a session for a Notification in hand; on failure puts that back as it was.
    async fn open_for(self: &Arc<Self>, desk: &Desk<'_>, item: &Item) -> Option<Opened> {
        let opened = self.open_at(desk).await;
        if opened.is_none() {
            self.outbox().done(&item.uid, Some(item.due));
        }
        opened
    }

    /// Opens a session; what is learnt of the server by it counts like a verification.
    async fn open_at(self: &Arc<Self>, desk: &Desk<'_>) -> Option<Opened> {
        let (verification, opened) = self.open(&desk.server).await;
        if let Some(opened) = opened {
            let with = (desk.server.generation, opened.fingerprint.clone());
            if self.servers.look(&desk.server.key, |state| state.proven.as_ref() != Some(&with)) {
                // The Secret has changed, and this session is the first to have proved the new one.
                self.verified(&desk.server, verification);
            }
            Some(opened)
        } else {
            let yields =
                verification.failed.as_ref().is_some_and(|(_, failure)| self.yields(&desk.server, failure));
            if !yields {
                self.verified(&desk.server, verification);
            }
            None
        }
    }

    /// Takes a Notification through: fresh copy, preparation, sending, result.
    async fn deliver(self: &Arc<Self>, desk: &Desk<'_>, session: &mut Option<Opened>, item: &Item) -> Flow {
        let back = |wait| self.outbox().done(&item.uid, Some(after(Timestamp::now(), wait)));
        let Ok(term) = desk.journal.hold().await else {
            back(PAUSE);
            return Flow::Stop;
        };
        if self.is_quarantined(&item.uid) {
            self.outbox().done(&item.uid, None);
            return Flow::Continue;
        }
        if self.journals.is_in_doubt(&item.uid) {
            back(PAUSE);
            return Flow::Continue;
        }
        if !self.may_be_queued(&item.key, &item.uid) {
            // Its namespace is kept apart since it was judged; judged again, it is rendered first.
            self.outbox().done(&item.uid, None);
            self.reviews.push(item.key.clone());
            return Flow::Continue;
        }
        let notification = match self.cluster.notification(&item.key).await {
            Ok(Some(found)) if Uid::of(&found).as_ref() == Some(&item.uid) => found,
            Ok(_) => {
                self.outbox().done(&item.uid, None);
                return Flow::Continue;
            }
            Err(error) => {
                tracing::debug!(notification = %item.key, %error, "not readable; put back");
                back(PAUSE);
                return Flow::Stop;
            }
        };
        let now = Timestamp::now();
        let material = match self.cluster.material(&item.key.namespace, &Needs::of(&notification)).await {
            Ok(material) => material,
            Err(error) => {
                tracing::debug!(notification = %item.key, %error, "its values or attachments are not readable; put back");
                back(PAUSE);
                return Flow::Stop;
            }
        };
        let examined = {
            let default = self.settings.default_server.as_ref();
            examine(&notification, &self.catalog(), default, &material, now)
        };
        let due = ledger::due(&notification, now) <= now;
        let prepared = examined.ok().filter(|prepared| due && Arc::ptr_eq(&prepared.server, &desk.server));
        let Some(prepared) = prepared else {
            // It is another case by now: the controller judges it afresh.
            self.outbox().done(&item.uid, None);
            self.reviews.push(item.key.clone());
            return Flow::Continue;
        };
        let mut run = Run::new(item, &notification, term, prepared.recipients.clone());
        let flow = loop {
            let Some(opened) = session.as_mut() else { break Flow::Reopen };
            let flow = self.send_safely(desk, &mut opened.session, &mut run, &prepared).await;
            let goes_on = self.may_take(desk, None) && !desk.limiter.is_crowded(Timestamp::now());
            if !matches!(flow, Flow::Renew) || !goes_on {
                break flow;
            }
            if let Some(old) = session.take() {
                old.session.quit().await;
            }
            *session = self.open_at(desk).await;
        };
        self.finish(desk, run, &prepared, matches!(flow, Flow::Continue));
        flow
    }

    /// Sends on one session; who was at DATA when the code that sends panics is in doubt.
    async fn send_safely<'a>(
        &self,
        desk: &Desk<'_>,
        session: &mut Session,
        run: &mut Run<'a>,
        prepared: &Prepared<'a>,
    ) -> Flow {
        let mut means =
            Means { session, limiter: &desk.limiter, journal: &desk.journal, closing: &desk.lane.closing };
        let sending = AssertUnwindSafe(self.send(run, prepared, &mut means)).catch_unwind().await;
        sending.unwrap_or_else(|_| {
            crashed(run);
            if self.crashed(&run.item.uid) {
                // Its controller tells it.
                self.reviews.push(run.item.key.clone());
            }
            Flow::Reopen
        })
    }

    /// Hands the outcomes over to be stored, and lets claim and Notification go once they are.
    fn finish(self: &Arc<Self>, desk: &Desk<'_>, run: Run<'_>, prepared: &Prepared<'_>, complete: bool) {
        let Run {
            item,
            notification,
            term,
            began,
            claim,
            outcomes,
            locales,
            retry_after,
            not_before,
            noted,
            ..
        } = run;
        let journal = desk.journal.clone();
        if outcomes.is_empty() {
            if let Some(claim) = claim {
                journal.remove(claim.id);
            }
            self.outbox().done(&item.uid, Some(not_before.map_or(item.due, |time| time.max(item.due))));
            return;
        }
        // Cut short by the session or the server, the rest goes on at once and this was no attempt of theirs;
        // but what was deferred or is in doubt waits its time.
        let waits = |outcome: &Outcome| {
            use crate::domain::outcome::Verdict::{Deferred, InDoubt};
            matches!(outcome.verdict, Deferred | InDoubt)
        };
        let counts = complete || outcomes.iter().any(waits);
        let report = Report {
            key: item.key.clone(),
            uid: item.uid.clone(),
            notification: notification.clone(),
            outcomes,
            used: Some(prepared.used(locales)),
            began,
            retry_after,
            counts,
        };
        let (delivery, lane) = (self.clone(), item.lane.clone());
        self.unfinished.spawn(async move {
            let under_way = delivery.results.clone().acquire_owned().await;
            let uid = report.uid.clone();
            // Refused, it waits by itself: others' results need the place. The journal learns it, so that a crash meanwhile
            // puts nothing in doubt.
            let fresh = report.outcomes.get(noted..).unwrap_or_default().to_vec();
            let (written, entry) = (journal.clone(), claim.as_ref().map(|claim| claim.id.clone()));
            let mut noted = None;
            let refused = || {
                drop(under_way);
                noted = entry.map(|entry| {
                    tokio::spawn(async move { written.extend(term, &entry, fresh, BTreeSet::new()).await })
                });
                Refused::KeepTrying
            };
            let status = match delivery.store(report, refused).await {
                Stored::As(status) => Some(status),
                Stored::Gone => None,
                Stored::NotNow => {
                    // Before the journal is let go.
                    if let Some(noted) = noted {
                        let _ = noted.await;
                    }
                    return;
                }
            };
            if let Some(claim) = claim {
                journal.remove(claim.id);
            }
            let next = status.filter(|status| !status.finished).and_then(|status| status.next_attempt_time);
            let waits_again = delivery.outbox().done(&uid, next.map(|next| next.0));
            if waits_again {
                // The worker may have left by now, and the lane looked at its queue before.
                delivery.wake(&lane);
            }
        });
    }
}

/// The code that sent panicked: what was at DATA may have been taken.
fn crashed(run: &mut Run<'_>) {
    if let Some(parcel) = run.at_data.take() {
        run.sent();
        let why = "the operator crashed while this was sent: it may or may not have been taken";
        run.note(parcel.in_doubt(why, Timestamp::now()));
    }
}
