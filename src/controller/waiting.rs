//! Notifications that cannot be sent as things are, by what they wait for.

use crate::delivery::lock;
use crate::domain::object::ObjectKey;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

/// What a Notification can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// A MailServerConfig.
    Server(ObjectKey),
    /// A MessageTemplate.
    Template(ObjectKey),
    /// The labels of a namespace.
    Namespace(String),
}

/// The Notifications that wait.
#[derive(Default)]
pub struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    by_key: HashMap<ObjectKey, (Vec<Dependency>, Option<Timestamp>)>,
    by_dependency: HashMap<Dependency, BTreeSet<ObjectKey>>,
    by_time: BTreeSet<(Timestamp, ObjectKey)>,
}

impl Waiting {
    /// Notes that a Notification waits for any of `dependencies`, and until when.
    pub fn add(&self, key: &ObjectKey, dependencies: Vec<Dependency>, until: Option<Timestamp>) {
        let mut state = lock(&self.0);
        state.remove(key);
        for dependency in &dependencies {
            state.by_dependency.entry(dependency.clone()).or_default().insert(key.clone());
        }
        if let Some(until) = until {
            state.by_time.insert((until, key.clone()));
        }
        state.by_key.insert(key.clone(), (dependencies, until));
    }

    /// It waits no more.
    pub fn remove(&self, key: &ObjectKey) {
        lock(&self.0).remove(key);
    }

    /// Those that wait for `dependency`.
    pub fn on(&self, dependency: &Dependency) -> Vec<ObjectKey> {
        lock(&self.0).by_dependency.get(dependency).into_iter().flatten().cloned().collect()
    }

    /// Takes out those whose time has run out.
    pub fn expired(&self, now: Timestamp) -> Vec<ObjectKey> {
        let mut state = lock(&self.0);
        let mut expired = Vec::new();
        while let Some((until, key)) = state.by_time.first().cloned() {
            if until > now {
                break;
            }
            state.remove(&key);
            expired.push(key);
        }
        expired
    }

    /// Forgets all.
    pub fn clear(&self) {
        *lock(&self.0) = State::default();
    }
}

impl State {
    fn remove(&mut self, key: &ObjectKey) {
        let Some((dependencies, until)) = self.by_key.remove(key) else { return };
        for dependency in dependencies {
            if let Some(keys) = self.by_dependency.get_mut(&dependency) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_dependency.remove(&dependency);
                }
            }
        }
        if let Some(until) = until {
            self.by_time.remove(&(until, key.clone()));
        }
    }
}
