//! Notifications that cannot be sent as things are, by what they wait for.

use crate::delivery::lock;
use crate::domain::lookup::Source;
use crate::domain::object::ObjectKey;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

/// What a Notification can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// A MailServerConfig.
    Server(ObjectKey),
    /// A template, be it there or not.
    Template(Source),
    /// The labels of a namespace.
    Namespace(String),
}

/// The Notifications that wait.
#[derive(Default)]
pub struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: HashMap<ObjectKey, (Vec<Dependency>, Option<Timestamp>)>,
    dependents: HashMap<Dependency, BTreeSet<ObjectKey>>,
    deadlines: BTreeSet<(Timestamp, ObjectKey)>,
}

impl Waiting {
    /// Notes that a Notification waits for any of `dependencies`, and when it is looked at again without them.
    pub fn add(&self, key: &ObjectKey, dependencies: Vec<Dependency>, until: Option<Timestamp>) {
        let mut state = lock(&self.0);
        state.remove(key);
        for dependency in &dependencies {
            state.dependents.entry(dependency.clone()).or_default().insert(key.clone());
        }
        if let Some(until) = until {
            state.deadlines.insert((until, key.clone()));
        }
        state.waiting.insert(key.clone(), (dependencies, until));
    }

    /// It waits no more.
    pub fn remove(&self, key: &ObjectKey) {
        lock(&self.0).remove(key);
    }

    /// Those that wait for `dependency`.
    pub fn on(&self, dependency: &Dependency) -> Vec<ObjectKey> {
        lock(&self.0).dependents.get(dependency).into_iter().flatten().cloned().collect()
    }

    /// Takes out those that are to be looked at again.
    pub fn expired(&self, now: Timestamp) -> Vec<ObjectKey> {
        let mut state = lock(&self.0);
        let mut expired = Vec::new();
        while let Some((until, key)) = state.deadlines.first().cloned() {
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
        let Some((dependencies, until)) = self.waiting.remove(key) else { return };
        for dependency in dependencies {
            if let Some(keys) = self.dependents.get_mut(&dependency) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(&dependency);
                }
            }
        }
        if let Some(until) = until {
            self.deadlines.remove(&(until, key.clone()));
        }
    }
}
