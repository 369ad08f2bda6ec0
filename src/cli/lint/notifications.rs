//! Notifications, prepared and composed as the operator does it, with the servers, templates, ConfigMaps and Secrets
//! among the files. For what is not among them something stands in that permits everything, so that the rest is judged.

use crate::api::Reason;
use crate::api::mail_server_config::MailServerConfig;
use crate::api::notification::{Content as Literal, Notification};
use crate::api::shared::Values;
use crate::cli::evaluation;
use crate::cli::failure::Failure;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::judgement::{self, Bench};
use crate::cli::lint::place;
use crate::cli::lint::servers;
use crate::cli::lint::set::Manifest;
use crate::domain::catalog::{Catalog, KnownTemplate};
use crate::domain::ledger;
use crate::domain::locale::Locale;
use crate::domain::lookup::Source;
use crate::domain::material::{Material, Needs};
use crate::domain::object::ObjectKey;
use crate::domain::preparation::{self, Obstacle};
use crate::domain::problem::Problem;
use crate::domain::recipients;
use crate::domain::server::Server;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// How many recipients are composed for; of the others address and language are read. What differs between recipients
/// is their language and values, and nobody reads the same finding a thousand times.
const COMPOSED: usize = 20;

/// Checks a Notification. `catalog` holds what is among the files; what it lacks is put there meanwhile.
pub async fn check(
    bench: &Bench<'_>,
    catalog: &mut Catalog,
    manifest: &Manifest,
    json: &Json,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let Some(mut notification) = judgement::as_stored::<Notification>(manifest, json, bench.now) else {
        return Ok(());
    };
    expired(bench, manifest, &notification, found);
    let server = preparation::server_key(&notification, None, catalog);
    let usable = matches!(catalog.servers.get(&server), Some(Ok(_)));
    if !catalog.servers.contains_key(&server) && notification.spec.server_ref.is_some() {
        found.extend(bench.missing(manifest, "serverRef.name", "MailServerConfig", &server));
    }
    let before = (!usable).then(|| stand_in(&server, &notification)).flatten();
    let before = before.map(|stand_in| catalog.servers.insert(server.clone(), Ok(Arc::new(stand_in))));
    let material = material(bench, manifest, catalog, &mut notification, found);
    likely_doubles(bench, manifest, &notification, found);
    template(bench, manifest, catalog, &mut notification, found);
    values(bench, manifest, catalog, &mut notification, found);
    prepare(bench, manifest, catalog, &notification, &material, found).await?;
    match before {
        Some(Some(before)) => drop(catalog.servers.insert(server, before)),
        Some(None) => drop(catalog.servers.remove(&server)),
        None => {}
    }
    Ok(())
}

fn expired(bench: &Bench<'_>, manifest: &Manifest, notification: &Notification, found: &mut Vec<Diagnostic>) {
    let window = ledger::window(notification, bench.now);
    if window.until <= bench.now {
        let message =
            format!("sendAt and expireAfter end at {}, which is over: it would never be sent", window.until);
        let problem = bench.at_field(manifest, Code::AlreadyExpired, "delivery.sendAt", &message);
        found.push(Diagnostic { severity: crate::cli::lint::Severity::Warning, ..problem });
    }
}

/// Addresses that mean one person, likely.
fn likely_doubles(
    bench: &Bench<'_>,
    manifest: &Manifest,
    notification: &Notification,
    found: &mut Vec<Diagnostic>,
) {
    for (first, again) in recipients::likely_doubles(&notification.spec) {
        let message = format!(
            "differs from {first} in the case of letters alone: likely one person, who gets the message twice"
        );
        let problem = bench.at_field(manifest, Code::LikelyDouble, &format!("{again}.address"), &message);
        found.push(Diagnostic { severity: crate::cli::lint::Severity::Warning, ..problem });
    }
}

/// A server that permits everything.
fn stand_in(key: &ObjectKey, notification: &Notification) -> Option<Server> {
    let from = notification.spec.message.from.as_ref();
    let domain = from.and_then(|from| Some(from.address.rsplit_once('@')?.1.to_owned()));
    let senders: Vec<_> = domain.iter().map(|domain| format!("*@{domain}")).collect();
    let config: MailServerConfig = serde_json::from_value(json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
        "metadata": { "namespace": *key.namespace, "name": *key.name, "uid": "lint" },
        "spec": {
            "host": "mail.example", "sender": { "address": "sender@mail.example" },
            "access": {
                "namespaces": { "from": "All" }, "senders": senders, "displayNames": "Any", "headers": ["X-*"]
            }
        }
    }))
    .ok()?;
    Server::from_config(&config).ok()
}

/// What is among the files of the ConfigMaps and Secrets; values and files from others are taken out, and the values
/// replaced by examples.
fn material(
    bench: &Bench<'_>,
    manifest: &Manifest,
    catalog: &Catalog,
    notification: &mut Notification,
    found: &mut Vec<Diagnostic>,
) -> Material {
    let namespace = manifest.object.key.namespace.clone();
    let mut material = Material::default();
    let needs = Needs::of(notification);
    for (kind, names, objects) in [
        ("ConfigMap", &needs.config_maps, &bench.set.config_maps),
        ("Secret", &needs.secrets, &bench.set.secrets),
    ] {
        for name in names {
            let key = ObjectKey::new(&namespace, name);
            let Some(object) = objects.get(&key) else {
                found.extend(bench.missing(manifest, &servers::field_of(manifest, kind, name), kind, &key));
                continue;
            };
            let stored = judgement::stored(object);
            match kind {
                "Secret" => drop(material.secrets.insert((*name).to_owned(), stored)),
                _ => drop(material.config_maps.insert((*name).to_owned(), stored)),
            }
        }
    }
    let variables = known(catalog, notification);
    let message = &mut notification.spec.message;
    let here = |secret: Option<&str>, map: Option<&str>| {
        secret.is_none_or(|name| material.secrets.contains_key(name))
            && map.is_none_or(|name| material.config_maps.contains_key(name))
    };
    message.attachments.retain(|file| {
        here(
            file.secret_key_ref.as_ref().map(|reference| reference.name.as_str()),
            file.config_map_key_ref.as_ref().map(|reference| reference.name.as_str()),
        )
    });
    let (kept, gone): (Vec<_>, Vec<_>) = message.values_from.drain(..).partition(|from| {
        here(
            from.secret_key_ref.as_ref().map(|reference| reference.name.as_str()),
            from.config_map_key_ref.as_ref().map(|reference| reference.name.as_str()),
        )
    });
    message.values_from = kept;
    for from in gone {
        let example = variables.as_ref().and_then(|known| example(known, &from.name));
        message.values.get_or_insert_default().entry(from.name).or_insert(example.unwrap_or(Json::Null));
    }
    material
}

/// The template that a Notification names, if it is among the files or a standard message.
fn known(catalog: &Catalog, notification: &Notification) -> Option<Arc<KnownTemplate>> {
    let reference = notification.spec.message.template_ref.as_ref()?;
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    match &reference.namespace {
        Some(other) => catalog.template(&Source::object(other, &reference.name)).cloned(),
        None => catalog.look_up(namespace, &reference.name).map(|(_, known)| known),
    }
}

/// Something that a variable takes.
fn example(template: &KnownTemplate, name: &str) -> Option<Json> {
    use crate::api::message_template::VariableType as Type;
    let variable = template.spec.variables.iter().find(|variable| variable.name == name)?;
    let given = variable.example.clone().or(variable.default.clone());
    Some(given.unwrap_or_else(|| match variable.type_ {
        Type::String => "text".into(),
        Type::Integer | Type::Number => 1.into(),
        Type::Boolean => true.into(),
        Type::URL => "https://corp.example/".into(),
        Type::Email => "name@corp.example".into(),
        Type::Date => "2026-11-24".into(),
        Type::List => json!([]),
        Type::Object => json!({}),
    }))
}

/// Without its template, if that is not among the files or does not compile: the rest can still be judged.
fn template(
    bench: &Bench<'_>,
    manifest: &Manifest,
    catalog: &Catalog,
    notification: &mut Notification,
    found: &mut Vec<Diagnostic>,
) {
    let Some(reference) = &notification.spec.message.template_ref else { return };
    let namespace = reference.namespace.as_deref().unwrap_or(&manifest.object.key.namespace);
    let key = ObjectKey::new(namespace, &reference.name);
    let known = known(catalog, notification);
    if known.is_none() {
        found.extend(bench.missing(manifest, "message.templateRef.name", "MessageTemplate", &key));
    }
    if known.is_none_or(|known| known.template().is_none()) {
        let message = &mut notification.spec.message;
        message.template_ref = None;
        message.values = None;
        message.values_from.clear();
        message.content = Some(Literal { subject: "x".into(), text: Some("x".into()), html: None });
        notification.spec.to.iter_mut().for_each(|recipient| recipient.values = None);
    }
}

/// Everything that is wrong with the values, each where it stands. If anything is, examples take their place.
fn values(
    bench: &Bench<'_>,
    manifest: &Manifest,
    catalog: &Catalog,
    notification: &mut Notification,
    found: &mut Vec<Diagnostic>,
) {
    let Some(known) = known(catalog, notification) else { return };
    let Some(template) = known.template() else { return };
    // Those that come from elsewhere are judged with what is there, by the operator's own steps below.
    let mut common = notification.spec.message.values.clone();
    for from in &notification.spec.message.values_from {
        if let Some(example) = example(&known, &from.name) {
            common.get_or_insert_default().entry(from.name.clone()).or_insert(example);
        }
    }
    let own: Vec<(&str, Option<&Values>)> = (notification.spec.to.iter())
        .map(|recipient| (recipient.address.as_str(), recipient.values.as_ref()))
        .collect();
    let Err(problems) = template.variables().check(common.as_ref(), &own) else { return };
    let code = Code::Operator(Reason::InvalidValues);
    for Problem { field, message } in &problems {
        let mut problem = bench.at_field(manifest, code, field, message);
        if message.starts_with("is missing") {
            let name = field.rsplit('.').next().unwrap_or_default();
            problem.message = format!("{name} {message}");
        } else if message.starts_with("is unknown") {
            let name = field.rsplit('.').next().unwrap_or_default();
            problem.message = format!("{name} {message}");
            point_at_key(manifest, &mut problem);
        }
        found.push(problem);
    }
    let examples = known
        .spec
        .variables
        .iter()
        .filter_map(|variable| Some((variable.name.clone(), example(&known, &variable.name)?)));
    notification.spec.message.values = Some(examples.collect());
    notification.spec.message.values_from.clear();
    notification.spec.to.iter_mut().for_each(|recipient| recipient.values = None);
}

fn point_at_key(manifest: &Manifest, problem: &mut Diagnostic) {
    let Some(field) = &problem.field else { return };
    let place = place::find(&manifest.object.root, &place::steps(field));
    if let (Some(key), true) = (place.key, place.complete) {
        problem.span = key.clone();
    }
}

async fn prepare(
    bench: &Bench<'_>,
    manifest: &Manifest,
    catalog: &Catalog,
    notification: &Notification,
    material: &Material,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let mut told: Vec<String> = Vec::new();
    let mut tell = |stage: Reason, sentences: &str| {
        for sentence in sentences_of(sentences) {
            if !told.contains(&sentence) {
                found.push(shown(bench, manifest, stage, &sentence));
                told.push(sentence);
            }
        }
    };
    let prepared = match preparation::prepare(notification, catalog, None, material, bench.now) {
        Ok(prepared) => prepared,
        Err(Obstacle { reason, message, .. }) => {
            tell(reason, &message);
            return Ok(());
        }
    };
    if prepared.is_shared() {
        let composed = evaluation::compose(bench.evaluator, &prepared, &prepared.recipients, true).await?;
        if let Err(Obstacle { reason, message, .. }) = composed {
            tell(reason, &message);
        }
        return Ok(());
    }
    for (at, recipient) in prepared.recipients.iter().enumerate() {
        if at < COMPOSED || recipient.locale.is_some() && at < COMPOSED * 5 {
            let parcel = std::slice::from_ref(recipient);
            let composed = evaluation::compose(bench.evaluator, &prepared, parcel, true).await?;
            if let Err(Obstacle { reason, message, .. }) = composed {
                tell(reason, &message);
                if matches!(reason, Reason::TimeLimitExceeded | Reason::MemoryLimitExceeded) {
                    // The others would take as long.
                    return Ok(());
                }
            }
            continue;
        }
        if let Err(message) = recipient.mailbox() {
            tell(Reason::InvalidMessage, &message);
        }
        if let Some(Err(problem)) = recipient.locale.map(Locale::parse) {
            tell(Reason::InvalidMessage, &format!("{recipient}.locale: {problem}"));
        }
    }
    Ok(())
}

/// What an obstacle says of each field: several sentences are joined by `; `, and each begins with its field.
fn sentences_of(text: &str) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for piece in text.split("; ") {
        match sentences.last_mut() {
            Some(before) if field_of(piece).is_none() => before.extend(["; ", piece]),
            _ => sentences.push(piece.to_owned()),
        }
    }
    sentences
}

/// The field that a sentence begins with, and the rest of it.
fn field_of(sentence: &str) -> Option<(&str, &str)> {
    let roots = ["message.", "message[", "message:", "to[", "cc[", "bcc["];
    roots.iter().find(|root| sentence.starts_with(*root))?;
    let mut depth = 0_usize;
    for (at, character) in sentence.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return Some((sentence.get(..at)?, sentence.get(at + 1..)?.trim_start())),
            // Then the field is a part of the sentence.
            ' ' if depth == 0 => return Some((sentence.get(..at)?, sentence)),
            _ => {}
        }
    }
    None
}

/// A sentence where it belongs.
fn shown(bench: &Bench<'_>, manifest: &Manifest, reason: Reason, sentence: &str) -> Diagnostic {
    let code = Code::Operator(reason);
    if let Some((field, message)) = field_of(sentence) {
        // What is said of From as a whole is said of the address.
        let field = if field == "message.from" { "message.from.address" } else { field };
        return bench.at_field(manifest, code, field, message);
    }
    let field = match reason {
        Reason::ServerNotPermitted | Reason::ServerNotFound => "serverRef",
        Reason::TemplateNotPermitted
        | Reason::TemplateNotFound
        | Reason::TemplateInvalid
        | Reason::RenderFailed => "message.templateRef",
        _ => "message",
    };
    bench.at_field(manifest, code, field, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_with_their_fields() {
        let text =
            "message.attachments[a b.pdf]: is missing; create it; to[ada@corp.example].address: is wrong";
        let sentences = sentences_of(text);
        let parts: Vec<_> = sentences.iter().filter_map(|sentence| field_of(sentence)).collect();
        assert_eq!(
            parts,
            [
                ("message.attachments[a b.pdf]", "is missing; create it"),
                ("to[ada@corp.example].address", "is wrong")
            ]
        );
        assert_eq!(field_of("the MailServerConfig: x"), None);
        assert_eq!(field_of("to[a] and cc[b] are the same"), Some(("to[a]", "to[a] and cc[b] are the same")));
    }
}
