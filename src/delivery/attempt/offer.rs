//! MAIL and RCPT of a parcel, and what the answers mean: who gets the message if the server takes it, who never will or
//! not now, and who goes again in the next transaction.

use super::{Flow, Means, Parcel, Run};
use crate::api::notification::OnInDoubt;
use crate::delivery::Delivery;
use crate::delivery::journal::Denied;
use crate::delivery::metrics::Outcome as Label;
use crate::domain::address::EmailAddress;
use crate::domain::failure::{Failure, Phase, Scope};
use crate::domain::outcome::Outcome;
use crate::domain::preparation::Composed;
use crate::domain::recipients::Addressee;
use crate::smtp::{Answer, Envelope, Opened};
use jiff::Timestamp;

/// What MAIL and RCPT came to.
pub(super) enum Offer<'a> {
    /// DATA may follow.
    Taken {
        /// For these.
        accepted: Parcel<'a>,
        /// And nothing after it: the server has closed itself to others, who stay as they were.
        refusal: Option<Box<Failure>>,
    },
    /// Everybody who was asked is done with, or goes again.
    Settled,
    /// The session cannot go on.
    Over(Flow),
}

impl Delivery {
    /// MAIL and RCPT for a parcel, and beside them the claim: it has to be stored before DATA, and what it waits for
    /// would otherwise be added to what the mail server waits for. A crash in between leaves in doubt what was not sent,
    /// which costs nothing where that is resent. With `onInDoubt: Hold` a person would have to look, so there the claim
    /// waits until the server has accepted recipients, and names only those.
    pub(super) async fn offer<'a>(
        &self,
        run: &mut Run<'a>,
        parcel: Parcel<'a>,
        composed: &Composed,
        is_shared: bool,
        means: &mut Means<'_>,
    ) -> Result<Offer<'a>, Denied> {
        let fresh = means.session.is_fresh();
        let message = &composed.message;
        let envelope = Envelope {
            from: message.envelope_from.as_str(),
            recipients: composed.envelope.iter().map(EmailAddress::as_str).collect(),
            size: message.bytes.len() as u64,
            eight_bit: message.eight_bit,
            smtputf8: message.smtputf8,
        };
        let hold = run.notification.spec.delivery.on_in_doubt == OnInDoubt::Hold;
        let asking = means.session.begin(&envelope);
        let answer = if hold {
            asking.await
        } else {
            let claiming = self.ensure_claim(run, &parcel.recipients, means.journal);
            let (answer, claimed) = tokio::join!(asking, claiming);
            claimed?;
            answer
        };
        let failure = match answer {
            Ok(Opened { recipients }) => match self.heed(run, &parcel, recipients) {
                Ok(offer) => return Ok(offer),
                Err(failure) => *failure,
            },
            Err(failure) => failure,
        };
        // A used session that is gone says nothing about server or message: a new one does.
        if failure.is_end_of_session() && !fresh {
            put_back(run, parcel.recipients);
            return Ok(Offer::Over(Flow::Renew));
        }
        self.metrics.attempts(&run.item.lane, Label::of(&failure), failure.phase, parcel.recipients.len());
        // MAIL is about sender and message, whoever the recipients are.
        let concerns_all = match failure.scope {
            Scope::Server => {
                put_back(run, parcel.recipients);
                return Ok(Offer::Over(Flow::Hold(Box::new(failure))));
            }
            Scope::Sender => true,
            Scope::Message => is_shared && failure.phase == Phase::MailFrom,
            Scope::Recipient => false,
        };
        run.failed(&parcel, &failure);
        if concerns_all {
            let rest = Parcel { recipients: std::mem::take(&mut run.left), ..parcel };
            run.failed(&rest, &failure);
        }
        Ok(Offer::Settled)
    }

    /// Takes note of refusals, and puts those back who go again. An error if that leaves everything as it was.
    fn heed<'a>(
        &self,
        run: &mut Run<'a>,
        parcel: &Parcel<'a>,
        answers: Vec<Answer>,
    ) -> Result<Offer<'a>, Box<Failure>> {
        let (mut accepted, mut again) = (Vec::new(), Vec::new());
        let (mut refused, mut refusal) = (Vec::new(), None);
        let now = Timestamp::now();
        for (recipient, answer) in parcel.recipients.iter().zip(answers) {
            match answer {
                Answer::Accepted => accepted.push(*recipient),
                Answer::Unanswered => again.push(*recipient),
                Answer::Refused(failure) if failure.scope == Scope::Server => {
                    again.push(*recipient);
                    refusal.get_or_insert(Box::new(failure));
                }
                Answer::Refused(failure) => {
                    self.metrics.attempts(&run.item.lane, Label::of(&failure), failure.phase, 1);
                    run.retry_after = run.retry_after.max(failure.retry_after);
                    refused.push(Outcome::failed(recipient.address, &parcel.message_id, &failure, now));
                }
            }
        }
        if accepted.is_empty() && refused.is_empty() {
            return Err(refusal.unwrap_or_else(|| Box::new(Failure::closed(Phase::RcptTo))));
        }
        put_back(run, again);
        run.note(refused);
        Ok(match (accepted.is_empty(), refusal) {
            (true, None) => Offer::Settled,
            (true, Some(refusal)) => Offer::Over(Flow::Hold(refusal)),
            (false, refusal) => {
                let accepted = Parcel { recipients: accepted, message_id: parcel.message_id.clone() };
                Offer::Taken { accepted, refusal }
            }
        })
    }
}

/// They are the next again.
pub(super) fn put_back<'a>(run: &mut Run<'a>, recipients: Vec<Addressee<'a>>) {
    run.left.splice(..0, recipients);
}
