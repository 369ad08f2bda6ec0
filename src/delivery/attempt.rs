//! One Notification on one session: MAIL and RCPT, the claim in the journal, DATA, and what became of
//! each recipient. The claim stands between RCPT and DATA, because nothing before DATA has an effect
//! and nothing after it can be taken back.

use crate::api::notification::{Notification, OnInDoubt, Recipient};
use crate::delivery::account::{Limiter, Reservation};
use crate::delivery::journal::{Claim, Denied, JournalHandle, Term};
use crate::delivery::{Delivery, metrics::Outcome as Label};
use crate::domain::failure::{Failure, Phase, Scope};
use crate::domain::journal::{CLAIM_VALID_FOR, Entry};
use crate::domain::ledger;
use crate::domain::locale::Locale;
use crate::domain::message::Message;
use crate::domain::outbox::Item;
use crate::domain::outcome::Outcome;
use crate::domain::preparation::{Composed, Prepared};
use crate::smtp::{Answer, DataOutcome, Envelope, Session};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How the session goes on.
#[derive(Debug)]
pub(super) enum Flow {
    /// With the next Notification.
    Continue,
    /// With somebody else's Notification: this one goes on when its turn comes again.
    Yield,
    /// Not at all, but another one may be opened at once.
    Reopen,
    /// Not at all: nobody's mail can go through this server now.
    Hold(Box<Failure>),
    /// The journal is not ours, or cannot be written: nothing more under this term.
    Stop,
}

/// A long Notification's status follows its progress this often.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// A claim covers what goes out in about this time, so that a crash puts little in doubt.
const CHUNK: Duration = Duration::from_secs(1);

/// What an attempt works with.
pub(super) struct Means<'a> {
    pub session: &'a mut Session,
    pub limiter: &'a Limiter,
    pub journal: &'a JournalHandle,
    pub closing: &'a CancellationToken,
}

/// An attempt under way; what is in it survives a panic of the code that fills it.
pub(super) struct Run<'a> {
    pub item: &'a Item,
    pub notification: &'a Notification,
    pub term: Term,
    pub began: Timestamp,
    pub claim: Option<Claim>,
    pub outcomes: Vec<Outcome>,
    pub locales: BTreeSet<Locale>,
    /// The longest that a server asked to wait.
    pub retry_after: Option<Duration>,
    /// The recipient whose DATA is under way.
    pub at_data: Option<(String, String)>,
    /// His place in the day's recipients.
    reservation: Option<Reservation>,
    claimed: BTreeSet<String>,
    /// Outcomes that the journal knows.
    noted: usize,
    /// Outcomes that the status knows.
    pub stored: usize,
    started: Instant,
    pub status_at: Instant,
}

impl<'a> Run<'a> {
    pub fn new(item: &'a Item, notification: &'a Notification, term: Term) -> Self {
        Self {
            item,
            notification,
            term,
            began: Timestamp::now(),
            claim: None,
            outcomes: Vec::new(),
            locales: BTreeSet::new(),
            retry_after: None,
            at_data: None,
            reservation: None,
            claimed: BTreeSet::new(),
            noted: 0,
            stored: 0,
            started: Instant::now(),
            status_at: Instant::now(),
        }
    }

    fn note(&mut self, mut outcome: Outcome) {
        outcome.resent = ledger::was_in_doubt(self.notification.status.as_ref(), &outcome.address);
        self.at_data = None;
        self.reservation = None;
        self.outcomes.push(outcome);
    }

    /// The message has gone, or may have.
    pub fn sent(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            reservation.keep();
        }
    }

    fn failed(&mut self, recipient: &Recipient, message_id: &str, failure: &Failure) {
        self.retry_after = self.retry_after.max(failure.retry_after);
        self.note(Outcome::failed(&recipient.address, message_id, failure, Timestamp::now()));
    }
}

impl Delivery {
    /// Sends to all recipients that are open, in order.
    pub(super) async fn send(
        &self,
        run: &mut Run<'_>,
        prepared: &Prepared<'_>,
        means: &mut Means<'_>,
    ) -> Flow {
        for (index, recipient) in prepared.recipients.iter().enumerate() {
            if index > 0 {
                if means.closing.is_cancelled() {
                    return Flow::Stop;
                }
                means.limiter.pace().await;
                if self.has_had_its_turn(run) {
                    return Flow::Yield;
                }
            }
            let composed = match prepared.compose(recipient) {
                Ok(composed) => composed,
                Err(obstacle) => {
                    run.note(Outcome::unsendable(
                        &recipient.address,
                        obstacle.reason,
                        &obstacle.message,
                        Timestamp::now(),
                    ));
                    continue;
                }
            };
            run.locales.extend(composed.locale.clone());
            // The day's number is used up: the worker looks at that before it takes the next Notification.
            let Ok(reservation) = means.limiter.reserve(Timestamp::now()) else { return Flow::Yield };
            let rest = prepared.recipients.get(index..).unwrap_or_default();
            let offered = match self.offer(run, rest, &composed, means).await {
                Ok(offered) => offered,
                Err(denied) => return self.give_up(run, denied, means).await,
            };
            match offered {
                Offer::Taken => {}
                Offer::Settled => continue,
                Offer::AllRefused(failure) => {
                    for other in rest {
                        run.failed(other, &composed.message.message_id, &failure);
                    }
                    return Flow::Continue;
                }
                Offer::Over(flow) => return flow,
            }
            // Once more: RCPT may have taken longer than a claim is good.
            if let Err(denied) = self.ensure_claim(run, rest, means.journal).await {
                return self.give_up(run, denied, means).await;
            }
            run.reservation = Some(reservation);
            if let Some(flow) = self.transmit(run, recipient, &composed.message, means).await {
                return flow;
            }
            if run.status_at.elapsed() >= STATUS_EVERY && run.outcomes.len() > run.stored {
                self.store_progress(run, prepared).await;
            }
        }
        Flow::Continue
    }

    /// Whether a long Notification lets others go first: after about a chunk, if another namespace waits for a
    /// session.
    fn has_had_its_turn(&self, run: &Run<'_>) -> bool {
        let Item { lane, key, .. } = run.item;
        run.started.elapsed() >= CHUNK && self.outbox().others_due(lane, &key.namespace, Timestamp::now())
    }

    /// Without a claim nothing is sent.
    async fn give_up(&self, run: &Run<'_>, denied: Denied, means: &mut Means<'_>) -> Flow {
        tracing::debug!(notification = %run.item.key, ?denied, "no claim, nothing sent");
        let _ = means.session.abandon().await;
        Flow::Stop
    }

    /// MAIL and RCPT for the first of `rest`, and beside them the claim: it has to be stored before DATA, and what it
    /// waits for would otherwise be added to what the mail server waits for. A crash in between leaves in doubt what
    /// was not sent, which costs nothing where that is resent. With `onInDoubt: Hold` a person would have to look, so
    /// there the claim waits until the server has accepted the recipient.
    async fn offer(
        &self,
        run: &mut Run<'_>,
        rest: &[&Recipient],
        composed: &Composed,
        means: &mut Means<'_>,
    ) -> Result<Offer, Denied> {
        let message = &composed.message;
        let fresh = means.session.is_fresh();
        let envelope = Envelope {
            from: message.envelope_from.as_str(),
            recipients: vec![composed.envelope_to.as_str()],
            size: message.bytes.len() as u64,
            eight_bit: message.eight_bit,
            smtputf8: message.smtputf8,
        };
        let hold = run.notification.spec.delivery.on_in_doubt == OnInDoubt::Hold;
        let asking = means.session.begin(&envelope);
        let answer = if hold {
            asking.await
        } else {
            let (answer, claimed) = tokio::join!(asking, self.ensure_claim(run, rest, means.journal));
            claimed?;
            answer
        };
        let failure = match answer {
            Ok(mut opened) => match opened.recipients.pop() {
                Some(Answer::Accepted) => return Ok(Offer::Taken),
                Some(Answer::Refused(failure)) => failure,
                Some(Answer::Unanswered) | None => Failure::closed(Phase::RcptTo),
            },
            Err(failure) => failure,
        };
        // A used session that is gone says nothing about server or message: a new one does.
        if failure.is_end_of_session() && !fresh {
            return Ok(Offer::Over(Flow::Reopen));
        }
        self.metrics.attempt(&run.item.lane, Label::of(&failure), failure.phase);
        Ok(match failure.scope {
            Scope::Server => Offer::Over(Flow::Hold(Box::new(failure))),
            Scope::Sender => Offer::AllRefused(failure),
            Scope::Message | Scope::Recipient => {
                for recipient in rest.iter().take(1) {
                    run.failed(recipient, &message.message_id, &failure);
                }
                Offer::Settled
            }
        })
    }

    /// Makes sure that the stored journal names the first of `rest` under our term, and has done so for no
    /// longer than a claim is good.
    async fn ensure_claim(
        &self,
        run: &mut Run<'_>,
        rest: &[&Recipient],
        journal: &JournalHandle,
    ) -> Result<(), Denied> {
        let Some(first) = rest.first() else { return Ok(()) };
        let covered = run.claimed.contains(&first.address);
        let young = run.claim.as_ref().is_some_and(|claim| claim.since.elapsed() < CLAIM_VALID_FOR);
        if covered && young {
            return Ok(());
        }
        let more = if covered { 0 } else { Self::chunk(run) };
        let claimed: BTreeSet<String> =
            rest.iter().take(more).map(|recipient| recipient.address.clone()).collect();
        run.claimed.extend(claimed.iter().cloned());
        let started = std::time::Instant::now();
        let claim = if let Some(claim) = &run.claim {
            let done = run.outcomes.get(run.noted..).unwrap_or_default().to_vec();
            journal.extend(run.term, &claim.id, done, claimed).await?
        } else {
            let item = run.item;
            let entry = Entry {
                namespace: item.key.namespace.to_string(),
                name: item.key.name.to_string(),
                uid: item.uid.clone(),
                claimed,
                done: run.outcomes.clone(),
            };
            journal.claim(run.term, entry).await?
        };
        self.metrics.step("claim", started.elapsed());
        run.noted = run.outcomes.len();
        run.claim = Some(claim);
        // The answer itself may have been long on its way.
        match &run.claim {
            Some(claim) if claim.since.elapsed() < CLAIM_VALID_FOR => Ok(()),
            _ => Err(Denied::NoAnswer),
        }
    }

    /// How many recipients the next claim covers: as many as go out in [`CHUNK`] at the pace so far.
    fn chunk(run: &Run<'_>) -> usize {
        let sent = u32::try_from(run.outcomes.len()).unwrap_or(u32::MAX);
        if sent == 0 {
            return 1;
        }
        let each = run.started.elapsed() / sent;
        let fit = CHUNK.as_nanos() / each.as_nanos().max(1);
        usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, 1000)
    }

    /// DATA to the server's answer. `Some` ends the session's use for this Notification.
    async fn transmit(
        &self,
        run: &mut Run<'_>,
        recipient: &Recipient,
        message: &Message,
        means: &mut Means<'_>,
    ) -> Option<Flow> {
        let Message { message_id, bytes, .. } = message;
        run.at_data = Some((recipient.address.clone(), message_id.clone()));
        let started = std::time::Instant::now();
        let outcome = means.session.data(bytes).await;
        self.metrics.step("data", started.elapsed());
        let now = Timestamp::now();
        let lane = &run.item.lane;
        match outcome {
            DataOutcome::Accepted(reply) => {
                self.metrics.attempt(lane, Label::Accepted, Phase::FinalDot);
                means.limiter.accepted(now);
                run.sent();
                self.servers.delivered(lane);
                run.note(Outcome::accepted(&recipient.address, message_id, &reply, now));
                None
            }
            DataOutcome::InDoubt(failure) => {
                self.metrics.attempt(lane, Label::InDoubt, failure.phase);
                self.metrics.doubts(1);
                run.sent();
                let why = format!("{}: it may or may not have taken the message", failure.detail);
                run.note(Outcome::in_doubt(&recipient.address, Some(message_id), &why, now));
                Some(Flow::Reopen)
            }
            DataOutcome::Refused(failure) => {
                self.metrics.attempt(lane, Label::of(&failure), failure.phase);
                run.at_data = None;
                if failure.scope == Scope::Server {
                    return Some(Flow::Hold(Box::new(failure)));
                }
                run.failed(recipient, message_id, &failure);
                None
            }
            DataOutcome::NotSent(failure) => {
                self.metrics.attempt(lane, Label::of(&failure), failure.phase);
                // Counted as an attempt although the server may be at fault: a message that breaks its
                // session each time must not be tried without pause.
                run.failed(recipient, message_id, &failure);
                (!means.session.usable()).then_some(Flow::Reopen)
            }
        }
    }
}

/// What MAIL and RCPT came to.
enum Offer {
    /// DATA may follow.
    Taken,
    /// This recipient is done with.
    Settled,
    /// No recipient of this message will be taken.
    AllRefused(Failure),
    /// The session cannot go on.
    Over(Flow),
}
