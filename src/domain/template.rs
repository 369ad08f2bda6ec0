//! A message template, checked and compiled: whoever holds one can render it in any of its languages.
//! Compiled once, shared cheaply, rendered many times; it never sees objects or addresses other than
//! those it is given, includes nothing and cannot run away.

mod check;
mod engine;
mod problem;

pub use problem::{Place, TemplateProblem};

use crate::api::message_template::MessageTemplateSpec;
use crate::domain::address::Mailbox;
use crate::domain::content::{Part, Rendered};
use crate::domain::locale::{self, Locale};
use crate::domain::values::{RecipientValues, Variables};
use minijinja::{Environment, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A template that parses, uses declared names only and renders with its examples.
#[derive(Debug, Clone)]
pub struct Template(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    engine: Environment<'static>,
    own: Texts,
    translations: Vec<Texts>,
    variables: Variables,
    names: BTreeSet<String>,
}

/// The texts of one language, as names inside the engine.
#[derive(Debug, Clone)]
struct Texts {
    locale: Locale,
    subject: String,
    text: Option<String>,
    html: Option<String>,
}

/// Who and what a message is about, for the built-in names.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `recipient.address`, `recipient.displayName`; `recipient.locale` is the language rendered.
    pub recipient: &'a Mailbox,
    /// `sender.address`, `sender.displayName`: what stands in From.
    pub sender: &'a Mailbox,
    /// `notification.name`.
    pub name: &'a str,
    /// `notification.namespace`.
    pub namespace: &'a str,
}

/// The same as plain words: address and display name, name and namespace.
struct Names<'a> {
    recipient: (&'a str, &'a str),
    sender: (&'a str, &'a str),
    notification: (&'a str, &'a str),
}

/// A message for one recipient, and the language it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedTemplate {
    /// Subject and bodies.
    pub content: Rendered,
    /// The language that was chosen.
    pub locale: Locale,
}

impl Template {
    /// Checks and compiles every text of every language, wrapped by its layouts from the inside out; on failure
    /// returns all problems.
    pub fn compile(
        spec: &MessageTemplateSpec,
        layouts: &[&MessageTemplateSpec],
    ) -> Result<Self, Vec<TemplateProblem>> {
        let _ = layouts;
        check::compile(spec).map(|compiled| Self(Arc::new(compiled)))
    }

    /// Renders the message in the language that fits `wanted` best. A missing text is derived from
    /// the HTML.
    pub fn render(
        &self,
        wanted: Option<&Locale>,
        values: &RecipientValues,
        about: &About<'_>,
    ) -> Result<RenderedTemplate, TemplateProblem> {
        let texts = self.texts(wanted);
        let content = self.0.render(texts, values, &about.into())?;
        Ok(RenderedTemplate { content, locale: texts.locale.clone() })
    }

    /// The same to look at: in a layout a few words stand for what it wraps.
    pub fn preview(
        &self,
        wanted: Option<&Locale>,
        values: &RecipientValues,
        about: &About<'_>,
    ) -> Result<RenderedTemplate, TemplateProblem> {
        self.render(wanted, values, about)
    }

    /// Whether it uses `content`: it then wraps other templates and cannot be sent itself.
    pub fn is_layout(&self) -> bool {
        self.0.names.contains("content")
    }

    fn texts(&self, wanted: Option<&Locale>) -> &Texts {
        let Compiled { own, translations, .. } = &*self.0;
        let chosen = locale::choose(wanted, &own.locale, translations.iter().map(|texts| &texts.locale));
        translations.iter().find(|texts| texts.locale == *chosen).unwrap_or(own)
    }

    /// Its languages, its own first.
    pub fn locales(&self) -> impl Iterator<Item = &Locale> {
        self.0.languages().map(|texts| &texts.locale)
    }

    /// The declared names that its texts use, sorted. Built-in names are not among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names.iter().map(String::as_str)
    }

    /// Its variables, against which the values of a Notification are checked.
    pub fn variables(&self) -> &Variables {
        &self.0.variables
    }
}

impl Compiled {
    fn languages(&self) -> impl Iterator<Item = &Texts> {
        std::iter::once(&self.own).chain(&self.translations)
    }

    fn render(
        &self,
        texts: &Texts,
        values: &RecipientValues,
        names: &Names<'_>,
    ) -> Result<Rendered, TemplateProblem> {
        let scope = scope(&texts.locale, values, names);
        let part = |part, name: &str| {
            engine::render(&self.engine, name, &scope)
                .map_err(|error| TemplateProblem::rendering(&texts.locale, part, &error))
        };
        let subject = part(Part::Subject, &texts.subject)?;
        let text = texts.text.as_deref().map(|name| part(Part::Text, name)).transpose()?;
        let html = texts.html.as_deref().map(|name| part(Part::HTML, name)).transpose()?;
        Rendered::new(&subject, text, html).map_err(|(part, problem)| {
            let values = self.broken(texts, values);
            TemplateProblem::content(&texts.locale, part, &problem, &values)
        })
    }

    /// The names in the subject whose values hold line breaks.
    fn broken(&self, texts: &Texts, values: &RecipientValues) -> Vec<String> {
        let breaks = |name: &String| {
            values.0.get(name).and_then(Value::as_str).is_some_and(|value| value.contains(['\r', '\n']))
        };
        engine::names(&self.engine, &texts.subject).into_iter().filter(breaks).collect()
    }
}

impl<'a> From<&About<'a>> for Names<'a> {
    fn from(about: &About<'a>) -> Self {
        let About { recipient, sender, name, namespace } = *about;
        let words = |of: &'a Mailbox| (of.address().as_str(), of.display_name().unwrap_or_default());
        Self { recipient: words(recipient), sender: words(sender), notification: (name, namespace) }
    }
}

/// Everything a text may name. A variable cannot hide a built-in name: the schema refuses it.
fn scope(locale: &Locale, values: &RecipientValues, names: &Names<'_>) -> Value {
    let Names { recipient, sender, notification } = *names;
    let recipient = [("address", recipient.0), ("displayName", recipient.1), ("locale", locale.as_str())];
    let sender = [("address", sender.0), ("displayName", sender.1)];
    let notification = [("name", notification.0), ("namespace", notification.1)];
    let built_in = [
        ("recipient", Value::from_pairs(recipient)),
        ("sender", Value::from_pairs(sender)),
        ("notification", Value::from_pairs(notification)),
    ];
    let given = values.0.iter().map(|(name, value)| (name.as_str(), value.clone()));
    Value::from_pairs(given.chain(built_in))
}

#[cfg(test)]
mod tests;
