//! The world of the model: what is stored, what the mail server has taken, and what an action changes.

use super::action::{Action, Fate};
use super::process::{At, Hand, Held, Process, Seen, Writing};
use crate::api::Notification;
use crate::api::notification::OnInDoubt;
use crate::api::status::{Phase, RecipientState};
use crate::domain::journal::{
    Entry, Found, Holding, Journal, Judgement, Recovery, Standing, TAKEOVER_AFTER, judge, recover, standing,
};
use crate::domain::ledger;
use crate::domain::object::Uid;
use crate::domain::outcome::{Outcome, Verdict};
use crate::domain::status::notification::{Attempt, attempted};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// What is explored, and which rules are dropped to see that they are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub takes_end_with_their_term: bool,
    pub claims_are_stored_first: bool,
    /// Changes of holder that are looked at.
    pub epochs: u64,
    /// Also refusals, lost connections, writes that never arrive or late, and deleted journals.
    pub wild: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { takes_end_with_their_term: true, claims_are_stored_first: true, epochs: 3, wild: false }
    }
}

impl Rules {
    /// For worlds too large to be explored completely.
    pub fn wild() -> Self {
        Self { epochs: u64::MAX, wild: true, ..Self::default() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub rules: Rules,
    pub journal: Option<Journal>,
    pub late: Option<(Seen, Journal)>,
    pub notifications: Vec<Arc<Notification>>,
    pub processes: [Process; 2],
    /// What the server took, by Notification and recipient.
    copies: Vec<Vec<u32>>,
    /// How often that was declared to be in doubt, or forgotten because somebody deleted the journal.
    doubts: Vec<Vec<u32>>,
    forgotten: Vec<Vec<u32>>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.journal, &self.processes, &self.copies, &self.doubts).hash(state);
        for status in self.notifications.iter().filter_map(|notification| notification.status.as_ref()) {
            status.finished.hash(state);
            for recipient in &status.recipients {
                (&recipient.address, recipient.state, recipient.doubts).hash(state);
            }
        }
    }
}

fn address(recipient: usize) -> String {
    format!("r{recipient}@corp.example")
}

/// The index in [`address`].
fn index(address: &str) -> usize {
    address.trim_start_matches('r').split('@').next().unwrap().parse().unwrap()
}

fn addresses(recipients: &BTreeSet<usize>) -> BTreeSet<String> {
    recipients.iter().copied().map(address).collect()
}

fn outcome(recipient: usize, verdict: Verdict) -> Outcome {
    Outcome { verdict, ..Outcome::in_doubt(&address(recipient), Some("<id>"), "lost", NOW) }
}

impl World {
    /// Notifications by number of recipients and policy.
    pub fn new(notifications: &[(usize, OnInDoubt)], rules: Rules) -> Self {
        let counts: Vec<Vec<u32>> = notifications.iter().map(|(count, _)| vec![0; *count]).collect();
        let make = |(number, (count, policy)): (usize, &(usize, OnInDoubt))| {
            let to: Vec<_> =
                (0..*count).map(|recipient| serde_json::json!({ "address": address(recipient) })).collect();
            let object = serde_json::json!({
                "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification",
                "metadata": { "namespace": "team", "name": format!("n{number}"), "uid": number.to_string(),
                              "creationTimestamp": NOW },
                "spec": { "to": to, "message": { "content": { "subject": "s", "text": "t" } },
                          "delivery": { "onInDoubt": policy } }
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        Self {
            rules,
            journal: None,
            late: None,
            notifications: notifications.iter().enumerate().map(make).collect(),
            processes: Default::default(),
            copies: counts.clone(),
            doubts: counts.clone(),
            forgotten: counts,
        }
    }

    /// Recipients that a fresh copy shows as open.
    pub fn open(&self, n: usize) -> Vec<usize> {
        let notification = &self.notifications[n];
        if notification.status.as_ref().is_some_and(|status| status.finished) {
            return Vec::new();
        }
        ledger::open_recipients(notification).iter().map(|recipient| index(recipient.address)).collect()
    }

    fn state(&self, n: usize, recipient: usize) -> RecipientState {
        let recipients = self.notifications[n].status.iter().flat_map(|status| &status.recipients);
        let mut found =
            recipients.filter(|found| found.address == address(recipient)).map(|found| found.state);
        found.next().unwrap_or_default()
    }

    /// A compare-and-swap of the stored journal. Whoever knew the old version is behind from now on.
    fn put(&mut self, seen: Seen, journal: &Journal) -> bool {
        let fits = match seen {
            Seen::Absent => self.journal.is_none(),
            Seen::Current => self.journal.is_some(),
            Seen::Stale => false,
        };
        if fits {
            self.outdate();
            self.journal = Some(journal.clone());
        }
        fits
    }

    fn outdate(&mut self) {
        let held = self.processes.iter_mut().filter_map(|process| process.held.as_mut());
        let late = self.late.as_mut().map(|(seen, _)| seen);
        for seen in held.map(|held| &mut held.seen).chain(late).filter(|seen| **seen == Seen::Current) {
            *seen = Seen::Stale;
        }
    }

    /// Lets something happen; an error is a broken promise.
    pub fn apply(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Acquire { process, known } => self.acquire(*process, *known),
            Action::Take(p, n) => self.take(*p, *n),
            Action::Ask(p, n, all) => self.ask(*p, *n, *all),
            Action::Write(p) => {
                let held = self.processes[*p].held.as_mut().unwrap();
                let journal = held.holding.next_write(NOW);
                let waiting = std::mem::take(&mut held.asked);
                held.writing = Some(Writing { journal, unsure: false, waiting: waiting.clone() });
                if !self.rules.claims_are_stored_first {
                    return self.grant(*p, &waiting);
                }
            }
            Action::Release(p) => {
                let held = self.processes[*p].held.as_mut().unwrap();
                let journal = held.holding.release(NOW);
                held.writing = Some(Writing { journal, unsure: false, waiting: Vec::new() });
            }
            Action::Land(p, fate) => return self.land(*p, *fate),
            Action::Compare(p) => return self.compare(*p),
            Action::Data(p, n, taken) => {
                let hand = self.processes[*p].hands.get_mut(n).unwrap();
                self.copies[*n][hand.rest[0]] += u32::from(*taken);
                hand.at = At::Answer { taken: *taken };
            }
            Action::Answer(p, n, verdict) => {
                let hand = self.processes[*p].hands.get_mut(n).unwrap();
                let recipient = hand.rest.remove(0);
                let doubts = hand.doubts.get(&recipient).copied().unwrap_or_default();
                hand.outcomes.push(Outcome { doubts, ..outcome(recipient, *verdict) });
                let goes_on = !hand.rest.is_empty() && *verdict != Verdict::InDoubt;
                hand.at = if goes_on { At::Recipient } else { At::Over };
            }
            Action::Stop(p, n) => self.processes[*p].hands.get_mut(n).unwrap().at = At::Over,
            Action::Record(p, n) => {
                let outcomes = self.processes[*p].hands[n].outcomes.clone();
                self.store(*n, &outcomes);
                self.processes[*p].hands.get_mut(n).unwrap().at = At::Stored;
            }
            Action::Forget(p, n) => {
                let hand = self.processes[*p].hands.remove(n).unwrap();
                self.remove(*p, hand.claim.as_deref());
            }
            Action::Judge(p, id) => {
                let process = &mut self.processes[*p];
                let entry = &process.held.as_ref().unwrap().holding.entries()[id];
                let n: usize = entry.uid.to_string().parse().unwrap();
                let outcomes = match recover(entry, Found::of(&self.notifications[n]).as_ref()) {
                    Recovery::Drop => Vec::new(),
                    Recovery::Store { mut done, in_doubt } => {
                        let status = self.notifications[n].status.as_ref();
                        done.extend(in_doubt.iter().map(|address| {
                            let doubts = ledger::doubts(status, address);
                            Outcome { doubts, ..outcome(index(address), Verdict::InDoubt) }
                        }));
                        done
                    }
                };
                process.settling.insert(id.clone(), (n, outcomes));
            }
            Action::Settle(p, id) => {
                let (n, outcomes) = self.processes[*p].settling.remove(id).unwrap();
                self.store(n, &outcomes);
                self.remove(*p, Some(id));
            }
            Action::Crash(p) => {
                // In small worlds a restarted process is its predecessor's double: one more way to go wrong.
                let life = self.processes[*p].life + u8::from(self.rules.wild);
                self.processes[*p] = Process { life, ..Process::default() };
            }
            Action::Arrive => {
                if let Some((seen, journal)) = self.late.take() {
                    self.put(seen, &journal);
                }
            }
            Action::Delete => {
                self.outdate();
                for entry in self.journal.take().unwrap().entries.values() {
                    let n: usize = entry.uid.to_string().parse().unwrap();
                    for address in &entry.claimed {
                        self.forgotten[n][index(address)] += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn acquire(&mut self, p: usize, known: bool) {
        let me = format!("p{p}-{}", self.processes[p].life);
        self.processes[p].terms += 1;
        let term = self.processes[p].terms;
        let me = (&*me, term.into());
        let Judgement::Take(journal) = judge(self.journal.as_ref(), me, TAKEOVER_AFTER, NOW) else {
            panic!("nobody renews in this model");
        };
        self.outdate();
        self.journal = Some(journal.clone());
        if !known {
            return;
        }
        let process = &mut self.processes[p];
        process.held = Some(Held {
            unsettled: journal.entries.keys().cloned().collect(),
            holding: Holding::new(journal),
            term,
            seen: Seen::Current,
            asked: Vec::new(),
            is_absent: false,
            writing: None,
        });
    }

    fn take(&mut self, p: usize, n: usize) {
        let rest = self.open(n);
        let status = self.notifications[n].status.as_ref();
        let doubts = rest.iter().map(|recipient| (*recipient, ledger::doubts(status, &address(*recipient))));
        let hand = Hand {
            term: self.processes[p].held.as_ref().unwrap().term,
            doubts: doubts.collect(),
            rest,
            claim: None,
            claimed: BTreeSet::new(),
            outcomes: Vec::new(),
            noted: 0,
            at: At::Recipient,
        };
        self.processes[p].hands.insert(n, hand);
    }

    fn ask(&mut self, p: usize, n: usize, all: bool) {
        let Process { held, hands, .. } = &mut self.processes[p];
        let hand = hands.get_mut(&n).unwrap();
        let bound = self.rules.takes_end_with_their_term;
        let Some(held) = held.as_mut().filter(|held| held.term == hand.term || !bound) else {
            hand.at = At::Over;
            return;
        };
        let claimed: BTreeSet<usize> =
            hand.rest.iter().copied().take(if all { usize::MAX } else { 1 }).collect();
        let id = if let Some(id) = &hand.claim {
            let done = hand.outcomes[hand.noted..].to_vec();
            if !held.holding.extend(id, done, addresses(&claimed)) {
                hand.at = At::Over;
                return;
            }
            id.clone()
        } else {
            held.holding.claim(Entry {
                namespace: "team".into(),
                name: format!("n{n}"),
                uid: Uid::from(n.to_string().as_str()),
                claimed: addresses(&claimed),
                done: hand.outcomes.clone(),
            })
        };
        hand.claimed.extend(claimed);
        hand.at = At::Asked;
        held.asked.push((n, id));
    }

    fn land(&mut self, p: usize, fate: Fate) -> Result<(), String> {
        let held = self.processes[p].held.as_ref().unwrap();
        let (seen, writing) = (held.seen, held.writing.clone().unwrap());
        let stored = match fate {
            Fate::Answered | Fate::AnswerLost => self.put(seen, &writing.journal),
            Fate::Never => false,
            Fate::Late => {
                self.late = Some((seen, writing.journal.clone()));
                false
            }
        };
        if stored && fate == Fate::Answered {
            return self.stored(p, writing);
        }
        self.processes[p].held.as_mut().unwrap().writing = Some(Writing { unsure: true, ..writing });
        Ok(())
    }

    fn compare(&mut self, p: usize) -> Result<(), String> {
        let held = self.processes[p].held.as_mut().unwrap();
        let writing = held.writing.clone().unwrap();
        held.seen = if self.journal.is_some() { Seen::Current } else { Seen::Absent };
        match standing(self.journal.as_ref(), &writing.journal) {
            Standing::Stored => return self.stored(p, writing),
            Standing::Behind => held.writing = Some(Writing { unsure: false, ..writing }),
            Standing::Absent if held.is_absent => held.writing = Some(Writing { unsure: false, ..writing }),
            Standing::Absent if writing.journal.holder.is_some() => {
                self.processes[p].begin_anew(&writing.waiting);
            }
            Standing::Absent | Standing::Lost => self.processes[p].lose(),
        }
        Ok(())
    }

    /// A write is known to be stored.
    fn stored(&mut self, p: usize, writing: Writing) -> Result<(), String> {
        let process = &mut self.processes[p];
        let held = process.held.as_mut().unwrap();
        held.seen = Seen::Current;
        held.is_absent = false;
        held.writing = None;
        let last = writing.journal.holder.is_none();
        held.holding.stored(writing.journal);
        if last {
            process.lose();
        }
        self.grant(p, &writing.waiting)
    }

    /// Claims are granted: from here on there is no way back.
    fn grant(&mut self, p: usize, waiting: &[(usize, String)]) -> Result<(), String> {
        let me = format!("p{p}-{}", self.processes[p].life);
        let journal = self.journal.as_ref().filter(|journal| journal.holder.as_deref() == Some(&me));
        for (n, id) in waiting {
            let hand = self.processes[p].hands.get_mut(n).unwrap();
            let entry = journal.and_then(|journal| journal.entries.get(id));
            let named = entry.is_some_and(|entry| entry.claimed.is_superset(&addresses(&hand.claimed)));
            if !named {
                return Err(format!("n{n} may go to DATA, and no entry of the stored journal names it"));
            }
            hand.claim = Some(id.clone());
            hand.noted = hand.outcomes.len();
            hand.at = At::Recipient;
        }
        Ok(())
    }

    fn store(&mut self, n: usize, outcomes: &[Outcome]) {
        if outcomes.is_empty() {
            return;
        }
        let attempt = Attempt { outcomes, used: None, began: NOW, next: NOW, counts: true };
        let status = attempted(&self.notifications[n], &attempt, NOW);
        self.notifications[n] =
            Arc::new(Notification { status: Some(status), ..Notification::clone(&self.notifications[n]) });
        for outcome in outcomes.iter().filter(|outcome| outcome.verdict == Verdict::InDoubt) {
            let recipient = index(&outcome.address);
            self.doubts[n][recipient] += u32::from(self.state(n, recipient) == RecipientState::InDoubt);
        }
    }

    fn remove(&mut self, p: usize, claim: Option<&str>) {
        if let (Some(held), Some(id)) = (&mut self.processes[p].held, claim) {
            held.holding.remove(id);
            held.unsettled.remove(id);
        }
    }

    /// The promises.
    pub fn check(&self) -> Result<(), String> {
        for (n, notification) in self.notifications.iter().enumerate() {
            for (recipient, copies) in self.copies[n].iter().copied().enumerate() {
                let permitted = match notification.spec.delivery.on_in_doubt {
                    OnInDoubt::Resend => (1 + self.doubts[n][recipient]).min(3),
                    OnInDoubt::Hold => 1,
                };
                let permitted = permitted + self.forgotten[n][recipient];
                if copies > permitted {
                    return Err(format!("{copies} copies for r{recipient} of n{n}, {permitted} permitted"));
                }
                if copies == 0 && self.state(n, recipient) == RecipientState::Accepted {
                    return Err(format!("r{recipient} of n{n} is called accepted and got nothing"));
                }
            }
            let sent = notification.status.as_ref().is_some_and(|status| status.phase == Phase::Sent);
            if sent && self.copies[n].contains(&0) {
                return Err(format!("n{n} is called sent and was not"));
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more: the second process is gone, the first one works until nothing is left.
    pub fn leave_one_in_peace(&mut self) {
        self.processes[1] = Process { life: self.processes[1].life + 1, ..Process::default() };
        self.late = None;
        for _ in 0..10_000 {
            let is_its_own = |action: &Action| !matches!(action, Action::Acquire { process: 1, .. });
            let Some(action) = self.work().into_iter().find(is_its_own) else { return };
            self.apply(&action).unwrap();
        }
    }

    /// Everything is finished, or waits for a person.
    pub fn is_settled(&self) -> bool {
        let settled = |notification: &Arc<Notification>| {
            notification
                .status
                .as_ref()
                .is_some_and(|status| status.finished || status.phase == Phase::InDoubt)
        };
        self.notifications.iter().all(settled)
            && self.journal.as_ref().is_none_or(|journal| journal.entries.is_empty())
    }
}
