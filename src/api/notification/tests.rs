//! The API server's rules for Notifications, run without one. Patterns and bounds are the schema's; here are
//! the rules that the schema's own words cannot say.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use serde_json::{Value, json};

/// A Notification with members of its spec replaced.
fn sample(members: Value) -> Notification {
    let mut spec = json!({
        "to": [{ "address": "ada@corp.example" }],
        "message": { "content": { "subject": "Hello", "text": "Good morning." } }
    });
    for (name, value) in members.as_object().unwrap() {
        spec[name] = value.clone();
    }
    Notification::new("news", serde_json::from_value(spec).unwrap())
}

fn words(found: Result<(), impl ToString>) -> Option<String> {
    found.err().map(|errors| errors.to_string())
}

#[test]
fn what_is_refused_at_the_door() {
    let content = || json!({ "subject": "Hello", "text": "Good morning." });
    let template = || json!({ "name": "welcome" });
    for (members, refusal) in [
        (json!({}), None),
        (json!({ "message": { "templateRef": template(), "values": { "name": "Ada" } } }), None),
        (json!({ "message": {} }), Some("set exactly one of templateRef, content")),
        (
            json!({ "message": { "templateRef": template(), "content": content() } }),
            Some("set exactly one of templateRef, content"),
        ),
        (
            json!({ "message": { "content": content(), "values": { "name": "Ada" } } }),
            Some("values and valuesFrom are for templates: content is sent as it stands"),
        ),
        (
            json!({ "to": [{ "address": "ada@corp.example", "values": { "name": "Ada" } }] }),
            Some("to[].values are for templates: message.content is sent as it stands"),
        ),
        (json!({ "message": { "content": { "subject": "Hello" } } }), Some("set text, html or both")),
        (json!({ "message": { "content": { "subject": "Hello", "html": "<p>x</p>" } } }), None),
        (json!({ "cc": [{ "address": "bob@corp.example" }] }), Some("cc and bcc need delivery.mode: Shared")),
        (
            json!({ "bcc": [{ "address": "bob@corp.example" }] }),
            Some("cc and bcc need delivery.mode: Shared"),
        ),
        (json!({ "cc": [{ "address": "bob@corp.example" }], "delivery": { "mode": "Shared" } }), None),
        (
            json!({ "to": [{ "address": "ada@corp.example", "locale": "de" }], "delivery": { "mode": "Shared" } }),
            Some("with delivery.mode: Shared there is one message for all"),
        ),
        (
            json!({ "message": { "content": content(), "headers": [{ "name": "x-Ticket", "value": "7" }] } }),
            None,
        ),
        (
            json!({ "message": { "content": content(), "headers": [{ "name": "Subject", "value": "7" }] } }),
            Some("the other header fields have a place of their own in the spec"),
        ),
        (
            json!({ "message": { "content": content(), "attachments": [{ "name": "a.txt" }] } }),
            Some("set exactly one of secretKeyRef, configMapKeyRef"),
        ),
        (
            json!({ "message": { "templateRef": template(), "valuesFrom": [{ "name": "code" }] } }),
            Some("set exactly one of secretKeyRef, configMapKeyRef"),
        ),
        (json!({ "delivery": { "expireAfter": "1s" } }), None),
        (json!({ "delivery": { "expireAfter": "120h" } }), None),
        (json!({ "delivery": { "expireAfter": "999ms" } }), Some("expireAfter must lie between 1s and 120h")),
        (
            json!({ "delivery": { "expireAfter": "120h1s" } }),
            Some("expireAfter must lie between 1s and 120h"),
        ),
    ] {
        let found = words(sample(members.clone()).validate_cel());
        match refusal {
            None => assert_eq!(found, None, "{members}"),
            Some(refusal) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(refusal)), "{found:?}: {members}");
            }
        }
    }
}

#[test]
fn nothing_of_the_spec_can_be_changed() {
    let old = || {
        sample(
            json!({ "message": { "templateRef": { "name": "welcome" }, "values": { "n": [1, { "a": "b" }] } } }),
        )
    };
    assert_eq!(words(old().validate_cel_update(&old())), None);
    for members in [
        json!({ "message": { "templateRef": { "name": "welcome" }, "values": { "n": [1, { "a": "c" }] } } }),
        json!({ "message": { "templateRef": { "name": "other" }, "values": { "n": [1, { "a": "b" }] } } }),
        json!({ "message": { "templateRef": { "name": "welcome" } } }),
        json!({ "message": old().spec.message, "to": [{ "address": "bob@corp.example" }] }),
        json!({ "message": old().spec.message, "delivery": { "keepFor": "forever" } }),
        json!({ "message": old().spec.message, "serverRef": { "name": "other" } }),
    ] {
        let found = words(sample(members.clone()).validate_cel_update(&old())).unwrap_or_default();
        assert!(
            found.contains("spec cannot be changed") && found.contains("create another Notification"),
            "{found}: {members}"
        );
    }
}
