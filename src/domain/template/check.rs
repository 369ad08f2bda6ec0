//! From a spec to a compiled template, or to everything that is wrong with it: first languages,
//! variables and syntax, then the names that texts use, then rendering with the examples. A stage
//! whose inputs are wrong is not run, so that nobody reads about consequences of what he reads
//! about already.

use super::layout::{self, CONTENT, Layout};
use super::{
    Body, Compiled, Markup, Names, Progress, Sheet, Stage, TemplateProblem, Texts, engine, filters, jinja,
    mjml, places,
};
use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::content::{Part, stray_control};
use crate::domain::likeness::nearest;
use crate::domain::locale::Locale;
use crate::domain::problem::Problem;
use crate::domain::values::{RecipientValues, Variables};
use minijinja::Environment;
use std::collections::BTreeSet;

/// Enough to read at once. Finding where each one is takes time as well.
const MOST_PROBLEMS: usize = 50;

/// The names that need no declaration, with their members.
const BUILT_IN: [(&str, &[&str]); 3] = [
    ("recipient", &["address", "displayName", "locale", "direction"]),
    ("sender", &["address", "displayName"]),
    ("notification", &["name", "namespace"]),
];

/// Whom and what a template is tried out with.
fn sample_names() -> Names {
    let pair = |first: &str, second: &str| (first.to_owned(), second.to_owned());
    Names {
        recipient: pair("name@corp.example", "First Last"),
        sender: pair("sender@corp.example", "Sender"),
        notification: pair("example", "default"),
    }
}

/// The texts of one language as they were written.
struct Written<'a> {
    /// Where its tag stands, for problems.
    field: String,
    tag: &'a str,
    subject: &'a str,
    text: Option<&'a str>,
    body: Option<(Markup, &'a str)>,
}

/// One text of one language.
struct Text<'a> {
    /// The layout that it belongs to.
    layout: Option<&'a str>,
    locale: Locale,
    part: Part,
    name: String,
    source: &'a str,
}

pub(super) fn check(
    spec: &MessageTemplateSpec,
    layouts: &[Layout<'_>],
    progress: Progress<'_>,
) -> Result<Compiled, Vec<TemplateProblem>> {
    let (mut compiled, texts) = assemble(spec, layouts, progress)?;
    let Compiled { engine, own, layouts, variables, names, .. } = &mut compiled;
    let mut problems = Vec::new();
    for text in &texts {
        progress(&text.stage());
        check_names(engine, text, variables, names, &mut problems);
    }
    for text in &texts {
        let unknown = filters::unknown(text.source).into_iter();
        problems.extend(unknown.map(|(at, message)| text.problem(Reason::SyntaxError, Some(at), message)));
    }
    for text in texts.iter().filter(|text| matches!(text.part, Part::HTML | Part::MJML)) {
        progress(&text.stage());
        let found = places::unsafe_places(text.source, &jinja::blanked(text.source), variables);
        problems.extend(
            found.into_iter().map(|(at, message)| text.problem(Reason::UnsafePlace, Some(at), message)),
        );
    }
    check_markup(own, layouts, &texts, progress, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let misfits = layout::misfits(&compiled);
    let problems = if misfits.is_empty() { try_out(&compiled, progress) } else { misfits };
    if problems.is_empty() { Ok(compiled) } else { Err(problems) }
}

pub(super) fn load(
    spec: &MessageTemplateSpec,
    layouts: &[Layout<'_>],
    progress: Progress<'_>,
) -> Result<Compiled, Vec<TemplateProblem>> {
    assemble(spec, layouts, progress).map(|(compiled, _)| compiled)
}

/// Parses every text. Which names they use is not known yet.
fn assemble<'a>(
    spec: &'a MessageTemplateSpec,
    layouts: &[Layout<'a>],
    progress: Progress<'_>,
) -> Result<(Compiled, Vec<Text<'a>>), Vec<TemplateProblem>> {
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    let own = sheet(None, spec, &mut texts, &mut problems);
    let outer: Vec<_> =
        layouts.iter().map(|layout| sheet(Some(layout), layout.spec, &mut texts, &mut problems)).collect();
    let variables = variables(spec, layouts, &mut problems);
    let mut engine = engine::new();
    for text in &texts {
        progress(&text.stage());
        problems.extend(add(&mut engine, text).err());
    }
    let (Some(own), Some(variables), true) = (own, variables, problems.is_empty()) else {
        return Err(problems);
    };
    let uses_content = |texts: &Texts| {
        let body = texts.body.as_ref().map(|body| &body.name);
        let names = std::iter::once(&texts.subject).chain(&texts.text).chain(body);
        names.into_iter().any(|name| engine::names(&engine, name).contains(CONTENT))
    };
    let is_layout = own.languages().any(uses_content);
    let layouts = outer.into_iter().flatten().collect();
    Ok((Compiled { engine, own, layouts, variables, names: BTreeSet::new(), is_layout }, texts))
}

/// The variables of the template and those that only its layouts declare.
pub(super) fn variables(
    spec: &MessageTemplateSpec,
    layouts: &[Layout<'_>],
    problems: &mut Vec<TemplateProblem>,
) -> Option<Variables> {
    let mut all = spec.variables.clone();
    let before = problems.len();
    let wrong = |p| TemplateProblem::field(Reason::InvalidSpec, p);
    for layout in layouts {
        if let Err(found) = Variables::new(&layout.spec.variables) {
            problems.extend(found.into_iter().map(|p| wrong(p).in_layout(Some(layout.name))));
        }
        let more = layout.spec.variables.iter().filter(|new| !all.iter().any(|known| known.name == new.name));
        let more: Vec<_> = more.cloned().collect();
        all.extend(more);
    }
    if problems.len() > before {
        return None;
    }
    match Variables::new(&all) {
        Ok(variables) => Some(variables),
        Err(found) => {
            problems.extend(found.into_iter().map(wrong));
            None
        }
    }
}

/// Names the texts of a template or layout; `None` where its languages are wrong.
fn sheet<'a>(
    layout: Option<&Layout<'a>>,
    spec: &'a MessageTemplateSpec,
    texts: &mut Vec<Text<'a>>,
    problems: &mut Vec<TemplateProblem>,
) -> Option<Sheet> {
    let layout = layout.map(|layout| layout.name);
    let mut seen = BTreeSet::new();
    let mut languages = Vec::new();
    for written in written(spec) {
        match language(&written, &mut seen) {
            Ok(locale) => languages.push(name(&written, &locale, layout, texts)),
            Err(problem) => problems.push(problem.in_layout(layout)),
        }
    }
    let mut languages = languages.into_iter();
    let own = languages.next()?;
    Some(Sheet { layout: layout.map(str::to_owned), own, translations: languages.collect() })
}

/// All languages, the template's own first.
fn written(spec: &MessageTemplateSpec) -> impl Iterator<Item = Written<'_>> {
    let own = Written {
        field: "locale".into(),
        tag: &spec.locale,
        subject: &spec.subject,
        text: spec.text.as_deref(),
        body: body(spec.html.as_deref(), spec.mjml.as_deref()),
    };
    let translations = spec.translations.iter().map(|translation| Written {
        field: format!("translations[{}].locale", translation.locale),
        tag: &translation.locale,
        subject: &translation.subject,
        text: translation.text.as_deref(),
        body: body(translation.html.as_deref(), translation.mjml.as_deref()),
    });
    std::iter::once(own).chain(translations)
}

/// The HTML body; the schema refuses both at once.
fn body<'a>(html: Option<&'a str>, mjml: Option<&'a str>) -> Option<(Markup, &'a str)> {
    html.map(|html| (Markup::Html, html)).or(mjml.map(|mjml| (Markup::Mjml, mjml)))
}

/// Reads the tag of a language, which none before it may have.
fn language(written: &Written<'_>, seen: &mut BTreeSet<Locale>) -> Result<Locale, TemplateProblem> {
    let wrong =
        |message: String| TemplateProblem::field(Reason::InvalidSpec, Problem::new(&written.field, message));
    let locale = Locale::parse(written.tag).map_err(|problem| wrong(problem.to_string()))?;
    if written.text.is_none() && written.body.is_none() {
        return Err(wrong(format!("{locale} has no body: set text, html or mjml")));
    }
    if seen.insert(locale.clone()) { Ok(locale) } else { Err(wrong(format!("{locale} is there twice"))) }
}

/// Names the texts of a language inside the engine: the language, the layout's place in the chain, the part.
fn name<'a>(
    written: &Written<'a>,
    locale: &Locale,
    layout: Option<&'a str>,
    texts: &mut Vec<Text<'a>>,
) -> Texts {
    let mut source = |part: Part, source: &'a str| {
        let name = format!("{locale}/{}.{part}", texts.len());
        texts.push(Text { layout, locale: locale.clone(), part, name: name.clone(), source });
        name
    };
    Texts {
        locale: locale.clone(),
        subject: source(Part::Subject, written.subject),
        text: written.text.map(|text| source(Part::Text, text)),
        body: written.body.map(|(kind, body)| {
            let content = jinja::first_use(body, CONTENT);
            let around = content.and_then(|at| mjml::parent_at(&jinja::blanked(body), at));
            Body { kind, name: source(kind.part(), body), around: around.unwrap_or(mjml::BODY) }
        }),
    }
}

fn add(engine: &mut Environment<'static>, text: &Text<'_>) -> Result<(), TemplateProblem> {
    let source = text.source;
    if source.len() > engine::MAX_SOURCE {
        let message = format!("is larger than {} KiB: shorten it", engine::MAX_SOURCE / 1024);
        return Err(text.problem(Reason::SourceTooLarge, None, message));
    }
    if let Some(control) = stray_control(source) {
        let message = format!("holds the control character U+{:04X}: remove it", u32::from(control));
        return Err(text.problem(Reason::SyntaxError, None, message));
    }
    if let Some(octet) = jinja::too_long(source) {
        let message = format!("an expression is longer than {} octets: split it with set", jinja::MAX_TAG);
        return Err(text.problem(Reason::SyntaxError, Some(octet), message));
    }
    engine::add(engine, &text.name, source).map_err(|error| {
        TemplateProblem::syntax(&text.locale, text.part, source, &error).in_layout(text.layout)
    })
}

impl Text<'_> {
    fn stage(&self) -> Stage {
        Stage { layout: self.layout.map(str::to_owned), locale: self.locale.clone(), part: self.part }
    }

    /// A problem of this text, at an octet of it.
    fn problem(&self, reason: Reason, octet: Option<usize>, message: impl AsRef<str>) -> TemplateProblem {
        let position = octet.map(|octet| jinja::position(self.source, octet));
        TemplateProblem::in_text(reason, &self.locale, self.part, position, message).in_layout(self.layout)
    }
}

/// MJML against what MJML has, each text with the place in its layout that it is put into.
fn check_markup(
    own: &Sheet,
    layouts: &[Sheet],
    texts: &[Text<'_>],
    progress: Progress<'_>,
    problems: &mut Vec<TemplateProblem>,
) {
    let sheets = std::iter::once(own).chain(layouts);
    let pairs = sheets.zip(layouts.iter().map(Some).chain(std::iter::once(None)));
    let all = pairs.flat_map(|(sheet, outer)| sheet.languages().map(move |language| (language, outer)));
    for (language, outer) in all {
        let Some(body) = language.body.as_ref().filter(|body| body.kind == Markup::Mjml) else { continue };
        let Some(text) = texts.iter().find(|text| text.name == body.name) else { continue };
        progress(&text.stage());
        let mistakes = mjml::mistakes(&jinja::blanked(text.source), layout::around(outer, language));
        problems.extend(
            mistakes.into_iter().map(|(at, message)| text.problem(Reason::UnknownMarkup, Some(at), message)),
        );
    }
}

/// Every name must be declared or built in, every member of a built-in name must exist.
fn check_names(
    engine: &Environment<'static>,
    text: &Text<'_>,
    variables: &Variables,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<TemplateProblem>,
) {
    let mut wrong = |name: &str, message: &dyn Fn() -> String| {
        if problems.len() >= MOST_PROBLEMS {
            return;
        }
        problems.push(text.problem(
            Reason::UndeclaredVariable,
            jinja::first_use(text.source, name),
            message(),
        ));
    };
    for name in engine::names(engine, &text.name) {
        if variables.declares(&name) {
            used.insert(name);
        } else if name != CONTENT
            && !engine::provides(engine, &name)
            && !BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
        {
            wrong(&name, &|| undeclared(&name, variables));
        }
    }
    for path in engine::paths(engine, &text.name) {
        let Some((object, rest)) = path.split_once('.') else { continue };
        let Some((_, members)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == object) else { continue };
        if variables.declares(object) || members.contains(&rest) {
            continue;
        }
        wrong(&path, &|| format!("{path} does not exist: {object} has {}", members.join(", ")));
    }
}

fn undeclared(name: &str, variables: &Variables) -> String {
    let built_in = BUILT_IN.iter().map(|(name, _)| *name).chain([CONTENT]);
    match nearest(name, variables.names().chain(built_in)) {
        Some(known) => format!("{name} is not declared: did you mean {known}? Else add it to variables"),
        None => format!("{name} is not declared: add it to variables"),
    }
}

/// Renders every language with the examples, and with nothing but what is required.
fn try_out(compiled: &Compiled, progress: Progress<'_>) -> Vec<TemplateProblem> {
    let names = sample_names();
    let (full, bare) = (compiled.variables.examples(), compiled.variables.bare_examples());
    let hint = missing_examples(&compiled.variables);
    let attempt = |texts: &Texts, values: &RecipientValues, before: &str, after: &str| {
        compiled.render_texts(texts, values, &names, progress).err().map(|problem| {
            let reason = match problem.reason {
                _ if problem.layout.is_some() => Reason::LayoutInvalid,
                Reason::RenderFailed => Reason::ExampleFailed,
                limit => limit,
            };
            // What exceeds a limit does not do so for want of an example.
            let after = if reason == Reason::ExampleFailed { after } else { "" };
            TemplateProblem { reason, message: format!("{before}{}{after}", problem.message), ..problem }
        })
    };
    let barest = "without the variables that are not required: ";
    compiled
        .own
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
