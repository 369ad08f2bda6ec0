//! Mistakes in a template, each with the line that it is in. On standard error, or as lines for an editor.

use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::cli::output::{DIM, Mark, paint, wrap};
use crate::domain::catalog::Catalog;
use crate::domain::content::Part;
use crate::domain::template::{Place, TemplateProblem};
use std::io::Write;

/// Tells them on standard error.
pub fn tell(title: &str, problems: &[TemplateProblem], spec: &MessageTemplateSpec, catalog: &Catalog) {
    for problem in problems {
        complain(&format!("{title}: {problem} ({})", problem.reason));
        for line in excerpt(problem, spec, catalog) {
            let _ = writeln!(anstream::stderr().lock(), "{}", paint(DIM, line));
        }
    }
}

/// The same for what has no place in a text.
pub fn tell_plain(title: &str, reason: Reason, message: &str) {
    complain(&format!("{title}: {message} ({reason})"));
}

fn complain(words: &str) {
    for (at, line) in wrap(words, 2).into_iter().enumerate() {
        let start = if at == 0 { Mark::Bad.to_string() } else { " ".into() };
        let _ = writeln!(anstream::stderr().lock(), "{start} {line}");
    }
}

/// The line that a mistake is in, and a mark below its column.
pub fn excerpt(problem: &TemplateProblem, spec: &MessageTemplateSpec, catalog: &Catalog) -> Vec<String> {
    let layout = problem.layout.as_ref().map(|layout| {
        catalog.templates().find(|(source, _)| source.to_string() == *layout).map(|(_, known)| &*known.spec)
    });
    let Some(spec) = layout.unwrap_or(Some(spec)) else { return Vec::new() };
    let Place::Text { locale, part, position: Some((line, column)) } = &problem.place else {
        return Vec::new();
    };
    let Some(text) = text(spec, locale.as_str(), *part) else { return Vec::new() };
    let Some(source) = text.lines().nth(line.saturating_sub(1)) else { return Vec::new() };
    let number = line.to_string();
    // Tabs stay, so that the mark stands where the terminal shows the letter.
    let before: String =
        source.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    vec![format!("  {number} | {source}"), format!("  {} | {before}^", " ".repeat(number.len()))]
}

fn text<'a>(spec: &'a MessageTemplateSpec, locale: &str, part: Part) -> Option<&'a str> {
    let own = (&spec.locale, &spec.subject, &spec.text, &spec.html, &spec.mjml);
    let others = spec
        .translations
        .iter()
        .map(|other| (&other.locale, &other.subject, &other.text, &other.html, &other.mjml));
    let found = std::iter::once(own).chain(others).find(|(tag, ..)| tag.eq_ignore_ascii_case(locale));
    let (_, subject, text, html, mjml) = found?;
    match part {
        Part::Subject => Some(subject),
        Part::Text => text.as_deref(),
        _ => html.as_deref().or(mjml.as_deref()),
    }
}
