//! The journal task of an account: gathers what all sessions ask for since its last write, and stores it
//! with one PUT (group commit). Decides nothing itself: see [`crate::domain::journal`].

mod task;

use crate::cluster::journals::StoredJournal;
use crate::cluster::{Cluster, Error};
use crate::delivery::account::SharedUse;
use crate::delivery::lock;
use crate::delivery::vitals::{Pulse, Vitals};
use crate::domain::journal::{Entry, Refusal, TAKEOVER_AFTER};
use crate::domain::object::Uid;
use crate::domain::outcome::Outcome;
use crate::domain::server::Account;
use crate::domain::verification::StageFailure;
use crate::domain::vitals::Loop;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use task::Task;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One holding of a journal by this process. A take is worth only the term it was made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term(u64);

/// A stored claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name in the journal.
    pub id: String,
    /// When the write that contains it was sent, by our own clock: the claim is good for
    /// [`crate::domain::journal::CLAIM_VALID_FOR`] from then.
    pub since: Instant,
}

/// Why there is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Somebody else holds the journal, or took it meanwhile: forget what was taken under this term.
    Lost,
    /// The API server does not answer; nothing is claimed.
    NoAnswer,
}

/// Longest wait for a write to be stored. A mail server waits five minutes for DATA; others' patience is
/// shorter.
const PATIENCE: Duration = Duration::from_secs(30);

enum Command {
    Hold(oneshot::Sender<Result<Term, Denied>>),
    Claim {
        term: Term,
        entry: Entry,
        reply: oneshot::Sender<Result<Claim, Denied>>,
    },
    Extend {
        term: Term,
        id: String,
        done: Vec<Outcome>,
        claimed: BTreeSet<String>,
        reply: oneshot::Sender<Result<Claim, Denied>>,
    },
    Remove {
        id: String,
    },
    SetAside {
        id: String,
    },
    Release(oneshot::Sender<()>),
}

/// Entries inherited with a journal, for whoever settles them.
pub type Inherited = (JournalHandle, BTreeMap<String, Entry>);

/// The way to a journal task. Cheap to clone.
#[derive(Clone)]
pub struct JournalHandle {
    name: Arc<str>,
    /// Why it cannot be written, if so.
    refusal: Arc<Mutex<Option<Refusal>>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The ways to all tasks there are. A task takes its own out when it ends.
type Handles = Arc<Mutex<HashMap<Arc<str>, JournalHandle>>>;

/// All journals that this process has looked at.
pub struct Journals {
    cluster: Cluster,
    identity: Arc<str>,
    handles: Handles,
    /// Recipients of the last 24 hours, also of accounts that nothing was sent for yet.
    uses: Mutex<HashMap<Arc<str>, SharedUse>>,
    observed: Arc<Mutex<Observed>>,
    inherited: (mpsc::UnboundedSender<Inherited>, Mutex<Option<mpsc::UnboundedReceiver<Inherited>>>),
    in_doubt: Arc<Mutex<HashMap<Uid, Arc<str>>>>,
    /// Terms begun so far, over all tasks: no two have the same.
    terms: Arc<AtomicU64>,
    vitals: Vitals,
}

/// Since when, by our own clock, journals have looked as they do.
#[derive(Default)]
struct Observed(HashMap<Arc<str>, (String, Instant)>);

impl Observed {
    /// Notes a version, and tells how long it has been the same.
    fn note(&mut self, name: &Arc<str>, version: &str) -> Duration {
        let seen = self.0.entry(name.clone()).or_insert_with(|| (version.into(), Instant::now()));
        if seen.0 != version {
            *seen = (version.into(), Instant::now());
        }
        seen.1.elapsed()
    }

    /// Notes that there is none, and tells for how long: for ever if none was ever seen, or if whoever held it has
    /// lost it by now.
    fn note_absence(&mut self, name: &Arc<str>) -> Duration {
        if !self.0.contains_key(name) {
            return Duration::MAX;
        }
        let absent = self.note(name, "");
        if absent >= TAKEOVER_AFTER {
            self.0.remove(name);
        }
        absent
    }

    /// Notes which of those that were seen are there no more.
    fn note_absences(&mut self, there: &BTreeMap<String, StoredJournal>) {
        let absent: Vec<_> = self.0.keys().filter(|name| !there.contains_key(&***name)).cloned().collect();
        for name in absent {
            self.note_absence(&name);
        }
    }
}

impl Journals {
    /// For the process called `identity`.
    pub fn new(cluster: Cluster, identity: &str, vitals: Vitals) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            cluster,
            identity: identity.into(),
            handles: Handles::default(),
            uses: Mutex::default(),
            observed: Arc::default(),
            inherited: (sender, Mutex::new(Some(receiver))),
            in_doubt: Arc::default(),
            terms: Arc::default(),
            vitals,
        }
    }

    /// The journal of an account.
    pub fn of(&self, account: &Account) -> JournalHandle {
        self.named(&name(account))
    }

    /// Where inherited entries arrive; taken once, by whoever settles them.
    pub fn inherited(&self) -> Option<mpsc::UnboundedReceiver<Inherited>> {
        lock(&self.inherited.1).take()
    }

    /// Looks at all journals, so that a standby knows how long each has been silent.
    pub async fn observe(&self) -> Result<(), Error> {
        self.read_all().await.map(drop)
    }

    /// Looks at all journals and begins to take over those that hold something or are held, whatever account
    /// they are for: their holder may be paused just before a claim, and the config may lead to another account
    /// by now. Notifications named in them are not sent before that is settled.
    pub async fn adopt(&self, term: &CancellationToken) -> Result<(), Error> {
        for (name, stored) in self.read_all().await? {
            lock(&self.used(&name)).learn(&stored.journal.used());
            if stored.journal.entries.is_empty() && stored.journal.holder.is_none() {
                continue;
            }
            let ours = stored.journal.holder.as_deref() == Some(&*self.identity);
            if !ours {
                let mut in_doubt = lock(&self.in_doubt);
                in_doubt
                    .extend(stored.journal.entries.values().map(|entry| (entry.uid.clone(), name.clone())));
            }
            let (handle, term) = (self.named(&name), term.clone());
            tokio::spawn(term.run_until_cancelled_owned(async move {
                while handle.hold().await.is_err() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }));
        }
        Ok(())
    }

    /// Whether another process may be sending this Notification right now.
    pub fn is_in_doubt(&self, uid: &Uid) -> bool {
        lock(&self.in_doubt).contains_key(uid)
    }

    /// Lets all journals go, as far as nothing is in flight.
    pub async fn release(&self, limit: Duration) {
        let handles: Vec<_> = lock(&self.handles).values().cloned().collect();
        let releases = handles.into_iter().map(|handle| async move {
            let (reply, released) = oneshot::channel();
            if handle.commands.send(Command::Release(reply)).is_ok() {
                let _ = released.await;
            }
        });
        let _ = tokio::time::timeout(limit, futures::future::join_all(releases)).await;
    }

    async fn read_all(&self) -> Result<BTreeMap<Arc<str>, StoredJournal>, Error> {
        let all = self.cluster.all_journals().await?;
        let mut observed = lock(&self.observed);
        observed.note_absences(&all);
        Ok(all
            .into_iter()
            .map(|(name, stored)| {
                let name: Arc<str> = name.into();
                observed.note(&name, &stored.resource_version);
                (name, stored)
            })
            .collect())
    }

    /// Deletes journals that are spent, and forgets what is known of accounts that nothing counts for any more. Journals
    /// belong to logins, which come and go with MailServerConfigs, and lie in a namespace where no quota of those who
    /// make these holds. Returns how many it deleted.
    pub async fn tidy(&self, now: Timestamp, pulse: &Pulse) -> Result<usize, Error> {
        let mut deleted = 0;
        for (name, seen) in self.read_all().await? {
            // Each is a unit of work: there may be many.
            pulse.begin();
            if seen.journal.is_spent(now) && self.cluster.delete_journal(&name, &seen).await? {
                tracing::debug!(journal = %name, "spent journal deleted");
                // Nobody held it, so nobody's claims have to run out before the next one is begun.
                lock(&self.observed).0.remove(&name);
                deleted += 1;
            }
        }
        self.forget_spent(now);
        Ok(deleted)
    }

    /// Forgets the counts of accounts that nobody has and for which no recipient counts any more.
    pub(super) fn forget_spent(&self, now: Timestamp) {
        lock(&self.uses).retain(|_, used| Arc::strong_count(used) > 1 || !lock(used).is_over(now));
    }

    /// How much is kept.
    #[cfg(test)]
    pub(super) fn counts(&self) -> [(&'static str, usize); 2] {
        let (tasks, counts) = (lock(&self.handles).len(), lock(&self.uses).len());
        [("journal tasks", tasks), ("counts", counts)]
    }

    /// The recipients of the last 24 hours of an account: what its journal holds, and what was sent since.
    pub fn used_of(&self, account: &Account) -> SharedUse {
        self.used(&name(account))
    }

    fn used(&self, name: &str) -> SharedUse {
        lock(&self.uses).entry(name.into()).or_default().clone()
    }

    fn named(&self, name: &str) -> JournalHandle {
        let used = self.used(name);
        let mut handles = lock(&self.handles);
        if let Some(handle) = handles.get(name) {
            return handle.clone();
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        let handle = JournalHandle { name: name.into(), refusal: Arc::default(), commands };
        let task = Task {
            handle: handle.clone(),
            cluster: self.cluster.clone(),
            identity: self.identity.clone(),
            observed: self.observed.clone(),
            inherited: self.inherited.0.clone(),
            in_doubt: self.in_doubt.clone(),
            used,
            pulse: self.vitals.of(Loop::Journal),
            held: None,
            terms: self.terms.clone(),
            handles: self.handles.clone(),
        };
        tokio::spawn(task.run(receiver));
        handles.insert(handle.name.clone(), handle.clone());
        handle
    }
}

/// A name that tells nothing and fits Kubernetes' rules.
fn name(account: &Account) -> String {
    let hash = Sha256::digest(account.as_str().as_bytes());
    let hex = hash.iter().take(10).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("mail-journal-{hex}")
}

impl JournalHandle {
    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes why nothing is claimed, or that it is again.
    fn note_refusal(&self, refusal: Option<Refusal>) {
        *lock(&self.refusal) = refusal;
    }

    /// Why nothing is claimed, where that is not for lack of an answer.
    pub fn refusal(&self) -> Option<StageFailure> {
        let refusal = (*lock(&self.refusal))?;
        Some(refusal.failure(&self.name))
    }

    /// Takes the journal, or confirms that it is ours. Comes back once nothing inherited is open.
    pub async fn hold(&self) -> Result<Term, Denied> {
        self.ask(Command::Hold).await
    }

    /// Stores an entry. With `Ok` it stands in the stored journal under `term`.
    pub async fn claim(&self, term: Term, entry: Entry) -> Result<Claim, Denied> {
        self.ask(|reply| Command::Claim { term, entry, reply }).await
    }

    /// Stores what became of recipients of a claim, and further ones to be sent to; also renews the claim.
    pub async fn extend(
        &self,
        term: Term,
        id: &str,
        done: Vec<Outcome>,
        claimed: BTreeSet<String>,
    ) -> Result<Claim, Denied> {
        self.ask(|reply| Command::Extend { term, id: id.into(), done, claimed, reply }).await
    }

    /// Drops a claim with some later write: its outcome is stored, or nothing was sent.
    pub fn remove(&self, id: String) {
        let _ = self.commands.send(Command::Remove { id });
    }

    /// An inherited entry cannot be settled for now: it stays, and its Notification is not sent, but nobody else waits for
    /// it any more.
    pub fn set_aside(&self, id: String) {
        let _ = self.commands.send(Command::SetAside { id });
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Denied>>) -> Command,
    ) -> Result<T, Denied> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| Denied::Lost)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Denied::Lost),
            Err(_) => Err(Denied::NoAnswer),
        }
    }
}
