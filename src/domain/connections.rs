//! Who of those that share an account gets its next connection. A connection that a mail server holds for minutes cannot
//! be taken away, so each namespace has one kept for it as far as they suffice, and each namespace keeps one for its
//! configs that have none: whoever stalls uses up his own.

use crate::domain::object::ObjectKey;
use std::collections::{BTreeMap, BTreeSet};

/// A place in the queue for a connection; an earlier one is a smaller number.
pub type Ticket = u64;

/// Open connections of an account, and who waits for one.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: BTreeMap<ObjectKey, usize>,
    waiting: BTreeMap<Ticket, ObjectKey>,
    next: Ticket,
}

impl Connections {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.values().sum()
    }

    /// How many a namespace has open.
    pub fn of_namespace(&self, namespace: &str) -> usize {
        self.open.iter().filter(|(key, _)| *key.namespace == *namespace).map(|(_, count)| count).sum()
    }

    /// Queues for a connection.
    pub fn wait(&mut self, config: &ObjectKey) -> Ticket {
        self.next += 1;
        self.waiting.insert(self.next, config.clone());
        self.next
    }

    /// Leaves the queue.
    pub fn leave(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// Whether somebody waits.
    pub fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes one of `allowed` connections if it is this one's turn. `members` are the configs that use the account.
    pub fn take<'a>(
        &mut self,
        ticket: Ticket,
        allowed: usize,
        members: &(impl Iterator<Item = &'a ObjectKey> + Clone),
    ) -> bool {
        let Some(config) = self.waiting.get(&ticket) else { return false };
        let rank = |ticket: Ticket, config: &ObjectKey| {
            (self.of_namespace(&config.namespace), self.of(config), ticket)
        };
        let own = rank(ticket, config);
        let fits = |config: &ObjectKey| self.fits(config, allowed, members.clone());
        let is_first = |(other, config): (&Ticket, &ObjectKey)| rank(*other, config) >= own || !fits(config);
        if !fits(config) || !self.waiting.iter().all(is_first) {
            return false;
        }
        let config = config.clone();
        self.waiting.remove(&ticket);
        *self.open.entry(config).or_default() += 1;
        true
    }

    /// A connection has ended.
    pub fn close(&mut self, config: &ObjectKey) {
        if let Some(count) = self.open.get_mut(config) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(config);
            }
        }
    }

    /// Whether this config should give a connection away after a while: all are open, and somebody waits who has none,
    /// or would still have no more than this one.
    pub fn owes(&self, config: &ObjectKey, allowed: usize) -> bool {
        let (namespace, own) = (self.of_namespace(&config.namespace), self.of(config));
        self.open() >= allowed
            && self.waiting.values().any(|other| {
                let (theirs, ours) = if other.namespace == config.namespace {
                    (self.of(other), own)
                } else {
                    (self.of_namespace(&other.namespace), namespace)
                };
                theirs < ours && (theirs == 0 || theirs + 1 < ours)
            })
    }

    /// How many of `allowed` connections a config may have open at most.
    pub fn share<'a>(
        config: &ObjectKey,
        allowed: usize,
        members: impl Iterator<Item = &'a ObjectKey> + Clone,
    ) -> usize {
        let none = Self::default();
        let kept =
            none.kept_for_namespaces(config, members.clone()) + none.kept_for_siblings(config, members);
        allowed.saturating_sub(kept).max(1)
    }

    fn of(&self, config: &ObjectKey) -> usize {
        self.open.get(config).copied().unwrap_or_default()
    }

    fn fits<'a>(
        &self,
        config: &ObjectKey,
        allowed: usize,
        members: impl Iterator<Item = &'a ObjectKey> + Clone,
    ) -> bool {
        let mut kept = 0;
        if self.of_namespace(&config.namespace) > 0 {
            kept += self.kept_for_namespaces(config, members.clone());
        }
        if self.of(config) > 0 {
            kept += self.kept_for_siblings(config, members);
        }
        self.open() + kept < allowed
    }

    /// One for each other namespace that has none.
    fn kept_for_namespaces<'a>(
        &self,
        config: &ObjectKey,
        members: impl Iterator<Item = &'a ObjectKey>,
    ) -> usize {
        let others: BTreeSet<&str> = members
            .map(|member| &*member.namespace)
            .filter(|namespace| **namespace != *config.namespace && self.of_namespace(namespace) == 0)
            .collect();
        others.len()
    }

    /// One for all other configs of the namespace, if there is one that has none.
    fn kept_for_siblings<'a>(
        &self,
        config: &ObjectKey,
        mut members: impl Iterator<Item = &'a ObjectKey>,
    ) -> usize {
        let lacks = members
            .any(|member| member.namespace == config.namespace && member != config && self.of(member) == 0);
        usize::from(lacks)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    /// Has each in turn want one, and tells how many each got.
    fn taken(order: &[&str], allowed: usize, members: &[&str]) -> Vec<usize> {
        let members: Vec<_> = members.iter().map(|text| key(text)).collect();
        let mut connections = Connections::default();
        for config in order {
            let ticket = connections.wait(&key(config));
            if !connections.take(ticket, allowed, &members.iter()) {
                connections.leave(ticket);
            }
        }
        members.iter().map(|member| connections.of(member)).collect()
    }

    #[test]
    fn whoever_stalls_uses_up_his_own() {
        let (a, b, c, d) = ("one/a", "two/b", "three/c", "one/d");
        for (order, allowed, members, expected) in [
            (&[a; 8][..], 4, &[a][..], &[4][..]),
            (&[a, a, a, a, b, b], 4, &[a, b], &[3, 1]),
            (&[a, a, a, a, b, c, b, c], 4, &[a, b, c], &[2, 1, 1]),
            (&[b, b, b, b, a], 2, &[a, b], &[1, 1]),
            (&[a, a, b], 1, &[a, b], &[1, 0]),
            // Within a namespace one is kept, whoever comes for it.
            (&[a, a, a, a, d], 4, &[a, d], &[3, 1]),
            (&[a, a, a, a, d, d, b], 4, &[a, d, b], &[2, 1, 1]),
            // A namespace with many configs has no more of them.
            (&[a, d, a, d, b], 2, &[a, d, b], &[1, 0, 1]),
        ] {
            assert_eq!(taken(order, allowed, members), expected, "{order:?} of {allowed}");
        }
    }

    #[test]
    fn the_next_one_goes_to_who_has_fewest_and_then_to_who_came_first() {
        let (a, b) = (key("one/a"), key("two/b"));
        let members = [a.clone(), b.clone()];
        let mut connections = Connections::default();
        let first = connections.wait(&a);
        assert!(connections.take(first, 1, &members.iter()));
        let (later, other) = (connections.wait(&a), connections.wait(&b));
        assert!(connections.owes(&a, 1), "somebody waits who has none");
        assert!(!connections.take(other, 1, &members.iter()), "there is none to take");
        connections.close(&a);
        let again = connections.wait(&a);
        assert!(!connections.take(again, 1, &members.iter()), "two came before");
        assert!(connections.take(later, 1, &members.iter()));
        connections.close(&a);
        assert!(connections.take(other, 1, &members.iter()));
        assert!(connections.owes(&b, 1) && !connections.owes(&b, 2));
        connections.leave(again);
        assert!(!connections.is_wanted());
    }

    #[test]
    fn shares() {
        let members = ["one/a", "two/b", "two/c", "three/d"].map(key);
        for (config, allowed, expected) in
            [("one/a", 4, 2), ("two/b", 4, 1), ("two/b", 5, 2), ("one/a", 2, 1)]
        {
            assert_eq!(Connections::share(&key(config), allowed, members.iter()), expected, "{config}");
        }
        assert_eq!(Connections::share(&key("one/a"), 4, members[..1].iter()), 4);
    }

    proptest! {
        /// Never more than are allowed; and while there are as many as namespaces, none is left without.
        #[test]
        fn nobody_can_take_them_all(
            steps in proptest::collection::vec((0usize..3, 0usize..3, any::<bool>()), 0..60),
            allowed in 1usize..8,
        ) {
            let all: Vec<_> = (0..9).map(|n| ObjectKey::new(&format!("n{}", n / 3), &format!("c{}", n % 3))).collect();
            let mut connections = Connections::default();
            for (namespace, config, opens) in steps {
                let config = &all[namespace * 3 + config];
                if opens {
                    let ticket = connections.wait(config);
                    connections.take(ticket, allowed, &all.iter());
                    connections.leave(ticket);
                } else {
                    connections.close(config);
                }
                prop_assert!(connections.open() <= allowed);
                if allowed >= 3 {
                    for namespace in ["n0", "n1", "n2"] {
                        let one = ObjectKey::new(namespace, "c0");
                        let mut trial = connections.clone();
                        let ticket = trial.wait(&one);
                        prop_assert!(trial.of_namespace(namespace) > 0 || trial.take(ticket, allowed, &all.iter()));
                    }
                }
            }
        }
    }
}
