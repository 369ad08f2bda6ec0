//! What can happen in the model, and what of it can happen next.

use super::process::{At, Held, Process, Seen, Writing};
use super::world::World;
use crate::domain::outcome::Verdict;

/// Something that can happen. The first number is the process, the second the Notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Takes the journal; `known`: and gets the answer.
    Acquire {
        process: usize,
        known: bool,
    },
    /// Gets a Notification in hand, with a fresh copy.
    Take(usize, usize),
    /// Asks the journal task for a claim of the next recipient, or of all the rest.
    Ask(usize, usize, bool),
    /// The journal task begins a write with all that was asked for.
    Write(usize),
    /// The journal task begins its last write.
    Release(usize),
    /// What becomes of the write under way.
    Land(usize, Fate),
    /// Reads what is stored, to know.
    Compare(usize),
    /// DATA, the message, the dot; whether the server takes it.
    Data(usize, usize, bool),
    /// The answer, or the loss of it.
    Answer(usize, usize, Verdict),
    /// Sends to no further recipient.
    Stop(usize, usize),
    /// Stores the outcomes in the status.
    Record(usize, usize),
    /// Lets claim and Notification go.
    Forget(usize, usize),
    /// Judges an inherited entry.
    Judge(usize, String),
    /// Stores what came of it, and drops the entry.
    Settle(usize, String),
    Crash(usize),
    /// A write that was given up arrives after all.
    Arrive,
    /// Somebody deletes the journal.
    Delete,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    AnswerLost,
    Never,
    Late,
}

impl World {
    /// What a working process does next.
    pub fn work(&self) -> Vec<Action> {
        let mut all = Vec::new();
        for (p, process) in self.processes.iter().enumerate() {
            match &process.held {
                None if self.may_acquire() => all.push(Action::Acquire { process: p, known: true }),
                None => {}
                Some(Held { writing: Some(Writing { unsure: true, .. }), .. }) => {
                    all.push(Action::Compare(p));
                }
                Some(Held { writing: Some(_), .. }) => all.push(Action::Land(p, Fate::Answered)),
                Some(held) => {
                    // A renewal matters only to who has lost the journal and does not know.
                    if held.holding.changed()
                        || !held.asked.is_empty()
                        || held.is_absent
                        || held.seen == Seen::Stale
                    {
                        all.push(Action::Write(p));
                    }
                    let open = |n: &usize| !process.hands.contains_key(n) && !self.open(*n).is_empty();
                    if held.unsettled.is_empty() && !held.is_absent {
                        all.extend((0..self.notifications.len()).filter(open).map(|n| Action::Take(p, n)));
                    }
                    let unjudged = held.unsettled.iter().filter(|id| !process.settling.contains_key(*id));
                    all.extend(unjudged.map(|id| Action::Judge(p, id.clone())));
                }
            }
            all.extend(process.settling.keys().map(|id| Action::Settle(p, id.clone())));
            for (n, hand) in &process.hands {
                let n = *n;
                match hand.at {
                    At::Recipient => {
                        if hand.claimed.contains(&hand.rest[0]) {
                            all.push(Action::Data(p, n, true));
                        } else if process.held.as_ref().is_none_or(|held| held.writing.is_none()) {
                            all.push(Action::Ask(p, n, hand.rest.len() > 1));
                        }
                    }
                    At::Asked => {}
                    At::Answer { taken: true } => all.push(Action::Answer(p, n, Verdict::Accepted)),
                    At::Answer { taken: false } => all.push(Action::Answer(p, n, Verdict::Deferred)),
                    At::Over => all.push(Action::Record(p, n)),
                    At::Stored => all.push(Action::Forget(p, n)),
                }
            }
        }
        all
    }

    /// What may go wrong next.
    pub fn faults(&self) -> Vec<Action> {
        let mut all = Vec::new();
        for (p, process) in self.processes.iter().enumerate() {
            if *process != (Process { life: process.life, ..Process::default() }) {
                all.push(Action::Crash(p));
            }
            match &process.held {
                None if self.may_acquire() => all.push(Action::Acquire { process: p, known: false }),
                Some(Held { writing: None, asked, .. }) if self.rules.wild && asked.is_empty() => {
                    all.push(Action::Release(p));
                }
                Some(Held { writing: Some(Writing { unsure: false, .. }), .. }) => {
                    all.push(Action::Land(p, Fate::AnswerLost));
                    if self.rules.wild {
                        all.extend([Action::Land(p, Fate::Never), Action::Land(p, Fate::Late)]);
                    }
                }
                _ => {}
            }
            for (n, hand) in process.hands.iter().filter(|_| self.rules.wild) {
                match hand.at {
                    At::Recipient => {
                        all.push(Action::Stop(p, *n));
                        if hand.claimed.contains(&hand.rest[0]) {
                            all.push(Action::Data(p, *n, false));
                        }
                    }
                    At::Answer { taken } => {
                        all.push(Action::Answer(p, *n, Verdict::InDoubt));
                        if !taken {
                            all.push(Action::Answer(p, *n, Verdict::Refused));
                        }
                    }
                    At::Asked | At::Over | At::Stored => {}
                }
            }
        }
        if self.late.is_some() {
            all.push(Action::Arrive);
        }
        if self.rules.wild && self.journal.is_some() {
            all.push(Action::Delete);
        }
        all
    }

    /// Whether one more change of holder is within what is looked at.
    fn may_acquire(&self) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.epoch < self.rules.epochs)
    }
}
