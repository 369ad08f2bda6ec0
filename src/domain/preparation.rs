//! From a Notification to what is sent, or to what stands in the way: server, template, From and
//! values are looked up and checked, in this order. Asked when a Notification is first seen, so that
//! mistakes show at once, and again with a fresh copy when its turn comes. What has to be evaluated for its texts is asked
//! elsewhere: [`Prepared::question`] says what, and [`Prepared::compose`] takes the answer.

mod finding;
mod gathering;
mod permitted;

pub use finding::{server_key, template_places};

use crate::api::notification::Notification;
use crate::api::{ConditionType, Reason};
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::catalog::Catalog;
use crate::domain::content::{self, Rendered};
use crate::domain::evaluation::{Answer, Overrun, Question, Rendering};
use crate::domain::ledger;
use crate::domain::locale::Locale;
use crate::domain::lookup::Source;
use crate::domain::material::Material;
use crate::domain::message::{self, Additions, Message};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::problem;
use crate::domain::recipients::{self, Addressee, List};
use crate::domain::server::Server;
use crate::domain::status::notification::Used;
use crate::domain::status::size;
use crate::domain::template::{About, Template};
use crate::domain::values::CheckedValues;
use gathering::Gathered;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Stands for what is wrong with a rendered text, of which a value may be a part.
const HIDDEN: &str =
    "what exactly is not shown, since a Secret's values take part: try the template with others";

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
    pub recipients: Vec<Addressee<'a>>,
    notification: &'a Notification,
    uid: Uid,
    from: Mailbox,
    reply_to: Option<EmailAddress>,
    template: Option<Chosen>,
    locale: Option<Locale>,
    additions: Additions,
    date: Timestamp,
    /// Whom the one message for all shows, where there is one: everybody but `bcc`, also when it goes to a few of them.
    shown: Option<Shown>,
}

/// The recipients that a message shows.
#[derive(Debug, Clone)]
struct Shown {
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
}

impl Shown {
    fn only(mailbox: Option<&Mailbox>) -> Self {
        Self { to: mailbox.cloned().into_iter().collect(), cc: Vec::new() }
    }

    /// Those whose addresses a server can carry.
    fn on(&self, smtputf8: bool) -> Self {
        let carried = |mailbox: &&Mailbox| smtputf8 || !mailbox.address().needs_smtputf8();
        let of = |list: &[Mailbox]| list.iter().filter(carried).cloned().collect();
        Self { to: of(&self.to), cc: of(&self.cc) }
    }
}

/// The template of a Notification, with the values it is rendered with.
#[derive(Debug, Clone)]
struct Chosen {
    source: Source,
    generation: Option<i64>,
    template: Template,
    values: CheckedValues,
    /// Whether some of them stand in a Secret: then nothing may be said of any.
    secret: bool,
}

/// Looks up and checks everything a Notification needs. `now` only stands in for a missing creation time.
pub fn prepare<'a>(
    notification: &'a Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    material: &Material,
    now: Timestamp,
) -> Result<Prepared<'a>, Obstacle> {
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    let uid = Uid::of(notification)
        .ok_or_else(|| Obstacle::unresolved(Reason::Undecodable, "the object has no uid"))?;
    size::fits(notification)?;
    let server = finding::server(notification, catalog, default_server, namespace)?;
    if let Some(missing) = material.missing_right(namespace) {
        return Err(Obstacle::unresolved(Reason::SourceNotPermitted, missing));
    }
    let template = find_template(notification, catalog, material, namespace)?;
    let (from, reply_to) = permitted::sender(notification, &server)?;
    if let Some(obstacle) = permitted::headers(&notification.spec.message.headers, &server) {
        return Err(obstacle);
    }
    let locale = locale("message.locale", notification.spec.message.locale.as_deref())?;
    let additions = gathering::additions(notification, material, namespace, &server.key)?;
    Ok(Prepared {
        recipients: ledger::open_recipients(notification),
        shown: shown(notification)?,
        notification,
        uid,
        from,
        reply_to,
        template,
        locale,
        additions,
        date: ledger::window(notification, now).from,
        server,
    })
}

/// Everybody's addresses, where there is one message for all: what is wrong with one of them is wrong with the message.
fn shown(notification: &Notification) -> Result<Option<Shown>, Obstacle> {
    let spec = &notification.spec;
    let mut problems: Vec<_> = recipients::doubles(spec)
        .into_iter()
        .map(|(first, again)| {
            format!(
                "{first} and {again} are the same address, which would get the message twice: name it once"
            )
        })
        .collect();
    if !recipients::is_shared(spec) && problems.is_empty() {
        return Ok(None);
    }
    let mut shown = Shown { to: Vec::new(), cc: Vec::new() };
    for addressee in recipients::all(spec) {
        match (addressee.mailbox(), addressee.list) {
            (Ok(mailbox), List::To) => shown.to.push(mailbox),
            (Ok(mailbox), List::Cc) => shown.cc.push(mailbox),
            (Ok(_), List::Bcc) => {}
            (Err(problem), _) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Some(shown))
    } else {
        Err(Obstacle::not_rendered(Reason::InvalidMessage, problem::summary(&problems)))
    }
}

fn find_template(
    notification: &Notification,
    catalog: &Catalog,
    material: &Material,
    namespace: &str,
) -> Result<Option<Chosen>, Obstacle> {
    let Some(reference) = &notification.spec.message.template_ref else { return Ok(None) };
    let (source, known) = finding::template(reference, catalog, namespace)?;
    let template = match known.checked() {
        Some(Ok(template)) => template,
        Some(Err(problems)) => {
            let message = format!("MessageTemplate {source} cannot be used: {}", problem::summary(problems));
            return Err(Obstacle::unresolved(Reason::TemplateInvalid, message));
        }
        None => {
            let message = format!("MessageTemplate {source} is being checked");
            let obstacle = Obstacle::unresolved(Reason::Pending, message);
            return Err(Obstacle { passes_by_itself: true, ..obstacle });
        }
    };
    if template.is_layout() {
        let message = format!(
            "MessageTemplate {source} is a layout: it wraps other templates and is no message itself. Create another \
             Notification that names one of these"
        );
        return Err(Obstacle::unresolved(Reason::TemplateInvalid, message));
    }
    // Values of every recipient against the variables, all mistakes at once.
    let spec = &notification.spec;
    let Gathered { values, secret } =
        gathering::values(notification, template.variables(), material, namespace)?;
    let own: Vec<_> =
        spec.to.iter().map(|recipient| (recipient.address.as_str(), recipient.values.as_ref())).collect();
    let values = template
        .variables()
        .check(values.as_ref(), &own)
        .map_err(|problems| Obstacle::not_rendered(Reason::InvalidValues, problem::summary(&problems)))?;
    Ok(Some(Chosen { source, generation: known.generation, template: template.clone(), values, secret }))
}

fn locale(field: &str, tag: Option<&str>) -> Result<Option<Locale>, Obstacle> {
    tag.map(Locale::parse)
        .transpose()
        .map_err(|problem| Obstacle::not_rendered(Reason::InvalidMessage, format!("{field}: {problem}")))
}

/// A message for some recipients.
#[derive(Debug)]
pub struct Composed {
    /// The bytes and the Message-ID.
    pub message: Message,
    /// The addresses for RCPT, in the order of the recipients it was composed for.
    pub envelope: Vec<EmailAddress>,
    /// Language of the texts, for a template.
    pub locale: Option<Locale>,
}

impl Prepared<'_> {
    /// What the status says was used, with the languages that were.
    pub fn used(&self, locales: impl IntoIterator<Item = Locale>) -> Used {
        let locales: BTreeSet<String> =
            locales.into_iter().map(|locale| locale.as_str().to_owned()).collect();
        Used {
            server: Some(self.server.key.clone()),
            template: self.template.as_ref().map(|chosen| (chosen.source.clone(), chosen.generation)),
            locales: locales.into_iter().collect(),
        }
    }

    /// How many recipients get the same message, as far as it depends on the Notification and the server's limits: one,
    /// unless there is one message for all.
    pub fn at_once(&self) -> usize {
        if self.shown.is_some() { self.server.limits.recipients_per_message } else { 1 }
    }

    /// Whether there is one message for all recipients.
    pub fn is_shared(&self) -> bool {
        self.shown.is_some()
    }

    /// What has to be evaluated for the message of these recipients, if anything.
    pub fn question(&self, parcel: &[Addressee<'_>]) -> Result<Option<Question>, Obstacle> {
        let Some(chosen) = &self.template else {
            let literal = self.literal()?;
            return Ok(literal.without_text().map(|html| Question::Text(html.to_owned())));
        };
        let (own, whose) = self.whose(parcel)?;
        let own_locale = match own {
            Some(own) => locale(&format!("{own}.locale"), own.locale)?,
            None => None,
        };
        let metadata = &self.notification.metadata;
        let about = About {
            recipient: &whose,
            sender: &self.from,
            name: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
        };
        Ok(Some(Question::Render(Box::new(Rendering {
            template: chosen.template.id(),
            sources: Some(chosen.template.sources().clone()),
            locales: own_locale.into_iter().chain(self.locale.clone()).collect(),
            values: chosen.values.of(own.map(|own| own.address).unwrap_or_default()),
            names: (&about).into(),
        }))))
    }

    /// Builds the message for recipients who get the same: for the first one, unless there is one message for all. The
    /// same Notification gives the same bytes each time, and where it is for all also whoever of them it is sent to.
    /// `answer` is that to the [`Prepared::question`] about the same recipients.
    ///
    /// Where there is no `smtputf8` (RFC 6531) a message for all does without the addresses that need it, whom it cannot
    /// reach: else it could not go to anybody.
    pub fn compose(
        &self,
        parcel: &[Addressee<'_>],
        answer: Option<Result<Answer, Overrun>>,
        smtputf8: bool,
    ) -> Result<Composed, Obstacle> {
        let mailboxes: Vec<_> =
            parcel.iter().map(Addressee::mailbox).collect::<Result<_, _>>().map_err(invalid)?;
        let (own, whose) = self.whose(parcel)?;
        let named = match &self.shown {
            Some(shown) => shown.on(smtputf8),
            None => Shown::only(mailboxes.first()),
        };
        let (content, locale) = self.content(own, answer)?;
        let content =
            message::link(content, &self.additions, &self.from, &self.uid.0).map_err(|problems| {
                let said = if self.template.as_ref().is_some_and(|chosen| chosen.secret) {
                    format!("its cid: references and the inline attachments do not fit each other; {HIDDEN}")
                } else {
                    problem::summary(&problems)
                };
                invalid(format!("message{}: {said}", whom(own)))
            })?;
        let message = message::build(&message::Parts {
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            to: &named.to,
            cc: &named.cc,
            copy_of: own.map(|_| whose.address()),
            content: &content,
            additions: &self.additions,
            date: self.date,
            uid: &self.uid.0,
        });
        let envelope = mailboxes.iter().map(|mailbox| mailbox.address().clone()).collect();
        Ok(Composed { message, envelope, locale })
    }

    /// Whose own message it is, unless there is one for all, and whom it addresses.
    fn whose<'p, 'a>(
        &self,
        parcel: &'p [Addressee<'a>],
    ) -> Result<(Option<&'p Addressee<'a>>, Mailbox), Obstacle> {
        let nobody = || invalid("there is nobody to send to".into());
        if let Some(shown) = &self.shown {
            return Ok((None, shown.to.first().cloned().ok_or_else(nobody)?));
        }
        let own = parcel.first().ok_or_else(nobody)?;
        Ok((Some(own), own.mailbox().map_err(invalid)?))
    }

    /// `message.content`.
    fn literal(&self) -> Result<Rendered, Obstacle> {
        let Some(content) = &self.notification.spec.message.content else {
            return Err(invalid("message: set templateRef or content".into()));
        };
        content::from_literal(content).map_err(|problems| invalid(problem::summary(&problems)))
    }

    /// The texts, with what is `own` to the recipient if there is one message for each.
    fn content(
        &self,
        own: Option<&Addressee<'_>>,
        answer: Option<Result<Answer, Overrun>>,
    ) -> Result<(Rendered, Option<Locale>), Obstacle> {
        let ended = |overrun: Overrun| {
            let at = overrun.stage.as_ref().map(|stage| format!("{} {}: ", stage.locale, stage.part));
            let template = self.template.as_ref().map(|chosen| format!("MessageTemplate {}", chosen.source));
            let message = format!(
                "{}{}: {}{}. It is not tried again as it is: create another Notification with other values",
                template.as_deref().unwrap_or("message.content"),
                whom(own),
                at.unwrap_or_default(),
                overrun.limit
            );
            Obstacle::not_rendered(overrun.limit.reason(), message)
        };
        let answer = answer.transpose().map_err(ended)?;
        let Some(Chosen { source, secret, .. }) = &self.template else {
            let literal = self.literal()?;
            let wrong = |said: String| invalid(format!("message.content.html: {said}"));
            return match answer {
                Some(Answer::Text(Ok(text))) => {
                    let with = literal.with_text(text).map_err(|problem| wrong(problem.to_string()))?;
                    Ok((with, None))
                }
                Some(Answer::Text(Err(said))) => Err(wrong(said)),
                _ => Ok((literal, None)),
            };
        };
        match answer {
            Some(Answer::Rendered(rendered)) => match *rendered {
                Ok(rendered) => Ok((rendered.content, Some(rendered.locale))),
                Err(problem) => {
                    // What the engine says can hold parts of values.
                    let said = if *secret {
                        format!("{}: does not render; {HIDDEN}", problem.place)
                    } else {
                        problem.to_string()
                    };
                    let message = format!("MessageTemplate {source}{}: {said}", whom(own));
                    Err(Obstacle::not_rendered(Reason::RenderFailed, message))
                }
            },
            _ => Err(Obstacle::not_rendered(
                Reason::RenderFailed,
                format!("MessageTemplate {source}{}: was not rendered", whom(own)),
            )),
        }
    }
}

/// Something is wrong with the message itself.
fn invalid(problem: String) -> Obstacle {
    Obstacle::not_rendered(Reason::InvalidMessage, problem)
}

/// For messages: of whose own message something is said.
fn whom(own: Option<&Addressee<'_>>) -> String {
    own.map(|own| format!(" for {}", own.address)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
