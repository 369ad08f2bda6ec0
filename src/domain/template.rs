//! A message template, checked and compiled: whoever holds one can render it in any of its languages.
//! Compiled once, shared cheaply, rendered many times; it never sees objects or addresses other than
//! those it is given, includes nothing and cannot run away.

mod addresses;
mod bounds;
mod check;
mod engine;
mod filters;
mod finish;
mod jinja;
mod layout;
mod markup;
mod mjml;
mod places;
mod problem;

pub use layout::Layout;
pub use problem::{Place, TemplateProblem};

use crate::api::message_template::MessageTemplateSpec;
use crate::domain::address::Mailbox;
use crate::domain::content::{ContentProblem, Rendered};
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
    own: Sheet,
    /// The layouts that wrap it, from the inside out.
    layouts: Vec<Sheet>,
    variables: Variables,
    names: BTreeSet<String>,
    is_layout: bool,
}

/// The texts of one template in all its languages.
#[derive(Debug)]
struct Sheet {
    /// The name of the layout, if it is one that wraps the template.
    layout: Option<String>,
    own: Texts,
    translations: Vec<Texts>,
}

/// The texts of one language, as names inside the engine.
#[derive(Debug, Clone)]
struct Texts {
    locale: Locale,
    subject: String,
    text: Option<String>,
    body: Option<Body>,
}

/// The HTML body of one language.
#[derive(Debug, Clone)]
struct Body {
    kind: Markup,
    name: String,
    /// In a layout: the element around its content.
    around: &'static str,
}

/// In what an HTML body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markup {
    Html,
    Mjml,
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
    /// Checks and compiles every text of every language, wrapped by its layouts, which are given from the
    /// inside out; on failure returns all problems.
    pub fn compile(spec: &MessageTemplateSpec, layouts: &[Layout<'_>]) -> Result<Self, Vec<TemplateProblem>> {
        check::compile(spec, layouts).map(|compiled| Self(Arc::new(compiled)))
    }

    /// Renders the message in the language that fits `wanted` best. A missing text is derived from
    /// the HTML. A layout alone is no message and is refused.
    pub fn render(
        &self,
        wanted: Option<&Locale>,
        values: &RecipientValues,
        about: &About<'_>,
    ) -> Result<RenderedTemplate, TemplateProblem> {
        if self.0.is_layout {
            return Err(TemplateProblem::layout_alone());
        }
        self.preview(wanted, values, about)
    }

    /// The same to look at: in a layout a few words stand for what it wraps.
    pub fn preview(
        &self,
        wanted: Option<&Locale>,
        values: &RecipientValues,
        about: &About<'_>,
    ) -> Result<RenderedTemplate, TemplateProblem> {
        let texts = self.0.own.texts(wanted);
        let content = self.0.render(texts, values, &about.into())?;
        Ok(RenderedTemplate { content, locale: texts.locale.clone() })
    }

    /// Whether it uses `content`: it then wraps other templates and cannot be sent itself.
    pub fn is_layout(&self) -> bool {
        self.0.is_layout
    }

    /// Its languages, its own first.
    pub fn locales(&self) -> impl Iterator<Item = &Locale> {
        self.0.own.languages().map(|texts| &texts.locale)
    }

    /// The declared names that its texts and its layouts use, sorted. Built-in names are not among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names.iter().map(String::as_str)
    }

    /// Its variables and those of its layouts, against which the values of a Notification are checked.
    pub fn variables(&self) -> &Variables {
        &self.0.variables
    }
}

impl Sheet {
    fn languages(&self) -> impl Iterator<Item = &Texts> {
        std::iter::once(&self.own).chain(&self.translations)
    }

    fn texts(&self, wanted: Option<&Locale>) -> &Texts {
        let Self { own, translations, .. } = self;
        let chosen = locale::choose(wanted, &own.locale, translations.iter().map(|texts| &texts.locale));
        translations.iter().find(|texts| texts.locale == *chosen).unwrap_or(own)
    }
}

impl Compiled {
    fn render(
        &self,
        texts: &Texts,
        values: &RecipientValues,
        names: &Names<'_>,
    ) -> Result<Rendered, TemplateProblem> {
        let scope = scope(&texts.locale, values, names);
        let content = self.is_layout.then(|| layout::sample(texts));
        let mut draft = layout::render(&self.engine, &self.own, texts, &scope, content)?;
        for layout in &self.layouts {
            let outer = layout.texts(Some(&texts.locale));
            draft = layout::render(&self.engine, layout, outer, &scope, Some(draft))?;
        }
        finish::finish(draft, &texts.locale).map_err(|(part, problem)| {
            let values = match &problem {
                ContentProblem::UnsafeAddress { address, .. } => {
                    addresses::source(address, values).into_iter().collect()
                }
                _ => self.broken(texts, values),
            };
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
