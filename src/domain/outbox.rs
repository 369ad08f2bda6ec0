//! Who is next. Holds keys and due times of waiting Notifications, never the objects: a few hundred
//! bytes each, so that tens of thousands may wait behind a server that is down.
//!
//! A lane is the queue of one MailServerConfig. Within a lane namespaces take turns, and within a
//! namespace the oldest due one goes first. A Notification that a worker has taken is *in hand*
//! until it is put back or done with, and nobody else gets it. A namespace whose messages keep a lane's sessions busy for
//! long, with what they take to be rendered, rests for a while after each.

use crate::domain::object::{ObjectKey, Uid};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// A waiting Notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which one.
    pub key: ObjectKey,
    /// The object itself, as opposed to a later one of the same name.
    pub uid: Uid,
    /// The MailServerConfig it goes through.
    pub lane: ObjectKey,
    /// Not before.
    pub due: Timestamp,
    /// Not after.
    pub expires: Timestamp,
}

/// All waiting Notifications of this process.
#[derive(Debug, Default)]
pub struct Outbox {
    items: HashMap<Uid, Slot>,
    lanes: HashMap<ObjectKey, Lane>,
    expiries: BTreeSet<(Timestamp, Uid)>,
    resting: Resting,
}

/// Until when namespaces have no turn in a lane.
type Resting = HashMap<(ObjectKey, Arc<str>), Timestamp>;

#[derive(Debug)]
struct Slot {
    item: Item,
    in_hand: bool,
    /// Removed or changed while in hand: what to do when the worker is done with it.
    after: Option<After>,
}

#[derive(Debug)]
enum After {
    Forget,
    Requeue(Item),
}

#[derive(Debug, Default)]
struct Lane {
    /// Namespaces with something waiting, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    queues: HashMap<Arc<str>, BTreeSet<(Timestamp, Uid)>>,
}

impl Outbox {
    /// Adds a Notification, or changes where it waits and until when. One that is in hand keeps its
    /// worker; the change counts afterwards.
    pub fn put(&mut self, item: Item) {
        if let Some(slot) = self.items.get_mut(&item.uid) {
            if slot.in_hand {
                slot.after = Some(After::Requeue(item));
                return;
            }
            if slot.item == item {
                return;
            }
        }
        self.forget_waiting(&item.uid.clone());
        self.insert(item);
    }

    /// Forgets a Notification: deleted, finished, or no longer fit to be sent. One in hand is
    /// forgotten when its worker is done; the worker sees the deletion by its own fresh read.
    pub fn remove(&mut self, uid: &Uid) {
        match self.items.get_mut(uid) {
            Some(slot) if slot.in_hand => slot.after = Some(After::Forget),
            _ => self.forget_waiting(uid),
        }
    }

    /// The next due Notification of a lane; it is in hand from now on.
    pub fn take(&mut self, lane: &ObjectKey, now: Timestamp) -> Option<Item> {
        let queue = self.lanes.get_mut(lane)?;
        for _ in 0..queue.turns.len() {
            let namespace = queue.turns.pop_front()?;
            queue.turns.push_back(namespace.clone());
            let waiting = queue.queues.get_mut(&namespace)?;
            let Some((due, uid)) = waiting.first().cloned() else { continue };
            if due > now || rests(&self.resting, lane, &namespace).is_some_and(|until| until > now) {
                continue;
            }
            waiting.pop_first();
            if waiting.is_empty() {
                queue.queues.remove(&namespace);
                queue.turns.pop_back();
            }
            if queue.queues.is_empty() {
                self.lanes.remove(lane);
            }
            let slot = self.items.get_mut(&uid)?;
            slot.in_hand = true;
            let item = slot.item.clone();
            self.expiries.remove(&(item.expires, uid));
            return Some(item);
        }
        None
    }

    /// The worker is done with it. `next_due` puts it back, unless it was removed meanwhile; a change
    /// made meanwhile wins over it. Returns whether it waits again: then its lane has to be woken.
    pub fn done(&mut self, uid: &Uid, next_due: Option<Timestamp>) -> bool {
        let Some(slot) = self.items.remove(uid) else { return false };
        let item = match (slot.after, next_due) {
            (Some(After::Forget), _) | (None, None) => {
                shrink(&mut self.items);
                return false;
            }
            (Some(After::Requeue(item)), None) => item,
            (Some(After::Requeue(item)), Some(due)) => Item { due: due.max(item.due), ..item },
            (None, Some(due)) => Item { due, ..slot.item },
        };
        self.insert(item);
        true
    }

    /// The Notifications waiting in a lane.
    pub fn keys(&self, lane: &ObjectKey) -> Vec<ObjectKey> {
        let Some(lane) = self.lanes.get(lane) else { return Vec::new() };
        let waiting = lane.queues.values().flatten();
        waiting.filter_map(|(_, uid)| self.items.get(uid)).map(|slot| slot.item.key.clone()).collect()
    }

    /// Whether a worker has it.
    pub fn in_hand(&self, uid: &Uid) -> bool {
        self.items.get(uid).is_some_and(|slot| slot.in_hand)
    }

    /// How many workers this lane could use now, counted up to `most`.
    pub fn due(&self, lane: &ObjectKey, now: Timestamp, most: usize) -> usize {
        let Some(queues) = self.lanes.get(lane).map(|lane| &lane.queues) else { return 0 };
        let awake = queues
            .iter()
            .filter(|(namespace, _)| rests(&self.resting, lane, namespace).is_none_or(|until| until <= now));
        let due = awake.flat_map(|(_, queue)| queue.iter().take_while(|(due, _)| *due <= now));
        due.take(most).count()
    }

    /// Whether another namespace than `namespace` has something due in this lane.
    pub fn others_due(&self, lane: &ObjectKey, namespace: &str, now: Timestamp) -> bool {
        let queues = self.lanes.get(lane).map(|lane| &lane.queues);
        let awake = |other: &Arc<str>| rests(&self.resting, lane, other).is_none_or(|until| until <= now);
        let others = queues.into_iter().flatten().filter(|(other, _)| &***other != namespace && awake(other));
        others.filter_map(|(_, queue)| queue.first()).any(|(due, _)| *due <= now)
    }

    /// When the next Notification of a lane is due; in the past if one waits already.
    pub fn next_due(&self, lane: &ObjectKey) -> Option<Timestamp> {
        let due = |(namespace, queue): (&Arc<str>, &BTreeSet<(Timestamp, Uid)>)| {
            let (due, _) = queue.first()?;
            Some(rests(&self.resting, lane, namespace).map_or(*due, |until| until.max(*due)))
        };
        self.lanes.get(lane)?.queues.iter().filter_map(due).min()
    }

    /// Gives a namespace no turn in a lane before `until`.
    pub fn rest(&mut self, lane: &ObjectKey, namespace: &Arc<str>, until: Timestamp, now: Timestamp) {
        self.resting.retain(|_, until| *until > now);
        self.resting.insert((lane.clone(), namespace.clone()), until);
    }

    /// Takes out those whose time has run out, for the report; at most `most` at once.
    pub fn expired(&mut self, now: Timestamp, most: usize) -> Vec<Item> {
        let mut expired = Vec::new();
        while expired.len() < most {
            let Some((until, uid)) = self.expiries.first().cloned() else { break };
            if until > now {
                break;
            }
            if let Some(slot) = self.items.get(&uid) {
                expired.push(slot.item.clone());
            }
            self.forget_waiting(&uid);
            self.expiries.remove(&(until, uid));
        }
        expired
    }

    /// When the next one runs out.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Forgets everything that waits; those in hand are forgotten when their workers are done.
    pub fn clear(&mut self) {
        self.items.retain(|_, slot| {
            slot.after = Some(After::Forget);
            slot.in_hand
        });
        self.lanes.clear();
        self.expiries.clear();
    }

    /// Waiting Notifications by lane: how many, and since when the oldest is due. For metrics.
    pub fn waiting(&self) -> BTreeMap<&ObjectKey, (usize, Option<Timestamp>)> {
        let measure = |lane: &Lane| {
            let count = lane.queues.values().map(BTreeSet::len).sum();
            let oldest = lane.queues.values().filter_map(|queue| queue.first()).map(|(due, _)| *due).min();
            (count, oldest)
        };
        self.lanes.iter().map(|(key, lane)| (key, measure(lane))).collect()
    }

    fn insert(&mut self, item: Item) {
        let lane = self.lanes.entry(item.lane.clone()).or_default();
        let queue = lane.queues.entry(item.key.namespace.clone()).or_insert_with(|| {
            lane.turns.push_back(item.key.namespace.clone());
            BTreeSet::new()
        });
        queue.insert((item.due, item.uid.clone()));
        self.expiries.insert((item.expires, item.uid.clone()));
        self.items.insert(item.uid.clone(), Slot { item, in_hand: false, after: None });
    }

    fn forget_waiting(&mut self, uid: &Uid) {
        let Some(Slot { item, .. }) = self.items.remove(uid) else { return };
        shrink(&mut self.items);
        self.expiries.remove(&(item.expires, uid.clone()));
        let Some(lane) = self.lanes.get_mut(&item.lane) else { return };
        if let Some(queue) = lane.queues.get_mut(&item.key.namespace) {
            queue.remove(&(item.due, uid.clone()));
            if queue.is_empty() {
                lane.queues.remove(&item.key.namespace);
                lane.turns.retain(|namespace| *namespace != item.key.namespace);
            }
        }
        if lane.queues.is_empty() {
            self.lanes.remove(&item.lane);
        }
    }
}

/// Until when a namespace rests. There is hardly ever one that does.
fn rests(resting: &Resting, lane: &ObjectKey, namespace: &Arc<str>) -> Option<Timestamp> {
    if resting.is_empty() {
        return None;
    }
    resting.get(&(lane.clone(), namespace.clone())).copied()
}

/// Gives the room of a past rush back: a map keeps what it once needed, and an operator lives for months.
pub fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    const WORTHWHILE: usize = 1024;
    if map.capacity() > WORTHWHILE && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn item(namespace: &str, name: &str, due: i64) -> Item {
        Item {
            key: ObjectKey::new(namespace, name),
            uid: Uid::from(format!("{namespace}-{name}").as_str()),
            lane: ObjectKey::new("mail", "default"),
            due: at(due),
            expires: at(due + 1000),
        }
    }

    fn taken(outbox: &mut Outbox, now: i64) -> Option<String> {
        outbox.take(&ObjectKey::new("mail", "default"), at(now)).map(|item| item.key.name.to_string())
    }

    #[test]
    fn namespaces_take_turns_and_the_oldest_goes_first() {
        let mut outbox = Outbox::default();
        for n in 0..3 {
            outbox.put(item("bulk", &format!("b{n}"), 10 + n));
        }
        outbox.put(item("small", "s0", 50));
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut outbox, 60)).collect();
        assert_eq!(order, ["b0", "s0", "b1", "b2"]);
    }

    #[test]
    fn who_keeps_sessions_busy_rests_in_that_lane_only() {
        let mut outbox = Outbox::default();
        let (lane, other) = (ObjectKey::new("mail", "default"), ObjectKey::new("mail", "other"));
        let slow: Arc<str> = "slow".into();
        outbox.put(item("slow", "x", 10));
        outbox.put(item("small", "s", 10));
        outbox.rest(&lane, &slow, at(60), at(20));
        assert_eq!(outbox.due(&lane, at(20), 9), 1);
        assert!(!outbox.others_due(&lane, "small", at(20)));
        assert_eq!(taken(&mut outbox, 20).as_deref(), Some("s"));
        assert_eq!(taken(&mut outbox, 59), None);
        assert_eq!(outbox.next_due(&lane), Some(at(60)));
        outbox.put(Item { lane: other.clone(), uid: Uid::from("u"), ..item("slow", "y", 10) });
        assert!(outbox.take(&other, at(20)).is_some());
        assert_eq!(taken(&mut outbox, 60).as_deref(), Some("x"));
        outbox.rest(&lane, &slow, at(99), at(98));
        outbox.rest(&other, &slow, at(120), at(100));
        assert_eq!(outbox.resting.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn nothing_before_it_is_due_and_nothing_twice() {
        let mut outbox = Outbox::default();
        outbox.put(item("a", "x", 100));
        assert_eq!(taken(&mut outbox, 99), None);
        assert_eq!(taken(&mut outbox, 100).as_deref(), Some("x"));
        outbox.put(item("a", "x", 100));
        assert_eq!(taken(&mut outbox, 200), None, "in hand");
        assert!(outbox.done(&Uid::from("a-x"), Some(at(150))), "waits again");
        assert_eq!(taken(&mut outbox, 149), None);
        assert_eq!(taken(&mut outbox, 150).as_deref(), Some("x"));
        outbox.remove(&Uid::from("a-x"));
        assert!(!outbox.done(&Uid::from("a-x"), Some(at(150))));
        assert_eq!(taken(&mut outbox, 900), None, "removed while in hand");
        assert!(outbox.lanes.is_empty() || outbox.lanes.values().all(|lane| lane.queues.is_empty()));
    }

    #[test]
    fn knows_whether_others_wait_for_their_turn() {
        let mut outbox = Outbox::default();
        let lane = ObjectKey::new("mail", "default");
        assert!(!outbox.others_due(&lane, "bulk", at(100)));
        outbox.put(item("bulk", "b", 10));
        outbox.put(item("small", "s", 50));
        assert!(!outbox.others_due(&lane, "bulk", at(49)), "not due yet");
        assert!(outbox.others_due(&lane, "bulk", at(50)));
        assert_eq!(outbox.take(&lane, at(20)).map(|item| item.uid), Some(Uid::from("bulk-b")));
        assert!(!outbox.others_due(&lane, "small", at(100)), "in hand is not waiting");
    }

    #[test]
    fn what_runs_out_is_handed_over_once() {
        let mut outbox = Outbox::default();
        outbox.put(item("a", "x", 1));
        outbox.put(item("a", "y", 2));
        assert_eq!(outbox.next_expiry(), Some(at(1001)));
        assert_eq!(outbox.expired(at(1001), 9).len(), 1);
        assert_eq!(taken(&mut outbox, 1001).as_deref(), Some("y"));
        assert_eq!(outbox.expired(at(9999), 9).len(), 0, "in hand is not waiting");
    }

    proptest! {
        /// Whatever happens, each Notification is in at most one pair of hands and none is lost.
        #[test]
        fn never_two_hands_never_lost(steps in proptest::collection::vec((0u8..4, 0u8..6, 0i64..50), 1..200)) {
            let mut outbox = Outbox::default();
            let mut hands: BTreeSet<String> = BTreeSet::new();
            let mut alive: BTreeSet<String> = BTreeSet::new();
            for (step, which, when) in steps {
                let name = format!("n{which}");
                let next = item(["a", "b"][usize::from(which % 2)], &name, when);
                let uid = next.uid.clone();
                match step {
                    0 => { outbox.put(next); alive.insert(name); }
                    1 => { outbox.remove(&uid); alive.remove(&name); }
                    2 => if let Some(name) = taken(&mut outbox, when) {
                        prop_assert!(alive.contains(&name) && hands.insert(name));
                    },
                    _ => if hands.remove(&name) {
                        outbox.done(&uid, Some(at(when)));
                    },
                }
            }
            for name in std::mem::take(&mut hands) {
                outbox.done(&Uid::from(format!("{}-{name}", if name.ends_with(['0', '2', '4']) { "a" } else { "b" }).as_str()), Some(at(0)));
            }
            let mut left = BTreeSet::new();
            while let Some(name) = taken(&mut outbox, 10_000) { left.insert(name); }
            prop_assert_eq!(left, alive);
        }
    }
}
