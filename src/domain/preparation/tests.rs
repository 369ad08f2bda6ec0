#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use crate::domain::material::Material;
use crate::domain::samples::{add_server, add_template, at, catalog, from_template, notification};
use serde_json::{Value, json};

/// What stands in the way of a Notification: stage, reason and message.
fn obstacle(notification: &Notification, catalog: &Catalog) -> Option<(ConditionType, Reason, String)> {
    let obstacle = match prepare(notification, catalog, None, &Material::default(), at(1)) {
        Err(obstacle) => obstacle,
        Ok(prepared) => prepared.compose(prepared.recipients.get(..1)?, true).err()?,
    };
    Some((obstacle.stage, obstacle.reason, obstacle.message))
}

/// The message for the first recipient, as text.
fn composed(notification: &Notification, catalog: &Catalog) -> String {
    let prepared = prepare(notification, catalog, None, &Material::default(), at(1)).unwrap();
    let first = prepared.recipients.get(..1).unwrap();
    String::from_utf8(prepared.compose(first, true).unwrap().message.bytes).unwrap()
}

#[test]
fn obstacles_say_what_is_wrong_and_what_would_be_right() {
    use ConditionType::{Rendered, Resolved};
    let mut known = catalog();
    add_server(&mut known, "mail", "relay", json!({}));
    add_server(&mut known, "mail", "open", json!({ "access": { "namespaces": { "from": "All" } } }));
    add_server(&mut known, "hr", "broken", json!({ "sender": { "address": "it@192.0.2.1" } }));
    add_template(&mut known, "mail", "theirs", json!({}));
    add_template(&mut known, "hr", "broken", json!({ "text": "{{ nmae }}" }));
    let spec = |spec: Value| notification(json!({ "spec": spec }));
    let of_template = |spec: Value| from_template(json!({ "spec": spec }));
    let cases: [(Notification, ConditionType, Reason, &[&str]); 12] = [
        (
            spec(json!({ "serverRef": { "name": "absent" } })),
            Resolved,
            Reason::ServerNotFound,
            &["hr/absent does not exist", "create it", "goes out by itself"],
        ),
        (
            spec(json!({ "serverRef": { "name": "broken" } })),
            Resolved,
            Reason::InvalidSpec,
            &["hr/broken cannot be used", "sender.address"],
        ),
        (
            spec(json!({ "serverRef": { "name": "relay", "namespace": "mail" } })),
            Resolved,
            Reason::ServerNotPermitted,
            &["mail/relay does not admit namespace hr", "from: All", "from: Selector"],
        ),
        (
            of_template(json!({ "message": { "templateRef": { "name": "absent" } } })),
            Resolved,
            Reason::TemplateNotFound,
            &["hr/absent does not exist", "goes out by itself"],
        ),
        (
            of_template(json!({ "message": { "templateRef": { "name": "theirs", "namespace": "mail" } } })),
            Resolved,
            Reason::TemplateNotPermitted,
            &["MessageTemplate mail/theirs does not admit namespace hr"],
        ),
        (
            of_template(json!({ "message": { "templateRef": { "name": "broken" } } })),
            Resolved,
            Reason::TemplateInvalid,
            &["hr/broken cannot be used", "en text, line 1", "nmae is not declared"],
        ),
        (
            of_template(json!({ "message": { "values": { "name": 3, "more": "x" } } })),
            Rendered,
            Reason::InvalidValues,
            &["message.values.name", "message.values.more"],
        ),
        (
            of_template(json!({ "to": [{ "address": "ada@corp.example", "values": { "name": ["x"] } }] })),
            Rendered,
            Reason::InvalidValues,
            &["to[ada@corp.example].values.name"],
        ),
        (
            spec(json!({ "message": { "from": { "address": "ceo@corp.example" } } })),
            Resolved,
            Reason::FromNotPermitted,
            &["ceo@corp.example", "access.senders", "*@corp.example"],
        ),
        (
            spec(json!({ "message": { "from": { "address": "ceo@-" } } })),
            Rendered,
            Reason::InvalidMessage,
            &["message.from.address", "DNS name"],
        ),
        (
            spec(json!({ "message": { "replyTo": "a b@corp.example" } })),
            Rendered,
            Reason::InvalidMessage,
            &["message.replyTo"],
        ),
        (
            spec(json!({ "to": [{ "address": "ada@192.0.2.1" }] })),
            Rendered,
            Reason::InvalidMessage,
            &["to[ada@192.0.2.1].address", "IP address"],
        ),
    ];
    for (sample, stage, reason, words) in cases {
        let (found_stage, found_reason, message) = obstacle(&sample, &known).unwrap();
        assert_eq!((found_stage, found_reason), (stage, reason), "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in: {message}");
        }
    }
    let open = spec(json!({ "serverRef": { "name": "open", "namespace": "mail" } }));
    assert_eq!(obstacle(&open, &known), None);
}

#[test]
fn only_what_may_still_be_created_passes_by_itself() {
    let known = catalog();
    for (more, passes) in [
        (json!({ "spec": { "serverRef": { "name": "absent" } } }), true),
        (json!({ "spec": { "message": { "templateRef": { "name": "absent" } } } }), true),
        (json!({ "spec": { "message": { "values": { "name": 3 } } } }), false),
    ] {
        let sample = from_template(more.clone());
        let obstacle = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap_err();
        assert_eq!(obstacle.passes_by_itself, passes, "{more}");
    }
}

#[test]
fn only_open_recipients_are_sent_to() {
    let with = |policy: &str| {
        notification(json!({
            "spec": {
                "delivery": { "onInDoubt": policy },
                "to": [
                    { "address": "taken@corp.example" }, { "address": "refused@corp.example" },
                    { "address": "doubtful@corp.example" }, { "address": "later@corp.example" }, { "address": "new@corp.example" }
                ]
            },
            "status": { "recipients": [
                { "address": "taken@corp.example", "state": "Accepted" }, { "address": "refused@corp.example", "state": "Refused" },
                { "address": "doubtful@corp.example", "state": "InDoubt" }, { "address": "later@corp.example", "state": "Pending" }
            ] }
        }))
    };
    for (policy, expected) in [
        ("Resend", &["doubtful@corp.example", "later@corp.example", "new@corp.example"] as &[_]),
        ("Hold", &["later@corp.example", "new@corp.example"]),
    ] {
        let (sample, known) = (with(policy), catalog());
        let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
        let open: Vec<_> = prepared.recipients.iter().map(|recipient| recipient.address).collect();
        assert_eq!(open, expected, "{policy}");
    }
}

#[test]
fn what_is_sent_again_is_the_same_bytes() {
    let sample = from_template(json!({ "spec": { "message": { "locale": "de-AT" } } }));
    let first = composed(&sample, &catalog());
    let again = from_template(json!({
        "spec": { "message": { "locale": "de-AT" } },
        "metadata": { "annotations": { "note": "x" }, "resourceVersion": "7" },
        "status": { "attempts": 3, "recipients": [{ "address": "ada@corp.example", "state": "Pending" }] }
    }));
    assert_eq!(composed(&again, &catalog()), first);
    for line in ["From: IT <it@corp.example>", "To: ada@corp.example", "Subject: Willkommen, you"] {
        assert!(first.contains(line), "{line}: {first}");
    }
    let later = from_template(json!({ "spec": { "delivery": { "sendAt": "2030-01-02T03:04:05Z" } } }));
    assert!(composed(&later, &catalog()).contains("Date: Wed, 02 Jan 2030 03:04:05 +0000"));
}

#[test]
fn the_status_hears_what_was_used() {
    let sample = from_template(json!({}));
    let known = catalog();
    let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
    let locales = ["de", "en", "de"].map(|tag| Locale::parse(tag).unwrap());
    let used = prepared.used(locales);
    assert_eq!(used.server, Some(ObjectKey::new("hr", "default")));
    assert_eq!(used.template, Some((ObjectKey::new("hr", "welcome"), Some(1))));
    assert_eq!(used.locales, ["de", "en"]);
}
