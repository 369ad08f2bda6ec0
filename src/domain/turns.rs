//! Whose evaluation runs next: namespaces take turns, none may use all processes, and namespaces whose texts had to be
//! ended lately share one process among them, so that they wait for each other and nobody waits for them.

use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long a namespace is kept apart after one of its evaluations was ended.
const KEPT_APART: Duration = Duration::from_mins(10);

/// How many evaluations of namespaces that are kept apart may wait; others are sent away.
const APART_WAITING: usize = 8;

/// What an evaluation takes that nobody should stand behind. A usual one takes a millisecond, and a new process some 20 ms.
const SLOW: Duration = Duration::from_millis(250);

/// How long a namespace is remembered for having had one.
const KEPT_SLOW: Duration = Duration::from_mins(1);

/// One that waits.
pub type Ticket = u64;

/// What follows from wanting to evaluate something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// At once.
    Go,
    /// When its turn comes.
    Wait(Ticket),
    /// Not now: too many of its kind wait already.
    Busy,
}

/// Evaluations that run and wait.
#[derive(Debug)]
pub struct Turns {
    processes: usize,
    running: HashMap<Arc<str>, usize>,
    waiting: VecDeque<(Arc<str>, VecDeque<Ticket>)>,
    apart: HashMap<Arc<str>, Timestamp>,
    slow: HashMap<Arc<str>, Timestamp>,
    next: Ticket,
}

impl Turns {
    /// For so many processes; at least two, so that one namespace cannot use all.
    pub fn new(processes: usize) -> Self {
        Self {
            processes: processes.max(2),
            running: HashMap::new(),
            waiting: VecDeque::new(),
            apart: HashMap::new(),
            slow: HashMap::new(),
            next: 0,
        }
    }

    /// Somebody wants to evaluate something of this namespace.
    pub fn enter(&mut self, namespace: &str, now: Timestamp) -> Entry {
        self.apart.retain(|_, until| *until > now);
        let queued = self.waiting.iter().any(|(name, _)| **name == *namespace);
        if !queued && self.has_room(namespace) {
            self.begin(namespace.into());
            return Entry::Go;
        }
        if self.apart.contains_key(namespace) && self.apart_waiting() >= APART_WAITING {
            return Entry::Busy;
        }
        let ticket = self.next;
        self.next += 1;
        match self.waiting.iter_mut().find(|(name, _)| **name == *namespace) {
            Some((_, tickets)) => tickets.push_back(ticket),
            None => self.waiting.push_back((namespace.into(), VecDeque::from([ticket]))),
        }
        Entry::Wait(ticket)
    }

    /// One of this namespace has ended. Returns those that begin now.
    pub fn leave(&mut self, namespace: &str) -> Vec<Ticket> {
        if let Some(running) = self.running.get_mut(namespace) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(namespace);
            }
        }
        self.admit()
    }

    /// Somebody does not wait any more. `false`: it has begun already.
    pub fn withdraw(&mut self, ticket: Ticket) -> bool {
        let Some(at) = self.waiting.iter().position(|(_, tickets)| tickets.contains(&ticket)) else {
            return false;
        };
        if let Some((_, tickets)) = self.waiting.get_mut(at) {
            tickets.retain(|other| *other != ticket);
            if tickets.is_empty() {
                self.waiting.remove(at);
            }
        }
        true
    }

    /// An evaluation of this namespace had to be ended.
    pub fn keep_apart(&mut self, namespace: &str, now: Timestamp) {
        self.apart.insert(namespace.into(), now.checked_add(KEPT_APART).unwrap_or(Timestamp::MAX));
    }

    /// Whether one of this namespace had to be ended lately.
    pub fn is_apart(&self, namespace: &str, now: Timestamp) -> bool {
        self.apart.get(namespace).is_some_and(|until| *until > now)
    }

    /// An evaluation of this namespace was answered after so long.
    pub fn took(&mut self, namespace: &str, time: Duration, now: Timestamp) {
        self.slow.retain(|_, until| *until > now);
        if time >= SLOW {
            self.slow.insert(namespace.into(), now.checked_add(KEPT_SLOW).unwrap_or(Timestamp::MAX));
        }
    }

    /// Whether one of this namespace took long lately.
    pub fn is_slow(&self, namespace: &str, now: Timestamp) -> bool {
        self.slow.get(namespace).is_some_and(|until| *until > now)
    }

    /// That was a mistake: the machine was slow.
    pub fn forgive(&mut self, namespace: &str) {
        self.apart.remove(namespace);
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    fn admit(&mut self) -> Vec<Ticket> {
        let mut begun = Vec::new();
        while let Some(at) = self.waiting.iter().position(|(namespace, _)| self.has_room(namespace)) {
            let Some((namespace, mut tickets)) = self.waiting.remove(at) else { break };
            begun.extend(tickets.pop_front());
            self.begin(namespace.clone());
            if !tickets.is_empty() {
                // Behind the others.
                self.waiting.push_back((namespace, tickets));
            }
        }
        begun
    }

    fn begin(&mut self, namespace: Arc<str>) {
        *self.running.entry(namespace).or_default() += 1;
    }

    fn has_room(&self, namespace: &str) -> bool {
        if self.running.values().sum::<usize>() >= self.processes {
            return false;
        }
        if self.apart.contains_key(namespace) {
            return !self.running.keys().any(|running| self.apart.contains_key(running));
        }
        self.running.get(namespace).copied().unwrap_or_default() + 1 < self.processes
    }

    fn apart_waiting(&self) -> usize {
        let apart = self.waiting.iter().filter(|(namespace, _)| self.apart.contains_key(namespace));
        apart.map(|(_, tickets)| tickets.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn no_namespace_uses_all_processes_and_they_take_turns() {
        let mut turns = Turns::new(3);
        assert_eq!(turns.enter("a", at(0)), Entry::Go);
        assert_eq!(turns.enter("a", at(0)), Entry::Go);
        let waiting: Vec<_> = (0..3).map(|_| turns.enter("a", at(0))).collect();
        assert_eq!(waiting, [Entry::Wait(0), Entry::Wait(1), Entry::Wait(2)]);
        assert_eq!(turns.enter("b", at(0)), Entry::Go, "one is left for others");
        assert_eq!(turns.enter("c", at(0)), Entry::Wait(3));
        assert_eq!(turns.leave("b"), [3], "a has its two");
        assert_eq!(turns.leave("a"), [0]);
        assert_eq!(turns.enter("d", at(0)), Entry::Wait(4));
        assert_eq!(turns.leave("c"), [4], "not a third for a");
        assert!(turns.withdraw(1));
        assert!(!turns.withdraw(0), "it runs");
        assert_eq!(turns.leave("a"), [2]);
        for namespace in ["a", "a", "d"] {
            assert_eq!(turns.leave(namespace), [0; 0]);
        }
        assert!(turns.is_idle());
    }

    #[test]
    fn who_took_long_is_remembered_for_a_minute() {
        let mut turns = Turns::new(3);
        turns.took("quick", Duration::from_millis(20), at(0));
        turns.took("slow", Duration::from_millis(1900), at(0));
        turns.took("slow", Duration::from_millis(1), at(1));
        let slow = |turns: &Turns, now| [turns.is_slow("quick", at(now)), turns.is_slow("slow", at(now))];
        assert_eq!(slow(&turns, 59), [false, true]);
        assert_eq!(slow(&turns, 60), [false, false]);
        assert_eq!(turns.enter("slow", at(1)), Entry::Go, "its turn is like any other's");
    }

    #[test]
    fn who_had_to_be_ended_waits_for_his_like() {
        let mut turns = Turns::new(3);
        turns.keep_apart("x", at(0));
        turns.keep_apart("y", at(0));
        assert_eq!(turns.enter("x", at(1)), Entry::Go);
        assert_eq!(turns.enter("y", at(1)), Entry::Wait(0), "one process for all of them");
        for n in 1..8 {
            assert_eq!(turns.enter("x", at(1)), Entry::Wait(n));
        }
        assert_eq!(turns.enter("y", at(1)), Entry::Busy);
        assert_eq!(turns.enter("good", at(1)), Entry::Go);
        assert_eq!(turns.enter("good", at(1)), Entry::Go);
        assert_eq!(turns.leave("x"), [0]);
        assert_eq!(turns.leave("y"), [1]);
        // It is forgiven after ten minutes.
        assert_eq!(turns.leave("good"), [0; 0]);
        assert_eq!(turns.leave("good"), [0; 0]);
        assert_eq!(turns.enter("y", at(601)), Entry::Go);
    }
}
