//! One Notification on one session, in parcels: recipients who get the same message in one transaction. MAIL and RCPT,
//! the claim in the journal, DATA, and what became of each recipient. The claim stands between RCPT and DATA, because
//! nothing before DATA has an effect and nothing after it can be taken back.

mod claim;
mod offer;
mod transmit;

use crate::api::Notification;
use crate::delivery::account::{Limiter, Reservation};
use crate::delivery::evaluation::LATER;
use crate::delivery::journal::{Claim, Denied, JournalHandle, Term};
use crate::delivery::{Delivery, after};
use crate::domain::failure::Failure;
use crate::domain::ledger;
use crate::domain::locale::Locale;
use crate::domain::outbox::Item;
use crate::domain::outcome::Outcome;
use crate::domain::preparation::Prepared;
use crate::domain::recipients::Addressee;
use crate::smtp::Session;
use jiff::Timestamp;
use offer::{Offer, put_back};
use std::collections::BTreeSet;
use std::sync::Arc;
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
    /// Not at all: it ended between two messages, and this Notification goes on with another one at once.
    Renew,
    /// Not at all, but another one may be opened at once.
    Reopen,
    /// Not at all: nobody's mail can go through this server now.
    Hold(Box<Failure>),
    /// The journal is not ours or cannot be written, or others have reserved the rest of the day: nothing more for now.
    Stop,
}

/// A long Notification's status follows its progress this often.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// A claim covers what goes out in about this time, so that a crash puts little in doubt.
const CHUNK: Duration = Duration::from_secs(1);
/// Rendering a message takes a millisecond; who takes so long has his namespace rest,
const TAKES_LONG: Duration = Duration::from_millis(250);
/// for so many times as long, the rendering included: others have four fifths of the time.
const REST: u32 = 5;

/// What an attempt works with.
pub(super) struct Means<'a> {
    pub session: &'a mut Session,
    pub limiter: &'a Arc<Limiter>,
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
    /// Before this it is of no use to try again.
    pub not_before: Option<Timestamp>,
    /// The longest that a server asked to wait.
    pub retry_after: Option<Duration>,
    /// The recipients whose DATA is under way.
    pub at_data: Option<Parcel<'a>>,
    /// Their places in the day's recipients.
    reservation: Option<Reservation>,
    /// Who has had no answer in this attempt, in order.
    left: Vec<Addressee<'a>>,
    /// Whether a transaction was begun.
    is_begun: bool,
    claimed: BTreeSet<&'a str>,
    /// Outcomes that the journal knows.
    pub noted: usize,
    /// Outcomes that the status knows.
    pub stored: usize,
    started: Instant,
    pub status_at: Instant,
}

/// Recipients of one message, with its Message-ID.
#[derive(Debug, Clone)]
pub(super) struct Parcel<'a> {
    pub recipients: Vec<Addressee<'a>>,
    pub message_id: String,
}

impl Parcel<'_> {
    /// The same failure for each.
    fn failed(&self, failure: &Failure, now: Timestamp) -> Vec<Outcome> {
        self.each(|address, id| Outcome::failed(address, id, failure, now))
    }

    /// Nobody knows of any of them whether he gets it.
    pub fn in_doubt(&self, why: &str, now: Timestamp) -> Vec<Outcome> {
        self.each(|address, id| Outcome::in_doubt(address, Some(id), why, now))
    }

    fn each(&self, outcome: impl Fn(&str, &str) -> Outcome) -> Vec<Outcome> {
        self.recipients.iter().map(|recipient| outcome(recipient.address, &self.message_id)).collect()
    }
}

impl<'a> Run<'a> {
    pub fn new(item: &'a Item, notification: &'a Notification, term: Term, to: Vec<Addressee<'a>>) -> Self {
        Self {
            item,
            notification,
            term,
            began: Timestamp::now(),
            claim: None,
            outcomes: Vec::new(),
            locales: BTreeSet::new(),
            not_before: None,
            retry_after: None,
            at_data: None,
            reservation: None,
            left: to,
            is_begun: false,
            claimed: BTreeSet::new(),
            noted: 0,
            stored: 0,
            started: Instant::now(),
            status_at: Instant::now(),
        }
    }

    /// What was at DATA has its outcomes: all of them or, if the code that makes them panics, none.
    pub fn note(&mut self, mut outcomes: Vec<Outcome>) {
        for outcome in &mut outcomes {
            outcome.doubts = ledger::doubts(self.notification.status.as_ref(), &outcome.address);
        }
        self.outcomes.append(&mut outcomes);
        self.at_data = None;
        self.reservation = None;
    }

    /// The message has gone, or may have.
    pub fn sent(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            reservation.keep();
        }
    }

    fn failed(&mut self, parcel: &Parcel<'_>, failure: &Failure) {
        self.retry_after = self.retry_after.max(failure.retry_after);
        self.note(parcel.failed(failure, Timestamp::now()));
    }
}

impl Delivery {
    /// Sends to all recipients that are left, in order.
    pub(super) async fn send<'a>(
        &self,
        run: &mut Run<'a>,
        prepared: &Prepared<'a>,
        means: &mut Means<'_>,
    ) -> Flow {
        while !run.left.is_empty() {
            if let Some(flow) = self.between(run, means).await {
                return flow;
            }
            run.is_begun = true;
            if let Some(flow) = self.send_parcel(run, prepared, means).await {
                return flow;
            }
            if run.status_at.elapsed() >= STATUS_EVERY && run.outcomes.len() > run.stored {
                self.store_progress(run, prepared).await;
            }
        }
        Flow::Continue
    }

    /// What comes before each parcel but the first: others' turns, and the pace.
    async fn between(&self, run: &Run<'_>, means: &Means<'_>) -> Option<Flow> {
        if !run.is_begun {
            return None;
        }
        if !means.session.usable() {
            return Some(Flow::Renew);
        }
        tokio::select! {
            biased;
            () = means.closing.cancelled() => return Some(Flow::Stop),
            () = means.limiter.pace() => {}
        }
        self.has_had_its_turn(run).then_some(Flow::Yield)
    }

    /// Whether a long Notification lets others go first: after about a chunk, if another namespace waits for a
    /// session.
    fn has_had_its_turn(&self, run: &Run<'_>) -> bool {
        let Item { lane, key, .. } = run.item;
        run.started.elapsed() >= CHUNK && self.outbox().others_due(lane, &key.namespace, Timestamp::now())
    }

    /// One transaction with as many of the recipients that are left as get the same message, server and limits permit.
    /// `Some` ends the session's use for this Notification.
    async fn send_parcel<'a>(
        &self,
        run: &mut Run<'a>,
        prepared: &Prepared<'a>,
        means: &mut Means<'_>,
    ) -> Option<Flow> {
        let wanted = if prepared.is_shared() {
            means.limiter.recipients_per_message(prepared.at_once()).min(means.session.takes_at_once())
        } else {
            1
        };
        let now = Timestamp::now();
        let Some(mut reservation) =
            means.limiter.reserve(&run.item.lane.namespace, wanted.min(run.left.len()), now)
        else {
            // The worker looks at the day's number before it takes the next Notification. What others have only
            // reserved may be free again soon.
            let is_exhausted = means.limiter.exhausted_until(now).is_some();
            return Some(if is_exhausted { Flow::Yield } else { Flow::Stop });
        };
        let recipients: Vec<_> = run.left.drain(..reservation.places().min(run.left.len())).collect();
        let answer = match prepared.question(&recipients) {
            Ok(question) => {
                let asked = Instant::now();
                let answer = self.evaluate(&run.item.key, &run.item.uid, question).await;
                self.make_up_for(run.item, asked.elapsed(), now);
                let Ok(answer) = answer else {
                    put_back(run, recipients);
                    run.not_before = Some(after(now, self.paced(LATER)));
                    return Some(Flow::Yield);
                };
                Ok(answer)
            }
            Err(obstacle) => Err(obstacle),
        };
        let smtputf8 = means.session.offers_smtputf8();
        let composed = match answer.and_then(|answer| prepared.compose(&recipients, answer, smtputf8)) {
            Ok(composed) => composed,
            Err(obstacle) => {
                let unsendable = |to: &Addressee<'_>| {
                    Outcome::unsendable(to.address, obstacle.reason, &obstacle.message, now)
                };
                run.note(recipients.iter().map(unsendable).collect());
                return None;
            }
        };
        run.locales.extend(composed.locale.clone());
        let parcel = Parcel { recipients, message_id: composed.message.message_id.clone() };
        let offered = match self.offer(run, parcel, &composed, prepared.is_shared(), means).await {
            Ok(offered) => offered,
            Err(denied) => return Some(self.give_up(run, denied, means).await),
        };
        let (accepted, refusal) = match offered {
            Offer::Taken { accepted, refusal } => (accepted, refusal),
            Offer::Settled => return None,
            Offer::Over(flow) => return Some(flow),
        };
        // Once more: RCPT may have taken longer than a claim is good.
        if let Err(denied) = self.ensure_claim(run, &accepted.recipients, means.journal).await {
            return Some(self.give_up(run, denied, means).await);
        }
        reservation.shrink(accepted.recipients.len());
        run.reservation = Some(reservation);
        let flow = self.transmit(run, accepted, &composed.message, means).await;
        refusal.map(Flow::Hold).or(flow)
    }

    /// A session waits while a message is rendered. Who takes long for that has no turn for a while, so that others have
    /// most of the session's time.
    fn make_up_for(&self, item: &Item, took: Duration, now: Timestamp) {
        if took >= TAKES_LONG {
            let until = after(now, took.saturating_mul(REST));
            self.outbox().rest(&item.lane, &item.key.namespace, until, now);
        }
    }

    /// Without a claim nothing is sent.
    async fn give_up(&self, run: &Run<'_>, denied: Denied, means: &mut Means<'_>) -> Flow {
        tracing::debug!(notification = %run.item.key, ?denied, "no claim, nothing sent");
        let _ = means.session.abandon().await;
        Flow::Stop
    }
}
