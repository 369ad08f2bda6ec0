//! Two processes, one journal, and everything that can go wrong between them, driven through the very
//! functions that the operator uses: [`judge`](super::judge), [`Holding`](super::Holding),
//! [`standing`](super::standing), [`recover`](super::recover) and
//! [`attempted`](crate::domain::status::notification::attempted). A process can be paused anywhere (its steps
//! just do not come), crash, lose the answer to a write, have one arrive late, and take over at any time: nothing
//! here depends on a clock. Small worlds are explored completely, larger ones at random.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod action;
mod process;
mod world;

use crate::api::notification::OnInDoubt;
use crate::domain::journal::{Entry, Holding, Journal};
use crate::domain::object::Uid;
use action::Action;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use world::{Rules, World};

/// Explores every state that one Notification to one recipient can get into, breadth first. Returns how many
/// there are, or the shortest way to a broken promise.
fn explore(policy: OnInDoubt, rules: Rules) -> Result<usize, String> {
    let start = World::new(&[(1, policy)], rules);
    // A collision of 64 bits would hide a state; with some 100,000 of them that does not happen.
    let digest = |world: &World| {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    };
    let mut seen = HashSet::from([digest(&start)]);
    let mut steps: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((world, at)) = queue.pop_front() {
        for action in world.work().into_iter().chain(world.faults()) {
            let mut next = world.clone();
            let kept = next.apply(&action).and_then(|()| next.check());
            if kept.is_ok() && !seen.insert(digest(&next)) {
                continue;
            }
            steps.push((at, Some(action)));
            if let Err(broken) = kept {
                return Err(format!("{broken}, after {:#?}", way(&steps)));
            }
            queue.push_back((next, steps.len() - 1));
        }
    }
    Ok(seen.len())
}

/// The actions that led to the last step.
fn way(steps: &[(usize, Option<Action>)]) -> Vec<&Action> {
    let mut at = steps.len() - 1;
    let mut way = Vec::new();
    while let (before, Some(action)) = &steps[at] {
        way.insert(0, action);
        at = *before;
    }
    way
}

#[test]
fn no_interleaving_sends_more_than_is_in_doubt() {
    let states = explore(OnInDoubt::Resend, Rules::default()).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(states > 10_000, "only {states} states: the model lost some of its faults");
}

#[test]
fn no_interleaving_sends_twice_where_doubt_is_to_hold() {
    let states = explore(OnInDoubt::Hold, Rules::default()).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(states > 2_000, "only {states} states: the model lost some of its faults");
}

/// A deleted journal begins its epochs anew, so the epoch alone does not tell two holdings apart: what an earlier
/// one drops late must not be a claim of the present one.
#[test]
fn claims_of_two_holdings_have_different_names() {
    let entry = || Entry {
        namespace: "hr".into(),
        name: "news".into(),
        uid: Uid::from("1"),
        claimed: BTreeSet::new(),
        done: Vec::new(),
    };
    let stored = Journal { holder: Some("p0".into()), epoch: 2, ..Journal::default() };
    let of = |term| Holding::new(Journal { term, ..stored.clone() });
    let earlier = of(1).claim(entry());
    let mut present = of(2);
    let claim = present.claim(entry());
    present.remove(&earlier);
    assert!(present.entries().contains_key(&claim));
}

/// The rule that is easiest to forget, and proof that the exploration finds what it breaks.
#[test]
fn a_take_that_outlives_its_term_is_sent_twice() {
    let rules = Rules { takes_end_with_their_term: false, ..Rules::default() };
    for policy in [OnInDoubt::Resend, OnInDoubt::Hold] {
        let broken = explore(policy, rules).unwrap_err();
        assert!(broken.starts_with("2 copies"), "{broken}");
    }
}

/// The other half of the protocol: nothing goes out before the claim is known to be stored.
#[test]
fn a_claim_that_is_not_waited_for_is_sent_twice() {
    let rules = Rules { claims_are_stored_first: false, ..Rules::default() };
    for policy in [OnInDoubt::Resend, OnInDoubt::Hold] {
        let broken = explore(policy, rules).unwrap_err();
        assert!(broken.contains("no entry"), "{broken}");
    }
}

proptest! {
    /// Several Notifications to several recipients, chunks, refusals, deferrals, deleted journals, writes that
    /// arrive late. In the end one process is left in peace, and finishes everything.
    #[test]
    fn any_course_of_events_keeps_the_promise_and_ends(
        notifications in proptest::collection::vec((1usize..4, prop_oneof![Just(OnInDoubt::Resend), Just(OnInDoubt::Hold)]), 1..4),
        choices in proptest::collection::vec(any::<(u8, u16)>(), 0..400),
    ) {
        let mut world = World::new(&notifications, Rules::wild());
        let mut way = Vec::new();
        for (kind, which) in choices {
            // One step in eight goes wrong.
            let actions = if kind < 32 { world.faults() } else { world.work() };
            let Some(action) = actions.get(usize::from(which) % actions.len().max(1)) else { continue };
            way.push(action.clone());
            let kept = world.apply(action).and_then(|()| world.check());
            prop_assert!(kept.is_ok(), "{kept:?} after {way:#?}");
        }
        world.leave_one_in_peace();
        world.check().map_err(TestCaseError::fail)?;
        prop_assert!(world.is_settled(), "left over: {world:#?}");
    }
}
