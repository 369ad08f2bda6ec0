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

/// Recipients that are to be sent to, in the order of the spec. Those in doubt only where the policy is
/// to send again.
pub fn open_recipients(notification: &Notification) -> Vec<Addressee<'_>> {
    let states: HashMap<&str, RecipientState> = notification
        .status
        .iter()
        .flat_map(|status| &status.recipients)
        .map(|recipient| (recipient.address.as_str(), recipient.state))
        .collect();
    let resend = notification.spec.delivery.on_in_doubt == OnInDoubt::Resend;
    let open = |recipient: &Addressee<'_>| match states.get(recipient.address) {
        None | Some(RecipientState::Pending) => true,
        Some(RecipientState::InDoubt) => resend,
        Some(RecipientState::Accepted | RecipientState::Refused) => false,
    };
    recipients::all(&notification.spec).filter(open).collect()
}

/// Whether an earlier attempt at this recipient ended in doubt.
pub fn was_in_doubt(status: Option<&NotificationStatus>, address: &str) -> bool {
    let recipients = status.map(|status| status.recipients.as_slice()).unwrap_or_default();
    recipients
        .iter()
        .any(|recipient| recipient.address == address && recipient.state == RecipientState::InDoubt)
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
    let mut after = RecipientStatus {
        address: outcome.address.clone(),
        state,
        message_id: outcome.message_id.clone().or_else(|| before?.message_id.clone()),
        code: outcome.code.map(i32::from),
        enhanced_code: outcome.enhanced_code.clone(),
        reason: outcome.reason.clone(),
        message: outcome.message.clone(),
        time: Some(Time(outcome.time)),
    };
    if outcome.resent && state == RecipientState::Accepted {
        after.reason = Some(Reason::AnswerLost.as_str().into());
        after.message = Some(
            "accepted; it may have arrived twice, because the answer to an earlier attempt was lost".into(),
        );
    } else if outcome.resent && state == RecipientState::Refused {
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

/// The phase that a count of recipients amounts to, and whether it is the last.
pub fn conclude(summary: &Summary, policy: OnInDoubt, expired: bool) -> (Phase, bool) {
    let Summary { total, accepted, refused: _, pending, in_doubt } = *summary;
    let waits_for_a_person = in_doubt > 0 && policy == OnInDoubt::Hold;
    if accepted == total {
        (Phase::Sent, true)
    } else if pending == 0 && in_doubt == 0 {
        (if accepted > 0 { Phase::PartiallySent } else { Phase::Failed }, true)
    } else if waits_for_a_person && (pending == 0 || expired) {
        (Phase::InDoubt, false)
    } else if expired {
        (if accepted > 0 { Phase::PartiallySent } else { Phase::Expired }, true)
    } else {
        (Phase::Pending, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases() {
        use OnInDoubt::{Hold, Resend};
        let summary = |total, accepted, refused, in_doubt| Summary {
            total,
            accepted,
            refused,
            in_doubt,
            pending: total - accepted - refused - in_doubt,
        };
        for (summary, policy, expired, expected) in [
            (summary(2, 2, 0, 0), Resend, false, (Phase::Sent, true)),
            (summary(2, 2, 0, 0), Hold, true, (Phase::Sent, true)),
            (summary(2, 1, 1, 0), Resend, false, (Phase::PartiallySent, true)),
            (summary(2, 0, 2, 0), Resend, false, (Phase::Failed, true)),
            (summary(2, 1, 0, 0), Resend, false, (Phase::Pending, false)),
            (summary(2, 1, 0, 0), Resend, true, (Phase::PartiallySent, true)),
            (summary(2, 0, 0, 0), Resend, true, (Phase::Expired, true)),
            (summary(2, 0, 0, 1), Resend, false, (Phase::Pending, false)),
            (summary(2, 0, 0, 1), Resend, true, (Phase::Expired, true)),
            (summary(2, 1, 0, 1), Hold, false, (Phase::InDoubt, false)),
            (summary(2, 0, 0, 1), Hold, false, (Phase::Pending, false)),
            (summary(2, 0, 0, 1), Hold, true, (Phase::InDoubt, false)),
            (summary(2, 1, 0, 1), Hold, true, (Phase::InDoubt, false)),
        ] {
            assert_eq!(conclude(&summary, policy, expired), expected, "{summary:?} {policy:?} {expired}");
        }
    }

    fn outcome(verdict: Verdict, resent: bool) -> Outcome {
        Outcome {
            address: "a@corp.example".into(),
            verdict,
            message_id: Some("<id>".into()),
            code: None,
            enhanced_code: None,
            reason: None,
            message: None,
            time: Timestamp::UNIX_EPOCH,
            resent,
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
            let before = step(None, &outcome(Verdict::Deferred, false))
                .map(|before| RecipientStatus { state: was, ..before });
            let after = step(before.as_ref(), &outcome(verdict, false)).or(before);
            assert_eq!(after.map(|after| after.state), Some(becomes), "{was:?} {verdict:?}");
        }
        let resent = step(None, &outcome(Verdict::Accepted, true));
        assert_eq!(resent.and_then(|resent| resent.reason).as_deref(), Some("AnswerLost"));
    }
}
