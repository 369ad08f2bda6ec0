//! The API server's rules for MessageTemplates, run without one.

#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::json;

#[test]
fn what_is_refused_at_the_door() {
    let german = |body: &str| json!([{ "locale": "de", "subject": "Hallo", body: "x" }]);
    for (members, refusal) in [
        (json!({}), None),
        (json!({ "text": null }), Some("set text, html or mjml: a message needs a body")),
        (json!({ "text": null, "mjml": "<mjml/>" }), None),
        (json!({ "html": "<p>x</p>", "mjml": "<mjml/>" }), Some("set html or mjml, not both")),
        (json!({ "text": null, "html": "<p>x</p>" }), None),
        (json!({ "translations": german("text") }), None),
        (json!({ "translations": german("html") }), None),
        (json!({ "translations": [{ "locale": "de", "subject": "Hallo" }] }), Some("set text, html or mjml")),
        (
            json!({ "translations": [{ "locale": "de", "subject": "Hallo", "html": "x", "mjml": "x" }] }),
            Some("set html or mjml, not both"),
        ),
        (
            json!({ "locale": "de", "translations": german("text") }),
            Some("must not repeat the template's own locale"),
        ),
        (json!({ "variables": [{ "name": "name" }, { "name": "_x1" }] }), None),
        (json!({ "variables": [{ "name": "recipient" }] }), Some("built in: choose another")),
        (json!({ "variables": [{ "name": "content" }] }), Some("built in: choose another")),
        (json!({ "variables": [{ "name": "true" }] }), Some("built in: choose another")),
        (json!({ "access": { "namespaces": { "from": "All" } } }), None),
        (
            json!({ "access": { "namespaces": { "from": "Selector" } } }),
            Some("selector belongs to from: Selector"),
        ),
        (
            json!({ "access": { "namespaces": { "from": "Same", "selector": {} } } }),
            Some("selector belongs to from: Selector"),
        ),
        (json!({ "access": { "namespaces": { "from": "Selector", "selector": {} } } }), None),
    ] {
        let mut spec = json!({ "subject": "Hello", "text": "Good morning." });
        for (name, value) in members.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let template = MessageTemplate::new("greeting", serde_json::from_value(spec).unwrap());
        let found = template.validate_cel().err().map(|errors| errors.to_string());
        match refusal {
            None => assert_eq!(found, None, "{members}"),
            Some(refusal) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(refusal)), "{found:?}: {members}");
            }
        }
    }
}
