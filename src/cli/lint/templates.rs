//! MessageTemplates, compiled as the operator does it: mistakes in a text are shown where they stand in the YAML.

use crate::api::message_template::MessageTemplate;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::judgement::{self, Bench};
use crate::cli::lint::place;
use crate::cli::lint::set::Manifest;
use crate::cli::lint::yaml::Node;
use crate::domain::catalog::KnownTemplate;
use crate::domain::content::Part;
use crate::domain::locale::Locale;
use crate::domain::template::{Place, Template, TemplateProblem};
use serde_json::Value as Json;

/// The template as the operator would know it, and what is wrong with it.
pub fn check(
    bench: &Bench<'_>,
    manifest: &Manifest,
    json: &Json,
    found: &mut Vec<Diagnostic>,
) -> Option<KnownTemplate> {
    let template: MessageTemplate = judgement::as_stored(manifest, json, bench.now)?;
    let spec = template.spec;
    let compiled = Template::compile(&spec, &[]);
    if let Err(problems) = &compiled {
        found.extend(problems.iter().map(|problem| shown(bench, manifest, problem)));
    }
    Some(KnownTemplate { uid: None, generation: None, spec, template: compiled })
}

fn shown(bench: &Bench<'_>, manifest: &Manifest, problem: &TemplateProblem) -> Diagnostic {
    let code = Code::Operator(problem.reason);
    let (locale, part, position) = match &problem.place {
        Place::Field(field) => return bench.at_field(manifest, code, field, &problem.message),
        Place::Text { locale, part, position } => (locale, *part, *position),
    };
    let Some((field, node)) = text_of(manifest, locale, part) else {
        return bench.at_field(manifest, code, "", &problem.message);
    };
    let message = match position {
        Some((line, column)) => {
            format!("{} ({locale} {part}, line {line}, column {column})", problem.message)
        }
        None => format!("{} ({locale} {part})", problem.message),
    };
    let diagnostic = bench.at_field(manifest, code, &field, &message);
    match position {
        Some(position) => {
            Diagnostic { span: place::origin(bench.text(&manifest.object), node, position), ..diagnostic }
        }
        None => diagnostic,
    }
}

/// The field of a text below `spec`, and the text.
fn text_of<'a>(manifest: &'a Manifest, locale: &Locale, part: Part) -> Option<(String, &'a Node)> {
    let spec = manifest.object.root.get("spec")?;
    let speaks = |texts: &Node, default: Option<&str>| {
        let tag = texts.get("locale").and_then(Node::text).or(default);
        tag.and_then(|tag| Locale::parse(tag).ok()).is_some_and(|own| own == *locale)
    };
    let translations = spec.get("translations").into_iter().flat_map(Node::items);
    let translations = translations.enumerate().map(|(at, texts)| (format!("translations[{at}]."), texts));
    let (prefix, texts) = std::iter::once((String::new(), spec))
        .chain(translations)
        .find(|(prefix, texts)| speaks(texts, prefix.is_empty().then_some("en")))?;
    let field = [part.as_str(), "mjml", "html"].into_iter().find(|field| texts.get(field).is_some())?;
    Some((format!("{prefix}{field}"), texts.get(field)?))
}
