//! The list of conditions, kept by Kubernetes' rules: `lastTransitionTime` moves only when the status
//! of a condition changes, abnormal conditions are absent while false, texts are bounded.

use crate::api::{ConditionType, Reason};
use crate::domain::problem::printable;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Kubernetes' bound is 32,768; people read less.
const LONGEST_MESSAGE: usize = 2_000;

/// `True`, `False` or `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known (yet).
    Unknown,
}

impl State {
    /// The word as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Builds a new list from an old one.
#[derive(Debug)]
pub struct Conditions<'a> {
    old: &'a [Condition],
    new: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// Starts an empty list; whatever is not set anew disappears.
    pub fn new(old: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { old, new: Vec::new(), generation, now }
    }

    /// Sets a condition.
    pub fn set(&mut self, type_: ConditionType, state: State, reason: Reason, message: impl Into<String>) {
        let old = self.old.iter().find(|old| old.type_ == type_.as_str());
        let since =
            old.filter(|old| old.status == state.as_str()).map(|old| old.last_transition_time.clone());
        self.new.push(Condition {
            type_: type_.as_str().into(),
            status: state.as_str().into(),
            reason: reason.as_str().into(),
            // What users wrote is quoted in it, names of objects too.
            message: printable(&message.into(), LONGEST_MESSAGE),
            observed_generation: self.generation,
            last_transition_time: since.unwrap_or(Time(self.now)),
        });
    }

    /// Takes a condition over as it was.
    pub fn keep(&mut self, type_: ConditionType) {
        self.new.extend(find(self.old, type_).cloned());
    }

    /// Takes one over as it was.
    pub fn take(&mut self, old: &Condition) {
        self.new.push(old.clone());
    }

    /// The list.
    pub fn finish(self) -> Vec<Condition> {
        self.new
    }
}

/// A condition by its type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}
