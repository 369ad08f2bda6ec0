//! Objects for the tests of this folder, as they come from the API server: written as JSON, with the members
//! that a test is about.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::needless_pass_by_value)]

use crate::api::{MailServerConfig, MessageTemplate, Notification};
use crate::domain::catalog::Catalog;
use crate::domain::evaluation::here::ask;
use crate::domain::evaluation::{Answer, Question};
use crate::domain::material::Material;
use crate::domain::object::ObjectKey;
use crate::domain::preparation::{Composed, Obstacle, Prepared};
use crate::domain::problem::Problem;
use crate::domain::recipients::Addressee;
use crate::domain::reconciliation::{Decision, conclude, examine};
use crate::domain::server::Server;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// When sample objects were created.
pub(crate) const CREATED: i64 = 1_800_000_000;

/// `seconds` after the creation of the sample objects.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(CREATED + seconds).unwrap()
}

/// Puts members into an object; those that are objects on both sides are merged.
pub(crate) fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

fn object(kind: &str, namespace: &str, name: &str, spec: Value, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": kind,
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "generation": 1,
            "creationTimestamp": at(0).to_string()
        },
        "spec": spec
    });
    merge(&mut object, more);
    object
}

/// `hr/news`, to Ada and Bob, with members of the whole object changed.
pub(crate) fn notification(more: Value) -> Notification {
    let spec = json!({
        "to": [{ "address": "ada@corp.example" }, { "address": "bob@corp.example" }],
        "message": { "content": { "subject": "Hello", "text": "Good morning." } }
    });
    serde_json::from_value(object("Notification", "hr", "news", spec, more)).unwrap()
}

/// `hr/news` from the template `hr/welcome`.
pub(crate) fn from_template(more: Value) -> Notification {
    let mut sample = serde_json::to_value(notification(json!({}))).unwrap();
    sample["spec"]["message"] = json!({ "templateRef": { "name": "welcome" }, "values": { "name": "you" } });
    merge(&mut sample, more);
    serde_json::from_value(sample).unwrap()
}

/// A server, with members of its spec changed.
pub(crate) fn server(namespace: &str, name: &str, more: Value) -> Result<Server, Vec<Problem>> {
    let mut spec = json!({ "host": "smtp.corp.example", "sender": { "address": "it@corp.example", "displayName": "IT" } });
    merge(&mut spec, more);
    let config = object("MailServerConfig", namespace, name, spec, json!({}));
    let config: MailServerConfig = serde_json::from_value(config).unwrap();
    Server::from_config(&config)
}

/// Brings a server into the catalog, with members of its spec changed.
pub(crate) fn add_server(catalog: &mut Catalog, namespace: &str, name: &str, more: Value) {
    let server = server(namespace, name, more).map(Arc::new).map_err(Arc::from);
    catalog.servers.insert(ObjectKey::new(namespace, name), server);
}

/// Brings a template into the catalog, with members of its spec changed.
pub(crate) fn add_template(catalog: &mut Catalog, namespace: &str, name: &str, more: Value) {
    catalog.learn(&template(namespace, name, more));
    check_all(catalog);
}

/// Has everything in the catalog checked.
pub(crate) fn check_all(catalog: &mut Catalog) {
    while let Some(check) = catalog.next_check() {
        let Answer::Checked(found) = ask(&Question::Check(check.sources.clone())) else { unreachable!() };
        catalog.settle(check, found);
    }
}

/// The message for some recipients.
pub(crate) fn compose(
    prepared: &Prepared<'_>,
    parcel: &[Addressee<'_>],
    smtputf8: bool,
) -> Result<Composed, Obstacle> {
    let answer = prepared.question(parcel)?.map(|question| Ok(ask(&question)));
    prepared.compose(parcel, answer, smtputf8)
}

/// The judgement of a Notification, with everything evaluated.
pub(crate) fn decide(
    notification: &Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    material: &Material,
    now: Timestamp,
) -> Decision {
    let prepared = match examine(notification, catalog, default_server, material, now) {
        Ok(prepared) => prepared,
        Err(decision) => return *decision,
    };
    let first = prepared.recipients.get(..1).unwrap_or_default();
    let answer = match first {
        [] => Ok(None),
        first => prepared.question(first).map(|question| question.map(|question| Ok(ask(&question)))),
    };
    conclude(&prepared, notification, first, answer, now)
}

/// A template in two languages, with members of its spec changed.
pub(crate) fn template(namespace: &str, name: &str, more: Value) -> MessageTemplate {
    let mut spec = json!({
        "subject": "Welcome, {{ name }}", "text": "Hello {{ name }}",
        "variables": [{ "name": "name", "required": true }],
        "translations": [{ "locale": "de", "subject": "Willkommen, {{ name }}", "text": "Hallo {{ name }}" }]
    });
    merge(&mut spec, more);
    let template = object("MessageTemplate", namespace, name, spec, json!({}));
    serde_json::from_value(template).unwrap()
}

/// A catalog with `hr/default` and `hr/welcome`.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    add_server(&mut catalog, "hr", "default", json!({}));
    add_template(&mut catalog, "hr", "welcome", json!({}));
    catalog
}
