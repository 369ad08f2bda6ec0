#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use crate::domain::material::Material;
use crate::domain::samples::{add_server, at, catalog, decide, merge, notification};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

const HOUR: i64 = 3600;

/// The decision about a sample with `more`, `seconds` after its creation, with a server at hand.
fn decided(more: Value, seconds: i64) -> Decision {
    decide(&notification(more), &catalog(), None, &Material::default(), at(seconds))
}

/// What the report says in `Ready`: phase, reason and message.
fn reported(decision: &Decision) -> Option<(Phase, &str, &str)> {
    let report = decision.report.as_ref()?;
    let ready: &Condition = report.conditions.iter().find(|found| found.type_ == "Ready").unwrap();
    Some((report.phase, &ready.reason, &ready.message))
}

/// Due and expiry of what is queued, in seconds after the creation.
fn queued(decision: &Decision) -> Option<(i64, i64)> {
    let Next::Queue(item) = &decision.next else { return None };
    assert_eq!(item.key, ObjectKey::new("hr", "news"));
    assert_eq!(item.lane, ObjectKey::new("hr", "default"));
    let seconds = |time: Timestamp| time.duration_since(at(0)).as_secs();
    Some((seconds(item.due), seconds(item.expires)))
}

#[test]
fn what_can_be_sent_is_queued_without_a_write() {
    let later = at(2 * HOUR).to_string();
    for (more, due, expires) in [
        (json!({}), 0, 24 * HOUR),
        (json!({ "status": { "phase": "Pending", "finished": false } }), 0, 24 * HOUR),
        (json!({ "spec": { "delivery": { "expireAfter": "90m" } } }), 0, 5400),
        (json!({ "spec": { "delivery": { "sendAt": later, "expireAfter": "1h" } } }), 2 * HOUR, 3 * HOUR),
        (json!({ "status": { "nextAttemptTime": later } }), 2 * HOUR, 24 * HOUR),
        // A retry never comes before sendAt.
        (
            json!({ "spec": { "delivery": { "sendAt": later } }, "status": { "nextAttemptTime": at(60).to_string() } }),
            2 * HOUR,
            26 * HOUR,
        ),
    ] {
        let decision = decided(more.clone(), 1);
        assert_eq!(decision.report, None, "{more}");
        assert_eq!(queued(&decision), Some((due, expires)), "{more}");
    }
}

#[test]
fn an_obstacle_is_reported_once_and_taken_back_once() {
    let empty = Catalog::default();
    let sample = notification(json!({}));
    let first = decide(&sample, &empty, None, &Material::default(), at(1));
    let (phase, reason, message) = reported(&first).unwrap();
    assert_eq!((phase, reason), (Phase::Pending, "ServerNotFound"));
    assert!(message.contains("hr/default does not exist"), "{message}");
    assert_eq!(first.next, Next::Wait { until: Some(at(24 * HOUR)), look_again: None });
    // Seen again, later: nothing new to say.
    let told = Notification { status: first.report.map(|status| *status), ..sample };
    let again = decide(&told, &empty, None, &Material::default(), at(60));
    assert_eq!(
        again,
        Decision { report: None, next: Next::Wait { until: Some(at(24 * HOUR)), look_again: None } }
    );
    // The server is there.
    let free = decide(&told, &catalog(), None, &Material::default(), at(61));
    assert_eq!(reported(&free).map(|(_, reason, _)| reason), Some("WaitingForServer"));
    assert!(queued(&free).is_some());
    let told = Notification { status: free.report.map(|status| *status), ..told };
    assert_eq!(decide(&told, &catalog(), None, &Material::default(), at(62)).report, None);
}

#[test]
fn the_default_server_is_used_where_there_is_no_own() {
    let relay = ObjectKey::new("mail", "relay");
    let mut known = Catalog::default();
    add_server(&mut known, "mail", "relay", json!({ "access": { "namespaces": { "from": "All" } } }));
    let lane = |decision: Decision| match decision.next {
        Next::Queue(item) => Some(item.lane),
        _ => None,
    };
    assert_eq!(
        lane(decide(&notification(json!({})), &known, Some(&relay), &Material::default(), at(1))),
        Some(relay.clone())
    );
    assert_eq!(lane(decide(&notification(json!({})), &known, None, &Material::default(), at(1))), None);
    let named = notification(json!({ "spec": { "serverRef": { "name": "default" } } }));
    assert_eq!(
        lane(decide(&named, &known, Some(&relay), &Material::default(), at(1))),
        None,
        "a named server is that server"
    );
    add_server(&mut known, "hr", "default", json!({}));
    assert_eq!(
        lane(decide(&notification(json!({})), &known, Some(&relay), &Material::default(), at(1))),
        Some(ObjectKey::new("hr", "default"))
    );
}

#[test]
fn time_runs_out_for_all_but_what_a_person_must_decide() {
    let doubtful = json!({
        "spec": { "delivery": { "onInDoubt": "Hold" } },
        "status": { "phase": "InDoubt", "recipients": [{ "address": "ada@corp.example", "state": "InDoubt" }] }
    });
    let restored = json!({ "metadata": { "labels": { "velero.io/restore-name": "monday" } } });
    for (more, expected) in [
        (json!({}), Some((Phase::Expired, "DeadlineExceeded"))),
        (
            json!({ "status": { "recipients": [{ "address": "ada@corp.example", "state": "Accepted" }] } }),
            Some((Phase::PartiallySent, "PartiallyAccepted")),
        ),
        (doubtful, None),
        (restored, Some((Phase::Pending, "RestoredFromBackup"))),
    ] {
        let decision = decided(more.clone(), 25 * HOUR);
        assert_eq!(reported(&decision).map(|(phase, reason, _)| (phase, reason)), expected, "{more}");
        assert_eq!(decision.next, Next::Wait { until: None, look_again: None }, "{more}");
    }
}

#[test]
fn a_word_of_a_person_is_obeyed_once() {
    let doubtful = |word: &str, handled: &str| {
        json!({
            "metadata": { "annotations": { names::RESOLVE: word } },
            "spec": { "delivery": { "onInDoubt": "Hold" } },
            "status": {
                "phase": "InDoubt", "attempts": 1, "lastHandledResolve": handled,
                "recipients": [
                    { "address": "ada@corp.example", "state": "InDoubt" },
                    { "address": "bob@corp.example", "state": "Accepted" }
                ]
            }
        })
    };
    for (word, handled, becomes) in [
        ("sent", "", Some(Phase::Sent)),
        ("resend", "", Some(Phase::Pending)),
        ("resend-2", "resend", Some(Phase::Pending)),
        ("sent-after-all", "resend", Some(Phase::Sent)),
        ("resend", "resend", None),
        ("maybe", "", None),
        ("SENT", "", None),
        ("", "", None),
        (&format!("sent-{}", "x".repeat(64)), "", None),
    ] {
        let decision = decided(doubtful(word, handled), 1);
        assert_eq!(reported(&decision).map(|(phase, ..)| phase), becomes, "{word} after {handled}");
        if let Some(report) = &decision.report {
            assert_eq!(report.last_handled_resolve.as_deref(), Some(word));
            assert_eq!(report.finished, becomes == Some(Phase::Sent));
        }
        assert_eq!(
            decision.next,
            Next::Wait { until: None, look_again: None },
            "its new status is looked at when it is stored"
        );
    }
}

#[test]
fn a_word_that_is_not_understood_is_answered_once() {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "AnswerLost", "message": "lost",
            "lastTransitionTime": "2026-11-24T08:00:00Z"
        })
    };
    let with = |status: Value| {
        json!({
            "metadata": { "annotations": { names::RESOLVE: "maybe" } },
            "spec": { "delivery": { "onInDoubt": "Hold" } },
            "status": status
        })
    };
    let doubtful = json!({
        "phase": "InDoubt", "attempts": 1,
        "conditions": [condition("Ready", "False"), condition("Sent", "False"), condition("Stalled", "True")],
        "recipients": [{ "address": "ada@corp.example", "state": "InDoubt" }]
    });
    let first = decided(with(doubtful), 1);
    let (phase, reason, message) = reported(&first).unwrap();
    assert_eq!((phase, reason), (Phase::InDoubt, "AnswerLost"));
    assert!(message.contains("must be sent or resend") && message.contains("maybe"), "{message}");
    let status = serde_json::to_value(first.report.unwrap()).unwrap();
    assert_eq!(decided(with(status), 1).report, None, "said once");
}

#[test]
fn what_a_backup_brought_back_is_held_until_somebody_decides() {
    let restored = |more: Value| {
        let mut sample = json!({ "metadata": { "labels": { "velero.io/restore-name": "monday" } } });
        merge(&mut sample, more);
        decided(sample, 1)
    };
    let held = restored(json!({}));
    let (_, reason, message) = reported(&held).unwrap();
    assert_eq!(reason, "RestoredFromBackup");
    assert!(message.contains("resolve=sent") && message.contains("=resend"), "{message}");
    assert_eq!(held.next, Next::Wait { until: None, look_again: None });
    let sent = restored(json!({ "metadata": { "annotations": { names::RESOLVE: "sent" } } }));
    assert_eq!(reported(&sent).map(|(phase, ..)| phase), Some(Phase::Sent));
    // Once decided, or sent by this very operator, it is like any other.
    for status in [json!({ "lastHandledResolve": "resend" }), json!({ "attempts": 1 })] {
        assert!(queued(&restored(json!({ "status": status }))).is_some(), "{status}");
    }
}

#[test]
fn finished_ones_are_removed_unless_they_would_come_back() {
    let finished = |more: Value| {
        let mut sample = json!({
            "spec": { "delivery": { "keepFor": "1h" } },
            "status": { "phase": "Sent", "finished": true, "completionTime": at(10).to_string() }
        });
        merge(&mut sample, more);
        decided(sample, 20)
    };
    let label = |key: &str, value: &str| json!({ "metadata": { "labels": { key: value } } });
    let annotation = |key: &str| json!({ "metadata": { "annotations": { key: "x" } } });
    let managed = |manager: &str, operation: &str| json!({ "metadata": { "managedFields": [{ "manager": manager, "operation": operation }] } });
    for (more, remove_at) in [
        (json!({}), Some(at(10 + HOUR))),
        (json!({ "spec": { "delivery": { "keepFor": "0s" } } }), Some(at(10))),
        (json!({ "spec": { "delivery": { "keepFor": "forever" } } }), None),
        (label("kustomize.toolkit.fluxcd.io/name", "apps"), None),
        (label("helm.toolkit.fluxcd.io/name", "apps"), None),
        (label("argocd.argoproj.io/instance", "apps"), None),
        (annotation("argocd.argoproj.io/tracking-id"), None),
        (annotation("meta.helm.sh/release-name"), None),
        (label("app.kubernetes.io/instance", "apps"), None),
        (label("app.kubernetes.io/managed-by", "Helm"), None),
        (label("app.kubernetes.io/managed-by", "kubectl"), Some(at(10 + HOUR))),
        (label("team", "hr"), Some(at(10 + HOUR))),
        (label("kapp.k14s.io/app", "1685607245932804320"), None),
        (annotation("configmanagement.gke.io/managed"), None),
        (annotation("config.k8s.io/owning-inventory"), None),
        (annotation("objectset.rio.cattle.io/hash"), None),
        (annotation("projectsveltos.io/owner-name"), None),
        (managed("kubectl", "Apply"), Some(at(10 + HOUR))),
        (managed("kubectl-client-side-apply", "Update"), Some(at(10 + HOUR))),
        (managed("kubectl-mail", "Apply"), Some(at(10 + HOUR))),
        (managed("mail-operator", "Update"), Some(at(10 + HOUR))),
        (managed("some-program", "Update"), Some(at(10 + HOUR))),
        (managed("Terraform", "Apply"), None),
        (managed("some-program", "Apply"), None),
    ] {
        let decision = finished(more.clone());
        assert_eq!(decision, Decision { report: None, next: Next::Finished { remove_at } }, "{more}");
    }
}

#[test]
fn what_waits_for_a_source_is_looked_at_again_and_written_once() {
    let files = json!([{ "name": "terms.pdf", "configMapKeyRef": { "name": "terms", "key": "pdf" } }]);
    let sample = notification(json!({ "spec": { "message": { "attachments": files } } }));
    let denied = Material { denied: vec![("configmaps", "terms".into())], ..Material::default() };
    let first = decide(&sample, &catalog(), None, &denied, at(1));
    let (phase, reason, message) = reported(&first).unwrap();
    assert_eq!((phase, reason), (Phase::Pending, "SourceNotPermitted"));
    for words in ["ConfigMap hr/terms", "get configmaps in namespace hr"] {
        assert!(message.contains(words), "{words:?} is missing in: {message}");
    }
    let minute = Some(Duration::from_mins(1));
    let next = Next::Wait { until: Some(at(24 * HOUR)), look_again: minute };
    assert_eq!(first.next, next);
    let told = Notification { status: first.report.map(|status| *status), ..sample };
    assert_eq!(decide(&told, &catalog(), None, &denied, at(61)), Decision { report: None, next });

    // A message that cannot be built may have its fault from a source; a server that is not there has not.
    let files = json!([{ "name": "b.txt", "secretKeyRef": { "name": "b", "key": "b" } }]);
    let both = json!({ "spec": { "message": { "attachments": files, "replyTo": "a b@corp.example" } } });
    let decision = decide(&notification(both.clone()), &catalog(), None, &Material::default(), at(1));
    assert!(matches!(decision.next, Next::Wait { look_again, .. } if look_again == minute), "{decision:?}");
    let decision = decide(&notification(both), &Catalog::default(), None, &Material::default(), at(1));
    assert!(matches!(decision.next, Next::Wait { look_again: None, .. }), "{decision:?}");
}
