//! MessageTemplates, compiled as the operator does it, with the layouts that are among the files or standard messages:
//! mistakes in a text are shown where they stand in the YAML.

use crate::api::Reason;
use crate::api::message_template::MessageTemplate;
use crate::cli::evaluation;
use crate::cli::failure::Failure;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::judgement::{self, Bench};
use crate::cli::lint::place;
use crate::cli::lint::set::Manifest;
use crate::cli::lint::yaml::Node;
use crate::domain::catalog::Catalog;
use crate::domain::content::Part;
use crate::domain::locale::Locale;
use crate::domain::lookup::Source;
use crate::domain::object::ObjectKey;
use crate::domain::template::{Place, Sources, TemplateProblem};
use serde_json::Value as Json;

/// Brings a template into the catalog, if it would get as far as to the operator.
pub fn learn(bench: &Bench<'_>, catalog: &mut Catalog, manifest: &Manifest, json: &Json) {
    if let Some(template) = judgement::as_stored::<MessageTemplate>(manifest, json, bench.now) {
        catalog.learn(&template);
    }
}

/// What is wrong with a template, once all are in the catalog.
pub async fn check(
    bench: &Bench<'_>,
    catalog: &Catalog,
    manifest: &Manifest,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let Some(known) = catalog.template(&Source::Object(manifest.object.key.clone())) else { return Ok(()) };
    let problems = known.problems();
    let is = |reason| move |problem: &TemplateProblem| problem.reason == reason && problem.layout.is_none();
    if problems.iter().any(is(Reason::LayoutInvalid)) {
        // What is wrong with the layout is said of the layout.
        return Ok(());
    }
    if problems.iter().any(is(Reason::LayoutNotFound)) {
        let name = known.spec.layout.as_ref().map(|layout| layout.name.as_str()).unwrap_or_default();
        let key = ObjectKey::new(&manifest.object.key.namespace, name);
        found.extend(bench.missing(manifest, "layout.name", "MessageTemplate", &key));
        // Without the layout its variables are unknown, but whether the texts parse can be said.
        let sources = Sources { spec: known.spec.clone(), layouts: Vec::new() };
        let checked = bench
            .evaluator
            .check("", sources)
            .await
            .map_err(|unanswered| evaluation::failure(&unanswered))?;
        let problems = checked.err().unwrap_or_default();
        let certain = problems
            .iter()
            .filter(|problem| !matches!(problem.reason, Reason::UndeclaredVariable | Reason::ExampleFailed));
        found.extend(certain.map(|problem| shown(bench, manifest, problem)));
        return Ok(());
    }
    found.extend(problems.iter().map(|problem| shown(bench, manifest, problem)));
    Ok(())
}

fn shown(bench: &Bench<'_>, manifest: &Manifest, problem: &TemplateProblem) -> Diagnostic {
    let code = Code::Operator(problem.reason);
    if problem.layout.is_some() {
        return bench.at_field(manifest, code, "layout.name", &problem.to_string());
    }
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
