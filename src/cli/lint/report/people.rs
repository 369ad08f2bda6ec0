//! For people: each finding with its line, a caret below it, and what would be right.

use super::Report;
use crate::cli::lint::File;
use crate::cli::lint::diagnostic::{Diagnostic, Severity};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// How long a line of a file is shown at most, in octets: some hold whole pictures.
const LONGEST_LINE: usize = 2000;

/// All findings and the summary. Colours are in it; who prints it drops them where they do not belong.
pub(super) fn write(report: &Report) -> String {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for (finding, file) in report.shown() {
        text.push_str(&show(&renderer, finding, file));
        text.push_str("\n\n");
    }
    text.push_str(&report.summary());
    text.push('\n');
    text
}

fn show(renderer: &Renderer, finding: &Diagnostic, file: &File) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let code = finding.code.to_string();
    let title = level.primary_title(finding.message.as_str()).id(code);
    let about = match (&finding.object, &finding.field) {
        (Some(object), Some(field)) => Some(format!("{object}, {field}")),
        (Some(object), None) => Some(object.to_string()),
        (None, Some(field)) => Some(field.clone()),
        (None, None) => None,
    };
    let mut group = match lines(finding, file) {
        Some((source, first, span)) => title.element(
            Snippet::source(source)
                .line_start(first)
                .path(file.name.as_str())
                .annotation(AnnotationKind::Primary.span(span)),
        ),
        None => title.element(Origin::path(file.name.as_str())),
    };
    group = group.elements(about.map(|about| Level::NOTE.no_name().message(about)));
    group = group.elements(finding.help.as_deref().map(|help| Level::HELP.message(help)));
    renderer.render(&[group])
}

/// The line a finding is on, its number, and where on it to point.
fn lines<'a>(finding: &Diagnostic, file: &'a File) -> Option<(&'a str, usize, std::ops::Range<usize>)> {
    let text = &file.text;
    if text.is_empty() {
        return None;
    }
    let start = text.floor_char_boundary(finding.span.start.min(text.len()));
    let (before, after) = (text.get(..start)?, text.get(start..)?);
    let begin = before.rfind('\n').map_or(0, |found| found + 1);
    let end = after.find('\n').map_or(text.len(), |found| start + found);
    let line = text.get(begin..end)?.trim_end_matches('\r');
    if line.len() > LONGEST_LINE {
        return None;
    }
    let number = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let to = text.floor_char_boundary(finding.span.end).clamp(start, (begin + line.len()).max(start));
    Some((line, number, (start - begin).min(line.len())..(to - begin).min(line.len())))
}
