//! What the API server can store of a Notification: etcd takes 1.5 MiB a request, spec, status and the fields' owners
//! together. One that could never store what became of its recipients is refused before the first mail; where only the
//! servers' answers made a status too large, it is stored shorter.

use crate::api::notification::Notification;
use crate::api::status::{NotificationStatus, RecipientState, RecipientStatus};
use crate::api::{ConditionType, Reason};
use crate::domain::preparation::Obstacle;
use crate::domain::recipients;
use std::io::{self, Write};

/// Octets of an object with its status. etcd's default (`--max-request-bytes`) less room for conditions, the fields'
/// owners of what is not a recipient, and what a few annotations may add later.
pub const MOST_OCTETS: usize = 1536 * 1024 - 48 * 1024;

/// What a recipient's shortest status takes besides its address, which is there twice: as it is, and in
/// `metadata.managedFields`, where each recipient has an entry with its fields.
const SHORTEST: usize = 120;

/// How much of a status is left away, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortening {
    /// The servers' texts.
    Texts,
    /// Everything about a recipient but its address, state and reason.
    Details,
    /// Once all is done, recipients that were accepted. Before, nobody may be forgotten: they would be sent to again.
    Accepted,
}

impl Shortening {
    /// The next one, after what was not enough.
    pub const fn more(before: Option<Self>) -> Option<Self> {
        match before {
            None => Some(Self::Texts),
            Some(Self::Texts) => Some(Self::Details),
            Some(Self::Details) => Some(Self::Accepted),
            Some(Self::Accepted) => None,
        }
    }
}

/// Whether what becomes of the recipients can be stored, be it in the shortest form.
pub fn fits(notification: &Notification) -> Result<(), Obstacle> {
    let mut octets = Counter(0);
    // What was read is JSON, and becomes JSON again.
    let _ = serde_json::to_writer(&mut octets, &notification.spec);
    let _ = serde_json::to_writer(&mut octets, &notification.metadata);
    let (mut count, mut outcomes) = (0_usize, 0_usize);
    for recipient in recipients::all(&notification.spec) {
        count += 1;
        outcomes += 2 * recipient.address.len() + SHORTEST;
    }
    if octets.0 + outcomes <= MOST_OCTETS {
        return Ok(());
    }
    let kib = |octets: usize| octets.div_ceil(1024);
    Err(Obstacle {
        stage: ConditionType::Resolved,
        reason: Reason::NotificationTooLarge,
        message: format!(
            "spec: has {} KiB, and what becomes of {count} recipients takes {} KiB more; the API server stores {} KiB of an \
             object, so nobody could be told. Create several Notifications with fewer recipients each, or shorten the values",
            kib(octets.0),
            kib(outcomes),
            kib(MOST_OCTETS)
        ),
        passes_by_itself: false,
    })
}

/// The status without what it can do without.
pub fn shortened(mut status: NotificationStatus, how: Shortening) -> NotificationStatus {
    if how == Shortening::Accepted && status.finished {
        status.recipients.retain(|recipient| recipient.state != RecipientState::Accepted);
    }
    for recipient in &mut status.recipients {
        recipient.message = None;
        if how >= Shortening::Details {
            let RecipientStatus { message_id, code, enhanced_code, time, .. } = recipient;
            (*message_id, *code, *enhanced_code, *time) = (None, None, None, None);
        }
    }
    let left = match how {
        Shortening::Accepted if status.finished => {
            "recipients that were accepted, and all details of the others"
        }
        Shortening::Accepted | Shortening::Details => "all details of recipients",
        Shortening::Texts => "the mail server's texts",
    };
    let remark = format!("; the status was too large for the API server and lacks {left}");
    for condition in &mut status.conditions {
        if condition.type_ == ConditionType::Ready.as_str() && !condition.message.ends_with(&remark) {
            condition.message.push_str(&remark);
        }
    }
    status
}

/// Counts what is written.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::domain::outcome::Outcome;
    use crate::domain::samples::{at, notification};
    use crate::domain::status::notification::{Attempt, attempted};
    use serde_json::{Value, json};

    fn to(count: usize, octets: usize) -> Notification {
        let to: Vec<Value> = (0..count)
            .map(|n| json!({ "address": format!("user{n:04}@corp.example"), "values": { "link": "x".repeat(octets) } }))
            .collect();
        notification(json!({ "spec": { "to": to } }))
    }

    #[test]
    fn what_could_never_be_stored_is_refused() {
        for (count, octets, fits_) in [
            (1, 10, true),
            (1000, 10, true),
            (1000, 1000, true),
            (1000, 1350, false),
            (1000, 1500, false),
            (1, 1_400_000, true),
        ] {
            let found = fits(&to(count, octets));
            assert_eq!(found.is_ok(), fits_, "{count} {octets}: {found:?}");
        }
        let Obstacle { reason, message, .. } = fits(&to(1000, 1350)).unwrap_err();
        assert_eq!(reason, Reason::NotificationTooLarge);
        for words in ["1000 recipients", "1488 KiB", "several Notifications"] {
            assert!(message.contains(words), "{message}");
        }
    }

    /// What the shortest status takes is not more than was reckoned with.
    #[test]
    fn the_shortest_status_is_as_short_as_was_said() {
        let sample = to(1000, 10);
        let addresses: Vec<_> =
            recipients::all(&sample.spec).map(|recipient| recipient.address.to_owned()).collect();
        let outcomes: Vec<_> = addresses
            .iter()
            .map(|address| Outcome::unsendable(address, Reason::RecipientRefused, &"x".repeat(200), at(1)))
            .collect();
        let attempt = Attempt { outcomes: &outcomes, used: None, began: at(1), next: at(60), counts: true };
        let status = attempted(&sample, &attempt, at(2));
        let size = |status: &NotificationStatus| serde_json::to_vec(&status.recipients).unwrap().len();
        let (whole, short) = (size(&status), size(&shortened(status.clone(), Shortening::Details)));
        assert!(short < whole / 2, "{short} {whole}");
        // Half of it is for the owners of the fields, which the API server keeps.
        let reckoned: usize = addresses.iter().map(|address| 2 * address.len() + SHORTEST).sum();
        assert!(short < reckoned, "{short} {reckoned}");
    }

    #[test]
    fn nobody_is_forgotten_before_all_is_done() {
        let status: NotificationStatus = serde_json::from_value(json!({
            "phase": "PartiallySent", "finished": true,
            "recipients": [
                { "address": "a@x", "state": "Accepted", "messageID": "<1@x>", "code": 250, "message": "ok" },
                { "address": "b@x", "state": "Refused", "reason": "RecipientRefused", "message": "no" }
            ],
            "conditions": [{ "type": "Ready", "status": "False", "reason": "RecipientRefused", "message": "b@x: no", "lastTransitionTime": at(0).to_string() }]
        }))
        .unwrap();
        let addresses = |status: &NotificationStatus| {
            status.recipients.iter().map(|recipient| recipient.address.clone()).collect::<Vec<_>>()
        };
        let mut how = None;
        while let Some(next) = Shortening::more(how) {
            how = Some(next);
            let going_on = NotificationStatus { finished: false, ..status.clone() };
            let short = shortened(going_on, next);
            assert_eq!(addresses(&short), ["a@x", "b@x"], "{next:?}");
            assert_eq!(short.recipients[0].state, RecipientState::Accepted);
            assert!(short.recipients.iter().all(|recipient| recipient.message.is_none()));
            assert!(
                short.conditions[0].message.starts_with("b@x: no; the status was too large"),
                "{short:?}"
            );
        }
        let last = shortened(status, Shortening::Accepted);
        assert_eq!(addresses(&last), ["b@x"]);
        assert_eq!(last.recipients[0].reason.as_deref(), Some("RecipientRefused"));
    }
}
