//! One message on a session, in the two halves that the journal's claim stands between: `begin`
//! (MAIL and RCPT, without side effect) and `data` (after which the message may be delivered). What
//! comes back always says whether the server can have the message.

use super::content::{self, Stuffing};
use super::protocol::{self, MailParameters, RawReply};
use super::session::{Session, State};
use crate::api::Reason;
use crate::domain::failure::{
    EnhancedCode, Failure, Permanence, Phase, Reply, Scope, classify, refused_for_sender, seems_about_sender,
};
use std::time::Duration;

/// Who a message is from and for, and what must be declared about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The address for MAIL; empty for a message that must not be answered.
    pub from: &'a str,
    /// The addresses for RCPT, domains as A-labels.
    pub recipients: Vec<&'a str>,
    /// Of the message in bytes, before dot-stuffing.
    pub size: u64,
    /// The message has bytes above 127.
    pub eight_bit: bool,
    /// The message's headers need RFC 6531. That an address needs it is found out here.
    pub smtputf8: bool,
}

/// A transaction with the recipients' answers, in the order of the envelope. Without an accepted one
/// there is nothing open, and no `data` may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// One for each recipient.
    pub recipients: Vec<Answer>,
}

impl Opened {
    /// How many will get the message if the server takes it.
    pub fn accepted(&self) -> usize {
        self.recipients.iter().filter(|answer| **answer == Answer::Accepted).count()
    }
}

/// What became of one recipient at RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Gets the message if the server takes it.
    Accepted,
    /// Does not get it. A failure of wider scope than `Recipient` here means that the server changed
    /// its mind half way: it concerns those that carry it, and the session's future.
    Refused(Failure),
    /// The server did not get to this one, because it takes no more in one transaction or hung up.
    /// Goes again at once in the next transaction; counts as no attempt.
    Unanswered,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataOutcome {
    /// The server has taken it for every accepted recipient.
    Accepted(Reply),
    /// The server said no, before or after the message. Nobody gets it.
    Refused(Failure),
    /// The final dot may have gone out and no answer came. It may or may not be delivered.
    InDoubt(Failure),
    /// The final dot certainly did not go out. Nobody gets it.
    NotSent(Failure),
}

/// How much of a message is written at once. TLS records hold a quarter of it.
const BLOCK: usize = 64 * 1024;
/// How long to listen for the reason when a server breaks off in the middle of a message.
const PARTING_WORDS: Duration = Duration::from_secs(2);

impl Session {
    /// Offers sender and recipients. Has no side effect at the server: dropped or failed, it can be
    /// done again. After an `Err` with a reply the session stays usable, unless the server said 421.
    ///
    /// `Err` means that no recipient was judged by itself: the failure's scope says whose it is.
    pub async fn begin(&mut self, envelope: &Envelope<'_>) -> Result<Opened, Failure> {
        let parameters = self.parameters(envelope)?;
        let state = std::mem::replace(&mut self.state, State::Lost);
        if self.is_fresh() && self.wire.has_early_answer() {
            return Err(Failure::early_answer(Phase::MailFrom));
        }
        if state == State::Lost || self.wire.has_ended() {
            return Err(Failure::closed(Phase::MailFrom));
        }
        if state != State::Ready {
            self.reset().await?;
            self.state = State::Lost;
        }
        let mut answers = self.judge_ourselves(envelope);
        let sendable = answers.iter().filter(|answer| **answer == Answer::Unanswered).count();
        // Beyond the server's limit they stay unanswered, which makes the caller come again.
        let asked = sendable.min(self.capabilities.max_recipients.unwrap_or(usize::MAX));
        if asked == 0 {
            self.state = State::Ready;
            return Ok(Opened { recipients: answers });
        }
        protocol::mail(&mut self.wire.output, envelope.from, parameters);
        if self.capabilities.pipelining {
            let sendable =
                envelope.recipients.iter().zip(&answers).filter(|(_, answer)| **answer == Answer::Unanswered);
            for (to, _) in sendable.take(asked) {
                protocol::rcpt(&mut self.wire.output, to);
            }
        }
        self.wire.send(Phase::MailFrom, self.deadlines.command).await?;
        self.mail_reply(asked).await?;
        self.rcpt_replies(envelope, asked, &mut answers).await?;
        self.conclude(answers)
    }

    /// Sends the message that [`Session::begin`] opened. `message` has CRLF line ends only.
    ///
    /// Await it to its end: a session dropped in the middle leaves a truncated message behind, which
    /// some servers deliver.
    pub async fn data(&mut self, message: &[u8]) -> DataOutcome {
        if self.state != State::Open {
            return DataOutcome::NotSent(Failure::invalid_message(Phase::Data, "no recipient was accepted"));
        }
        self.state = State::ResetDue;
        if let Err(malformed) = content::check(message) {
            return DataOutcome::NotSent(Failure::invalid_message(Phase::Data, &malformed.to_string()));
        }
        self.state = State::Lost;
        if let Err(outcome) = self.announce().await {
            return outcome;
        }
        if let Err(outcome) = self.transmit(message).await {
            return outcome;
        }
        let reply = match self.wire.reply(Phase::FinalDot, self.deadlines.final_dot).await {
            Ok(reply) => reply.to_reply(),
            Err(failure) => return DataOutcome::InDoubt(failure),
        };
        self.messages += 1;
        match reply.code {
            250 => {
                self.state = State::Ready;
                DataOutcome::Accepted(reply)
            }
            400..=599 => DataOutcome::Refused(self.refusal(Phase::FinalDot, &reply)),
            // A success nobody has defined: it may well have been taken.
            _ => DataOutcome::InDoubt(classify(Phase::FinalDot, &reply, self.login)),
        }
    }

    /// What can be known before anything is sent.
    fn parameters(&self, envelope: &Envelope<'_>) -> Result<MailParameters, Failure> {
        let offered = &self.capabilities;
        if let Some(limit) = offered.max_message_bytes.filter(|limit| envelope.size > *limit) {
            return Err(Failure::message_too_large(envelope.size, limit));
        }
        if !protocol::fits_in_path(envelope.from) {
            return Err(Failure::invalid_message(Phase::MailFrom, "the sender's address cannot be sent"));
        }
        let needs_utf8 = envelope.smtputf8 || !envelope.from.is_ascii();
        if needs_utf8 && !offered.smtputf8 {
            return Err(Failure::smtputf8_not_offered());
        }
        if envelope.eight_bit && !offered.eight_bit_mime {
            let what = "the message has 8-bit text and the server does not offer 8BITMIME";
            return Err(Failure::invalid_message(Phase::MailFrom, what));
        }
        Ok(MailParameters {
            size: offered.size.then_some(envelope.size),
            eight_bit: envelope.eight_bit,
            smtputf8: needs_utf8 || offered.smtputf8 && envelope.recipients.iter().any(|to| !to.is_ascii()),
        })
    }

    /// Refuses the recipients that cannot even be sent; the others start as unanswered.
    fn judge_ourselves(&self, envelope: &Envelope<'_>) -> Vec<Answer> {
        let refused = |reason, what: &str| {
            let failure = Failure::new(Scope::Recipient, Permanence::Permanent, reason, Phase::RcptTo, what);
            Answer::Refused(failure)
        };
        let judge = |to: &&str| {
            if to.is_empty() || !protocol::fits_in_path(to) {
                refused(Reason::RecipientRefused, "the address cannot be sent over SMTP; correct it")
            } else if !to.is_ascii() && !self.capabilities.smtputf8 {
                let what = "the address has non-ASCII characters and the server does not offer SMTPUTF8";
                refused(Reason::SMTPUTF8NotOffered, what)
            } else {
                Answer::Unanswered
            }
        };
        envelope.recipients.iter().map(judge).collect()
    }

    async fn mail_reply(&mut self, recipients: usize) -> Result<(), Failure> {
        let limit = self.deadlines.command;
        let reply = self.wire.reply(Phase::MailFrom, limit).await?;
        self.transactions += 1;
        if reply.code == 250 {
            return Ok(());
        }
        let reply = reply.to_reply();
        if is_too_many(&reply) {
            // OpenSMTPD's way to say that this session has sent enough.
            return Err(Failure::closed(Phase::MailFrom).with_reply(reply));
        }
        let failure = self.refusal(Phase::MailFrom, &reply);
        if self.capabilities.pipelining && self.state != State::Lost {
            // Each RCPT that went out with it is answered as well.
            self.state = State::Lost;
            for _ in 0..recipients {
                if self.wire.reply(Phase::RcptTo, limit).await.is_err() {
                    return Err(failure);
                }
            }
            self.state = State::ResetDue;
        }
        Err(failure)
    }

    /// Gets the answers of the first `asked` recipients that have none yet.
    async fn rcpt_replies(
        &mut self,
        envelope: &Envelope<'_>,
        asked: usize,
        answers: &mut [Answer],
    ) -> Result<(), Failure> {
        let mut left = asked;
        for (index, to) in envelope.recipients.iter().enumerate() {
            if left == 0 || answers.get(index) != Some(&Answer::Unanswered) {
                continue;
            }
            left -= 1;
            let reply = match self.ask(to).await {
                Ok(reply) => reply,
                Err(failure) => return hang_up(answers, failure),
            };
            let answer = match reply.code {
                250 | 251 => Answer::Accepted,
                421 => return hang_up(answers, classify(Phase::RcptTo, &reply.to_reply(), self.login)),
                400..=599 => {
                    let reply = reply.to_reply();
                    // Only after some were taken: a server that takes none would be asked for ever.
                    if ends_transaction(&reply) && answers.contains(&Answer::Accepted) {
                        Answer::Unanswered
                    } else {
                        Answer::Refused(classify(Phase::RcptTo, &reply, self.login))
                    }
                }
                _ => return Err(classify(Phase::RcptTo, &reply.to_reply(), self.login)),
            };
            if let Some(slot) = answers.get_mut(index) {
                *slot = answer;
            }
        }
        if self.wire.has_early_answer() {
            // One answer too many, so that none of them is known to be the right recipient's.
            return Err(Failure::early_answer(Phase::RcptTo));
        }
        self.state = State::Open;
        Ok(())
    }

    /// One recipient's reply; the question went out with MAIL where the server permits that.
    async fn ask(&mut self, to: &str) -> Result<RawReply<'_>, Failure> {
        let limit = self.deadlines.command;
        if !self.capabilities.pipelining {
            protocol::rcpt(&mut self.wire.output, to);
            self.wire.send(Phase::RcptTo, limit).await?;
        }
        self.wire.reply(Phase::RcptTo, limit).await
    }

    /// Makes sense of the answers together.
    fn conclude(&mut self, answers: Vec<Answer>) -> Result<Opened, Failure> {
        if self.state != State::Open || answers.contains(&Answer::Accepted) {
            return Ok(Opened { recipients: answers });
        }
        self.state = State::ResetDue;
        let mut refusals = answers.iter().filter_map(|answer| match answer {
            Answer::Refused(failure) => Some(failure),
            Answer::Accepted | Answer::Unanswered => None,
        });
        // Where they differ, each keeps his own.
        let wider = refusals.clone().next().filter(|failure| failure.scope != Scope::Recipient);
        if let Some(wider) = wider.filter(|wider| refusals.clone().all(|other| other.scope == wider.scope)) {
            return Err(wider.clone());
        }
        let first = refusals.next().and_then(|failure| failure.reply.as_ref());
        if let Some(first) = first.filter(|reply| seems_about_sender(reply)) {
            let is_same = |reply: &Reply| (reply.code, reply.enhanced) == (first.code, first.enhanced);
            if refusals.all(|failure| failure.reply.as_ref().is_some_and(is_same)) {
                return Err(refused_for_sender(first));
            }
        }
        Ok(Opened { recipients: answers })
    }

    /// DATA and its 354.
    async fn announce(&mut self) -> Result<(), DataOutcome> {
        let limit = self.deadlines.data;
        self.wire.output.extend_from_slice(b"DATA\r\n");
        self.wire.send(Phase::Data, limit).await.map_err(DataOutcome::NotSent)?;
        let reply = self.wire.reply(Phase::Data, limit).await.map_err(DataOutcome::NotSent)?;
        match reply.code {
            354 => Ok(()),
            400..=599 => {
                let reply = reply.to_reply();
                Err(DataOutcome::Refused(self.refusal(Phase::Data, &reply)))
            }
            _ => Err(DataOutcome::NotSent(classify(Phase::Data, &reply.to_reply(), self.login))),
        }
    }

    /// Writes the message with its final dot.
    async fn transmit(&mut self, message: &[u8]) -> Result<(), DataOutcome> {
        if self.wire.has_unread() {
            // Nothing that was said before the message can be the answer to it.
            let failure = Failure::early_answer(Phase::Body);
            return Err(DataOutcome::NotSent(self.parting_words(failure).await));
        }
        let mut stuffing = Stuffing::new(message);
        loop {
            let is_last = stuffing.next_block(&mut self.wire.output, BLOCK);
            if let Err(failure) = self.wire.send(Phase::Body, self.deadlines.block).await {
                if is_last && self.wire.may_have_sent_all() {
                    return Err(DataOutcome::InDoubt(failure));
                }
                return Err(DataOutcome::NotSent(self.parting_words(failure).await));
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Why the server broke off, if it said so: a refusal in the middle of the message tells more than
    /// the broken connection it comes with.
    async fn parting_words(&mut self, failure: Failure) -> Failure {
        match self.wire.reply(Phase::Body, PARTING_WORDS).await {
            Ok(reply) if reply.code >= 400 => classify(Phase::Body, &reply.to_reply(), self.login),
            _ => failure,
        }
    }

    /// The failure of a refused step, and the session's state after it.
    fn refusal(&mut self, phase: Phase, reply: &Reply) -> Failure {
        // 421 announces that the server hangs up; after what is no refusal nobody knows where it stands.
        let goes_on = matches!(reply.code, 400..=420 | 422..=599);
        self.state = if goes_on { State::ResetDue } else { State::Lost };
        classify(phase, reply, self.login)
    }
}

/// The server broke off among the RCPTs. Those it refused are refused; all others go again, also the
/// accepted ones, since the transaction died with the session. If it had refused none, nothing was
/// gained, and it counts as a failure, so that nobody comes again for ever.
fn hang_up(answers: &mut [Answer], failure: Failure) -> Result<(), Failure> {
    let by_server = |answer: &Answer| matches!(answer, Answer::Refused(failure) if failure.reply.is_some());
    if !answers.iter().any(by_server) {
        return Err(failure);
    }
    for answer in answers.iter_mut().filter(|answer| **answer == Answer::Accepted) {
        *answer = Answer::Unanswered;
    }
    Ok(())
}

/// Whether a reply to RCPT means that the server takes no more recipients in this transaction. Exim says 452 without an
/// enhanced code, and RFC 5321 section 4.5.3.1.10 knows no other meaning of it here. Where it means a full disk after
/// all, the next transaction hears it at its first recipient, which is then deferred like any other.
fn ends_transaction(reply: &Reply) -> bool {
    is_too_many(reply) || reply.code == 452 && reply.enhanced.is_none()
}

/// 452 4.5.3, and the code RFC 5321 section 4.5.3.1.10 tells us to take for it.
fn is_too_many(reply: &Reply) -> bool {
    matches!(reply.code, 452 | 552) && matches!(reply.enhanced, Some(EnhancedCode(4 | 5, 5, 3)))
}
