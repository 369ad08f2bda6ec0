//! Finished Notifications that are to be removed before the next sweep. Those that stay longer are not
//! held here: the hourly sweep finds them, so that a finished Notification costs no memory.

use crate::api::Notification;
use crate::api::status::NotificationStatus;
use crate::delivery::lock;
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::reconciliation;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// How often the cluster is swept for finished Notifications.
pub const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// Removals in the order of their time.
#[derive(Default)]
pub struct Removals(Mutex<BTreeSet<(Timestamp, ObjectKey, Uid)>>);

impl Removals {
    /// Plans the removal of a Notification that has just got `status`, if that is its last and its time comes
    /// before the next sweep could be over.
    pub fn consider(&self, notification: &Notification, status: &NotificationStatus, now: Timestamp) {
        if !status.finished {
            return;
        }
        let finished = Notification { status: Some(status.clone()), ..notification.clone() };
        let (Some(key), Some(uid)) = (ObjectKey::of(notification), Uid::of(notification)) else { return };
        let Some(at) = reconciliation::remove_at(&finished) else { return };
        if at.duration_since(now).as_secs() < 2 * i64::try_from(SWEEP_EVERY.as_secs()).unwrap_or(i64::MAX) {
            lock(&self.0).insert((at, key, uid));
        }
    }

    /// Plans another try.
    pub fn again(&self, key: &ObjectKey, uid: &Uid, at: Timestamp) {
        lock(&self.0).insert((at, key.clone(), uid.clone()));
    }

    /// Takes out those whose time has come.
    pub fn due(&self, now: Timestamp) -> Vec<(ObjectKey, Uid)> {
        let mut removals = lock(&self.0);
        let mut due = Vec::new();
        while removals.first().is_some_and(|(at, ..)| *at <= now) {
            due.extend(removals.pop_first().map(|(_, key, uid)| (key, uid)));
        }
        due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_tried_again_is_due_once_its_time_has_come() {
        let (removals, key) = (Removals::default(), ObjectKey::new("corp", "news"));
        let uid: Uid = serde_json::from_str("\"1\"").unwrap();
        let second = |n| Timestamp::from_second(n).unwrap();
        removals.again(&key, &uid, second(60));
        assert_eq!(removals.due(second(59)), []);
        assert_eq!(removals.due(second(60)), [(key, uid)]);
        assert_eq!(removals.due(second(99)), []);
    }
}
