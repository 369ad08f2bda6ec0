//! Layouts: templates that wrap others. The texts of what is wrapped are rendered first and stand for
//! `content` in those of the layout, markup as markup. Looking layouts up is not done here.

use super::{Compiled, Markup, Progress, Sheet, Stage, TemplateProblem, Texts, engine, mjml};
use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::content::Part;
use minijinja::value::merge_maps;
use minijinja::{Environment, Value};

/// The name that stands for what a layout wraps.
pub(super) const CONTENT: &str = "content";

/// A template that wraps another, and how problems call it.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Its name, for problems.
    pub name: &'a str,
    /// Its texts and variables. Its own layout is the next one in the chain.
    pub spec: &'a MessageTemplateSpec,
}

/// Texts that are rendered, and not yet a message: layouts may still wrap them.
#[derive(Debug)]
pub(super) struct Draft {
    pub subject: String,
    pub text: Option<String>,
    pub body: Option<(Markup, String)>,
}

/// Renders one language of a template or layout, around what it wraps. Where a layout lacks a text, that
/// of what it wraps stays as it is; where the wrapped lacks one, so does the whole.
pub(super) fn render(
    engine: &Environment<'static>,
    sheet: &Sheet,
    texts: &Texts,
    scope: &Value,
    content: Option<Draft>,
    progress: Progress<'_>,
) -> Result<Draft, TemplateProblem> {
    let part = |part, name: &str, content: Option<Value>| {
        progress(&Stage { layout: sheet.layout.clone(), locale: texts.locale.clone(), part });
        let scope = match content {
            Some(content) => merge_maps([Value::from_pairs([(CONTENT, content)]), scope.clone()]),
            None => scope.clone(),
        };
        engine::render(engine, name, &scope).map_err(|error| {
            let problem = TemplateProblem::rendering(&texts.locale, part, &error);
            TemplateProblem { layout: sheet.layout.clone(), ..problem }
        })
    };
    let Some(content) = content else {
        let text = texts.text.as_deref().map(|name| part(Part::Text, name, None)).transpose()?;
        let body = texts.body.as_ref().map(|body| Ok((body.kind, part(body.kind.part(), &body.name, None)?)));
        return Ok(Draft {
            subject: part(Part::Subject, &texts.subject, None)?,
            text,
            body: body.transpose()?,
        });
    };
    let subject = part(Part::Subject, &texts.subject, Some(Value::from(content.subject.trim())))?;
    let text = match (&texts.text, content.text) {
        (Some(name), Some(inner)) => Some(part(Part::Text, name, Some(Value::from(inner)))?),
        (_, inner) => inner,
    };
    let body = match (&texts.body, content.body) {
        (Some(body), Some((_, inner))) => {
            let inner = Value::from_safe_string(inner);
            Some((body.kind, part(body.kind.part(), &body.name, Some(inner))?))
        }
        (_, inner) => inner,
    };
    Ok(Draft { subject, text, body })
}

/// What a layout is tried out with, and previewed with.
pub(super) fn sample(texts: &Texts) -> Draft {
    let body = texts.body.as_ref().map(|body| match body.kind {
        Markup::Html => (Markup::Html, "<p>Content</p>".to_owned()),
        Markup::Mjml => (Markup::Mjml, mjml::sample(body.around).to_owned()),
    });
    Draft { subject: "Subject".into(), text: texts.text.as_ref().map(|_| "Content".into()), body }
}

/// The element of the layout that the texts of a language are put into; `None` for a whole document.
pub(super) fn around(outer: Option<&Sheet>, texts: &Texts) -> Option<&'static str> {
    let layout = outer?.texts(std::slice::from_ref(&texts.locale));
    let body = layout.body.as_ref().filter(|body| body.kind == Markup::Mjml);
    Some(body.map_or(mjml::BODY, |body| body.around))
}

/// Everything that keeps the layouts from wrapping the template.
pub(super) fn misfits(compiled: &Compiled) -> Vec<TemplateProblem> {
    let unused = compiled.layouts.iter().flat_map(|layout| unused(compiled, layout));
    unused.chain(compiled.own.languages().filter_map(|texts| mixed(compiled, texts))).collect()
}

/// Texts of a layout that have no place for the content.
fn unused(compiled: &Compiled, layout: &Sheet) -> Vec<TemplateProblem> {
    let without = |texts: &Texts, part: Part, name: &str| {
        let uses = engine::names(&compiled.engine, name).contains(CONTENT);
        let message = "does not use content: write {{ content }} where the message that it wraps is to stand";
        let problem = || TemplateProblem::in_text(Reason::LayoutInvalid, &texts.locale, part, None, message);
        (!uses).then(|| problem().in_layout(layout.layout.as_deref()))
    };
    layout
        .languages()
        .flat_map(|texts| {
            let body = texts.body.as_ref().map(|body| without(texts, body.kind.part(), &body.name));
            let text = texts.text.as_ref().map(|name| without(texts, Part::Text, name));
            [Some(without(texts, Part::Subject, &texts.subject)), text, body].into_iter().flatten().flatten()
        })
        .collect()
}

/// HTML in MJML, or the other way round, in one language.
fn mixed(compiled: &Compiled, texts: &Texts) -> Option<TemplateProblem> {
    let inner = texts.body.as_ref()?.kind;
    let problem = |message: String| {
        TemplateProblem::in_text(Reason::LayoutInvalid, &texts.locale, inner.part(), None, message)
    };
    for layout in &compiled.layouts {
        let name = layout.layout.as_deref().unwrap_or_default();
        let outer = layout.texts(std::slice::from_ref(&texts.locale));
        let locale = outer.locale.as_str();
        match (inner, outer.body.as_ref().map(|body| body.kind)) {
            (Markup::Html, Some(Markup::Html) | None) | (Markup::Mjml, Some(Markup::Mjml)) => {}
            (Markup::Html, Some(Markup::Mjml)) => {
                return Some(problem(format!(
                    "is html, but the layout {name} ({locale}) that wraps it is mjml: write this text as mjml, without <mjml> and <mj-body> around it"
                )));
            }
            (Markup::Mjml, Some(Markup::Html)) => {
                return Some(problem(format!(
                    "is mjml, but the layout {name} ({locale}) that wraps it is html: write this text as html, or the layout as mjml"
                )));
            }
            (Markup::Mjml, None) => {
                return Some(problem(format!(
                    "is mjml, but the layout {name} ({locale}) that wraps it has only text: give the layout mjml, or write this text as html"
                )));
            }
        }
    }
    None
}

impl Markup {
    /// The field it stands in.
    pub(super) const fn part(self) -> Part {
        match self {
            Self::Html => Part::HTML,
            Self::Mjml => Part::MJML,
        }
    }
}
