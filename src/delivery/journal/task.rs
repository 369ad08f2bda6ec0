//! The task that owns a journal: one write at a time, with all that sessions have asked for since the last.

use super::{Claim, Command, Denied, Handles, Inherited, JournalHandle, Observed, Term};
use crate::cluster::{Cluster, Error};
use crate::delivery::account::SharedUse;
use crate::delivery::lock;
use crate::delivery::vitals::Pulse;
use crate::domain::journal::{self, Holding, Journal, Judgement, Refusal, Standing};
use crate::domain::object::Uid;
use crate::domain::usage::Used;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// While the outcomes of earlier claims are being stored, a claim waits for company: so long for each of them,
/// which is less than the API server needs for it, so that nothing is lost by it and sessions share their
/// writes. On an idle system it waits for nobody.
const COMPANY: Duration = Duration::from_micros(1_300);
/// Longest wait for company.
const MOST_COMPANY: Duration = Duration::from_millis(25);

/// Longest wait between two tries of a write.
const SOON: Duration = Duration::from_secs(2);
/// The same while the API server refuses it.
const RARELY: Duration = Duration::from_secs(20);

pub(super) struct Task {
    pub handle: JournalHandle,
    pub cluster: Cluster,
    pub identity: Arc<str>,
    pub observed: Arc<Mutex<Observed>>,
    pub inherited: mpsc::UnboundedSender<Inherited>,
    pub in_doubt: Arc<Mutex<HashMap<Uid, Arc<str>>>>,
    pub used: SharedUse,
    pub pulse: Pulse,
    pub held: Option<Held>,
    pub terms: Arc<AtomicU64>,
    pub handles: Handles,
}

pub(super) struct Held {
    holding: Holding,
    term: Term,
    resource_version: Option<String>,
    /// Inherited entries that are not settled.
    unsettled: BTreeSet<String>,
    /// Inherited entries that cannot be settled for now, and that nobody waits for.
    aside: BTreeSet<String>,
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
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut waiting = Waiting::new();
            let mut released = Vec::new();
            self.pulse.rest();
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
                _ = tick.tick() => if self.is_over(&commands) {
                    return;
                }
            }
            self.pulse.begin();
            self.keep_up(waiting, !released.is_empty()).await;
        }
    }

    /// Whether the journal is not held and nobody is left who could ask for it. Then the way to this task is taken out,
    /// under the lock under which it would be handed out, so that no command is lost.
    fn is_over(&self, commands: &mpsc::UnboundedReceiver<Command>) -> bool {
        /// One is this task's own, one is handed out.
        const OURS: usize = 2;
        if self.held.is_some() {
            return false;
        }
        let mut handles = lock(&self.handles);
        let over = commands.is_empty() && commands.sender_strong_count() <= OURS;
        if over {
            handles.remove(&self.handle.name);
        }
        over
    }

    /// A term that no other holding of this process has, or had.
    fn begin_term(&self) -> Term {
        Term(self.terms.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn apply(
        &mut self,
        command: Command,
        waiting: &mut Waiting,
        released: &mut Vec<oneshot::Sender<()>>,
    ) {
        self.pulse.begin();
        match command {
            Command::Hold(reply) => self.hold(reply).await,
            Command::Claim { term, entry, reply } => match self.held_under(term) {
                Some(held) if !held.holding.has_room() => {
                    self.handle.note_refusal(Some(Refusal::Full));
                    drop(reply.send(Err(Denied::NoAnswer)));
                }
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
                    held.aside.remove(&id);
                    self.answer_settled();
                }
            }
            Command::SetAside { id } => {
                if let Some(held) = &mut self.held
                    && held.unsettled.remove(&id)
                {
                    if let Some(entry) = held.holding.entries().get(&id) {
                        lock(&self.in_doubt).insert(entry.uid.clone(), self.handle.name.clone());
                    }
                    held.aside.insert(id);
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
        held.holding.set_used(lock(&self.used).clone());
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
        let term = self.begin_term();
        let Some(held) = &mut self.held else { return deny(waiting) };
        tracing::warn!(journal = %self.handle.name, "journal deleted by somebody; writing it anew");
        for asked in waiting.iter().filter(|asked| asked.is_new) {
            held.holding.remove(&asked.id);
        }
        held.holding.anew(term.0);
        held.term = term;
        held.is_absent = true;
        deny(waiting);
    }

    /// Stores a write, however often that has to be tried, until it is certain what has become of it.
    async fn store(&mut self, mut written: Journal) -> Fate {
        let (mut backoff, mut longest) = (Duration::from_millis(100), SOON);
        let name = self.handle.name.clone();
        loop {
            // While the API server is away this goes round, and each round is a unit of work.
            self.pulse.begin();
            let Some(held) = &mut self.held else { return Fate::Lost };
            match self.cluster.put_journal(&name, held.resource_version.as_deref(), &written).await {
                Ok(stored) => {
                    held.resource_version = Some(stored.resource_version);
                    held.holding.stored(written);
                    self.handle.note_refusal(None);
                    return Fate::Stored;
                }
                Err(error @ (Error::Refused(_) | Error::TooLarge)) => {
                    if longest != RARELY {
                        tracing::error!(journal = %name, %error, "journal cannot be written; tried again ever more rarely");
                    }
                    longest = RARELY;
                    self.handle.note_refusal(Some(Refusal::NotStored));
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
            backoff = (backoff * 2).min(longest);
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
        let term = self.begin_term();
        let me = (&*self.identity, term.0);
        let mut wanted = match journal::judge(stored.as_ref(), me, unchanged, Timestamp::now()) {
            Judgement::Take(journal) => journal,
            Judgement::Held { by } => {
                tracing::debug!(journal = %name, holder = by, "journal is held");
                return Err(Denied::Lost);
            }
        };
        let used = self.count_inherited(&wanted);
        wanted = wanted.counting(used);
        let sent = Instant::now();
        // A lost answer is not waited for: the next try finds our own name in the journal and takes it again.
        let stored =
            self.cluster.put_journal(&name, version.as_deref(), &wanted).await.map_err(
                |error| match error {
                    Error::Conflict | Error::NotFound => Denied::Lost,
                    Error::Refused(_) | Error::TooLarge => {
                        tracing::error!(journal = %name, %error, "journal cannot be written");
                        self.handle.note_refusal(Some(Refusal::NotStored));
                        Denied::NoAnswer
                    }
                    _ => Denied::NoAnswer,
                },
            )?;
        self.handle.note_refusal(None);
        let unsettled: BTreeSet<_> = wanted.entries.keys().cloned().collect();
        tracing::info!(journal = %name, epoch = wanted.epoch, inherited = unsettled.len(), "journal taken");
        if !unsettled.is_empty() {
            let _ = self.inherited.send((self.handle.clone(), wanted.entries.clone()));
        }
        Ok(Held {
            holding: Holding::new(wanted),
            term,
            resource_version: Some(stored.resource_version),
            unsettled,
            aside: BTreeSet::new(),
            waiting: Vec::new(),
            is_absent: false,
            last_write: sent,
            last_work: sent,
        })
    }

    /// The day's recipients: what is stored, what this process knows, and who may have been sent to since.
    fn count_inherited(&self, taken: &Journal) -> Used {
        let unanswered: usize = taken.entries.values().map(|entry| entry.unanswered().count()).sum();
        let mut used = lock(&self.used);
        used.learn(&taken.used());
        let _ = used.count(None, u32::try_from(unanswered).unwrap_or(u32::MAX), Timestamp::now());
        used.clone()
    }

    fn answer_settled(&mut self) {
        let Some(held) = &mut self.held else { return };
        if held.unsettled.is_empty() && !held.is_absent {
            let name = &self.handle.name;
            // What was set aside stays in doubt, and is not sent.
            let entries = held.holding.entries();
            let aside: HashSet<&Uid> =
                held.aside.iter().filter_map(|id| entries.get(id)).map(|entry| &entry.uid).collect();
            lock(&self.in_doubt).retain(|uid, journal| journal != name || aside.contains(uid));
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
