//! What stands in ConfigMaps and Secrets, from the object as it was read to the message or to what is said.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::api::notification::Notification;
use crate::api::{ConditionType, Reason};
use crate::domain::catalog::Catalog;
use crate::domain::credentials::Stored;
use crate::domain::material::Material;
use crate::domain::preparation::{Obstacle, prepare};
use crate::domain::samples::{add_template, at, catalog, compose, from_template, notification};
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const ALLOWED: (&str, &str) = ("mail-operator.dev/allow-values", "true");

fn stored(annotations: &[(&str, &str)], data: &[(&str, &[u8])]) -> Stored {
    Stored {
        annotations: annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        data: data.iter().map(|(key, bytes)| ((*key).into(), Zeroizing::new(bytes.to_vec()))).collect(),
        ..Stored::default()
    }
}

/// A ConfigMap `files`, a Secret `open` that permits its use and a Secret `closed` that does not.
fn material() -> Material {
    let data: &[(&str, &[u8])] = &[
        ("a.txt", "Grüße".as_bytes()),
        ("logo.png", b"\x89PNG\r\n\0\xff"),
        ("count", b"5\n"),
        ("bad", b"\xff"),
    ];
    let secret: &[(&str, &[u8])] = &[("pin", b"canary-7361\n"), ("number", b"4711")];
    Material {
        config_maps: [("files".into(), stored(&[], data))].into(),
        secrets: [
            ("open".into(), stored(&[ALLOWED], secret)),
            ("closed".into(), stored(&[(ALLOWED.0, "yes")], secret)),
        ]
        .into(),
        denied: Vec::new(),
    }
}

fn config_map(key: &str) -> Value {
    json!({ "name": "files", "key": key })
}

/// `hr/welcome` with variables of several types.
fn known() -> Catalog {
    let mut known = catalog();
    add_template(
        &mut known,
        "hr",
        "pin",
        json!({
            "subject": "Hello {{ name }}", "text": "{{ name }} {{ pin }} {{ count + 1 }}",
            "variables": [
                { "name": "name", "default": "you" }, { "name": "pin" }, { "name": "count", "type": "Integer", "default": 1 },
                { "name": "mail", "type": "Email" }
            ],
            "translations": []
        }),
    );
    known
}

fn with_values(values_from: Value) -> Notification {
    from_template(json!({ "spec": { "message": {
        "templateRef": { "name": "pin" }, "values": { "name": "Ada" }, "valuesFrom": values_from
    } } }))
}

fn with(message: Value) -> Notification {
    notification(json!({ "spec": { "message": message } }))
}

fn composed(sample: &Notification, material: &Material) -> Result<Vec<u8>, Obstacle> {
    let prepared = prepare(sample, &known(), None, material, at(1))?;
    let first = prepared.recipients.first().unwrap();
    compose(&prepared, &[*first], true).map(|composed| composed.message.bytes)
}

#[test]
fn values_are_of_their_variables_types() {
    let sample = with_values(json!([
        { "name": "pin", "secretKeyRef": { "name": "open", "key": "pin" } },
        { "name": "count", "configMapKeyRef": config_map("count") }
    ]));
    let bytes = composed(&sample, &material()).unwrap();
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.body_text(0).unwrap().trim_end(), "Ada canary-7361 6");
}

#[test]
fn what_cannot_be_had_is_told_with_the_way_out() {
    use Reason::{InvalidValues, SourceKeyMissing, SourceNotFound, SourceNotPermitted};
    let one = |name: &str, kind: &str, object: &str, key: &str| {
        with_values(json!([{ "name": name, kind: { "name": object, "key": key } }]))
    };
    let file = |kind: &str, object: &str, key: &str| {
        with(json!({ "attachments": [{ "name": "a.txt", kind: { "name": object, "key": key } }] }))
    };
    let command = "kubectl annotate secret closed -n hr mail-operator.dev/allow-values=true";
    let cases: [(Notification, Reason, bool, &[&str]); 11] = [
        (
            one("pin", "configMapKeyRef", "absent", "x"),
            SourceNotFound,
            true,
            &["message.valuesFrom[pin]", "ConfigMap absent does not exist in namespace hr"],
        ),
        (
            one("pin", "secretKeyRef", "open", "x"),
            SourceKeyMissing,
            true,
            &["Secret open in namespace hr has no key x", "it has number, pin"],
        ),
        (
            one("pin", "secretKeyRef", "closed", "x"),
            SourceNotPermitted,
            false,
            &["message.valuesFrom[pin]", command],
        ),
        (
            one("pni", "configMapKeyRef", "files", "count"),
            InvalidValues,
            false,
            &["message.valuesFrom[pni]", "did you mean pin?"],
        ),
        (
            one("name", "configMapKeyRef", "files", "count"),
            InvalidValues,
            false,
            &["message.valuesFrom[name]", "stands in message.values, too"],
        ),
        (
            one("count", "configMapKeyRef", "files", "a.txt"),
            InvalidValues,
            false,
            &["key a.txt of ConfigMap files must be a whole number"],
        ),
        (one("pin", "configMapKeyRef", "files", "bad"), InvalidValues, false, &["is not UTF-8 text"]),
        (
            file("configMapKeyRef", "absent", "x"),
            SourceNotFound,
            true,
            &["message.attachments[a.txt]", "create it, and this message goes out by itself"],
        ),
        (
            file("configMapKeyRef", "files", "x"),
            SourceKeyMissing,
            true,
            &["it has a.txt, bad, count, logo.png"],
        ),
        (file("secretKeyRef", "closed", "pin"), SourceNotPermitted, false, &[command]),
        (
            with(json!({ "attachments": [
                { "name": "a", "configMapKeyRef": { "name": "absent", "key": "a" } },
                { "name": "b", "secretKeyRef": { "name": "closed", "key": "a" } }
            ] })),
            SourceNotPermitted,
            false,
            &["message.attachments[a]", "message.attachments[b]", command],
        ),
    ];
    for (sample, reason, passes, words) in cases {
        let obstacle = composed(&sample, &material()).unwrap_err();
        let stage = if reason == InvalidValues { ConditionType::Rendered } else { ConditionType::Resolved };
        assert_eq!(
            (obstacle.stage, obstacle.reason, obstacle.passes_by_itself),
            (stage, reason, passes),
            "{}",
            obstacle.message
        );
        for word in words {
            assert!(obstacle.message.contains(word), "{word:?} is missing in: {}", obstacle.message);
        }
    }
}

/// Whatever goes wrong with a Secret's value, where it goes wrong is said and the value is not.
#[test]
fn a_secrets_value_is_never_said() {
    let mut secret =
        with_values(json!([{ "name": "count", "secretKeyRef": { "name": "open", "key": "pin" } }]));
    let obstacle = composed(&secret, &material()).unwrap_err();
    assert_eq!(obstacle.message, "message.valuesFrom[count]: key pin of Secret open must be a whole number");
    secret = with_values(json!([{ "name": "mail", "secretKeyRef": { "name": "open", "key": "pin" } }]));
    let obstacle = composed(&secret, &material()).unwrap_err();
    assert!(
        obstacle.message.ends_with("must be an e-mail address like name@corp.example"),
        "{}",
        obstacle.message
    );

    // With a value of anybody's the engine says which.
    let divided = json!({ "text": "{{ name }} {{ number // (0 if number > 4 else 1) }}" });
    let plain = json!([{ "name": "number", "configMapKeyRef": config_map("count") }]);
    let (reason, message) = failing(divided.clone(), plain);
    assert_eq!(reason, Reason::RenderFailed);
    assert!(message.contains("unable to calculate 5 // 0"), "{message}");
    for (texts, reason, place) in [
        (divided, Reason::RenderFailed, "en text, line 1"),
        (json!({ "html": "<img src=\"cid:{{ number }}\">" }), Reason::InvalidMessage, "cid: references"),
    ] {
        let secret = json!([{ "name": "number", "secretKeyRef": { "name": "open", "key": "number" } }]);
        let (found, message) = failing(texts, secret);
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(place) && !message.contains("4711"), "{message}");
    }
}

/// What stands in the way of a message with these texts and values.
fn failing(texts: Value, values_from: Value) -> (Reason, String) {
    let mut known = known();
    let variables = json!([{ "name": "name" }, { "name": "number", "type": "Integer", "required": true }]);
    let mut spec = json!({ "text": "x", "variables": variables });
    crate::domain::samples::merge(&mut spec, texts);
    add_template(&mut known, "hr", "pin", spec);
    let (sample, material) = (with_values(values_from), material());
    let prepared = prepare(&sample, &known, None, &material, at(1)).unwrap();
    assert!(!format!("{prepared:?}").contains("4711"), "what is printed of it");
    let obstacle = compose(&prepared, &prepared.recipients, true).unwrap_err();
    (obstacle.reason, obstacle.message)
}

#[test]
fn files_and_images_come_out_as_they_were() {
    let sample = with(json!({
        "content": { "subject": "Hello", "html": "<p>Hi <img src=\"cid:logo.png\"></p>" },
        "attachments": [
            { "name": "Grüße.txt", "configMapKeyRef": config_map("a.txt") },
            { "name": "logo.png", "configMapKeyRef": config_map("logo.png"), "inline": true },
            { "name": "pin.bin", "secretKeyRef": { "name": "open", "key": "pin" } }
        ]
    }));
    let bytes = composed(&sample, &material()).unwrap();
    let message = MessageParser::default().parse(&bytes).unwrap();
    let files: Vec<_> =
        message.attachments().map(|part| (part.attachment_name(), part.contents().to_vec())).collect();
    assert_eq!(
        files,
        [
            (Some("logo.png"), b"\x89PNG\r\n\0\xff".to_vec()),
            (Some("Grüße.txt"), "Grüße".into()),
            (Some("pin.bin"), b"canary-7361\n".to_vec())
        ]
    );
    let id = message.attachments().next().unwrap().content_id().unwrap().to_owned();
    assert!(message.body_html(0).unwrap().contains(&format!("<img src=\"cid:{id}\">")), "{id}");
}

#[test]
fn what_does_not_make_a_message_is_told() {
    let file = |name: &str, key: &str, more: Value| {
        let mut file = json!({ "name": name, "configMapKeyRef": config_map(key) });
        crate::domain::samples::merge(&mut file, more);
        file
    };
    for (message, reason, words) in [
        (
            json!({ "attachments": [file("a.eml", "a.txt", json!({ "contentType": "message/rfc822" }))] }),
            Reason::InvalidMessage,
            &["message.attachments[a.eml].contentType", "application/octet-stream"] as &[_],
        ),
        (
            json!({ "attachments": [file("logo.png", "logo.png", json!({ "inline": true }))] }),
            Reason::InvalidMessage,
            &["message for ada@corp.example", "message.attachments[logo.png].inline", "cid:logo.png"],
        ),
        (
            json!({ "headers": [{ "name": "Subject", "value": "x" }], "attachments": [
                file("a\u{202e}b", "a.txt", json!({}))
            ] }),
            Reason::InvalidMessage,
            &["message.headers[Subject]", "must be X-…", "].name: must be a file's name"],
        ),
        (
            json!({ "thread": "x", "headers": [{ "name": "References", "value": "<a@b.example>" }] }),
            Reason::InvalidMessage,
            &["is written by message.thread"],
        ),
    ] {
        let obstacle = composed(&with(message), &material()).unwrap_err();
        assert_eq!(obstacle.reason, reason, "{}", obstacle.message);
        for word in words {
            assert!(obstacle.message.contains(word), "{word:?} is missing in: {}", obstacle.message);
        }
    }
}

#[test]
fn a_mebibyte_fits_and_no_more() {
    let with_octets = |octets: usize| {
        let half = vec![b'x'; 512 * 1024];
        let rest = vec![b'x'; octets - half.len()];
        let files = stored(&[], &[("a", &half), ("b", &rest)]);
        let material = Material { config_maps: [("files".into(), files)].into(), ..Material::default() };
        let sample = with(json!({ "attachments": [
            { "name": "a.bin", "configMapKeyRef": config_map("a") }, { "name": "b.bin", "configMapKeyRef": config_map("b") }
        ] }));
        composed(&sample, &material)
    };
    assert!(with_octets(1024 * 1024).is_ok());
    let obstacle = with_octets(1024 * 1024 + 1).unwrap_err();
    assert_eq!((obstacle.stage, obstacle.reason), (ConditionType::Rendered, Reason::AttachmentsTooLarge));
    assert!(obstacle.message.contains("1025 KiB in all, of at most 1024 KiB: a.bin 512 KiB, b.bin 513 KiB"));
}

/// Message-IDs that a message refers to, and its text.
fn references(message: Value, server: &str) -> String {
    let mut known = known();
    crate::domain::samples::add_server(&mut known, "hr", "other", json!({}));
    let mut sample = with(message);
    sample.spec.server_ref = serde_json::from_value(json!({ "name": server })).unwrap();
    let prepared = prepare(&sample, &known, None, &Material::default(), at(1)).unwrap();
    let bytes = compose(&prepared, &prepared.recipients, true).unwrap().message.bytes;
    let text = String::from_utf8(bytes).unwrap();
    let line =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    assert_eq!(line("In-Reply-To: "), line("References: "));
    line("References: ")
}

#[test]
fn a_conversation_has_a_root_of_its_own() {
    let incident = references(json!({ "thread": "incident 7" }), "default");
    assert!(incident.starts_with("<thread.") && incident.ends_with("@corp.example>"), "{incident}");
    let other_text =
        json!({ "thread": "incident 7", "content": { "subject": "Over", "text": "It is over." } });
    assert_eq!(references(other_text, "default"), incident);
    assert_ne!(references(json!({ "thread": "incident 8" }), "default"), incident);
    assert_ne!(references(json!({ "thread": "incident 7" }), "other"), incident);
    assert_eq!(references(json!({}), "default"), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The whole way from the object, whatever it holds.
    #[test]
    fn the_same_notification_gives_the_same_bytes(
        subject in "\\PC{1,40}", html in "\\PC{0,80}", names in prop::collection::btree_set("[^/\\\\\\x00-\\x1f\\x7f]{1,40}", 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..300), thread in prop::option::of("\\PC{1,20}"), value in "\\PC{1,60}",
    ) {
        let files: Vec<_> = names.iter().map(|name| json!({ "name": name, "configMapKeyRef": config_map("x") })).collect();
        let mut message = json!({
            "content": { "subject": subject, "text": "x", "html": html }, "attachments": files,
            "headers": [{ "name": "X-Note", "value": value }]
        });
        if let Some(thread) = thread {
            message["thread"] = json!(thread);
        }
        let files = stored(&[], &[("x", &bytes)]);
        let material = Material { config_maps: [("files".into(), files)].into(), ..Material::default() };
        let first = composed(&with(message.clone()), &material).map_err(|obstacle| obstacle.message);
        let again = composed(&with(message), &material).map_err(|obstacle| obstacle.message);
        prop_assert_eq!(first, again);
    }
}
