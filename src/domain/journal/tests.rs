#![allow(clippy::unwrap_used)]

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
