#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

#[test]
fn a_journal_is_spent_once_nothing_is_lost_with_it() {
    let now: Timestamp = "2026-11-27T12:30:00Z".parse().unwrap();
    let entry = Entry {
        namespace: "ns".into(),
        name: "hello".into(),
        uid: Uid("uid".into()),
        claimed: BTreeSet::from(["a@corp.example".into()]),
        done: Vec::new(),
    };
    for (hours, holder, in_flight, shared, spent) in [
        (None, None, false, false, true),
        (None, Some("p1"), false, false, false),
        (None, None, true, false, false),
        (Some(0), None, false, false, false),
        // A recipient counts until 24 hours after the end of its hour.
        (Some(24), None, false, false, false),
        (Some(25), None, false, false, true),
        (Some(24), None, false, true, false),
        (Some(25), None, false, true, true),
        (Some(25), Some("p1"), false, false, false),
        (Some(25), None, true, false, false),
    ] {
        let mut used = Used::default();
        if let Some(hours) = hours {
            let sent = now - jiff::SignedDuration::from_hours(hours);
            let _ = used.count(shared.then_some("ns"), 3, sent);
        }
        let entries = if in_flight { BTreeMap::from([("1".into(), entry.clone())]) } else { BTreeMap::new() };
        let journal =
            Journal { holder: holder.map(Into::into), entries, ..Journal::default() }.counting(used);
        assert_eq!(journal.is_spent(now), spent, "{hours:?} {holder:?} {in_flight} {shared}");
    }
}

#[test]
fn a_journal_that_is_full_claims_nothing_more() {
    let answer = |n: usize| Outcome {
        message: Some("x".repeat(200)),
        ..Outcome::in_doubt(&format!("user{n:05}@corp.example"), Some("id"), "", Timestamp::UNIX_EPOCH)
    };
    let entry = |n: usize| Entry {
        namespace: "ns".into(),
        name: format!("mail{n:05}"),
        uid: Uid("0b8f5c1e-7d0a-4a37-9d43-2f9f3a0c7b55".into()),
        claimed: BTreeSet::from([format!("user{n:05}@corp.example")]),
        done: Vec::new(),
    };
    let mut holding = Holding::new(Journal::default());
    let mut claims = Vec::new();
    while holding.has_room() {
        let id = holding.claim(entry(claims.len()));
        assert!(holding.extend(&id, [answer(claims.len())], BTreeSet::new()));
        claims.push(id);
    }
    assert!(claims.len() > 1000, "{}", claims.len());
    let stored = serde_json::to_string(&holding.next_write(Timestamp::UNIX_EPOCH)).unwrap();
    assert!((MOST_OCTETS * 3 / 4..900 * 1024).contains(&stored.len()), "{}", stored.len());
    // One that goes makes room, and so does each: nothing is counted twice.
    holding.remove(&claims[0]);
    assert!(holding.has_room());
    for id in &claims {
        holding.remove(id);
    }
    assert_eq!(holding, {
        let mut blank = Holding::new(Journal::default());
        blank.next_claim = holding.next_claim;
        blank
    });
}

/// A deleted journal begins its epochs anew: what the same process wrote under an earlier holding may arrive when the present
/// one has come to the same numbers.
#[test]
fn a_late_write_of_an_earlier_holding_is_not_taken_for_ones_own() {
    let now = Timestamp::UNIX_EPOCH;
    let write = |term| {
        let Judgement::Take(taken) = judge(None, ("p0", term), Duration::MAX, now) else { unreachable!() };
        Holding::new(taken).next_write(now)
    };
    let (late, present) = (write(1), write(2));
    assert_eq!((late.epoch, late.write, &late.holder), (present.epoch, present.write, &present.holder));
    assert_eq!(standing(Some(&late), &present), Standing::Lost);
    assert_eq!(standing(Some(&present), &present), Standing::Stored);
}
