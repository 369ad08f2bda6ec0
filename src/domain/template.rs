//! Message templates. What users wrote is compiled and rendered as [`Compiled`], which only [`super::evaluation`]
//! does, in a process that can be ended; the rest of the program has a [`Template`]: what was found out about it, and
//! what it takes to compile it again. A text never sees objects or addresses other than those it is given, and includes
//! nothing.

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
mod checked;
mod problem;

pub use checked::{Findings, Sources, Template, TemplateID, Wrap};
pub use layout::Layout;
pub use problem::{Place, Stage, TemplateProblem};

use crate::api::message_template::MessageTemplateSpec;
use crate::domain::address::Mailbox;
use crate::domain::content::{ContentProblem, Rendered};
use crate::domain::locale::{self, Locale};
use crate::domain::values::{RecipientValues, Variables};
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// A template that can be rendered.
#[derive(Debug)]
pub struct Compiled {
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

/// Told of each text before work on it begins: what is being done when the process is ended.
pub type Progress<'a> = &'a dyn Fn(&Stage);

/// Who and what a message is about, for the built-in names.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `recipient.address`, `recipient.displayName`; `recipient.locale` is the language rendered,
    /// `recipient.direction` the one that it is written in.
    pub recipient: &'a Mailbox,
    /// `sender.address`, `sender.displayName`: what stands in From.
    pub sender: &'a Mailbox,
    /// `notification.name`.
    pub name: &'a str,
    /// `notification.namespace`.
    pub namespace: &'a str,
}

/// The same as plain words: address and display name, name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    recipient: (String, String),
    sender: (String, String),
    notification: (String, String),
}

/// A message for one recipient, and the language it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedTemplate {
    /// Subject and bodies.
    pub content: Rendered,
    /// The language that was chosen.
    pub locale: Locale,
}

impl Compiled {
    /// Checks and compiles every text of every language, wrapped by its layouts, which are given from the
    /// inside out; on failure returns all problems.
    pub fn check(
        spec: &MessageTemplateSpec,
        layouts: &[Layout<'_>],
        progress: Progress<'_>,
    ) -> Result<Self, Vec<TemplateProblem>> {
        check::check(spec, layouts, progress)
    }

    /// Compiles a template that was checked before.
    pub fn load(
        spec: &MessageTemplateSpec,
        layouts: &[Layout<'_>],
        progress: Progress<'_>,
    ) -> Result<Self, Vec<TemplateProblem>> {
        check::load(spec, layouts, progress)
    }

    /// Renders the message in the language that fits the first of `wanted` best, else the second. A missing text is derived from
    /// the HTML. In a layout a few words take the place of what it wraps.
    pub fn render(
        &self,
        wanted: &[Locale],
        values: &RecipientValues,
        names: &Names,
        progress: Progress<'_>,
    ) -> Result<RenderedTemplate, TemplateProblem> {
        let texts = self.own.texts(wanted);
        let content = self.render_texts(texts, values, names, progress)?;
        Ok(RenderedTemplate { content, locale: texts.locale.clone() })
    }

    /// What the rest of the program has to know of it.
    pub fn findings(&self) -> Findings {
        Findings {
            locales: self.own.languages().map(|texts| texts.locale.clone()).collect(),
            names: self.names.clone(),
            is_layout: self.is_layout,
        }
    }

    fn render_texts(
        &self,
        texts: &Texts,
        values: &RecipientValues,
        names: &Names,
        progress: Progress<'_>,
    ) -> Result<Rendered, TemplateProblem> {
        let scope = scope(&texts.locale, values, names);
        let content = self.is_layout.then(|| layout::sample(texts));
        let mut draft = layout::render(&self.engine, &self.own, texts, &scope, content, progress)?;
        for layout in &self.layouts {
            let outer = layout.texts(std::slice::from_ref(&texts.locale));
            draft = layout::render(&self.engine, layout, outer, &scope, Some(draft), progress)?;
        }
        finish::finish(draft, &texts.locale, progress).map_err(|(part, problem)| {
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
            values.0.get(name).and_then(Json::as_str).is_some_and(|value| value.contains(['\r', '\n']))
        };
        engine::names(&self.engine, &texts.subject).into_iter().filter(breaks).collect()
    }
}

impl Sheet {
    fn languages(&self) -> impl Iterator<Item = &Texts> {
        std::iter::once(&self.own).chain(&self.translations)
    }

    fn texts(&self, wanted: &[Locale]) -> &Texts {
        let Self { own, translations, .. } = self;
        let chosen = locale::choose(wanted, &own.locale, translations.iter().map(|texts| &texts.locale));
        translations.iter().find(|texts| texts.locale == *chosen).unwrap_or(own)
    }
}

impl From<&About<'_>> for Names {
    fn from(about: &About<'_>) -> Self {
        let About { recipient, sender, name, namespace } = *about;
        let words = |of: &Mailbox| {
            (of.address().as_str().to_owned(), of.display_name().unwrap_or_default().to_owned())
        };
        Self {
            recipient: words(recipient),
            sender: words(sender),
            notification: (name.to_owned(), namespace.to_owned()),
        }
    }
}

/// Everything a text may name. A variable cannot hide a built-in name: the schema refuses it.
fn scope(locale: &Locale, values: &RecipientValues, names: &Names) -> Value {
    let Names { recipient, sender, notification } = names;
    let recipient = [
        ("address", &*recipient.0),
        ("displayName", &*recipient.1),
        ("locale", locale.as_str()),
        ("direction", locale.direction().as_str()),
    ];
    let sender = [("address", &*sender.0), ("displayName", &*sender.1)];
    let notification = [("name", &*notification.0), ("namespace", &*notification.1)];
    let built_in = [
        ("recipient", Value::from_pairs(recipient)),
        ("sender", Value::from_pairs(sender)),
        ("notification", Value::from_pairs(notification)),
    ];
    let given = values.0.iter().map(|(name, value)| (name.as_str(), Value::from(Serde(value))));
    Value::from_pairs(given.chain(built_in))
}

#[cfg(test)]
mod tests;
