//! What is known of each mail server while the process runs: the last way through the stages, failures
//! in a row, and whether sending is held. The MailServerConfig's controller shows it, lanes obey it.

use crate::api::mail_server_config::Usage;
use crate::api::{ConditionType, Reason};
use crate::delivery::lock;
use crate::domain::answers::LostAnswers;
use crate::domain::credentials::Tolerance;
use crate::domain::failure::Permanence;
use crate::domain::object::ObjectKey;
use crate::domain::verification::{StageFailure, Verification};
use crate::smtp::AuthHint;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The state of all servers.
#[derive(Default)]
pub struct Servers(Mutex<HashMap<ObjectKey, Known>>);

#[derive(Default)]
struct Known {
    state: ServerState,
    news: Arc<Notify>,
}

/// The state of one server.
#[derive(Debug, Clone, Default)]
pub struct ServerState {
    /// The last way through the stages.
    pub verification: Option<Arc<Verification>>,
    /// What the last way that succeeded went with: generation of the spec, versions of the credentials.
    pub proven: Option<(i64, String)>,
    /// What of the account's limits was used when the server was last verified.
    pub usage: Option<Usage>,
    /// Ways that failed, in a row.
    pub failures: u32,
    /// When it is to be verified again; `None`: when something changes.
    pub next: Option<Timestamp>,
    /// A verification is under way.
    pub verifying: bool,
    /// How far one has come that somebody asked for and watches.
    pub progress: Option<Arc<Verification>>,
    /// Sending is held although the login works.
    pub hold: Option<Hold>,
    /// How the server took AUTH the last time.
    pub auth_hint: Option<AuthHint>,
    /// The value of the annotation that the verification which is about to end obeys.
    pub answered_request: Option<String>,
    /// The value of the annotation that was last obeyed.
    pub handled_request: Option<String>,
    /// Messages in a row that it gave no answer to.
    pub lost_answers: LostAnswers,
    /// Its namespace has as many accounts as it may have, and it is none of them.
    pub is_excess: bool,
    /// Whether its Secrets may be used by the rules of an earlier version.
    pub tolerance: Tolerance,
}

/// Sending is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// Why.
    pub failure: StageFailure,
    /// Until when.
    pub until: Timestamp,
    /// How often in a row.
    pub failures: u32,
}

impl ServerState {
    /// Whether mail may be sent with what was verified of this generation.
    pub fn is_open(&self, generation: i64, now: Timestamp) -> bool {
        let verified = self
            .verification
            .as_ref()
            .is_some_and(|found| found.succeeded() && found.generation == generation);
        verified && !self.is_excess && !self.is_held(now)
    }

    /// Whether a session that was opened with these credentials may take another message.
    pub fn may_go_on(&self, generation: i64, fingerprint: &str, now: Timestamp) -> bool {
        let Some(found) = self.verification.as_ref().filter(|_| !self.is_excess) else { return false };
        let current = found.succeeded() && found.generation == generation && found.fingerprint == fingerprint;
        let proven = self.proven.as_ref().is_some_and(|proven| *proven == (generation, fingerprint.into()));
        (current || proven && self.is_refused_replacement(found)) && !self.is_held(now)
    }

    /// Whether what was refused are credentials that replaced ones which work, or worked: somebody stored a wrong
    /// Secret. That says nothing about sessions that are open.
    pub fn is_refused_replacement(&self, found: &Verification) -> bool {
        let at_login = found.failed.as_ref().is_some_and(|(stage, failure)| {
            matches!(stage, ConditionType::TokenAcquired | ConditionType::Authenticated)
                && failure.permanence == Permanence::UntilChanged
        });
        let replaced = |(generation, fingerprint): &(i64, String)| {
            *generation == found.generation && *fingerprint != found.fingerprint
        };
        at_login && self.proven.as_ref().is_some_and(replaced)
    }

    /// A verification has come to its end, and with it what was asked for.
    pub fn end_verification(&mut self) {
        self.verifying = false;
        self.progress = None;
        if let Some(answered) = self.answered_request.take() {
            self.handled_request = Some(answered);
        }
    }

    fn is_held(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.until > now)
    }
}

impl Servers {
    /// A copy of a server's state.
    pub fn state(&self, server: &ObjectKey) -> ServerState {
        lock(&self.0).get(server).map(|known| known.state.clone()).unwrap_or_default()
    }

    /// Looks at a server's state, for what is asked with each message: nothing is copied.
    pub fn look<T>(&self, server: &ObjectKey, look: impl FnOnce(&ServerState) -> T) -> T {
        match lock(&self.0).get(server) {
            Some(known) => look(&known.state),
            None => look(&ServerState::default()),
        }
    }

    /// Changes a server's state and has its controller look at it. Of one whose config is gone there is none: who still
    /// works for it leaves nothing behind.
    pub fn update(&self, server: &ObjectKey, change: impl FnOnce(&mut ServerState)) {
        if let Some(known) = lock(&self.0).get_mut(server) {
            change(&mut known.state);
            known.news.notify_one();
        }
    }

    /// Notes whether a config is one too many for its namespace.
    pub(super) fn set_excess(&self, server: &ObjectKey, is_excess: bool) {
        if let Some(known) = lock(&self.0).get_mut(server)
            && known.state.is_excess != is_excess
        {
            known.state.is_excess = is_excess;
            known.news.notify_one();
        }
    }

    /// Changes a server's state without telling anyone: for who is about to look at it himself.
    pub fn note(&self, server: &ObjectKey, change: impl FnOnce(&mut ServerState)) {
        if let Some(known) = lock(&self.0).get_mut(server) {
            change(&mut known.state);
        }
    }

    /// Those that wait for the end of a day.
    pub(super) fn held_by_limits(&self) -> Vec<ObjectKey> {
        let held = |known: &Known| {
            known.state.hold.as_ref().is_some_and(|hold| hold.failure.reason == Reason::LimitReached)
        };
        let servers = lock(&self.0);
        servers.iter().filter(|(_, known)| held(known)).map(|(key, _)| key.clone()).collect()
    }

    /// A stage was passed; told where somebody watches.
    pub(super) fn passed(&self, server: &ObjectKey, found: &Verification) {
        if let Some(known) = lock(&self.0).get_mut(server)
            && let Some(progress) = &mut known.state.progress
        {
            *progress = Arc::new(found.clone());
            known.news.notify_one();
        }
    }

    /// A message went through: whatever held the server is over, and it answers.
    pub(super) fn delivered(&self, server: &ObjectKey) {
        if let Some(known) = lock(&self.0).get_mut(server) {
            let is_over = known.state.hold.take().is_some();
            if known.state.lost_answers.heard() || is_over {
                known.news.notify_one();
            }
        }
    }

    /// The server has answered at the end of a message, whatever it said.
    pub(super) fn answered(&self, server: &ObjectKey) {
        if let Some(known) = lock(&self.0).get_mut(server)
            && known.state.lost_answers.heard()
        {
            known.news.notify_one();
        }
    }

    /// The server has not answered at the end of a message.
    pub(super) fn unanswered(&self, server: &ObjectKey, what: &str, now: Timestamp) {
        if let Some(known) = lock(&self.0).get_mut(server)
            && known.state.lost_answers.lost(what, now)
        {
            known.news.notify_one();
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// The config is gone.
    pub fn forget(&self, server: &ObjectKey) {
        lock(&self.0).remove(server);
    }

    /// Whether a server's state is kept, which is so as long as its config is there.
    pub fn knows(&self, server: &ObjectKey) -> bool {
        lock(&self.0).contains_key(server)
    }

    /// Begins to keep a server's state, if that is not kept yet. Rings when it has changed.
    pub fn follow(&self, server: &ObjectKey) -> Arc<Notify> {
        lock(&self.0).entry(server.clone()).or_default().news.clone()
    }
}
