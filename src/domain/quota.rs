//! How many accounts the MailServerConfigs of a namespace may have. Each account costs the operator connections, memory
//! and a journal, which no quota of the namespace counts, so one namespace must not have them without end.

use crate::domain::object::ObjectKey;
use crate::domain::server::{Account, Server};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The accounts of all namespaces. The oldest MailServerConfigs have theirs, so that a new one takes nothing from
/// another; those that share an account count once. An account that was sent with goes on counting for its day after its
/// last config is gone, because its journal is kept as long.
#[derive(Debug)]
pub struct Quota {
    most: usize,
    namespaces: HashMap<Arc<str>, Members>,
}

/// Why a config has no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// How many its namespace may have.
    pub most: usize,
    /// How many of them belong to configs that are gone.
    pub lingering: usize,
}

/// The age of a config, and its name where several are as old.
type Rank = (Timestamp, Arc<str>);

#[derive(Debug, Default)]
struct Members {
    by_age: BTreeMap<Rank, Account>,
    ages: HashMap<Arc<str>, Timestamp>,
    lingering: BTreeSet<Account>,
    admitted: HashSet<Account>,
}

impl Quota {
    /// At most so many for each namespace.
    pub fn new(most: usize) -> Self {
        Self { most, namespaces: HashMap::new() }
    }

    /// A config has this account from now on. Returns the others whose standing is another by that.
    pub fn join(&mut self, server: &Server) -> Vec<ObjectKey> {
        let namespace = &server.key.namespace;
        let members = self.namespaces.entry(namespace.clone()).or_default();
        let account = server.account();
        members.remove(&server.key.name);
        members.ages.insert(server.key.name.clone(), server.created);
        members.by_age.insert((server.created, server.key.name.clone()), account);
        let mut changed = members.admit(namespace, self.most);
        changed.retain(|key| *key != server.key);
        changed
    }

    /// A config has no account any more. `lingers`: what was sent with it still counts. Returns those whose
    /// standing is another by that.
    pub fn leave(&mut self, server: &ObjectKey, lingers: impl FnOnce(&Account) -> bool) -> Vec<ObjectKey> {
        let Some(members) = self.namespaces.get_mut(&server.namespace) else { return Vec::new() };
        let account = members.remove(&server.name);
        if let Some(account) = account
            && members.admitted.contains(&account)
            && !members.by_age.values().any(|used| *used == account)
            && lingers(&account)
        {
            members.lingering.insert(account);
        }
        self.settle(&server.namespace)
    }

    /// Forgets accounts without a config whose day has passed. Returns the configs whose standing is another by that.
    pub fn forget_spent(&mut self, is_spent: impl Fn(&Account) -> bool) -> Vec<ObjectKey> {
        let mut changed = Vec::new();
        for namespace in self.namespaces.keys().cloned().collect::<Vec<_>>() {
            let Some(members) = self.namespaces.get_mut(&namespace) else { continue };
            let before = members.lingering.len();
            members.lingering.retain(|account| !is_spent(account));
            if members.lingering.len() < before {
                changed.extend(self.settle(&namespace));
            }
        }
        changed
    }

    /// Whether a config may use its account.
    fn admits(&self, server: &ObjectKey, account: &Account) -> bool {
        self.namespaces.get(&server.namespace).is_none_or(|members| members.admitted.contains(account))
    }

    /// Why a config may not use its account, if so.
    pub fn excess(&self, server: &ObjectKey, account: &Account) -> Option<Excess> {
        let lingering = || self.lingering(&server.namespace);
        (!self.admits(server, account)).then(|| Excess { most: self.most, lingering: lingering() })
    }

    /// How many accounts of a namespace count although their configs are gone.
    fn lingering(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).map_or(0, |members| {
            let is_used = |account: &&Account| members.by_age.values().any(|used| used == *account);
            members.lingering.iter().filter(|account| !is_used(account)).count()
        })
    }

    /// How many namespaces there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.namespaces.len()
    }

    fn settle(&mut self, namespace: &Arc<str>) -> Vec<ObjectKey> {
        let Some(members) = self.namespaces.get_mut(namespace) else { return Vec::new() };
        let changed = members.admit(namespace, self.most);
        if members.by_age.is_empty() && members.lingering.is_empty() {
            self.namespaces.remove(namespace);
        }
        changed
    }
}

impl Members {
    fn remove(&mut self, name: &Arc<str>) -> Option<Account> {
        let created = self.ages.remove(name)?;
        self.by_age.remove(&(created, name.clone()))
    }

    /// Sees who is in; returns the configs whose account has come in or is out.
    fn admit(&mut self, namespace: &Arc<str>, most: usize) -> Vec<ObjectKey> {
        let mut admitted: HashSet<Account> = self.lingering.iter().cloned().collect();
        for account in self.by_age.values() {
            if admitted.len() >= most {
                break;
            }
            if !admitted.contains(account) {
                admitted.insert(account.clone());
            }
        }
        if admitted == self.admitted {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.admitted, admitted);
        let is_other = |account: &Account| before.contains(account) != self.admitted.contains(account);
        let changed = self.by_age.iter().filter(|(_, account)| is_other(account));
        changed.map(|((_, name), _)| ObjectKey { namespace: namespace.clone(), name: name.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::samples::{CREATED, server};
    use serde_json::json;

    /// A config of that name and age, with a login of that name.
    fn config(name: &str, age: i64, login: &str) -> Server {
        let login = json!({ "username": login, "passwordSecretRef": { "name": "s", "key": "password" } });
        let mut server = server("ns", name, json!({ "auth": { "basic": login } })).unwrap();
        server.created = Timestamp::from_second(CREATED - age).unwrap();
        server
    }

    fn names(keys: &[ObjectKey]) -> Vec<&str> {
        let mut names: Vec<_> = keys.iter().map(|key| &*key.name).collect();
        names.sort_unstable();
        names
    }

    fn admitted<'a>(quota: &Quota, configs: &'a [Server]) -> Vec<&'a str> {
        configs
            .iter()
            .filter(|server| quota.admits(&server.key, &server.account()))
            .map(|server| &*server.key.name)
            .collect()
    }

    #[test]
    fn the_oldest_have_their_accounts() {
        let mut quota = Quota::new(2);
        let all = [
            config("young", 1, "y"),
            config("old", 9, "o"),
            config("middle", 5, "m"),
            // Shares an account, and so counts for nothing.
            config("twin", 0, "o"),
        ];
        for server in &all {
            let _ = quota.join(server);
        }
        assert_eq!(admitted(&quota, &all), ["old", "middle", "twin"]);
        let other = ObjectKey::new("another", "mail");
        assert!(quota.admits(&other, &all[0].account()), "each namespace has its own");
    }

    #[test]
    fn one_that_goes_lets_the_next_in() {
        let mut quota = Quota::new(2);
        let all: Vec<_> =
            ["a", "b", "c", "d"].iter().zip([9, 8, 7, 6]).map(|(n, age)| config(n, age, n)).collect();
        for server in &all {
            assert!(quota.join(server).is_empty(), "nobody else has another standing");
            assert!(quota.join(server).is_empty(), "the same again changes nothing");
        }
        let never = |_: &Account| false;
        assert_eq!(names(&quota.leave(&all[3].key, never)), Vec::<&str>::new());
        assert_eq!(names(&quota.leave(&all[0].key, never)), ["c"]);
        assert_eq!(admitted(&quota, &all[1..3]), ["b", "c"]);
        assert!(quota.leave(&all[0].key, never).is_empty(), "it is gone already");
        // An older one that gets an account of its own: the youngest has to go.
        let mut quota = Quota::new(2);
        let twin = config("b", 8, "a");
        let _ = (quota.join(&all[0]), quota.join(&twin), quota.join(&all[2]));
        assert_eq!(names(&quota.join(&all[1])), ["c"]);
    }

    #[test]
    fn what_was_sent_with_counts_until_its_day_has_passed() {
        let mut quota = Quota::new(2);
        let all: Vec<_> = ["a", "b", "c"].iter().zip([9, 8, 7]).map(|(n, age)| config(n, age, n)).collect();
        for server in &all {
            let _ = quota.join(server);
        }
        assert!(quota.leave(&all[0].key, |_| true).is_empty(), "its place is not free");
        assert_eq!(quota.lingering("ns"), 1);
        assert_eq!(admitted(&quota, &all[1..]), ["b"]);
        // Made again, it has its account, whatever its age.
        let again = config("a", 0, "a");
        assert!(quota.join(&again).is_empty());
        assert!(quota.admits(&again.key, &again.account()));
        assert_eq!((quota.lingering("ns"), admitted(&quota, &all[1..])), (0, vec!["b"]));
        let _ = quota.leave(&again.key, |_| true);
        assert!(quota.forget_spent(|_| false).is_empty());
        assert_eq!(names(&quota.forget_spent(|_| true)), ["c"]);
        let (_, _) = (quota.leave(&all[1].key, |_| false), quota.leave(&all[2].key, |_| false));
        assert!(quota.namespaces.is_empty(), "nothing is left of a namespace without configs");
    }
}
