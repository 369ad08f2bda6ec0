//! The state machine of a Notification's recipients: who is due, what an outcome changes, and when
//! the whole is finished. Accepted recipients never become due again.

use crate::api::Reason;
use crate::api::notification::{Notification, OnInDoubt};
use crate::api::status::{NotificationStatus, Phase, RecipientState, RecipientStatus, Summary};
use crate::domain::outcome::{Outcome, Verdict};
use crate::domain::recipients::{self, Addressee};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// When a Notification may be sent: not before `from`, not after `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `sendAt`, or the creation.
    pub from: Timestamp,
    /// `from` + `expireAfter`.
    pub until: Timestamp,
}

/// The default of `expireAfter`, for the case that the stored text is unreadable.
const EXPIRE_AFTER: Duration = Duration::from_hours(24);

/// The window of a Notification. `now` stands in for an object without creation time, which the API
/// server does not produce.
pub fn window(notification: &Notification, now: Timestamp) -> Window {
    let delivery = &notification.spec.delivery;
    let created = notification.metadata.creation_timestamp.as_ref().map_or(now, |created| created.0);
    let from = delivery.send_at.as_ref().map_or(created, |at| at.0);
    let lasts = delivery.expire_after.parse().unwrap_or(EXPIRE_AFTER);
    let until = from.checked_add(lasts).unwrap_or(Timestamp::MAX);
    Window { from, until }
}

/// When the next attempt is due.
pub fn due(notification: &Notification, now: Timestamp) -> Timestamp {
    let next =
        notification.status.as_ref().and_then(|status| status.next_attempt_time.as_ref()).map(|next| next.0);
    let from = window(notification, now).from;
    next.map_or(from, |next| next.max(from))
}

/// So many copies go to one recipient at most until a person decides. A crash between a message and its answer is chance,
/// and one copy more makes sure; a server that loses its answer three times in a row will lose the next one as well.
const MOST_COPIES: i32 = 3;

/// Recipients that are to be sent to, in the order of the spec. Those in doubt only where the policy is
/// to send again, and not for ever.
pub fn open_recipients(notification: &Notification) -> Vec<Addressee<'_>> {
    let told: HashMap<&str, &RecipientStatus> = notification
        .status
        .iter()
        .flat_map(|status| &status.recipients)
        .map(|recipient| (recipient.address.as_str(), recipient))
        .collect();
    let policy = notification.spec.delivery.on_in_doubt;
    let open = |recipient: &Addressee<'_>| {
        told.get(recipient.address).is_none_or(|told| match told.state {
            RecipientState::Pending => true,
            RecipientState::InDoubt => !waits_for_a_person(told, policy),
            RecipientState::Accepted | RecipientState::Refused => false,
        })
    };
    recipients::all(&notification.spec).filter(open).collect()
}

/// How many attempts at this recipient ended in doubt, if it is still in doubt.
pub fn doubts(status: Option<&NotificationStatus>, address: &str) -> i32 {
    let recipients = status.map(|status| status.recipients.as_slice()).unwrap_or_default();
    recipients.iter().find(|recipient| recipient.address == address).map_or(0, doubts_of)
}

fn doubts_of(recipient: &RecipientStatus) -> i32 {
    if recipient.state == RecipientState::InDoubt { recipient.doubts.unwrap_or(1).max(1) } else { 0 }
}

/// Whether only a person can say how it goes on with a recipient.
fn waits_for_a_person(recipient: &RecipientStatus, policy: OnInDoubt) -> bool {
    let most = match policy {
        OnInDoubt::Hold => 1,
        OnInDoubt::Resend => MOST_COPIES,
    };
    doubts_of(recipient) >= most
}

/// How many recipients wait for a person.
pub fn held(notification: &Notification, recipients: &[RecipientStatus]) -> i32 {
    let policy = notification.spec.delivery.on_in_doubt;
    let held = recipients.iter().filter(|recipient| waits_for_a_person(recipient, policy)).count();
    i32::try_from(held).unwrap_or(i32::MAX)
}

/// Brings outcomes into the list of recipients. The order is that of the spec.
pub fn record(notification: &Notification, outcomes: &[Outcome]) -> Vec<RecipientStatus> {
    let old = notification.status.as_ref().map(|status| status.recipients.as_slice()).unwrap_or_default();
    let mut by_address: BTreeMap<&str, RecipientStatus> =
        old.iter().map(|recipient| (recipient.address.as_str(), recipient.clone())).collect();
    for outcome in outcomes {
        let before = by_address.get(outcome.address.as_str());
        if let Some(after) = step(before, outcome) {
            by_address.insert(&outcome.address, after);
        }
    }
    recipients::all(&notification.spec).filter_map(|recipient| by_address.remove(recipient.address)).collect()
}

/// One outcome's effect on one recipient; `None`: it changes nothing.
fn step(before: Option<&RecipientStatus>, outcome: &Outcome) -> Option<RecipientStatus> {
    let was = before.map_or(RecipientState::Pending, |before| before.state);
    let state = match (was, outcome.verdict) {
        // What the server took stays taken, whatever a slower or a second attempt says.
        (RecipientState::Accepted, _) => return None,
        (_, Verdict::Accepted) => RecipientState::Accepted,
        (RecipientState::Refused, _) => return None,
        (_, Verdict::Refused) => RecipientState::Refused,
        (_, Verdict::InDoubt) | (RecipientState::InDoubt, Verdict::Deferred) => RecipientState::InDoubt,
        (RecipientState::Pending, Verdict::Deferred) => RecipientState::Pending,
    };
    let doubted = if outcome.verdict == Verdict::InDoubt { outcome.doubts.saturating_add(1) } else { 0 };
    let doubts = before.map_or(0, doubts_of).max(doubted);
    let mut after = RecipientStatus {
        address: outcome.address.clone(),
        state,
        message_id: outcome.message_id.clone().or_else(|| before?.message_id.clone()),
        code: outcome.code.map(i32::from),
        enhanced_code: outcome.enhanced_code.clone(),
        reason: outcome.reason.clone(),
        message: outcome.message.clone(),
        time: Some(Time(outcome.time)),
        doubts: (state == RecipientState::InDoubt).then_some(doubts),
    };
    if outcome.doubts > 0 && state == RecipientState::Accepted {
        after.reason = Some(Reason::AnswerLost.as_str().into());
        let (times, lost) = match outcome.doubts {
            1 => ("twice".to_owned(), "the answer to an earlier attempt was lost".to_owned()),
            lost => {
                let times = format!("{} times", lost.saturating_add(1));
                (times, format!("the answers to {lost} earlier attempts were lost"))
            }
        };
        after.message = Some(format!("accepted; it may have arrived {times}, because {lost}"));
    } else if outcome.doubts > 0 && state == RecipientState::Refused {
        let refusal = outcome.message.clone().unwrap_or_default();
        after.message =
            Some(format!("{refusal}; the answer to an earlier attempt was lost, so it may have arrived"));
    }
    Some(after)
}

/// Counts the recipients by state; those without an entry are pending.
pub fn summarise(notification: &Notification, recipients: &[RecipientStatus]) -> Summary {
    let count = |state| recipients.iter().filter(|recipient| recipient.state == state).count();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (accepted, refused, in_doubt) =
        (count(RecipientState::Accepted), count(RecipientState::Refused), count(RecipientState::InDoubt));
    let total = recipients::count(&notification.spec);
    Summary {
        total: number(total),
        accepted: number(accepted),
        refused: number(refused),
        in_doubt: number(in_doubt),
        pending: number(total.saturating_sub(accepted + refused + in_doubt)),
    }
}

/// The phase that a count of recipients amounts to, `held` of whom wait for a person, and whether it is the last.
pub fn conclude(summary: &Summary, held: i32, expired: bool) -> (Phase, bool) {
    let Summary { total, accepted, refused: _, pending, in_doubt } = *summary;
    let goes_on_by_itself = pending > 0 || in_doubt > held;
    if accepted == total {
        (Phase::Sent, true)
    } else if pending == 0 && in_doubt == 0 {
        (if accepted > 0 { Phase::PartiallySent } else { Phase::Failed }, true)
    } else if held > 0 && (!goes_on_by_itself || expired) {
        (Phase::InDoubt, false)
    } else if expired {
        (if accepted > 0 { Phase::PartiallySent } else { Phase::Expired }, true)
    } else {
        (Phase::Pending, false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn phases() {
        let summary = |total, accepted, refused, in_doubt| Summary {
            total,
            accepted,
            refused,
            in_doubt,
            pending: total - accepted - refused - in_doubt,
        };
        for (summary, held, expired, expected) in [
            (summary(2, 2, 0, 0), 0, false, (Phase::Sent, true)),
            (summary(2, 2, 0, 0), 0, true, (Phase::Sent, true)),
            (summary(2, 1, 1, 0), 0, false, (Phase::PartiallySent, true)),
            (summary(2, 0, 2, 0), 0, false, (Phase::Failed, true)),
            (summary(2, 1, 0, 0), 0, false, (Phase::Pending, false)),
            (summary(2, 1, 0, 0), 0, true, (Phase::PartiallySent, true)),
            (summary(2, 0, 0, 0), 0, true, (Phase::Expired, true)),
            (summary(2, 0, 0, 1), 0, false, (Phase::Pending, false)),
            (summary(2, 0, 0, 1), 0, true, (Phase::Expired, true)),
            (summary(2, 1, 0, 1), 1, false, (Phase::InDoubt, false)),
            (summary(2, 0, 0, 1), 1, false, (Phase::Pending, false)),
            (summary(2, 0, 0, 1), 1, true, (Phase::InDoubt, false)),
            (summary(2, 1, 0, 1), 1, true, (Phase::InDoubt, false)),
            (summary(2, 0, 0, 2), 1, false, (Phase::Pending, false)),
            (summary(2, 0, 0, 2), 1, true, (Phase::InDoubt, false)),
            (summary(2, 0, 0, 2), 2, false, (Phase::InDoubt, false)),
            (summary(2, 0, 1, 1), 1, false, (Phase::InDoubt, false)),
        ] {
            assert_eq!(conclude(&summary, held, expired), expected, "{summary:?} {held} {expired}");
        }
    }

    fn outcome(verdict: Verdict, doubts: i32) -> Outcome {
        Outcome {
            address: "a@corp.example".into(),
            verdict,
            message_id: Some("<id>".into()),
            code: None,
            enhanced_code: None,
            reason: None,
            message: None,
            time: Timestamp::UNIX_EPOCH,
            doubts,
        }
    }

    #[test]
    fn what_an_outcome_changes() {
        use RecipientState::{Accepted, InDoubt, Pending, Refused};
        for (was, verdict, becomes) in [
            (Pending, Verdict::Accepted, Accepted),
            (Pending, Verdict::Refused, Refused),
            (Pending, Verdict::Deferred, Pending),
            (Pending, Verdict::InDoubt, InDoubt),
            (InDoubt, Verdict::Accepted, Accepted),
            (InDoubt, Verdict::Refused, Refused),
            (InDoubt, Verdict::Deferred, InDoubt),
            (InDoubt, Verdict::InDoubt, InDoubt),
            (Refused, Verdict::Accepted, Accepted),
            (Refused, Verdict::Deferred, Refused),
            (Refused, Verdict::InDoubt, Refused),
            (Accepted, Verdict::Refused, Accepted),
            (Accepted, Verdict::Deferred, Accepted),
            (Accepted, Verdict::InDoubt, Accepted),
            (Accepted, Verdict::Accepted, Accepted),
        ] {
            let before = step(None, &outcome(Verdict::Deferred, 0))
                .map(|before| RecipientStatus { state: was, ..before });
            let after = step(before.as_ref(), &outcome(verdict, 0)).or(before);
            assert_eq!(after.map(|after| after.state), Some(becomes), "{was:?} {verdict:?}");
        }
        for (doubts, words) in [(1, "arrived twice"), (2, "arrived 3 times")] {
            let resent = step(None, &outcome(Verdict::Accepted, doubts)).unwrap();
            assert_eq!((resent.reason.as_deref(), resent.doubts), (Some("AnswerLost"), None));
            assert!(resent.message.unwrap().contains(words), "{words}");
        }
    }

    #[test]
    fn doubts_are_counted_once_each() {
        use Verdict::{Accepted, Deferred, InDoubt, Refused};
        // What was counted before, the outcome and what its attempt began with; what is counted then.
        for (before, verdict, began_with, expected) in [
            (None, InDoubt, 0, Some(1)),
            (Some(1), InDoubt, 1, Some(2)),
            (Some(2), InDoubt, 2, Some(3)),
            // The same one again, or an older one that is stored late.
            (Some(1), InDoubt, 0, Some(1)),
            (Some(2), InDoubt, 0, Some(2)),
            // A greylisting between does not make it certain.
            (Some(2), Deferred, 2, Some(2)),
            (Some(2), Accepted, 2, None),
            (Some(2), Refused, 2, None),
            // An older version wrote no number.
            (Some(0), InDoubt, 1, Some(2)),
        ] {
            let before = before.and_then(|doubts: i32| {
                let doubtful = step(None, &outcome(InDoubt, 0))?;
                Some(RecipientStatus { doubts: (doubts > 0).then_some(doubts), ..doubtful })
            });
            let after = step(before.as_ref(), &outcome(verdict, began_with)).unwrap();
            assert_eq!(after.doubts, expected, "{before:?} {verdict:?} {began_with}");
        }
    }
}
