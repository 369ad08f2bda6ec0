//! The journal of an account: who may send for it, and what may be between a message and its
//! answer. Lease and write-ahead log in one object, so that both change in one write.
//!
//! Invariant: **a recipient goes to DATA only when an entry naming it stands in the stored journal
//! under our term.** Everything here is pure; [`crate::delivery`] does the writing. The property
//! test below drives these very functions through crashes, pauses, lost answers and conflicts of
//! two holders.

use crate::api::status::RecipientState;
use crate::api::{Notification, Reason};
use crate::domain::object::Uid;
use crate::domain::outcome::Outcome;
use crate::domain::usage::{Usage, Used};
use crate::domain::verification::StageFailure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A holder that has not written for this long, by the clock of whoever looks, has lost the journal.
pub const TAKEOVER_AFTER: Duration = Duration::from_secs(15);
/// A stored claim is good for this long by the holder's own clock: less than [`TAKEOVER_AFTER`], so
/// that a process that was paused does not wake up and send what another has taken over.
pub const CLAIM_VALID_FOR: Duration = Duration::from_secs(10);
/// A holder with work writes at least this often.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A holder without work lets go after this long, so that a hand-over waits for nobody.
pub const RELEASE_AFTER: Duration = Duration::from_secs(30);

/// Octets of entries from which on nothing more is claimed. A ConfigMap holds 1 MiB (an eighth of it is left for usage and
/// what entries learn).
pub const MOST_OCTETS: usize = 768 * 1024;

/// What is stored, one object an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The process that may send, by its identity; nobody when it let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Grows with each change of holder.
    pub epoch: u64,
    /// Which of its holdings this is, for the holder: it counts them. A deleted journal begins its epochs anew, so that
    /// epoch and write alone would not tell a late write of an earlier holding from one of this.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub term: u64,
    /// Grows with each write of one holder, so that it can tell whether a write whose answer was
    /// lost has arrived.
    pub write: u64,
    /// When it was written, by the holder's clock. For people; nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Timestamp>,
    /// What may be between a message and its answer.
    #[serde(default)]
    pub entries: BTreeMap<String, Entry>,
    /// Recipients of the last 24 hours, as of this write. Decides nothing about what is sent twice; it is here
    /// because it has to be stored just as often.
    #[serde(default)]
    pub usage: Usage,
    /// Where namespaces share the account: how many of them each has sent to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, Usage>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Journal {
    /// What it says about the recipients of the last 24 hours.
    pub fn used(&self) -> Used {
        Used { total: self.usage.clone(), shares: self.shares.clone() }
    }

    /// Whether nothing is lost with it: nobody holds it, nothing is in flight, and no recipient counts any more. Who held
    /// it last has let go, so no claim under it is good either.
    pub fn is_spent(&self, now: Timestamp) -> bool {
        self.holder.is_none() && self.entries.is_empty() && self.used().is_over(now)
    }

    /// The same with other numbers.
    #[must_use]
    pub fn counting(self, used: Used) -> Self {
        Self { usage: used.total, shares: used.shares, ..self }
    }
}

/// A claim: these recipients of this Notification may have been sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Namespace of the Notification.
    pub namespace: String,
    /// Name of the Notification.
    pub name: String,
    /// The Notification itself, as opposed to a later one of the same name.
    pub uid: Uid,
    /// Recipients that may have gone to DATA.
    pub claimed: BTreeSet<String>,
    /// What became of recipients, as far as it is known and not yet in the status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<Outcome>,
}

impl Entry {
    /// Recipients claimed whose answer is not noted.
    pub fn unanswered(&self) -> impl Iterator<Item = &String> {
        let done: BTreeSet<&str> = self.done.iter().map(|outcome| outcome.address.as_str()).collect();
        self.claimed.iter().filter(move |address| !done.contains(address.as_str()))
    }
}

/// About as many octets as an entry takes as JSON.
fn octets(entry: &Entry) -> usize {
    /// Names of members, quotation marks, uid, times.
    const FRAME: usize = 160;
    let claimed: usize = entry.claimed.iter().map(|address| address.len() + 3).sum();
    let done: usize = entry
        .done
        .iter()
        .map(|outcome| {
            let texts = [&outcome.message_id, &outcome.enhanced_code, &outcome.reason, &outcome.message];
            FRAME + outcome.address.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
        })
        .sum();
    FRAME + entry.namespace.len() + entry.name.len() + claimed + done
}

/// Whether a journal may be taken by `me`.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Write this journal over what was read; once stored, `me` holds it.
    Take(Journal),
    /// Somebody else holds it and is alive as far as we know.
    Held {
        /// The holder.
        by: String,
    },
}

/// Judges what was read. `term` counts the holdings of `me`. `unchanged_for` is how long, by our own clock, the stored object has not
/// changed; the times written in it are never compared with our clock. For a journal that is absent it is how
/// long that has been so, and [`Duration::MAX`] if there never was one: one that somebody deleted is written
/// anew by its holder, who lives until the opposite is likely.
pub fn judge(
    stored: Option<&Journal>,
    (me, term): (&str, u64),
    unchanged_for: Duration,
    now: Timestamp,
) -> Judgement {
    let Some(stored) = stored else {
        if unchanged_for < TAKEOVER_AFTER {
            return Judgement::Held { by: "whoever held it when it was deleted".into() };
        }
        return Judgement::Take(Journal {
            holder: Some(me.into()),
            epoch: 1,
            term,
            write: 1,
            renewed: Some(now),
            ..Journal::default()
        });
    };
    match &stored.holder {
        Some(holder) if holder != me && unchanged_for < TAKEOVER_AFTER => {
            Judgement::Held { by: holder.clone() }
        }
        _ => Judgement::Take(Journal {
            holder: Some(me.into()),
            epoch: stored.epoch + 1,
            term,
            write: 1,
            renewed: Some(now),
            ..stored.clone()
        }),
    }
}

/// What a read says about our last write.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// The write is stored.
    Stored,
    /// It is not, but the journal is still ours: write again over what was read.
    Behind,
    /// The journal is gone, and with it the knowledge of who had it since: what is in flight is written anew,
    /// but under a new term, see [`Holding::anew`].
    Absent,
    /// Somebody else has it, or had it since: nothing more may be sent under our term.
    Lost,
}

/// Compares the stored journal with our last write, after a conflict or a lost answer.
pub fn standing(stored: Option<&Journal>, written: &Journal) -> Standing {
    let Some(stored) = stored else { return Standing::Absent };
    let whose = |journal: &Journal| (journal.epoch, journal.term, journal.holder.clone());
    if whose(stored) != whose(written) {
        return Standing::Lost;
    }
    if stored.write >= written.write { Standing::Stored } else { Standing::Behind }
}

/// The journal in the hands of its holder: collects what sessions ask for, and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holding {
    stored: Journal,
    entries: BTreeMap<String, Entry>,
    used: Used,
    next_claim: u64,
    /// About as many as the entries take.
    octets: usize,
}

impl Holding {
    /// Starts a term with the journal that was just stored. Its number is never the same for two holdings of one process:
    /// what is left over of an earlier holding must not name a claim of this one.
    pub fn new(stored: Journal) -> Self {
        let (entries, used) = (stored.entries.clone(), stored.used());
        let octets = entries.values().map(octets).sum();
        Self { stored, entries, used, next_claim: 1, octets }
    }

    /// The epoch of this term.
    pub fn epoch(&self) -> u64 {
        self.stored.epoch
    }

    /// Whether one more entry may be added. Those that are there may always learn more.
    pub fn has_room(&self) -> bool {
        self.octets < MOST_OCTETS
    }

    /// Adds an entry; it counts once a later write is stored. Returns the claim's id.
    pub fn claim(&mut self, entry: Entry) -> String {
        let id = format!("{}-{}-{}", self.stored.epoch, self.stored.term, self.next_claim);
        self.next_claim += 1;
        self.octets += octets(&entry);
        self.entries.insert(id.clone(), entry);
        id
    }

    /// Notes what became of recipients of a claim, and claims further ones under the same id. Returns
    /// `false` if there is no such claim any more: then nothing is claimed.
    pub fn extend(
        &mut self,
        id: &str,
        done: impl IntoIterator<Item = Outcome>,
        claimed: BTreeSet<String>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        let before = octets(entry);
        entry.done.extend(done);
        entry.claimed.extend(claimed);
        self.octets = (self.octets + octets(entry)).saturating_sub(before);
        true
    }

    /// Drops a claim: its outcome is in the status, or nothing was sent.
    pub fn remove(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.octets = self.octets.saturating_sub(octets(&entry));
        }
    }

    /// What the next write says about the recipients of the last 24 hours.
    pub fn set_used(&mut self, used: Used) {
        self.used = used;
    }

    /// Everything that stands in the journal or will with the next write.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Whether something stands to be written besides the renewal.
    pub fn changed(&self) -> bool {
        self.entries != self.stored.entries
    }

    /// What the next write contains.
    pub fn next_write(&self, now: Timestamp) -> Journal {
        Journal {
            holder: self.stored.holder.clone(),
            epoch: self.stored.epoch,
            term: self.stored.term,
            write: self.stored.write + 1,
            renewed: Some(now),
            entries: self.entries.clone(),
            usage: self.used.total.clone(),
            shares: self.used.shares.clone(),
        }
    }

    /// The last write of a term: nobody holds the journal any more. What is in flight stays.
    pub fn release(&self, now: Timestamp) -> Journal {
        Journal { holder: None, ..self.next_write(now) }
    }

    /// The journal was deleted: what the next write begins is a new term, with what is in flight. What was
    /// taken and not claimed under the old one must be forgotten, for another process may have held the journal,
    /// sent just that, and have been deleted with it.
    pub fn anew(&mut self, term: u64) {
        self.stored.epoch += 1;
        self.stored.term = term;
    }

    /// Takes note that a write is stored.
    pub fn stored(&mut self, written: Journal) {
        self.stored = written;
    }
}

/// What is known of a Notification that an inherited entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its uid now.
    pub uid: Uid,
    /// Whether it is finished.
    pub finished: bool,
    /// Recipients whose state in the status is final. Those in doubt are not among them: an answer that
    /// the journal holds tells more than their status does.
    pub settled: BTreeSet<String>,
}

impl Found {
    /// Reads it from the object; `None` without uid, which the API server does not produce.
    pub fn of(notification: &Notification) -> Option<Self> {
        use RecipientState::{Accepted, InDoubt, Pending, Refused};
        let status = notification.status.as_ref();
        let recipients = status.map(|status| status.recipients.as_slice()).unwrap_or_default();
        let is_final = |state| match state {
            Accepted | Refused => true,
            Pending | InDoubt => false,
        };
        let settled = recipients.iter().filter(|recipient| is_final(recipient.state));
        Some(Self {
            uid: Uid::of(notification)?,
            finished: status.is_some_and(|status| status.finished),
            settled: settled.map(|recipient| recipient.address.clone()).collect(),
        })
    }
}

/// Why nothing more is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The API server does not store the journal.
    NotStored,
    /// It is full of what the API server does not store elsewhere.
    Full,
}

impl Refusal {
    /// The same for a MailServerConfig. What the API server says of a journal may quote what others send, so it is for
    /// the operator's log alone.
    pub fn failure(self, name: &str) -> StageFailure {
        let message = match self {
            Self::NotStored => format!(
                "the API server does not store the journal of this login, without which nothing is sent (ConfigMap {name} in the \
                 operator's namespace): an admission policy, a quota or a missing right refuses it. The operator's log has its words"
            ),
            Self::Full => format!(
                "the journal of this login (ConfigMap {name} in the operator's namespace) is full of outcomes that the API server \
                 does not store in their Notifications; look for Events with reason StatusNotStored, and mend what refuses them"
            ),
        };
        StageFailure::temporary(Reason::JournalNotStored, message)
    }
}

/// What to do with an inherited entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing is open: remove the entry.
    Drop,
    /// First bring this into the status, then remove the entry.
    Store {
        /// Outcomes that the last holder had noted.
        done: Vec<Outcome>,
        /// Recipients of which nobody knows whether the server accepted.
        in_doubt: Vec<String>,
    },
}

/// Judges an inherited entry against the Notification as it is now (`None`: gone).
pub fn recover(entry: &Entry, found: Option<&Found>) -> Recovery {
    let Some(found) = found.filter(|found| found.uid == entry.uid && !found.finished) else {
        return Recovery::Drop;
    };
    let open = |address: &str| !found.settled.contains(address);
    let done: Vec<_> = entry.done.iter().filter(|outcome| open(&outcome.address)).cloned().collect();
    let in_doubt: Vec<_> = entry.unanswered().filter(|address| open(address)).cloned().collect();
    if done.is_empty() && in_doubt.is_empty() { Recovery::Drop } else { Recovery::Store { done, in_doubt } }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
