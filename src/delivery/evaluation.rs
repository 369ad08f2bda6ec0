//! Evaluating for Notifications. What was ended once is not tried again, and Notifications of a namespace that is kept
//! apart are rendered for all their recipients before they come into a queue: there others would have to wait for them.

use crate::api::Notification;
use crate::delivery::{Delivery, lock};
use crate::domain::evaluation::{Answer, Overrun, Question};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::preparation::Prepared;
use crate::domain::reconciliation::{Decision, conclude};
use crate::domain::template::TemplateID;
use crate::evaluation::Unanswered;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

/// Wait before an evaluation is asked for again that nothing was free for.
pub(crate) const LATER: Duration = Duration::from_secs(5);

/// Most Notifications of which something is remembered. More than these are tried again, and ended again.
const REMEMBERED: usize = 10_000;

/// Nothing was free to evaluate it.
#[derive(Debug)]
pub struct Later;

/// An answer, if something was asked; or why there will never be one.
pub type Evaluated = Option<Result<Answer, Overrun>>;

/// What is known of the evaluation of single Notifications.
#[derive(Default)]
pub(crate) struct Evaluations(Mutex<Known>);

#[derive(Default)]
struct Known {
    ended: HashMap<(Uid, Option<TemplateID>), Overrun>,
    rendered: HashSet<Uid>,
}

impl Evaluations {
    /// The Notification is gone or finished.
    pub fn forget(&self, uid: &Uid) {
        let mut known = lock(&self.0);
        if !known.ended.is_empty() {
            known.ended.retain(|(other, _), _| other != uid);
        }
        known.rendered.remove(uid);
    }
}

impl Delivery {
    /// Evaluates something for a Notification.
    pub(crate) async fn evaluate(
        &self,
        key: &ObjectKey,
        uid: &Uid,
        question: Option<Question>,
    ) -> Result<Evaluated, Later> {
        let Some(question) = question else { return Ok(None) };
        let name = (uid.clone(), question.template());
        if let Some(overrun) = lock(&self.evaluations.0).ended.get(&name) {
            return Ok(Some(Err(overrun.clone())));
        }
        match self.evaluator.ask(&key.namespace, &question).await {
            Ok(answer) => Ok(Some(Ok(answer))),
            Err(Unanswered::Overrun(overrun)) => {
                self.metrics.evaluation_ended(overrun.limit.reason());
                let mut known = lock(&self.evaluations.0);
                if known.ended.len() >= REMEMBERED {
                    known.ended.clear();
                }
                known.ended.insert(name, overrun.clone());
                Ok(Some(Err(overrun)))
            }
            Err(unanswered @ (Unanswered::Busy | Unanswered::NotStarted(_))) => {
                tracing::debug!(notification = %key, %unanswered, "not evaluated now");
                Err(Later)
            }
        }
    }

    /// Whether a Notification may take the time of a queue: of a namespace that is kept apart only what was rendered.
    pub(crate) fn may_be_queued(&self, key: &ObjectKey, uid: &Uid) -> bool {
        !self.evaluator.is_apart(&key.namespace) || lock(&self.evaluations.0).rendered.contains(uid)
    }

    /// Judges a Notification that nothing is known against by its messages: the first, or all of them where its
    /// namespace is kept apart.
    pub(crate) async fn judge_messages(
        &self,
        (key, uid): (&ObjectKey, &Uid),
        notification: &Notification,
        prepared: &Prepared<'_>,
    ) -> Result<Decision, Later> {
        let now = Timestamp::now();
        let all = if prepared.is_shared() { 1 } else { prepared.recipients.len() };
        let (mut decision, apart) = (None, self.evaluator.is_apart(&key.namespace));
        for recipient in prepared.recipients.iter().take(if apart { all } else { 1 }) {
            let parcel = std::slice::from_ref(recipient);
            let (answer, is_ended) = match prepared.question(parcel) {
                Ok(question) => {
                    let answer = self.evaluate(key, uid, question).await?;
                    let is_ended = matches!(answer, Some(Err(_)));
                    (Ok(answer), is_ended)
                }
                Err(obstacle) => (Err(obstacle), false),
            };
            // What is wrong for a later recipient alone keeps the others waiting for nothing.
            if decision.is_none() || is_ended {
                decision = Some(conclude(prepared, notification, parcel, answer, now));
            }
            if is_ended {
                break;
            }
        }
        if apart {
            let mut known = lock(&self.evaluations.0);
            if known.rendered.len() >= REMEMBERED {
                known.rendered.clear();
            }
            known.rendered.insert(uid.clone());
        }
        Ok(decision.unwrap_or_else(|| conclude(prepared, notification, &[], Ok(None), now)))
    }
}
