#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use crate::domain::outcome::Verdict;
use crate::domain::samples::{at, notification};
use serde_json::{Value, json};

const ADA: &str = "ada@corp.example";
const BOB: &str = "bob@corp.example";

fn outcome(address: &str, verdict: Verdict, reason: Option<Reason>, message: &str) -> Outcome {
    Outcome {
        address: address.into(),
        verdict,
        message_id: Some(format!("<{address}>")),
        code: Some(250),
        enhanced_code: None,
        reason: reason.map(|reason| reason.as_str().into()),
        message: (!message.is_empty()).then(|| message.into()),
        time: at(10),
        doubts: 0,
    }
}

fn accepted(address: &str) -> Outcome {
    outcome(address, Verdict::Accepted, None, "")
}

fn refused(address: &str) -> Outcome {
    outcome(address, Verdict::Refused, Some(Reason::RecipientRefused), "no such user")
}

fn deferred(address: &str) -> Outcome {
    outcome(address, Verdict::Deferred, Some(Reason::Greylisted), "come back later")
}

fn doubtful(address: &str) -> Outcome {
    outcome(address, Verdict::InDoubt, Some(Reason::AnswerLost), "it went away")
}

/// The sample after an attempt with these outcomes, at so many seconds after its creation.
fn after(more: Value, outcomes: &[Outcome], seconds: i64) -> NotificationStatus {
    let used = Used { server: Some(ObjectKey::new("hr", "default")), ..Used::default() };
    let attempt = Attempt { outcomes, used: Some(&used), began: at(9), next: at(seconds + 60), counts: true };
    attempted(&notification(more), &attempt, at(seconds))
}

/// Status, reason and message of a condition; the first is `-` where it is absent.
fn condition(status: &NotificationStatus, type_: ConditionType) -> (String, String, String) {
    let found = find(&status.conditions, type_);
    found.map_or_else(
        || ("-".into(), String::new(), String::new()),
        |found| (found.status.clone(), found.reason.clone(), found.message.clone()),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_end_of_an_attempt() {
    use ConditionType::{InDoubt, Ready, Reconciling, Sent, Stalled};
    let hold = json!({ "spec": { "delivery": { "onInDoubt": "Hold" } } });
    let day = 24 * 3600;
    // Outcomes at a time; then phase, finished, Ready, Reconciling, Stalled, InDoubt, reason and words.
    for (more, outcomes, seconds, phase, finished, marks, reason, words) in [
        (
            json!({}),
            vec![accepted(ADA), accepted(BOB)],
            10,
            Phase::Sent,
            true,
            ["True", "-", "-", "-"],
            "Accepted",
            "2 of 2",
        ),
        (
            json!({}),
            vec![accepted(ADA), refused(BOB)],
            10,
            Phase::PartiallySent,
            true,
            ["False", "-", "True", "-"],
            "PartiallyAccepted",
            "1 of 2 recipients accepted, 1 refused: no such user",
        ),
        (
            json!({}),
            vec![refused(ADA), refused(BOB)],
            10,
            Phase::Failed,
            true,
            ["False", "-", "True", "-"],
            "AllRefused",
            "all 2 recipients were refused: no such user",
        ),
        (
            json!({}),
            vec![accepted(ADA), deferred(BOB)],
            10,
            Phase::Pending,
            false,
            ["Unknown", "True", "-", "-"],
            "Greylisted",
            "will be tried again: come back later",
        ),
        (
            json!({}),
            vec![accepted(ADA)],
            10,
            Phase::Pending,
            false,
            ["Unknown", "True", "-", "-"],
            "WaitingForServer",
            "waiting to be sent",
        ),
        (
            json!({}),
            vec![accepted(ADA), doubtful(BOB)],
            10,
            Phase::Pending,
            false,
            ["Unknown", "True", "-", "True"],
            "AnswerLost",
            "will be sent again",
        ),
        (
            hold.clone(),
            vec![accepted(ADA), doubtful(BOB)],
            10,
            Phase::InDoubt,
            false,
            ["False", "-", "True", "True"],
            "AnswerLost",
            "mail-operator.dev/resolve=sent",
        ),
        (
            hold,
            vec![deferred(ADA), doubtful(BOB)],
            10,
            Phase::Pending,
            false,
            ["Unknown", "True", "-", "True"],
            "Greylisted",
            "come back later",
        ),
        (
            json!({}),
            vec![deferred(ADA), deferred(BOB)],
            day,
            Phase::Expired,
            true,
            ["False", "-", "True", "-"],
            "DeadlineExceeded",
            "last: come back later",
        ),
        (
            json!({}),
            vec![accepted(ADA), deferred(BOB)],
            day,
            Phase::PartiallySent,
            true,
            ["False", "-", "True", "-"],
            "PartiallyAccepted",
            "1 ran out of time",
        ),
    ] {
        let status = after(more, &outcomes, seconds);
        assert_eq!((status.phase, status.finished), (phase, finished), "{outcomes:?}");
        let found = [Ready, Reconciling, Stalled, InDoubt].map(|type_| condition(&status, type_).0);
        assert_eq!(found, marks, "{outcomes:?}");
        for type_ in [Ready, Sent] {
            let (_, found, message) = condition(&status, type_);
            assert_eq!(found, reason, "{outcomes:?}");
            assert!(message.contains(words), "{words:?} is missing in: {message}");
        }
        assert_eq!(status.completion_time.is_some(), finished);
        assert_eq!(status.next_attempt_time.is_some(), phase == Phase::Pending);
        assert_eq!(status.attempts, Some(1));
        assert_eq!(status.observed_generation, Some(1));
    }
}

#[test]
fn a_single_refused_recipient_gives_its_own_reason() {
    let one = json!({ "spec": { "to": [{ "address": ADA }] } });
    let status = after(one, &[refused(ADA)], 10);
    let (state, reason, message) = condition(&status, ConditionType::Ready);
    assert_eq!((&*state, &*reason, &*message), ("False", "RecipientRefused", "no such user"));
    assert_eq!(status.accepted.as_deref(), Some("0/1"));
}

#[test]
fn what_was_accepted_stays_accepted_whatever_comes_later() {
    let first = after(json!({}), &[accepted(ADA), deferred(BOB)], 10);
    let stored = json!({ "status": first });
    let second = after(stored, &[refused(ADA), accepted(BOB)], 70);
    assert_eq!(second.phase, Phase::Sent);
    assert_eq!(second.attempts, Some(2));
    assert_eq!(second.start_time, Some(Time(at(9))), "the first attempt's");
    assert_eq!(second.completion_time, Some(Time(at(70))));
}

#[test]
fn a_part_that_only_stores_what_was_noted_is_no_attempt() {
    let sample = notification(json!({}));
    let outcomes = [accepted(ADA)];
    let attempt = Attempt { outcomes: &outcomes, used: None, began: at(9), next: at(10), counts: false };
    let status = attempted(&sample, &attempt, at(10));
    assert_eq!(status.attempts, None);
    assert_eq!(status.server, None);
    assert_eq!(status.accepted.as_deref(), Some("1/2"));
}

#[test]
fn what_a_person_decides_about_doubt() {
    let doubt = after(
        json!({ "spec": { "delivery": { "onInDoubt": "Hold" } } }),
        &[accepted(ADA), doubtful(BOB)],
        10,
    );
    let sample = notification(json!({ "spec": { "delivery": { "onInDoubt": "Hold" } }, "status": doubt }));
    let sent = resolved_as_sent(&sample, "sent", at(99));
    assert_eq!((sent.phase, sent.finished), (Phase::Sent, true));
    let bob = sent.recipients.iter().find(|recipient| recipient.address == BOB).unwrap();
    assert_eq!(bob.reason.as_deref(), Some("ResolvedAsSent"));
    assert_eq!(bob.time, Some(Time(at(99))));
    let ada = sent.recipients.iter().find(|recipient| recipient.address == ADA).unwrap();
    assert_eq!(ada.time, Some(Time(at(10))), "accepted before, and not touched");
    let resend = resolved_as_resend(&sample, "resend", at(99));
    assert_eq!((resend.phase, resend.finished), (Phase::Pending, false));
    assert_eq!(resend.last_handled_resolve.as_deref(), Some("resend"));
    assert_eq!(condition(&resend, ConditionType::InDoubt).0, "-");
    // Too late to send again: it has run out.
    let late = resolved_as_resend(&sample, "resend", at(25 * 3600));
    assert_eq!((late.phase, late.finished), (Phase::PartiallySent, true));
}

/// Each attempt ends without an answer: two copies more, then a person decides, after whose word the count begins again.
#[test]
fn the_third_doubt_waits_for_a_person() {
    let one = json!({ "spec": { "to": [{ "address": ADA }] } });
    let mut told = notification(one);
    let lose = |told: &Notification, seconds| {
        let doubts = ledger::doubts(told.status.as_ref(), ADA);
        let outcomes = [Outcome { doubts, ..doubtful(ADA) }];
        let attempt =
            Attempt { outcomes: &outcomes, used: None, began: at(9), next: at(seconds + 60), counts: true };
        let status = attempted(told, &attempt, at(seconds));
        // Stored again, by a write whose answer was lost or by another process: it is one doubt all the same.
        let stored = Notification { status: Some(status.clone()), ..told.clone() };
        assert_eq!(attempted(&stored, &attempt, at(seconds)).recipients, status.recipients);
        status
    };
    for word in ["resend", "resend-2"] {
        for (doubts, phase, open) in [(1, Phase::Pending, 1), (2, Phase::Pending, 1), (3, Phase::InDoubt, 0)]
        {
            let status = lose(&told, 10);
            assert_eq!((status.phase, status.finished), (phase, false));
            assert_eq!(status.recipients.first().unwrap().doubts, Some(doubts));
            told.status = Some(status);
            assert_eq!(ledger::open_recipients(&told).len(), open);
        }
        let (state, reason, message) = condition(told.status.as_ref().unwrap(), ConditionType::Ready);
        assert_eq!((&*state, &*reason), ("False", "AnswerLost"));
        assert!(message.contains("3 times") && message.contains("resolve=sent"), "{message}");
        // Its time running out does not decide it.
        assert_eq!(expired(&told, at(99 * 3600)).phase, Phase::InDoubt);
        let sent = resolved_as_sent(&told, "sent", at(20));
        assert_eq!((sent.phase, sent.finished), (Phase::Sent, true));
        let again = resolved_as_resend(&told, word, at(20));
        assert_eq!((again.phase, again.recipients.first().unwrap().doubts), (Phase::Pending, None));
        told.status = Some(again);
        assert_eq!(ledger::open_recipients(&told).len(), 1);
    }
}

#[test]
fn an_obstacle_keeps_since_when_it_is_there() {
    use ConditionType::{Ready, Reconciling, Rendered, Resolved, Stalled};
    let obstacle = |stage, passes_by_itself| Obstacle {
        stage,
        reason: Reason::InvalidValues,
        message: "message.values.x: is wrong".into(),
        passes_by_itself,
    };
    for (stage, passes, expected) in [
        (Rendered, false, ["False", "True", "False", "-", "True"]),
        (Resolved, false, ["False", "False", "-", "-", "True"]),
        (Resolved, true, ["False", "False", "-", "True", "-"]),
    ] {
        let sample = notification(json!({}));
        let status = obstructed(&sample, &obstacle(stage, passes), at(5));
        let found =
            [Ready, Resolved, Rendered, Reconciling, Stalled].map(|type_| condition(&status, type_).0);
        assert_eq!(found, expected, "{stage:?}");
        assert_eq!((status.phase, status.finished), (Phase::Pending, false));
        assert!(reports_obstacle(Some(&status)));
        let told = notification(json!({ "status": status }));
        assert_eq!(obstructed(&told, &obstacle(stage, passes), at(50)), status, "nothing new, no write");
        let free = unobstructed(&told, at(60));
        assert!(!reports_obstacle(Some(&free)));
        assert_eq!(condition(&free, Ready).0, "Unknown");
    }
    assert!(!reports_obstacle(None));
}

#[test]
fn texts_are_bounded_and_printable() {
    let long = format!("x\r\n\u{202e}{}", "y".repeat(5_000));
    let status = after(json!({}), &[outcome(ADA, Verdict::Deferred, None, &long)], 10);
    let (_, _, message) = condition(&status, ConditionType::Ready);
    assert!(message.contains(r"x\u{d}\u{a}\u{202e}yyy"), "{message}");
    assert!(message.chars().count() <= 2_020 && message.ends_with('…'), "{}", message.len());
}

#[test]
fn copies_count_like_everybody_else() {
    let copies = json!({ "spec": {
        "delivery": { "mode": "Shared", "onInDoubt": "Hold" },
        "cc": [{ "address": "boss@corp.example" }], "bcc": [{ "address": "audit@corp.example" }]
    } });
    let outcomes =
        [doubtful("audit@corp.example"), refused("boss@corp.example"), accepted(BOB), accepted(ADA)];
    let status = after(copies.clone(), &outcomes, 10);
    let order: Vec<_> = status.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    assert_eq!(order, [ADA, BOB, "boss@corp.example", "audit@corp.example"]);
    assert_eq!((status.phase, status.accepted.as_deref()), (Phase::InDoubt, Some("2/4")));
    let summary = status.summary.as_ref().map(|summary| (summary.total, summary.refused, summary.in_doubt));
    assert_eq!(summary, Some((4, 1, 1)));

    let told = Notification { status: Some(status), ..notification(copies) };
    let resolved = resolved_as_sent(&told, "sent", at(20));
    assert_eq!((resolved.phase, resolved.accepted.as_deref()), (Phase::PartiallySent, Some("3/4")));
    let again = resolved_as_resend(&told, "resend", at(20));
    assert_eq!(again.phase, Phase::Pending);
    let open = Notification { status: Some(again), ..told };
    let open: Vec<_> = ledger::open_recipients(&open).iter().map(|recipient| recipient.address).collect();
    assert_eq!(open, ["audit@corp.example"]);
}
