//! From a spec to a compiled template, or to everything that is wrong with it: first languages,
//! variables and syntax, then the names that texts use, then rendering with the examples. A stage
//! whose inputs are wrong is not run, so that nobody reads about consequences of what he reads
//! about already.

use super::{Compiled, Names, TemplateProblem, Texts, engine};
use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::content::{Part, stray_control};
use crate::domain::likeness::likeness;
use crate::domain::locale::Locale;
use crate::domain::problem::Problem;
use crate::domain::values::{RecipientValues, Variables};
use minijinja::Environment;
use std::collections::BTreeSet;

/// The names that need no declaration, with their members.
const BUILT_IN: [(&str, &[&str]); 3] = [
    ("recipient", &["address", "displayName", "locale"]),
    ("sender", &["address", "displayName"]),
    ("notification", &["name", "namespace"]),
];

/// Whom and what a template is tried out with.
const SAMPLE: Names<'static> = Names {
    recipient: ("name@corp.example", "First Last"),
    sender: ("sender@corp.example", "Sender"),
    notification: ("example", "default"),
};

/// The texts of one language as they were written.
struct Written<'a> {
    /// Where its tag stands, for problems.
    field: String,
    tag: &'a str,
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
}

/// One text of one language.
struct Text<'a> {
    locale: Locale,
    part: Part,
    name: String,
    source: &'a str,
}

pub(super) fn compile(spec: &MessageTemplateSpec) -> Result<Compiled, Vec<TemplateProblem>> {
    let mut problems = Vec::new();
    let (mut languages, mut texts, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for written in written(spec) {
        match language(&written, &mut seen) {
            Ok(locale) => languages.push(name(&written, &locale, &mut texts)),
            Err(problem) => problems.push(problem),
        }
    }
    let variables = match Variables::new(&spec.variables) {
        Ok(variables) => Some(variables),
        Err(wrong) => {
            problems.extend(wrong.into_iter().map(|p| TemplateProblem::field(Reason::InvalidSpec, p)));
            None
        }
    };
    let mut engine = engine::new();
    for text in &texts {
        problems.extend(add(&mut engine, text).err());
    }
    let mut languages = languages.into_iter();
    let (Some(own), Some(variables), true) = (languages.next(), variables, problems.is_empty()) else {
        return Err(problems);
    };
    let mut names = BTreeSet::new();
    for text in &texts {
        check_names(&engine, text, &variables, &mut names, &mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let compiled = Compiled { engine, own, translations: languages.collect(), variables, names };
    let problems = try_out(&compiled);
    if problems.is_empty() { Ok(compiled) } else { Err(problems) }
}

/// All languages, the template's own first.
fn written(spec: &MessageTemplateSpec) -> impl Iterator<Item = Written<'_>> {
    let own = Written {
        field: "locale".into(),
        tag: &spec.locale,
        subject: &spec.subject,
        text: spec.text.as_deref(),
        html: spec.html.as_deref(),
    };
    let translations = spec.translations.iter().map(|translation| Written {
        field: format!("translations[{}].locale", translation.locale),
        tag: &translation.locale,
        subject: &translation.subject,
        text: translation.text.as_deref(),
        html: translation.html.as_deref(),
    });
    std::iter::once(own).chain(translations)
}

/// Reads the tag of a language, which none before it may have.
fn language(written: &Written<'_>, seen: &mut BTreeSet<Locale>) -> Result<Locale, TemplateProblem> {
    let wrong =
        |message: String| TemplateProblem::field(Reason::InvalidSpec, Problem::new(&written.field, message));
    let locale = Locale::parse(written.tag).map_err(|problem| wrong(problem.to_string()))?;
    if written.text.is_none() && written.html.is_none() {
        return Err(wrong(format!("{locale} has no body: set text, html or both")));
    }
    if seen.insert(locale.clone()) { Ok(locale) } else { Err(wrong(format!("{locale} is there twice"))) }
}

/// Names the texts of a language inside the engine.
fn name<'a>(written: &Written<'a>, locale: &Locale, texts: &mut Vec<Text<'a>>) -> Texts {
    let mut source = |part: Part, source: &'a str| {
        let name = format!("{locale}.{part}");
        texts.push(Text { locale: locale.clone(), part, name: name.clone(), source });
        name
    };
    Texts {
        locale: locale.clone(),
        subject: source(Part::Subject, written.subject),
        text: written.text.map(|text| source(Part::Text, text)),
        html: written.html.map(|html| source(Part::HTML, html)),
    }
}

fn add(engine: &mut Environment<'static>, text: &Text<'_>) -> Result<(), TemplateProblem> {
    let Text { locale, part, name, source } = text;
    let wrong = |message: String| TemplateProblem::in_text(Reason::SyntaxError, locale, *part, None, message);
    if source.len() > engine::MAX_SOURCE {
        return Err(wrong(format!("is larger than {} KiB", engine::MAX_SOURCE / 1024)));
    }
    if let Some(control) = stray_control(source) {
        return Err(wrong(format!("holds the control character U+{:04X}: remove it", u32::from(control))));
    }
    if let Some(octet) = engine::too_long(source) {
        let place = Some(engine::position(source, octet));
        let message = format!("an expression is longer than {} octets: split it with set", engine::MAX_TAG);
        return Err(TemplateProblem::in_text(Reason::SyntaxError, locale, *part, place, message));
    }
    engine::add(engine, name, source).map_err(|error| TemplateProblem::syntax(locale, *part, source, &error))
}

/// Every name must be declared or built in, every member of a built-in name must exist.
fn check_names(
    engine: &Environment<'static>,
    text: &Text<'_>,
    variables: &Variables,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<TemplateProblem>,
) {
    let mut wrong = |name: &str, message: String| {
        let Text { locale, part, source, .. } = text;
        let position = engine::first_use(source, name).map(|octet| engine::position(source, octet));
        problems.push(TemplateProblem::in_text(Reason::UndeclaredVariable, locale, *part, position, message));
    };
    for name in engine::names(engine, &text.name) {
        if variables.declares(&name) {
            used.insert(name);
        } else if !engine::provides(engine, &name) && !BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
        {
            wrong(&name, undeclared(&name, variables));
        }
    }
    for path in engine::paths(engine, &text.name) {
        let Some((object, rest)) = path.split_once('.') else { continue };
        let Some((_, members)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == object) else { continue };
        if variables.declares(object) || members.contains(&rest) {
            continue;
        }
        wrong(&path, format!("{path} does not exist: {object} has {}", members.join(", ")));
    }
}

fn undeclared(name: &str, variables: &Variables) -> String {
    let built_in = BUILT_IN.iter().map(|(name, _)| *name);
    match variables.names().chain(built_in).filter_map(|known| Some((likeness(name, known)?, known))).min() {
        Some((_, known)) => format!("{name} is not declared: did you mean {known}? Else add it to variables"),
        None => format!("{name} is not declared: add it to variables"),
    }
}

/// Renders every language with the examples, and with nothing but what is required.
fn try_out(compiled: &Compiled) -> Vec<TemplateProblem> {
    let (full, bare) = (compiled.variables.examples(), compiled.variables.bare_examples());
    let hint = missing_examples(&compiled.variables);
    let attempt = |texts: &Texts, values: &RecipientValues, before: &str, after: &str| {
        compiled.render(texts, values, &SAMPLE).err().map(|problem| TemplateProblem {
            reason: Reason::ExampleFailed,
            message: format!("{before}{}{after}", problem.message),
            ..problem
        })
    };
    let barest = "without the variables that are not required: ";
    compiled
        .languages()
        .filter_map(|texts| attempt(texts, &full, "", &hint).or_else(|| attempt(texts, &bare, barest, "")))
        .collect()
}

fn missing_examples(variables: &Variables) -> String {
    let names = variables.without_example();
    if names.is_empty() {
        return String::new();
    }
    format!(" (to be checked, these variables need an example: {})", names.join(", "))
}
