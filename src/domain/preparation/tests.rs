#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use crate::domain::material::Material;
use crate::domain::samples::{add_server, add_template, at, catalog, compose, from_template, notification};
use serde_json::{Value, json};

/// What stands in the way of a Notification: stage, reason and message.
fn obstacle(notification: &Notification, catalog: &Catalog) -> Option<(ConditionType, Reason, String)> {
    let obstacle = match prepare(notification, catalog, None, &Material::default(), at(1)) {
        Err(obstacle) => obstacle,
        Ok(prepared) => compose(&prepared, prepared.recipients.get(..1)?, true).err()?,
    };
    Some((obstacle.stage, obstacle.reason, obstacle.message))
}

/// The message for the first recipient, as text.
fn composed(notification: &Notification, catalog: &Catalog) -> String {
    let prepared = prepare(notification, catalog, None, &Material::default(), at(1)).unwrap();
    let first = prepared.recipients.get(..1).unwrap();
    String::from_utf8(compose(&prepared, first, true).unwrap().message.bytes).unwrap()
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
            &[
                "MailServerConfig mail/relay does not exist, cannot be used, or does not admit namespace hr",
                "from: All",
                "from: Selector",
            ],
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
            &["MessageTemplate mail/theirs does not exist, cannot be used, or does not admit namespace hr"],
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
    assert_eq!(used.template, Some((Source::object("hr", "welcome"), Some(1))));
    assert_eq!(used.locales, ["de", "en"]);
}

/// One message for Ada, Bob, their boss and a hidden copy.
fn shared(more: Value) -> Notification {
    let mut sample = json!({ "spec": {
        "delivery": { "mode": "Shared" },
        "to": [{ "address": "ada@corp.example", "displayName": "Ada" }, { "address": "bob@corp.example" }],
        "cc": [{ "address": "boss@corp.example" }], "bcc": [{ "address": "audit@corp.example" }]
    } });
    crate::domain::samples::merge(&mut sample, more);
    from_template(sample)
}

#[test]
fn one_message_for_all_is_the_same_bytes_whoever_gets_it() {
    let sample = shared(json!({ "spec": { "message": { "values": { "name": "all" } } } }));
    let known = catalog();
    let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
    assert_eq!((prepared.is_shared(), prepared.at_once()), (true, 100));
    let whole = compose(&prepared, &prepared.recipients, true).unwrap();
    let envelope: Vec<_> = whole.envelope.iter().map(EmailAddress::as_str).collect();
    assert_eq!(envelope, ["ada@corp.example", "bob@corp.example", "boss@corp.example", "audit@corp.example"]);
    for recipient in &prepared.recipients {
        let alone = compose(&prepared, &[*recipient], true).unwrap();
        assert_eq!(alone.message, whole.message, "{recipient}");
        assert_eq!(alone.envelope.first().unwrap().as_str(), recipient.address);
    }
    let text = String::from_utf8(whole.message.bytes).unwrap();
    for line in ["To: Ada <ada@corp.example>, bob@corp.example\r\n", "Cc: boss@corp.example\r\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("audit") && !text.to_lowercase().contains("bcc:"), "{text}");
}

#[test]
fn whoever_has_got_it_is_still_shown_and_not_sent_to() {
    let sample = shared(json!({ "status": { "recipients": [
        { "address": "ada@corp.example", "state": "Accepted" }, { "address": "audit@corp.example", "state": "Refused" }
    ] } }));
    let known = catalog();
    let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
    let open: Vec<_> = prepared.recipients.iter().map(|recipient| recipient.address).collect();
    assert_eq!(open, ["bob@corp.example", "boss@corp.example"]);
    let text = composed(&sample, &known);
    assert!(text.contains("To: Ada <ada@corp.example>, bob@corp.example\r\n"), "{text}");
}

#[test]
fn without_smtputf8_a_message_for_all_does_without_whom_it_cannot_reach() {
    let sample = shared(json!({ "spec": {
        "to": [{ "address": "ada@corp.example" }, { "address": "jürgen@corp.example" }], "bcc": []
    } }));
    let known = catalog();
    let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
    let with = compose(&prepared, &prepared.recipients, true).unwrap().message;
    assert!(with.smtputf8 && String::from_utf8(with.bytes).unwrap().contains("jürgen@corp.example"));
    let without = compose(&prepared, &prepared.recipients, false).unwrap().message;
    assert!(!without.smtputf8 && without.bytes.is_ascii());
}

#[test]
fn what_is_wrong_with_one_address_is_wrong_with_a_message_for_all() {
    let sample = shared(json!({ "spec": {
        "cc": [{ "address": "bob@CORP.example" }], "bcc": [{ "address": "x@192.0.2.1" }]
    } }));
    let (stage, reason, message) = obstacle(&sample, &catalog()).unwrap();
    assert_eq!((stage, reason), (ConditionType::Rendered, Reason::InvalidMessage));
    for words in [
        "to[bob@corp.example] and cc[bob@CORP.example]",
        "same address",
        "bcc[x@192.0.2.1].address",
        "IP address",
    ] {
        assert!(message.contains(words), "{words:?} is missing in: {message}");
    }
}

/// Who may create Notifications in one namespace learns nothing from us of what there is in another.
#[test]
fn one_answer_for_what_is_absent_broken_or_not_for_us() {
    let answers =
        |reference: Value, add: &[&dyn Fn(&mut Catalog)]| -> Vec<(ConditionType, Reason, String, bool)> {
            let asked = |catalog: &Catalog| {
                let wanted = from_template(json!({ "spec": reference }));
                let obstacle = prepare(&wanted, catalog, None, &Material::default(), at(1)).unwrap_err();
                (obstacle.stage, obstacle.reason, obstacle.message, obstacle.passes_by_itself)
            };
            let with = |add: &&dyn Fn(&mut Catalog)| {
                let mut known = catalog();
                add(&mut known);
                asked(&known)
            };
            add.iter().map(with).collect()
        };
    let server = |more: Value| move |known: &mut Catalog| add_server(known, "mail", "prize", more.clone());
    let template =
        |more: Value| move |known: &mut Catalog| add_template(known, "mail", "prize", more.clone());
    let found = answers(
        json!({ "serverRef": { "name": "prize", "namespace": "mail" } }),
        &[
            &|_: &mut Catalog| {},
            &server(json!({})),
            &server(json!({ "suspend": true })),
            &server(json!({ "sender": { "address": "it@192.0.2.1" } })),
        ],
    );
    assert!(found.iter().all(|answer| *answer == found[0]), "{found:#?}");
    assert_eq!(found[0].1, Reason::ServerNotPermitted);
    let found = answers(
        json!({ "message": { "templateRef": { "name": "prize", "namespace": "mail" } } }),
        &[&|_: &mut Catalog| {}, &template(json!({})), &template(json!({ "text": "{{ nmae }}" }))],
    );
    assert!(found.iter().all(|answer| *answer == found[0]), "{found:#?}");
    assert_eq!(found[0].1, Reason::TemplateNotPermitted);
}
