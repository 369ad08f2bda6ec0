//! One process of the model: its journal task, and the attempts it has under way.

use crate::domain::journal::{Holding, Journal};
use crate::domain::outcome::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// One process. A crash leaves nothing of it but its number of lives.
#[derive(Debug, Clone, Default, PartialEq, Hash)]
pub(super) struct Process {
    /// A restarted process has another identity.
    pub life: u8,
    pub held: Option<Held>,
    /// Terms so far, as `delivery::journal` counts them.
    pub terms: u8,
    /// Attempts by Notification.
    pub hands: BTreeMap<usize, Hand>,
    /// Inherited entries that were judged and whose outcomes are still to be stored.
    pub settling: BTreeMap<String, (usize, Vec<Outcome>)>,
}

/// What the holder's journal task knows.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct Held {
    pub holding: Holding,
    pub term: u8,
    pub seen: Seen,
    pub unsettled: BTreeSet<String>,
    /// Claims that the next write stores: Notification and claim.
    pub asked: Vec<(usize, String)>,
    /// Somebody deleted the journal, and it is not written anew yet.
    pub is_absent: bool,
    pub writing: Option<Writing>,
}

/// A write under way.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct Writing {
    pub journal: Journal,
    /// Its fate is not known: what is stored has to be read and compared.
    pub unsure: bool,
    pub waiting: Vec<(usize, String)>,
}

/// What a process would name as the resourceVersion of its next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// None: it wants to create the object.
    Absent,
    /// The one that is stored.
    Current,
    /// An older one.
    Stale,
}

/// An attempt at one Notification, as `delivery::attempt::Run` has it.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct Hand {
    pub term: u8,
    /// Recipients that were open when it was taken and are not through yet.
    pub rest: Vec<usize>,
    /// Their doubts, as the copy it was taken with counts them.
    pub doubts: BTreeMap<usize, i32>,
    pub claim: Option<String>,
    pub claimed: BTreeSet<usize>,
    pub outcomes: Vec<Outcome>,
    /// Outcomes that the journal knows.
    pub noted: usize,
    pub at: At,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// RCPT is accepted for the first of the rest.
    Recipient,
    /// The journal was asked for a claim.
    Asked,
    /// DATA is through; whether the server took it.
    Answer { taken: bool },
    /// Nothing more is sent; the outcomes go into the status.
    Over,
    /// They are there; the claim may go.
    Stored,
}

impl Process {
    /// The journal is lost, or let go: what waits for a claim gets none.
    pub fn lose(&mut self) {
        self.held = None;
        for hand in self.hands.values_mut().filter(|hand| hand.at == At::Asked) {
            hand.at = At::Over;
        }
    }

    /// The journal was deleted: a new term, in which what was asked for under the old one does not count.
    pub fn begin_anew(&mut self, waiting: &[(usize, String)]) {
        let held = self.held.as_mut().unwrap();
        for (n, id) in waiting {
            let hand = self.hands.get_mut(n).unwrap();
            if hand.claim.is_none() {
                held.holding.remove(id);
            }
            hand.at = At::Over;
        }
        self.terms += 1;
        held.holding.anew(self.terms.into());
        held.term = self.terms;
        held.is_absent = true;
        held.writing = None;
    }
}
