//! The mail server and the template that a Notification names: whether they exist, admit its namespace and can be used.

use super::Obstacle;
use crate::api::Reason;
use crate::api::notification::Notification;
use crate::api::shared::ObjectRef;
use crate::domain::access;
use crate::domain::catalog::Catalog;
use crate::domain::likeness::nearest;
use crate::domain::lookup::{Found, Source};
use crate::domain::object::ObjectKey;
use crate::domain::problem;
use crate::domain::server::Server;
use std::sync::Arc;

/// The server a Notification asks for, without regard to whether it exists.
pub fn server_key(notification: &Notification, default: Option<&ObjectKey>, catalog: &Catalog) -> ObjectKey {
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(ObjectRef { name, namespace: other }) = &notification.spec.server_ref {
        return ObjectKey::new(other.as_deref().unwrap_or(namespace), name);
    }
    let own = ObjectKey::new(namespace, "default");
    match default {
        Some(default) if !catalog.servers.contains_key(&own) => default.clone(),
        _ => own,
    }
}

/// Where the template that a Notification asks for is looked for, in this order.
pub fn template_places(notification: &Notification, catalog: &Catalog) -> Vec<Source> {
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    match &notification.spec.message.template_ref {
        None => Vec::new(),
        Some(ObjectRef { name, namespace: Some(other) }) => vec![Source::object(other, name)],
        Some(ObjectRef { name, namespace: None }) => catalog.places(namespace, name),
    }
}

/// The server, if it is fit for use and may be used from `namespace`.
pub(super) fn server(
    notification: &Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    namespace: &str,
) -> Result<Arc<Server>, Obstacle> {
    let key = server_key(notification, default_server, catalog);
    if let Some(ObjectRef { namespace: Some(other), .. }) = &notification.spec.server_ref {
        stays(catalog, other, namespace, Reason::ServerNotPermitted, "spec.serverRef.namespace")?;
    }
    let known = catalog.servers.get(&key);
    if *key.namespace != *namespace {
        let admits = |server: &&Arc<Server>| {
            access::permits(&server.access, &key.namespace, namespace, catalog.namespaces.get(namespace))
        };
        let admitting = known.and_then(|known| known.as_ref().ok()).filter(admits);
        // The operator's default: the namespace may have its own.
        let own = match notification.spec.server_ref {
            Some(_) => String::new(),
            None => format!("; or create MailServerConfig {namespace}/default"),
        };
        return admitting.cloned().ok_or_else(|| {
            not_permitted(Reason::ServerNotPermitted, "MailServerConfig", &key, namespace, &own)
        });
    }
    let Some(known) = known else {
        let hint = match &notification.spec.server_ref {
            Some(_) => "create it, and this message goes out by itself",
            None => "create it, or name another one in spec.serverRef",
        };
        let alike = alike(&key, namespace, catalog.servers.keys());
        let message = format!("MailServerConfig {key} does not exist: {hint}{alike}");
        return Err(Obstacle {
            passes_by_itself: true,
            ..Obstacle::unresolved(Reason::ServerNotFound, message)
        });
    };
    known.clone().map_err(|problems| {
        let message = format!("MailServerConfig {key} cannot be used: {}", problem::summary(&problems));
        Obstacle::unresolved(Reason::InvalidSpec, message)
    })
}

/// The one answer about an object of another namespace that cannot be used from here, so that nobody learns from us what
/// there is where he may not look. It may come to exist, or to admit us, and then the message goes out by itself.
fn not_permitted(reason: Reason, kind: &str, key: &ObjectKey, namespace: &str, hint: &str) -> Obstacle {
    let remedy = access::remedy(namespace);
    let message = format!(
        "{kind} {key} does not exist, cannot be used, or does not admit namespace {namespace}; only those who may look \
         there can tell. Its owner can create it and set {remedy}{hint}"
    );
    Obstacle { passes_by_itself: true, ..Obstacle::unresolved(reason, message) }
}

/// Whether the operator lets Notifications of `namespace` name objects of `other`. Asked before anything is looked for.
fn stays(
    catalog: &Catalog,
    other: &str,
    namespace: &str,
    reason: Reason,
    field: &str,
) -> Result<(), Obstacle> {
    if other == namespace || !catalog.own_namespace_only {
        return Ok(());
    }
    let message = format!(
        "{field}: this operator permits no references to other namespaces (--no-cross-namespace-refs); create another \
         Notification that names one of namespace {namespace}, or none"
    );
    Err(Obstacle::unresolved(reason, message))
}

/// A name that was likely meant. Only of the Notification's own namespace: names of other namespaces are
/// nobody's business here.
fn alike<'a>(wanted: &ObjectKey, namespace: &str, known: impl Iterator<Item = &'a ObjectKey>) -> String {
    let own = known.filter(|key| *key.namespace == *namespace && wanted.namespace == key.namespace);
    nearest(&wanted.name, own.map(|key| &*key.name))
        .map(|name| format!(" (did you mean {name}? Then create another Notification)"))
        .unwrap_or_default()
}

/// The template that a reference means, if it may be used from `namespace`.
pub(super) fn template(reference: &ObjectRef, catalog: &Catalog, namespace: &str) -> Result<Found, Obstacle> {
    let ObjectRef { name, namespace: other } = reference;
    let Some(other) = other else {
        return catalog.look_up(namespace, name).ok_or_else(|| {
            let key = ObjectKey::new(namespace, name);
            let operator = catalog.operator_namespace();
            let elsewhere = if operator == namespace || operator.is_empty() {
                String::new()
            } else {
                format!(", the operator's namespace {operator} has none that admits this one")
            };
            let hint = "create it, and this message goes out by itself";
            let alike = alike(&key, namespace, known_names(catalog, namespace).iter());
            let message = format!(
                "MessageTemplate {key} does not exist{elsewhere}, and no standard message is called {name}: {hint}{alike}"
            );
            absent_template(message)
        });
    };
    stays(catalog, other, namespace, Reason::TemplateNotPermitted, "spec.message.templateRef.namespace")?;
    let source = Source::object(other, name);
    let known = catalog.template(&source).filter(|known| catalog.admits(&source, known, namespace));
    if let Some(known) = known {
        return Ok((source, known.clone()));
    }
    let key = ObjectKey::new(other, name);
    let standard = if catalog.is_standard(name) {
        format!("leave templateRef.namespace out for the standard message {name}")
    } else {
        String::new()
    };
    if other != namespace {
        let hint = if standard.is_empty() { standard } else { format!("; or {standard}") };
        return Err(not_permitted(Reason::TemplateNotPermitted, "MessageTemplate", &key, namespace, &hint));
    }
    let hint = if standard.is_empty() {
        "create it, and this message goes out by itself".into()
    } else {
        format!("{standard}, or create it")
    };
    let alike = alike(&key, namespace, known_names(catalog, namespace).iter());
    Err(absent_template(format!("MessageTemplate {source} does not exist: {hint}{alike}")))
}

fn absent_template(message: String) -> Obstacle {
    Obstacle { passes_by_itself: true, ..Obstacle::unresolved(Reason::TemplateNotFound, message) }
}

/// The names that could have been meant in `namespace`: its own templates' and the standard messages'.
fn known_names(catalog: &Catalog, namespace: &str) -> Vec<ObjectKey> {
    let keys = catalog.templates().filter_map(|(source, _)| match source {
        Source::Object(key) => (*key.namespace == *namespace).then(|| key.clone()),
        Source::BuiltIn(name) => Some(ObjectKey::new(namespace, name)),
    });
    keys.collect()
}
