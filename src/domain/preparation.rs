//! From a Notification to what is sent, or to what stands in the way: server, template, From and
//! values are looked up and checked, in this order. Asked when a Notification is first seen, so that
//! mistakes show at once, and again with a fresh copy when its turn comes.

use crate::api::notification::{Notification, Recipient};
use crate::api::shared::{ObjectRef, Values};
use crate::api::{ConditionType, Reason};
use crate::domain::access;
use crate::domain::address::{EmailAddress, Mailbox, sender_permitted};
use crate::domain::catalog::{Catalog, KnownTemplate};
use crate::domain::content::{self, Rendered};
use crate::domain::ledger;
use crate::domain::locale::Locale;
use crate::domain::message::{self, Message};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::problem;
use crate::domain::server::Server;
use crate::domain::status::notification::Used;
use crate::domain::template::{Context, NotificationName, Template};
use crate::domain::values;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something that keeps a Notification from being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// `Resolved` or `Rendered`.
    pub stage: ConditionType,
    /// The word.
    pub reason: Reason,
    /// The sentence, with the way out.
    pub message: String,
    /// Whether the thing that is missing is likely to appear (an object not applied yet), as opposed to a
    /// mistake that somebody has to mend. Either way the Notification goes out once it is mended.
    pub passes_by_itself: bool,
}

impl Obstacle {
    fn unresolved(reason: Reason, message: impl Into<String>) -> Self {
        Self { stage: ConditionType::Resolved, reason, message: message.into(), passes_by_itself: false }
    }

    fn not_rendered(reason: Reason, message: impl Into<String>) -> Self {
        Self { stage: ConditionType::Rendered, reason, message: message.into(), passes_by_itself: false }
    }
}

/// A Notification that can be sent.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    /// Through what.
    pub server: Arc<Server>,
    /// To whom: the recipients that are still open.
    pub recipients: Vec<&'a Recipient>,
    notification: &'a Notification,
    uid: Uid,
    from: Mailbox,
    reply_to: Option<EmailAddress>,
    template: Option<(ObjectKey, Arc<KnownTemplate>, Arc<Template>)>,
    locale: Option<Locale>,
    date: Timestamp,
}

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

/// The template a Notification asks for.
pub fn template_key(notification: &Notification) -> Option<ObjectKey> {
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    let reference = notification.spec.message.template_ref.as_ref()?;
    Some(ObjectKey::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name))
}

/// Looks up and checks everything a Notification needs. `now` only stands in for a missing creation time.
pub fn prepare<'a>(
    notification: &'a Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    now: Timestamp,
) -> Result<Prepared<'a>, Obstacle> {
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    let uid = Uid::of(notification)
        .ok_or_else(|| Obstacle::unresolved(Reason::Undecodable, "the object has no uid"))?;
    let server = find_server(notification, catalog, default_server, namespace)?;
    let template = find_template(notification, catalog, namespace)?;
    let (from, reply_to) = sender(notification, &server)?;
    let locale = locale("message.locale", notification.spec.message.locale.as_deref())?;
    let prepared = Prepared {
        recipients: ledger::open_recipients(notification),
        notification,
        uid,
        from,
        reply_to,
        template,
        locale,
        date: ledger::window(notification, now).from,
        server,
    };
    prepared.check_values()?;
    Ok(prepared)
}

fn find_server(
    notification: &Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    namespace: &str,
) -> Result<Arc<Server>, Obstacle> {
    let key = server_key(notification, default_server, catalog);
    let Some(known) = catalog.servers.get(&key) else {
        let hint = match (&notification.spec.server_ref, default_server) {
            (Some(_), _) => "create it, and this message goes out by itself".into(),
            (None, Some(default)) => format!("create it, or the operator's default server {default}"),
            (None, None) => "create it, or name another one in spec.serverRef".into(),
        };
        let message = format!("MailServerConfig {key} does not exist: {hint}");
        return Err(Obstacle { passes_by_itself: true, ..Obstacle::unresolved(Reason::ServerNotFound, message) });
    };
    let server = known.as_ref().map_err(|problems| {
        let message = format!("MailServerConfig {key} cannot be used: {}", problem::summary(problems));
        Obstacle::unresolved(Reason::InvalidSpec, message)
    })?;
    if !access::permits(&server.access, &key.namespace, namespace, catalog.namespaces.get(namespace)) {
        let message = access::remedy("MailServerConfig", &key.name, &key.namespace, namespace);
        return Err(Obstacle::unresolved(Reason::ServerNotPermitted, message));
    }
    Ok(server.clone())
}

fn find_template(
    notification: &Notification,
    catalog: &Catalog,
    namespace: &str,
) -> Result<Option<(ObjectKey, Arc<KnownTemplate>, Arc<Template>)>, Obstacle> {
    let Some(key) = template_key(notification) else { return Ok(None) };
    let Some(known) = catalog.templates.get(&key) else {
        let message = format!("MessageTemplate {key} does not exist: create it, and this message goes out by itself");
        return Err(Obstacle { passes_by_itself: true, ..Obstacle::unresolved(Reason::TemplateNotFound, message) });
    };
    if !access::permits(&known.access, &key.namespace, namespace, catalog.namespaces.get(namespace)) {
        let message = access::remedy("MessageTemplate", &key.name, &key.namespace, namespace);
        return Err(Obstacle::unresolved(Reason::TemplateNotPermitted, message));
    }
    match &known.template {
        Ok(template) => Ok(Some((key, known.clone(), template.clone()))),
        Err(problems) => {
            let message = format!("MessageTemplate {key} cannot be used: {}", problem::summary(problems));
            Err(Obstacle::unresolved(Reason::TemplateInvalid, message))
        }
    }
}

/// From and Reply-To, if the server permits them.
fn sender(notification: &Notification, server: &Server) -> Result<(Mailbox, Option<EmailAddress>), Obstacle> {
    let message = &notification.spec.message;
    let invalid = |problem: String| Obstacle::not_rendered(Reason::InvalidMessage, problem);
    let reply_to = match &message.reply_to {
        None => server.reply_to.clone(),
        Some(address) => {
            Some(EmailAddress::parse(address).map_err(|problem| invalid(format!("message.replyTo: {problem}")))?)
        }
    };
    let Some(from) = &message.from else { return Ok((server.sender.clone(), reply_to)) };
    let from = Mailbox::parse(&from.address, from.display_name.as_deref())
        .map_err(|(field, problem)| invalid(format!("message.from.{field}: {problem}")))?;
    if sender_permitted(from.address(), server.sender.address(), &server.senders) {
        return Ok((from, reply_to));
    }
    Err(Obstacle::unresolved(
        Reason::FromNotPermitted,
        format!(
            "message.from: MailServerConfig {} does not permit {}: leave message.from out, or its owner adds the \
             address (or *@{}) to access.senders",
            server.key,
            from.address(),
            from.address().domain()
        ),
    ))
}

fn locale(field: &str, tag: Option<&str>) -> Result<Option<Locale>, Obstacle> {
    tag.map(Locale::parse)
        .transpose()
        .map_err(|problem| Obstacle::not_rendered(Reason::InvalidMessage, format!("{field}: {problem}")))
}

/// A message for one recipient, with its identity.
#[derive(Debug)]
pub struct Composed {
    /// The bytes and the envelope.
    pub message: Message,
    /// `<…@…>`.
    pub message_id: String,
    /// Language of the texts.
    pub locale: Option<String>,
}

impl Prepared<'_> {
    /// What the status says was used.
    pub fn used(&self) -> Used {
        let locales: BTreeSet<_> = match &self.template {
            None => BTreeSet::new(),
            Some((.., template)) => self
                .recipients
                .iter()
                .map(|recipient| {
                    let own = recipient.locale.as_deref().and_then(|tag| Locale::parse(tag).ok());
                    template.locale_for(own.as_ref().or(self.locale.as_ref())).as_str().to_owned()
                })
                .collect(),
        };
        Used {
            server: Some(self.server.key.clone()),
            template: self.template.as_ref().map(|(key, known, _)| (key.clone(), known.generation)),
            locales: locales.into_iter().collect(),
        }
    }

    /// Values of every recipient against the variables, all mistakes at once; and one message built for
    /// the first recipient, so that what the values do not show is found before the turn comes.
    fn check_values(&self) -> Result<(), Obstacle> {
        if let Some((_, _, template)) = &self.template {
            let common = self.notification.spec.message.values.as_ref();
            let problems = values::check(template.variables(), common, &self.notification.spec.to);
            if !problems.is_empty() {
                return Err(Obstacle::not_rendered(Reason::InvalidValues, problem::summary(&problems)));
            }
        }
        match self.recipients.first() {
            Some(first) => self.compose(first).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Builds the message for one recipient. The same Notification gives the same bytes each time.
    pub fn compose(&self, recipient: &Recipient) -> Result<Composed, Obstacle> {
        let invalid = |problem: String| Obstacle::not_rendered(Reason::InvalidMessage, problem);
        let to = Mailbox::parse(&recipient.address, recipient.display_name.as_deref())
            .map_err(|(field, problem)| invalid(format!("to[{}].{field}: {problem}", recipient.address)))?;
        let (rendered, locale) = self.render(recipient, &to)?;
        let message_id =
            message::message_id(&self.uid.0, to.address().as_str(), self.from.address().domain());
        let message = message::build(&message::Parts {
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            to: &to,
            rendered: &rendered,
            date: self.date,
            message_id: &message_id,
            uid: &self.uid.0,
        })
        .map_err(|problem| invalid(problem.to_string()))?;
        Ok(Composed { message, message_id, locale })
    }

    fn render(&self, recipient: &Recipient, to: &Mailbox) -> Result<(Rendered, Option<String>), Obstacle> {
        let spec = &self.notification.spec;
        let Some((key, _, template)) = &self.template else {
            let Some(content) = &spec.message.content else {
                return Err(Obstacle::not_rendered(Reason::InvalidMessage, "message: set templateRef or content"));
            };
            let rendered = content::from_literal(content)
                .map_err(|problems| Obstacle::not_rendered(Reason::InvalidMessage, problem::summary(&problems)))?;
            return Ok((rendered, None));
        };
        let own = locale("to[].locale", recipient.locale.as_deref())?;
        let locale = template.locale_for(own.as_ref().or(self.locale.as_ref()));
        let none = Values::new();
        let values = values::merge(
            template.variables(),
            spec.message.values.as_ref().unwrap_or(&none),
            recipient.values.as_ref().unwrap_or(&none),
        );
        let metadata = &self.notification.metadata;
        let context = Context {
            values,
            recipient: to,
            sender: &self.from,
            notification: NotificationName {
                name: metadata.name.as_deref().unwrap_or_default(),
                namespace: metadata.namespace.as_deref().unwrap_or_default(),
            },
        };
        let rendered = template.render(locale, &context).map_err(|problem| {
            let message = format!("MessageTemplate {key} for {}: {problem}", recipient.address);
            Obstacle::not_rendered(Reason::RenderFailed, message)
        })?;
        Ok((rendered, Some(locale.as_str().to_owned())))
    }
}
