//! Bringing outcomes into the status of a Notification: one write, repeated until it is stored. While
//! the API server is away outcomes stay in memory, and nothing is sent again.

use crate::api::Notification;
use crate::api::status::{NotificationStatus, Phase, RecipientState};
use crate::api::{ConditionType, Reason};
use crate::cluster::Error;
use crate::cluster::events::Severity;
use crate::delivery::attempt::Run;
use crate::delivery::{Delivery, after, lock};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::outcome::{Outcome, Verdict};
use crate::domain::preparation::Prepared;
use crate::domain::retry;
use crate::domain::status::conditions::find;
use crate::domain::status::notification::{self as status, Attempt, Used};
use crate::domain::status::size::{self, Shortening};
use jiff::Timestamp;
use std::time::Duration;

/// Outcomes on their way into a status.
pub(super) struct Report {
    pub key: ObjectKey,
    pub uid: Uid,
    /// The object as it was read for the attempt.
    pub notification: Notification,
    pub outcomes: Vec<Outcome>,
    pub used: Option<Used>,
    pub began: Timestamp,
    /// The longest that a server asked to wait.
    pub retry_after: Option<Duration>,
    /// Whether this was an attempt, or a part that goes on at once.
    pub counts: bool,
}

/// What became of outcomes.
pub(super) enum Stored {
    /// They are in this status.
    As(Box<NotificationStatus>),
    /// The object is gone, and they with it.
    Gone,
    /// They are not: the API server refuses them. The journal keeps them.
    NotNow,
}

/// What happens once the API server has refused to store a status: a policy or a quota forbids it, for as long as
/// somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is tried again, ever more rarely.
    KeepTrying,
    /// It is left for later.
    GiveUp,
}

/// Longest wait between two tries of a status that is refused.
const RARELY: Duration = Duration::from_mins(10);

impl Delivery {
    /// Writes the outcomes until they are stored, or until `when_refused` gives it up; or, once they were refused, until
    /// this process stops to send. `when_refused` is called once: whoever holds something that others need lets it go
    /// then.
    pub(super) async fn store(&self, report: Report, when_refused: impl FnOnce() -> Refused) -> Stored {
        let mut when_refused = Some(when_refused);
        let mut shortening = None;
        let mut rarer = Duration::from_secs(10);
        let Report { key, uid, mut notification, outcomes, used, began, retry_after, counts } = report;
        let started = std::time::Instant::now();
        let mut backoff = Duration::from_millis(100);
        let jitter = rand::random::<f64>();
        // What was to be written over when an answer was lost.
        let mut uncertain: Option<Notification> = None;
        loop {
            let now = Timestamp::now();
            // Asked only then: a second attempt within one second looks like the first.
            if let Some(before) = uncertain.as_ref().filter(|_| is_recorded(&notification, &outcomes)) {
                let Some(status) = notification.status.clone() else { return Stored::Gone };
                self.announce(before, &status).await;
                self.removals.consider(&notification, &status, now);
                return Stored::As(Box::new(status));
            }
            let attempts =
                notification.status.as_ref().and_then(|status| status.attempts).unwrap_or_default();
            let wait = if counts {
                let attempts = u32::try_from(attempts).unwrap_or_default().saturating_add(1);
                self.paced(retry::message_delay(attempts, retry_after, jitter))
            } else {
                Duration::ZERO
            };
            let attempt =
                Attempt { outcomes: &outcomes, used: used.as_ref(), began, next: after(now, wait), counts };
            let whole = status::attempted(&notification, &attempt, now);
            let new = match shortening {
                None => whole,
                Some(how) => size::shortened(whole, how),
            };
            let version = notification.metadata.resource_version.clone().unwrap_or_default();
            let written: Result<Notification, Error> =
                self.cluster.write_status(&key, &version, notification.status.as_ref(), &new).await;
            match written {
                Ok(_) => {
                    self.metrics.step("status", started.elapsed());
                    self.announce(&notification, &new).await;
                    self.removals.consider(&notification, &new, now);
                    return Stored::As(Box::new(new));
                }
                Err(Error::Conflict | Error::NotFound) => {}
                Err(Error::TooLarge) if Shortening::more(shortening).is_some() => {
                    shortening = Shortening::more(shortening);
                    tracing::warn!(notification = %key, ?shortening, "status too large for the API server; stored shorter");
                }
                Err(error @ (Error::Refused(_) | Error::TooLarge)) => {
                    if let Some(when_refused) = when_refused.take() {
                        self.tell_refused(&key, &notification, &error).await;
                        if when_refused() == Refused::GiveUp {
                            return Stored::NotNow;
                        }
                    }
                    // Nobody waits for a policy when the process ends: the next leader settles what the journal holds.
                    let draining = lock(&self.draining).clone();
                    tokio::select! {
                        () = tokio::time::sleep(self.paced(rarer)) => {}
                        () = draining.cancelled() => return Stored::NotNow,
                    }
                    rarer = (rarer * 2).min(RARELY);
                }
                Err(error) => {
                    uncertain = Some(notification.clone());
                    tracing::debug!(notification = %key, %error, "status not stored; trying again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(Duration::from_secs(5));
                }
            }
            notification = loop {
                match self.cluster.notification(&key).await {
                    Ok(Some(found)) if Uid::of(&found).as_ref() == Some(&uid) => break found,
                    Ok(_) => {
                        self.metrics.dropped();
                        tracing::info!(notification = %key, "deleted while it was sent; its outcome is dropped");
                        return Stored::Gone;
                    }
                    Err(error) => {
                        tracing::debug!(notification = %key, %error, "not readable; trying again");
                        tokio::time::sleep(backoff).await;
                        backoff = (backoff * 2).min(Duration::from_secs(5));
                    }
                }
            };
        }
    }

    /// Stores what a long Notification has come to so far; the next chunk goes on with the new version.
    pub(super) async fn store_progress(&self, run: &mut Run<'_>, prepared: &Prepared<'_>) {
        let report = Report {
            key: run.item.key.clone(),
            uid: run.item.uid.clone(),
            notification: run.notification.clone(),
            outcomes: run.outcomes.clone(),
            used: Some(prepared.used(run.locales.iter().cloned())),
            began: run.began,
            retry_after: None,
            counts: false,
        };
        // Refused, it comes with the rest: a session must not wait for somebody's policy.
        self.store(report, || Refused::GiveUp).await;
        run.stored = run.outcomes.len();
        run.status_at = tokio::time::Instant::now();
    }

    /// Tells that what became of a Notification is not stored, since the object itself cannot say so.
    async fn tell_refused(&self, key: &ObjectKey, notification: &Notification, error: &Error) {
        self.metrics.status_refused();
        tracing::error!(notification = %key, %error, "status refused; its outcome is kept and tried again ever more rarely");
        let message = format!(
            "what became of this message cannot be stored: {error}. It is kept and tried again; nothing is sent again meanwhile"
        );
        self.events.publish(notification, Severity::Warning, Reason::StatusNotStored, &message).await;
    }

    /// Tells of a change for the worse. Nothing is said of a message that went as it should.
    pub(crate) async fn announce(&self, notification: &Notification, new: &NotificationStatus) {
        let before = notification.status.as_ref().map(|status| status.phase).unwrap_or_default();
        if before == new.phase {
            return;
        }
        tracing::info!(
            notification = name(notification),
            phase = new.phase.as_str(),
            accepted = new.accepted.as_deref(),
            "phase changed"
        );
        self.metrics.phase(new.phase);
        if matches!(new.phase, Phase::Sent | Phase::Pending) {
            return;
        }
        if let Some(ready) = find(&new.conditions, ConditionType::Ready) {
            let reason = Reason::parse(&ready.reason).unwrap_or(Reason::MessageRefused);
            self.events.publish(notification, Severity::Warning, reason, &ready.message).await;
        }
    }
}

/// Namespace and name for logs.
fn name(notification: &Notification) -> String {
    ObjectKey::of(notification).map(|key| key.to_string()).unwrap_or_default()
}

/// Whether a write whose answer was lost is stored after all.
fn is_recorded(notification: &Notification, outcomes: &[Outcome]) -> bool {
    let recipients =
        notification.status.as_ref().map(|status| status.recipients.as_slice()).unwrap_or_default();
    let same = |outcome: &Outcome| {
        recipients.iter().any(|recipient| {
            let state = match outcome.verdict {
                Verdict::Accepted => recipient.state == RecipientState::Accepted,
                Verdict::Refused => recipient.state == RecipientState::Refused,
                Verdict::InDoubt => recipient.state == RecipientState::InDoubt,
                Verdict::Deferred => {
                    matches!(recipient.state, RecipientState::Pending | RecipientState::InDoubt)
                }
            };
            // Stored times have no fractions of a second.
            let time =
                recipient.time.as_ref().is_some_and(|time| time.0.as_second() == outcome.time.as_second());
            recipient.address == outcome.address
                && state
                && time
                && recipient.message_id == outcome.message_id
        })
    };
    !outcomes.is_empty() && outcomes.iter().all(same)
}
