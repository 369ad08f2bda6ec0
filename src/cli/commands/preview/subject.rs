//! What is previewed: found in the cluster, in a file, or among the standard messages; then every page of it.

use super::file::File;
use super::page::Page;
use super::{Preview, read};
use crate::api::{ConditionType, MailServerConfig, Notification, Reason};
use crate::cli::evaluation::{self, check_all};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::cli::problems;
use crate::cli::world::World;
use crate::domain::address::Mailbox;
use crate::domain::evaluation::{Answer, Limit, Overrun, Question, Rendering};
use crate::domain::failure::Failure as Refusal;
use crate::domain::locale::Locale;
use crate::domain::lookup::Found;
use crate::domain::material::{Material, Needs};
use crate::domain::preparation::{self, Obstacle, Prepared};
use crate::domain::problem;
use crate::domain::recipients::Addressee;
use crate::domain::standard;
use crate::domain::template::{About, Template};
use crate::evaluation::Unanswered;
use jiff::Timestamp;
use kube::ResourceExt;

/// What somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A template, or a standard message.
    Template(String),
    /// A Notification.
    Notification(String),
}

/// `NAME`, `template/NAME` or `notification/NAME`, with the names that kubectl has for the kinds.
pub fn target(text: &str) -> Result<Target, String> {
    let (kind, name) = text.split_once('/').unwrap_or(("template", text));
    let kind = kind.strip_suffix(".mail-operator.dev").unwrap_or(kind).to_ascii_lowercase();
    match kind.as_str() {
        _ if name.is_empty() || name.contains('/') => {
            Err("must be NAME, template/NAME or notification/NAME".into())
        }
        "template" | "templates" | "messagetemplate" | "messagetemplates" | "mt" => {
            Ok(Target::Template(name.into()))
        }
        "notification" | "notifications" | "notif" => Ok(Target::Notification(name.into())),
        _ => Err(format!("{kind} has no preview: template/NAME or notification/NAME")),
    }
}

/// Who a message comes from, where no mail server is known that would say so.
const STAND_IN: &str = "sender@corp.example";

impl Preview {
    /// Every page; `None`: mistakes stand in the way, and have been told.
    pub(super) async fn pages(&self, flags: &Flags) -> Result<Option<Vec<Page>>, Failure> {
        if let Some(path) = &self.file {
            let file = File::read(&read("--file", path)?, flags)?;
            return self.pages_of_file(file, flags).await;
        }
        match &self.what {
            Some(Target::Notification(name)) => {
                if self.builtin {
                    return Err(Failure::new(
                        Exit::Usage,
                        "--builtin is about standard messages, not Notifications",
                    ));
                }
                let mut world = World::open(flags).await?;
                let Some(cluster) = &world.cluster else { return Ok(None) };
                let notification = as_new(cluster.get(name).await?);
                let client = cluster.client.clone();
                let reader = crate::cluster::Cluster::new(client, &cluster.operator_namespace, 1);
                let material = reader.material(&world.namespace, &Needs::of(&notification)).await;
                let material = material.map_err(|error| {
                    Failure::new(
                        Exit::Cluster,
                        format!(
                            "what the Notification takes values and attachments from cannot be read: {error}"
                        ),
                    )
                })?;
                world.read_servers(&notification).await?;
                self.of_notification(&mut world, notification, &material).await
            }
            Some(Target::Template(name)) => {
                let world = if self.builtin {
                    World::built_in(flags).await?
                } else {
                    World::open_or_built_in(flags, standard::find(name).is_some()).await?
                };
                self.of_template(&world, &world.template(name)?).await
            }
            None => Ok(None),
        }
    }

    async fn pages_of_file(&self, file: File, flags: &Flags) -> Result<Option<Vec<Page>>, Failure> {
        let mut world = World::built_in(flags).await?;
        file.add_to(&mut world);
        check_all(&world.evaluator, &mut world.catalog).await?;
        if file.lacks(&world) {
            // The rest may be in the cluster; what is in the file goes before it.
            match World::open(flags).await {
                Ok(mut wider) => {
                    for notification in &file.notifications {
                        wider.read_servers(notification).await?;
                    }
                    file.add_to(&mut wider);
                    check_all(&wider.evaluator, &mut wider.catalog).await?;
                    world = wider;
                }
                Err(failure) => {
                    output::note(&format!("what the file does not hold is not known: {}", failure.message));
                }
            }
        }
        let wanted = |target: Target| self.what.as_ref().is_none_or(|what| *what == target);
        let mut pages = Vec::new();
        let mut good = true;
        let mut take = |found: Option<Vec<Page>>| match found {
            Some(found) => pages.extend(found),
            None => good = false,
        };
        for notification in &file.notifications {
            if wanted(Target::Notification(notification.name_any())) {
                take(self.of_notification(&mut world, notification.clone(), &file.material).await?);
            }
        }
        for template in &file.templates {
            let name = template.name_any();
            let asked = self.what.is_some() || file.notifications.is_empty();
            if asked && wanted(Target::Template(name.clone())) {
                let found = world.template(&name)?;
                take(self.of_template(&world, &found).await?);
            }
        }
        if pages.is_empty() && good {
            return Err(Failure::new(Exit::Failed, "the file holds no such Notification or MessageTemplate"));
        }
        Ok(good.then_some(pages))
    }

    async fn of_template(
        &self,
        world: &World,
        (source, known): &Found,
    ) -> Result<Option<Vec<Page>>, Failure> {
        let title = source.to_string();
        let Some(template) = known.template() else {
            problems::tell(&title, known.problems(), &known.spec, &world.catalog);
            return Ok(None);
        };
        let mut given = self.given()?;
        for (name, text) in &self.values {
            given.insert(name.clone(), template.variables().read(name, text));
        }
        let values = match template.variables().sample(&given) {
            Ok(values) => values,
            Err(found) => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the values do not fit: {}", problem::summary(&found)),
                )
                .next(format!("kubectl mail templates {} shows what it takes", source.name())));
            }
        };
        let recipient = mailbox("--recipient", self.recipient.as_deref().unwrap_or("name@corp.example"))?;
        let sender = mailbox("sender", STAND_IN)?;
        let mut pages = Vec::new();
        for locale in self.locales(Some(template))? {
            let about = About {
                recipient: &recipient,
                sender: &sender,
                name: "preview",
                namespace: &world.namespace,
            };
            let question = Question::Render(Box::new(Rendering {
                template: template.id(),
                sources: Some(template.sources().clone()),
                locales: locale.into_iter().collect(),
                values: values.clone(),
                names: (&about).into(),
            }));
            let found = match world.evaluator.ask(&world.namespace, &question).await {
                Ok(Answer::Rendered(rendered)) => *rendered,
                Ok(_) => Err(Overrun { limit: Limit::Crash, stage: None }.of_template()),
                Err(Unanswered::Overrun(overrun)) => Err(overrun.of_template()),
                Err(unanswered) => return Err(evaluation::failure(&unanswered)),
            };
            match found {
                Ok(rendered) => {
                    pages.push(Page::of_template(title.clone(), rendered.locale.as_str(), &rendered.content));
                }
                Err(found) => {
                    problems::tell(&title, &[found], &known.spec, &world.catalog);
                    return Ok(None);
                }
            }
        }
        Ok(Some(pages))
    }

    async fn of_notification(
        &self,
        world: &mut World,
        mut notification: Notification,
        material: &Material,
    ) -> Result<Option<Vec<Page>>, Failure> {
        stand_in(world, &notification)?;
        let title = format!(
            "Notification {}/{}",
            notification.namespace().unwrap_or_default(),
            notification.name_any()
        );
        let template = chosen(world, &notification).and_then(|(_, known)| known.template().cloned());
        self.add_values(&mut notification, template.as_ref())?;
        let mut pages = Vec::new();
        for locale in self.locales(template.as_ref())? {
            let mut notification = notification.clone();
            if let Some(locale) = locale {
                notification.spec.message.locale = Some(locale.as_str().into());
                for recipient in &mut notification.spec.to {
                    recipient.locale = None;
                }
            }
            let default = world.default_server.as_ref();
            let prepared =
                preparation::prepare(&notification, &world.catalog, default, material, Timestamp::now());
            let page = match &prepared {
                Ok(prepared) => self.page(world, &title, prepared).await?,
                Err(obstacle) => Err(obstacle.clone()),
            };
            match page {
                Ok(page) => pages.push(page),
                Err(obstacle) => {
                    tell(&title, &obstacle, chosen(world, &notification), world);
                    return Ok(None);
                }
            }
        }
        Ok(Some(pages))
    }

    /// The message for one recipient.
    async fn page(
        &self,
        world: &World,
        title: &str,
        prepared: &Prepared<'_>,
    ) -> Result<Result<Page, Obstacle>, Failure> {
        let wanted =
            |address: &str| self.recipient.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(address));
        let smtputf8 = world.takes_smtputf8(&prepared.server.key);
        let is_reached = |to: &&Addressee<'_>| {
            smtputf8 || to.mailbox().is_ok_and(|mailbox| !mailbox.address().needs_smtputf8())
        };
        let mut meant = prepared.recipients.iter().filter(|recipient| wanted(recipient.address));
        // Of a message for all, one whom the server does not reach is not its reader.
        let first = if prepared.is_shared() { meant.clone().find(is_reached) } else { None };
        let Some(recipient) = first.or_else(|| meant.next()) else {
            let known: Vec<_> =
                prepared.recipients.iter().take(8).map(|recipient| recipient.address).collect();
            let message =
                format!("{title} does not go to {}", self.recipient.as_deref().unwrap_or("anybody"));
            return Err(Failure::new(Exit::Failed, message).next(format!("it goes to {}", known.join(", "))));
        };
        let parcel = std::slice::from_ref(recipient);
        let composed = match evaluation::compose(&world.evaluator, prepared, parcel, smtputf8).await? {
            Ok(composed) => composed,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        if !is_reached(&recipient) || composed.message.smtputf8 && !smtputf8 {
            let Refusal { reason, detail: message, .. } = Refusal::smtputf8_not_offered();
            let stage = ConditionType::Sent;
            return Ok(Err(Obstacle { stage, reason, message, passes_by_itself: false }));
        }
        let locale = composed.locale.as_ref().map(|locale| locale.as_str().to_owned());
        let page = Page::of_message(title.to_owned(), locale.as_deref(), composed.message.bytes);
        let left_out: Vec<_> = prepared.recipients.iter().filter(|to| !is_reached(to)).collect();
        let left_out = (prepared.is_shared() && !left_out.is_empty()).then(|| {
            let addresses: Vec<_> = left_out.iter().map(|to| to.address).collect();
            format!("without {}: the server does not offer SMTPUTF8", addresses.join(", "))
        });
        let others = prepared.recipients.len().saturating_sub(1);
        let remark = (others > 0 && self.recipient.is_none() && !prepared.is_shared()).then(|| {
            format!(
                "as {} gets it; --recipient ADDRESS shows it as one of the {others} others does",
                recipient.address
            )
        });
        Ok(Ok(page?.remarked(remark.or(left_out))))
    }

    /// What was given on the command line goes before what the Notification has.
    fn add_values(
        &self,
        notification: &mut Notification,
        template: Option<&Template>,
    ) -> Result<(), Failure> {
        let mut given = self.given()?;
        for (name, text) in &self.values {
            let value = template
                .map_or_else(|| text.as_str().into(), |template| template.variables().read(name, text));
            given.insert(name.clone(), value);
        }
        if given.is_empty() {
            return Ok(());
        }
        for recipient in &mut notification.spec.to {
            if let Some(own) = &mut recipient.values {
                own.retain(|name, _| !given.contains_key(name));
            }
        }
        notification.spec.message.values.get_or_insert_default().extend(given);
        Ok(())
    }

    /// The languages that are wanted; `None` is whatever comes by itself.
    fn locales(&self, template: Option<&Template>) -> Result<Vec<Option<Locale>>, Failure> {
        match (self.locale.as_deref(), template) {
            (Some("all"), Some(template)) => Ok(template.locales().cloned().map(Some).collect()),
            (None, _) | (Some("all"), None) => Ok(vec![None]),
            (Some(tag), _) => match Locale::parse(tag) {
                Ok(locale) => Ok(vec![Some(locale)]),
                Err(problem) => Err(Failure::new(Exit::Usage, format!("--locale: {problem}"))),
            },
        }
    }
}

/// A Notification as it was when it was new, with the server that it was sent through: what has been sent can be looked
/// at, too.
pub fn as_new(mut notification: Notification) -> Notification {
    let used = notification.status.take().and_then(|status| status.server);
    if let (None, Some(used)) = (&notification.spec.server_ref, used) {
        let reference = crate::api::shared::ObjectRef { name: used.name, namespace: Some(used.namespace) };
        notification.spec.server_ref = Some(reference);
    }
    notification
}

/// The template that the Notification means, if there is one.
fn chosen(world: &World, notification: &Notification) -> Option<Found> {
    preparation::template_places(notification, &world.catalog)
        .into_iter()
        .find_map(|source| Some((source.clone(), world.catalog.template(&source)?.clone())))
}

fn tell(title: &str, obstacle: &Obstacle, template: Option<Found>, world: &World) {
    match template {
        Some((source, known))
            if obstacle.reason == Reason::TemplateInvalid && !known.problems().is_empty() =>
        {
            problems::tell(&source.to_string(), known.problems(), &known.spec, &world.catalog);
        }
        _ => problems::tell_plain(title, obstacle.reason, &obstacle.message),
    }
}

fn mailbox(field: &str, address: &str) -> Result<Mailbox, Failure> {
    Mailbox::parse(address, None)
        .map_err(|(_, problem)| Failure::new(Exit::Usage, format!("{field}: {problem}")))
}

/// Puts a server in the place of one that is not known, so that there is a From.
fn stand_in(world: &mut World, notification: &Notification) -> Result<(), Failure> {
    let key = preparation::server_key(notification, world.default_server.as_ref(), &world.catalog);
    if world.catalog.servers.contains_key(&key) {
        return Ok(());
    }
    let config = serde_json::json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
        "metadata": { "namespace": &*key.namespace, "name": &*key.name, "uid": "stand-in" },
        "spec": {
            "host": "smtp.corp.example", "sender": { "address": STAND_IN },
            "access": {
                "namespaces": { "from": "All" }, "senders": ["*@*"], "displayNames": "Any", "headers": ["X-*"]
            }
        }
    });
    let config: MailServerConfig = serde_json::from_value(config).map_err(|error| {
        Failure::new(Exit::Failed, format!("a stand-in for the mail server cannot be made: {error}"))
    })?;
    output::note(&format!("MailServerConfig {key} is not known here, so From is a stand-in: {STAND_IN}"));
    world.add_server(&config);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let template = |name: &str| Ok(Target::Template(name.into()));
        let notification = |name: &str| Ok(Target::Notification(name.into()));
        for (text, expected) in [
            ("system-event", template("system-event")),
            ("template/x", template("x")),
            ("mt/x", template("x")),
            ("messagetemplates.mail-operator.dev/x", template("x")),
            ("notification/x", notification("x")),
            ("notif/x", notification("x")),
        ] {
            assert_eq!(target(text), expected, "{text}");
        }
        for wrong in ["", "template/", "msc/x", "a/b/c"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
