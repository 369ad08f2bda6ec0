//! DATA to the server's answer, which is the same for everybody the message was accepted for.

use super::{Flow, Means, Parcel, Run};
use crate::delivery::Delivery;
use crate::delivery::metrics::Outcome as Label;
use crate::domain::failure::{Phase, Scope};
use crate::domain::message::Message;
use crate::domain::outcome::Outcome;
use crate::smtp::DataOutcome;
use jiff::Timestamp;

impl Delivery {
    /// Sends the message to recipients that the stored journal names. `Some` ends the session's use for this
    /// Notification.
    pub(super) async fn transmit<'a>(
        &self,
        run: &mut Run<'a>,
        parcel: Parcel<'a>,
        message: &Message,
        means: &mut Means<'_>,
    ) -> Option<Flow> {
        run.at_data = Some(parcel.clone());
        let started = std::time::Instant::now();
        let outcome = means.session.data(&message.bytes).await;
        self.metrics.step("data", started.elapsed());
        let now = Timestamp::now();
        let (lane, count) = (&run.item.lane, parcel.recipients.len());
        match outcome {
            DataOutcome::Accepted(reply) => {
                self.metrics.attempts(lane, Label::Accepted, Phase::FinalDot, count);
                means.limiter.accepted(&lane.namespace, now);
                self.servers.delivered(lane);
                run.sent();
                run.note(parcel.each(|address, id| Outcome::accepted(address, id, &reply, now)));
                None
            }
            DataOutcome::InDoubt(failure) => {
                self.metrics.attempts(lane, Label::InDoubt, failure.phase, count);
                self.metrics.doubts(count);
                self.servers.unanswered(lane, &failure.detail, now);
                let why = format!("{}: it may or may not have taken the message", failure.detail);
                run.sent();
                run.note(parcel.in_doubt(&why, now));
                Some(Flow::Reopen)
            }
            DataOutcome::Refused(failure) => {
                self.metrics.attempts(lane, Label::of(&failure), failure.phase, count);
                if failure.phase == Phase::FinalDot {
                    self.servers.answered(lane);
                }
                if failure.scope == Scope::Server {
                    run.note(Vec::new());
                    run.left.splice(..0, parcel.recipients);
                    return Some(Flow::Hold(Box::new(failure)));
                }
                run.failed(&parcel, &failure);
                None
            }
            DataOutcome::NotSent(failure) => {
                self.metrics.attempts(lane, Label::of(&failure), failure.phase, count);
                // Counted as an attempt although the server may be at fault: a message that breaks its
                // session each time must not be tried without pause.
                run.failed(&parcel, &failure);
                (!means.session.usable()).then_some(Flow::Reopen)
            }
        }
    }
}
