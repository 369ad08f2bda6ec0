//! The journal task of an account: gathers what all sessions ask for since its last write, and stores it
//! with one PUT (group commit). Decides nothing itself: see [`crate::domain::journal`].

use crate::cluster::journals::StoredJournal;
use crate::cluster::{Cluster, Error};
use crate::delivery::lock;
use crate::domain::journal::{self, Entry, Holding, Journal, Judgement, Standing};
use crate::domain::object::Uid;
use crate::domain::outcome::Outcome;
use crate::domain::server::Account;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
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
    /// [`journal::CLAIM_VALID_FOR`] from then.
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

/// While the outcomes of earlier claims are being stored, a claim waits for company: so long for each of them, which is
/// less than the API server needs for it, so that nothing is lost by it and sessions share their writes. On an idle
/// system it waits for nobody.
const COMPANY: Duration = Duration::from_millis(1);
/// Longest wait for company.
const MOST_COMPANY: Duration = Duration::from_millis(25);

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
    Release(oneshot::Sender<()>),
}

/// Entries inherited with a journal, for whoever settles them.
pub type Inherited = (JournalHandle, Term, BTreeMap<String, Entry>);

/// The way to a journal task. Cheap to clone.
#[derive(Clone)]
pub struct JournalHandle {
    name: Arc<str>,
    commands: mpsc::UnboundedSender<Command>,
}

/// All journals that this process has looked at.
pub struct Journals {
    cluster: Cluster,
    identity: Arc<str>,
    handles: Mutex<HashMap<Arc<str>, JournalHandle>>,
    observed: Arc<Mutex<Observed>>,
    inherited: (mpsc::UnboundedSender<Inherited>, Mutex<Option<mpsc::UnboundedReceiver<Inherited>>>),
    in_doubt: Arc<Mutex<HashMap<Uid, Arc<str>>>>,
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

    /// Notes that there is none, and tells for how long: for ever if none was ever seen.
    fn note_absence(&mut self, name: &Arc<str>) -> Duration {
        if self.0.contains_key(name) { self.note(name, "") } else { Duration::MAX }
    }
}

impl Journals {
    /// For the process called `identity`.
    pub fn new(cluster: Cluster, identity: &str) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            cluster,
            identity: identity.into(),
            handles: Mutex::default(),
            observed: Arc::default(),
            inherited: (sender, Mutex::new(Some(receiver))),
            in_doubt: Arc::default(),
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

    /// Looks at all journals and begins to take over those that hold something, whatever account they are
    /// for; Notifications named in them are not sent before that is settled.
    pub async fn adopt(&self, term: &CancellationToken) -> Result<(), Error> {
        for (name, stored) in self.read_all().await? {
            if stored.journal.entries.is_empty() {
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
        Ok(all
            .into_iter()
            .map(|(name, stored)| {
                let name: Arc<str> = name.into();
                observed.note(&name, &stored.resource_version);
                (name, stored)
            })
            .collect())
    }

    fn named(&self, name: &str) -> JournalHandle {
        let mut handles = lock(&self.handles);
        if let Some(handle) = handles.get(name) {
            return handle.clone();
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        let handle = JournalHandle { name: name.into(), commands };
        let task = Task {
            handle: handle.clone(),
            cluster: self.cluster.clone(),
            identity: self.identity.clone(),
            observed: self.observed.clone(),
            inherited: self.inherited.0.clone(),
            in_doubt: self.in_doubt.clone(),
            held: None,
            terms: 0,
        };
        tokio::spawn(task.run(receiver));
        handles.insert(handle.name.clone(), handle.clone());
        handle
    }
}

/// A name that tells nothing and fits Kubernetes' rules.
fn name(account: &Account) -> String {
    let hash = Sha256::digest(account.0.as_bytes());
    let hex = hash.iter().take(10).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("mail-journal-{hex}")
}

impl JournalHandle {
    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
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

struct Task {
    handle: JournalHandle,
    cluster: Cluster,
    identity: Arc<str>,
    observed: Arc<Mutex<Observed>>,
    inherited: mpsc::UnboundedSender<Inherited>,
    in_doubt: Arc<Mutex<HashMap<Uid, Arc<str>>>>,
    held: Option<Held>,
    terms: u64,
}

struct Held {
    holding: Holding,
    term: Term,
    resource_version: Option<String>,
    /// Inherited entries that are not settled.
    unsettled: BTreeSet<String>,
    waiting: Vec<oneshot::Sender<Result<Term, Denied>>>,
    /// Somebody deleted the journal, and it is not written anew yet.
    is_absent: bool,
    last_write: Instant,
    last_work: Instant,
}

/// What became of a write.
enum Fate {
    Stored,
    /// It is not: the journal has been deleted.
    Absent,
    /// It is not, and the journal is no longer ours.
    Lost,
}

/// Claims that the next write stores, with those who wait for them.
type Waiting = Vec<Asked>;

struct Asked {
    id: String,
    /// A claim whose asker is the only one to learn of it, as opposed to the extension of a known one.
    is_new: bool,
    reply: oneshot::Sender<Result<Claim, Denied>>,
}

/// Tells those who wait that nothing is claimed.
fn deny(waiting: Waiting) {
    for asked in waiting {
        let _ = asked.reply.send(Err(Denied::Lost));
    }
}

impl Task {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut waiting = Waiting::new();
            let mut released = Vec::new();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => {
                        self.apply(command, &mut waiting, &mut released).await;
                        let since = Instant::now();
                        loop {
                            while let Ok(command) = commands.try_recv() {
                                self.apply(command, &mut waiting, &mut released).await;
                            }
                            let until = since + self.company(waiting.len());
                            match tokio::time::timeout_at(until, commands.recv()).await {
                                Ok(Some(command)) => {
                                    self.apply(command, &mut waiting, &mut released).await;
                                }
                                Ok(None) | Err(_) => break,
                            }
                        }
                    }
                    None => return,
                },
                _ = tick.tick() => {}
            }
            self.keep_up(waiting, !released.is_empty()).await;
        }
    }

    async fn apply(
        &mut self,
        command: Command,
        waiting: &mut Waiting,
        released: &mut Vec<oneshot::Sender<()>>,
    ) {
        match command {
            Command::Hold(reply) => self.hold(reply).await,
            Command::Claim { term, entry, reply } => match self.held_under(term) {
                Some(held) => {
                    let id = held.holding.claim(entry);
                    waiting.push(Asked { id, is_new: true, reply });
                }
                None => drop(reply.send(Err(Denied::Lost))),
            },
            Command::Extend { term, id, done, claimed, reply } => {
                let held = self.held_under(term);
                if held.is_some_and(|held| held.holding.extend(&id, done, claimed)) {
                    waiting.push(Asked { id, is_new: false, reply });
                } else {
                    drop(reply.send(Err(Denied::Lost)));
                }
            }
            Command::Remove { id } => {
                if let Some(held) = &mut self.held {
                    held.last_work = Instant::now();
                    held.holding.remove(&id);
                    held.unsettled.remove(&id);
                    self.answer_settled();
                }
            }
            Command::Release(reply) => released.push(reply),
        }
    }

    /// How long `waiting` claims may wait for others, counted from the first.
    fn company(&self, waiting: usize) -> Duration {
        let entries = self.held.as_ref().map_or(0, |held| held.holding.entries().len());
        let others = if waiting == 0 { 0 } else { entries.saturating_sub(waiting) };
        (COMPANY * u32::try_from(others).unwrap_or(u32::MAX)).min(MOST_COMPANY)
    }

    fn held_under(&mut self, term: Term) -> Option<&mut Held> {
        let held = self.held.as_mut().filter(|held| held.term == term)?;
        held.last_work = Instant::now();
        Some(held)
    }

    /// Writes what has to be written: claims at once, removals and renewals when their time has come.
    async fn keep_up(&mut self, waiting: Waiting, release: bool) {
        let Some(held) = &mut self.held else {
            deny(waiting);
            return;
        };
        let idle = held.holding.entries().is_empty() && held.last_work.elapsed() >= journal::RELEASE_AFTER;
        let has_work =
            !held.holding.entries().is_empty() || held.last_work.elapsed() < journal::RELEASE_AFTER;
        let renew = held.last_write.elapsed() >= journal::RENEW_EVERY && has_work;
        if waiting.is_empty() && !(release || idle || renew || held.is_absent) {
            return;
        }
        let last = waiting.is_empty() && (release || idle);
        let now = Timestamp::now();
        let written = if last { held.holding.release(now) } else { held.holding.next_write(now) };
        let sent = Instant::now();
        match self.store(written).await {
            Fate::Stored => {}
            Fate::Absent if !last => return self.begin_anew(waiting),
            Fate::Absent | Fate::Lost => {
                self.lose();
                return deny(waiting);
            }
        }
        let Some(held) = &mut self.held else { return };
        let was_absent = std::mem::take(&mut held.is_absent);
        held.last_write = sent;
        for Asked { id, is_new, reply } in waiting {
            // Who no longer waits has sent nothing under a new claim. An extended one still holds what was
            // sent before, and whoever made it removes it once that is in the status.
            if reply.send(Ok(Claim { id: id.clone(), since: sent })).is_err() && is_new {
                held.holding.remove(&id);
            }
        }
        if last {
            self.lose();
        } else if was_absent {
            self.answer_settled();
        }
    }

    /// Somebody deleted the journal: it is written anew before anything else is claimed, and who has taken
    /// something takes it again.
    fn begin_anew(&mut self, waiting: Waiting) {
        let Some(held) = &mut self.held else { return deny(waiting) };
        tracing::warn!(journal = %self.handle.name, "journal deleted by somebody; writing it anew");
        for asked in waiting.iter().filter(|asked| asked.is_new) {
            held.holding.remove(&asked.id);
        }
        held.holding.anew();
        self.terms += 1;
        held.term = Term(self.terms);
        held.is_absent = true;
        deny(waiting);
    }

    /// Stores a write, however often that has to be tried, until it is certain what has become of it.
    async fn store(&mut self, mut written: Journal) -> Fate {
        let mut backoff = Duration::from_millis(100);
        let name = self.handle.name.clone();
        loop {
            let Some(held) = &mut self.held else { return Fate::Lost };
            match self.cluster.put_journal(&name, held.resource_version.as_deref(), &written).await {
                Ok(stored) => {
                    held.resource_version = Some(stored.resource_version);
                    held.holding.stored(written);
                    return Fate::Stored;
                }
                Err(Error::Refused(why)) => {
                    tracing::error!(journal = %name, why, "journal cannot be written");
                }
                Err(error) => tracing::debug!(journal = %name, %error, "journal not written; reading it"),
            }
            match self.cluster.journal(&name).await {
                Ok(found) => {
                    let standing = journal::standing(found.as_ref().map(|found| &found.journal), &written);
                    held.resource_version = found.map(|found| found.resource_version);
                    match standing {
                        Standing::Stored => {
                            held.holding.stored(written);
                            return Fate::Stored;
                        }
                        Standing::Lost => return Fate::Lost,
                        // Unless it is this very write that is to bring it back.
                        Standing::Absent if !held.is_absent => return Fate::Absent,
                        Standing::Behind | Standing::Absent => {}
                    }
                }
                Err(error) => tracing::debug!(journal = %name, %error, "journal not readable"),
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(Duration::from_secs(2));
            written.renewed = Some(Timestamp::now());
        }
    }

    async fn hold(&mut self, reply: oneshot::Sender<Result<Term, Denied>>) {
        if let Some(held) = &mut self.held {
            held.last_work = Instant::now();
            held.waiting.push(reply);
            return self.answer_settled();
        }
        match self.acquire().await {
            Ok(mut held) => {
                held.waiting.push(reply);
                self.held = Some(held);
                self.answer_settled();
            }
            Err(denied) => drop(reply.send(Err(denied))),
        }
    }

    async fn acquire(&mut self) -> Result<Held, Denied> {
        let name = self.handle.name.clone();
        let found = self.cluster.journal(&name).await.map_err(|error| {
            tracing::warn!(journal = %name, %error, "journal not readable");
            Denied::NoAnswer
        })?;
        let version = found.as_ref().map(|found| found.resource_version.clone());
        let unchanged = {
            let mut observed = lock(&self.observed);
            match &version {
                Some(version) => observed.note(&name, version),
                None => observed.note_absence(&name),
            }
        };
        let stored = found.map(|found| found.journal);
        let wanted = match journal::judge(stored.as_ref(), &self.identity, unchanged, Timestamp::now()) {
            Judgement::Take(journal) => journal,
            Judgement::Held { by } => {
                tracing::debug!(journal = %name, holder = by, "journal is held");
                return Err(Denied::Lost);
            }
        };
        let sent = Instant::now();
        // A lost answer is not waited for: the next try finds our own name in the journal and takes it again.
        let stored =
            self.cluster.put_journal(&name, version.as_deref(), &wanted).await.map_err(
                |error| match error {
                    Error::Conflict | Error::NotFound => Denied::Lost,
                    _ => Denied::NoAnswer,
                },
            )?;
        self.terms += 1;
        let term = Term(self.terms);
        let unsettled: BTreeSet<_> = wanted.entries.keys().cloned().collect();
        tracing::info!(journal = %name, epoch = wanted.epoch, inherited = unsettled.len(), "journal taken");
        if !unsettled.is_empty() {
            let _ = self.inherited.send((self.handle.clone(), term, wanted.entries.clone()));
        }
        Ok(Held {
            holding: Holding::new(wanted),
            term,
            resource_version: Some(stored.resource_version),
            unsettled,
            waiting: Vec::new(),
            is_absent: false,
            last_write: sent,
            last_work: sent,
        })
    }

    fn answer_settled(&mut self) {
        let Some(held) = &mut self.held else { return };
        if held.unsettled.is_empty() && !held.is_absent {
            let name = &self.handle.name;
            lock(&self.in_doubt).retain(|_, journal| journal != name);
            for reply in held.waiting.drain(..) {
                let _ = reply.send(Ok(held.term));
            }
        }
    }

    fn lose(&mut self) {
        if let Some(held) = self.held.take() {
            tracing::info!(journal = %self.handle.name, "journal let go");
            for reply in held.waiting {
                let _ = reply.send(Err(Denied::Lost));
            }
        }
    }
}
