//! The status of a Notification, for each thing that can happen to it.

use crate::api::notification::{Notification, OnInDoubt};
use crate::api::status::{NotificationStatus, Phase, RecipientState, ServerUsed, Summary, TemplateUsed};
use crate::api::{ConditionType, Reason};
use crate::domain::ledger;
use crate::domain::lookup::Source;
use crate::domain::object::ObjectKey;
use crate::domain::outcome::Outcome;
use crate::domain::preparation::Obstacle;
use crate::domain::recipients;
use crate::domain::status::conditions::{Conditions, State, find};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What an attempt used, for the status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    /// The MailServerConfig.
    pub server: Option<ObjectKey>,
    /// The template, with its generation if it is an object.
    pub template: Option<(Source, Option<i64>)>,
    /// Languages used.
    pub locales: Vec<String>,
}

/// The news of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt<'a> {
    /// What became of recipients.
    pub outcomes: &'a [Outcome],
    /// What was used; `None` where it is not known (recovery after a crash).
    pub used: Option<&'a Used>,
    /// When the first recipient was tried.
    pub began: Timestamp,
    /// When those that are left are due again.
    pub next: Timestamp,
    /// Whether it counts as an attempt: it does not when it only stores what an earlier process had noted.
    pub counts: bool,
}

/// After an attempt, or a part of one.
pub fn attempted(notification: &Notification, attempt: &Attempt<'_>, now: Timestamp) -> NotificationStatus {
    let mut status = notification.status.clone().unwrap_or_default();
    status.recipients = ledger::record(notification, attempt.outcomes);
    status.start_time.get_or_insert(Time(attempt.began));
    if attempt.counts {
        status.attempts = Some(status.attempts.unwrap_or_default().saturating_add(1));
    }
    if let Some(Used { server, template, locales }) = attempt.used {
        status.server = server
            .as_ref()
            .map(|key| ServerUsed { name: key.name.to_string(), namespace: key.namespace.to_string() });
        status.template = template.as_ref().map(|(source, generation)| TemplateUsed {
            source: source.to_string(),
            generation: *generation,
            locale: (!locales.is_empty()).then(|| locales.join(",")),
        });
    }
    status.next_attempt_time = Some(Time(attempt.next));
    let expired = ledger::window(notification, now).until <= now;
    concluded(notification, status, expired, now)
}

/// Its time has run out.
pub fn expired(notification: &Notification, now: Timestamp) -> NotificationStatus {
    concluded(notification, notification.status.clone().unwrap_or_default(), true, now)
}

/// A person said that what is in doubt, or was restored from a backup, has been sent.
pub fn resolved_as_sent(notification: &Notification, word: &str, now: Timestamp) -> NotificationStatus {
    let mut status = notification.status.clone().unwrap_or_default();
    // Of one that a backup tool restored nothing is known: then it is about all.
    let restored = status.recipients.is_empty();
    let meant = |address: &str| restored || ledger::doubts(notification.status.as_ref(), address) > 0;
    let addresses = recipients::all(&notification.spec).map(|recipient| recipient.address);
    let outcomes: Vec<_> =
        addresses.filter(|address| meant(address)).map(|address| Outcome::resolved(address, now)).collect();
    status.recipients = ledger::record(notification, &outcomes);
    status.last_handled_resolve = Some(word.into());
    let expired = ledger::window(notification, now).until <= now;
    concluded(notification, status, expired, now)
}

/// A person said that what is in doubt, or was restored from a backup, is to be sent again.
pub fn resolved_as_resend(notification: &Notification, word: &str, now: Timestamp) -> NotificationStatus {
    let mut status = notification.status.clone().unwrap_or_default();
    for recipient in
        status.recipients.iter_mut().filter(|recipient| recipient.state == RecipientState::InDoubt)
    {
        recipient.state = RecipientState::Pending;
        recipient.doubts = None;
        recipient.message = Some("to be sent again, as a person decided".into());
    }
    status.last_handled_resolve = Some(word.into());
    status.next_attempt_time = None;
    let expired = ledger::window(notification, now).until <= now;
    concluded(notification, status, expired, now)
}

/// A person decided something that we do not understand.
pub fn unresolved(notification: &Notification, word: &str, now: Timestamp) -> NotificationStatus {
    let word: String = word.chars().filter(|c| !c.is_control()).take(64).collect();
    let message = format!(
        "annotation mail-operator.dev/resolve must be sent or resend, each with an ending if need be (resend-2); it is {word:?}"
    );
    let mut status = notification.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(&status.conditions, notification.metadata.generation, now);
    for old in &status.conditions {
        let type_ = [ConditionType::Ready, ConditionType::Stalled]
            .into_iter()
            .find(|type_| type_.as_str() == old.type_);
        match (type_, Reason::parse(&old.reason)) {
            (Some(type_), Some(reason)) => {
                let state = if old.status == "True" { State::True } else { State::False };
                conditions.set(type_, state, reason, &message);
            }
            _ => conditions.take(old),
        }
    }
    status.conditions = conditions.finish();
    status
}

/// It cannot be sent as things are.
pub fn obstructed(notification: &Notification, obstacle: &Obstacle, now: Timestamp) -> NotificationStatus {
    use ConditionType::{Ready, Reconciling, Rendered, Resolved, Sent, Stalled};
    let old = notification.status.clone().unwrap_or_default();
    let generation = notification.metadata.generation;
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    let Obstacle { stage, reason, message, passes_by_itself } = obstacle;
    // Ready is False rather than Unknown: it is known that this does not work now.
    conditions.set(Ready, State::False, *reason, message);
    if *stage == Rendered {
        conditions.set(Resolved, State::True, Reason::Succeeded, "server and template found and permitted");
    }
    conditions.set(*stage, State::False, *reason, message);
    conditions.set(Sent, State::False, *reason, "not sent yet");
    if *passes_by_itself {
        conditions.set(Reconciling, State::True, *reason, message);
    } else {
        conditions.set(Stalled, State::True, *reason, message);
    }
    NotificationStatus {
        conditions: conditions.finish(),
        observed_generation: generation,
        accepted: Some(fraction(notification, &old)),
        ..old
    }
}

/// An obstacle that was reported is gone, and the message waits to be sent.
pub fn unobstructed(notification: &Notification, now: Timestamp) -> NotificationStatus {
    concluded(notification, notification.status.clone().unwrap_or_default(), false, now)
}

/// Whether the status reports an obstacle, so that its end is worth a write.
pub fn reports_obstacle(status: Option<&NotificationStatus>) -> bool {
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    [ConditionType::Resolved, ConditionType::Rendered]
        .into_iter()
        .any(|type_| find(conditions, type_).is_some_and(|condition| condition.status == "False"))
}

fn fraction(notification: &Notification, status: &NotificationStatus) -> String {
    let summary = ledger::summarise(notification, &status.recipients);
    format!("{}/{}", summary.accepted, summary.total)
}

/// Fills in phase, counts and conditions from the recipients.
fn concluded(
    notification: &Notification,
    mut status: NotificationStatus,
    expired: bool,
    now: Timestamp,
) -> NotificationStatus {
    let summary = ledger::summarise(notification, &status.recipients);
    let policy = notification.spec.delivery.on_in_doubt;
    let (phase, finished) =
        ledger::conclude(&summary, ledger::held(notification, &status.recipients), expired);
    status.phase = phase;
    status.finished = finished;
    status.observed_generation = notification.metadata.generation;
    status.accepted = Some(format!("{}/{}", summary.accepted, summary.total));
    if finished || phase == Phase::InDoubt {
        status.next_attempt_time = None;
    }
    if finished {
        status.completion_time.get_or_insert(Time(now));
    }
    let (reason, message) = explain(&status, &summary, phase, policy);
    let mut conditions = Conditions::new(&status.conditions, notification.metadata.generation, now);
    conclude_conditions(&mut conditions, &status, &summary, reason, &message);
    status.conditions = conditions.finish();
    status.summary = Some(summary);
    status
}

fn conclude_conditions(
    conditions: &mut Conditions<'_>,
    status: &NotificationStatus,
    summary: &Summary,
    reason: Reason,
    message: &str,
) {
    use ConditionType::{InDoubt, Ready, Reconciling, Rendered, Resolved, Sent, Stalled};
    let state = match status.phase {
        Phase::Sent => State::True,
        Phase::Pending => State::Unknown,
        Phase::PartiallySent | Phase::Failed | Phase::InDoubt | Phase::Expired => State::False,
    };
    conditions.set(Ready, state, reason, message);
    if status.attempts.is_some() {
        conditions.set(Resolved, State::True, Reason::Succeeded, "server and template found and permitted");
        conditions.set(Rendered, State::True, Reason::Succeeded, "the message was built");
    } else if status.phase == Phase::Expired {
        conditions.keep(Resolved);
        conditions.keep(Rendered);
    }
    conditions.set(Sent, state, reason, message);
    match status.phase {
        Phase::Sent => {}
        Phase::Pending => conditions.set(Reconciling, State::True, reason, message),
        Phase::PartiallySent | Phase::Failed | Phase::InDoubt | Phase::Expired => {
            conditions.set(Stalled, State::True, reason, message);
        }
    }
    if summary.in_doubt > 0 {
        let message = format!(
            "the answer of the mail server was lost for {} recipients: they may or may not have got the message",
            summary.in_doubt
        );
        conditions.set(InDoubt, State::True, Reason::AnswerLost, message);
    }
}

/// The reason and the sentence for `Ready` and `Sent`.
fn explain(
    status: &NotificationStatus,
    summary: &Summary,
    phase: Phase,
    policy: OnInDoubt,
) -> (Reason, String) {
    use RecipientState::{Pending, Refused};
    let Summary { total, accepted, refused, pending, in_doubt } = *summary;
    let first = |state| {
        let found = status
            .recipients
            .iter()
            .find(|recipient| recipient.state == state && recipient.message.is_some());
        found.map(|found| {
            (found.reason.as_deref().and_then(Reason::parse), found.message.clone().unwrap_or_default())
        })
    };
    match phase {
        Phase::Sent => {
            (Reason::Accepted, format!("accepted by the mail server for {accepted} of {total} recipients"))
        }
        Phase::PartiallySent => {
            let why = first(Refused).map(|(_, message)| format!(": {message}")).unwrap_or_default();
            let open = pending + in_doubt;
            let rest = if open > 0 { format!(", {open} ran out of time") } else { String::new() };
            (
                Reason::PartiallyAccepted,
                format!("{accepted} of {total} recipients accepted, {refused} refused{rest}{why}"),
            )
        }
        Phase::Failed => match first(Refused) {
            Some((Some(reason), message)) if total == 1 => (reason, message),
            Some((_, message)) => {
                (Reason::AllRefused, format!("all {total} recipients were refused: {message}"))
            }
            None => (Reason::AllRefused, format!("all {total} recipients were refused")),
        },
        Phase::InDoubt => {
            let why = match policy {
                OnInDoubt::Hold => "and onInDoubt is Hold",
                OnInDoubt::Resend => "3 times where it is not sent again",
            };
            let message = format!(
                "the answer of the mail server was lost for {in_doubt} of {total} recipients, {why}: look \
                 at the mail server's log for the messageID, then annotate with mail-operator.dev/resolve=sent or =resend \
                 (a value that was used before needs an ending, such as resend-2)"
            );
            (Reason::AnswerLost, message)
        }
        Phase::Expired => {
            let last = first(Pending).map(|(_, message)| message).or_else(|| {
                let ready = find(&status.conditions, ConditionType::Ready)?;
                (ready.status == "False").then(|| ready.message.clone())
            });
            let why = last.map_or_else(
                || "the mail server was not ready in time".into(),
                |last| format!("last: {last}"),
            );
            (Reason::DeadlineExceeded, format!("not sent within delivery.expireAfter; {why}"))
        }
        Phase::Pending => match first(Pending) {
            Some((reason, message)) => {
                (reason.unwrap_or(Reason::Retrying), format!("will be tried again: {message}"))
            }
            None if in_doubt > 0 => {
                (Reason::AnswerLost, "will be sent again: the answer of the mail server was lost".into())
            }
            None => (Reason::WaitingForServer, "waiting to be sent".into()),
        },
    }
}

#[cfg(test)]
mod tests;
