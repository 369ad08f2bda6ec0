//! What lint found, sorted and counted, in the form that is asked for: for people, JSON, SARIF, or GitHub's workflow
//! commands. Says nothing itself; the text is for standard output.

mod github;
mod json;
mod people;
mod sarif;

use crate::cli::failure::Exit;
use crate::cli::flags::Format;
use crate::cli::lint::diagnostic::{Diagnostic, Severity};
use crate::cli::lint::{File, Options};
use std::fmt;

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    files: Vec<File>,
    objects: usize,
    findings: Vec<Diagnostic>,
    shown_from: Severity,
}

/// Where a finding begins and ends: lines and columns from 1, columns in characters.
struct Lines {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl Report {
    /// Sorts findings by file and place.
    pub(super) fn new(
        files: Vec<File>,
        objects: usize,
        mut findings: Vec<Diagnostic>,
        options: &Options,
    ) -> Self {
        if options.warnings_are_errors {
            for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Warning) {
                finding.severity = Severity::Error;
            }
        }
        findings.sort_by_key(|finding| (finding.file, finding.span.start, finding.span.end));
        findings.dedup();
        Self { files, objects, findings, shown_from: options.severity }
    }

    /// Whether there is an error among them.
    pub fn exit(&self) -> Exit {
        let bad = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        if bad { Exit::Failed } else { Exit::Good }
    }

    /// The text, with colours for a terminal where it is for people.
    pub fn write(&self, format: Option<Format>) -> String {
        match format {
            None | Some(Format::Yaml | Format::Name) => people::write(self),
            Some(Format::Json) => json::write(self),
            Some(Format::Sarif) => sarif::write(self),
            Some(Format::Github) => github::write(self),
        }
    }

    fn shown(&self) -> impl Iterator<Item = (&Diagnostic, &File)> {
        let shown = self.findings.iter().filter(|finding| finding.severity >= self.shown_from);
        shown.filter_map(|finding| Some((finding, self.files.get(finding.file)?)))
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// `3 errors, 1 warning in 5 files, 12 objects`.
    fn summary(&self) -> String {
        let number = |count: usize, word: &str| match count {
            0 => format!("no {word}s"),
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let mut counts = vec![number(self.count(Severity::Error), "error")];
        for severity in [Severity::Warning, Severity::Note] {
            if self.count(severity) > 0 {
                counts.push(number(self.count(severity), severity.as_str()));
            }
        }
        let files = number(self.files.len(), "file");
        format!("{} in {files}, {}", counts.join(", "), number(self.objects, "object"))
    }
}

impl Lines {
    fn of(finding: &Diagnostic, file: &File) -> Self {
        let position = |octet: usize| {
            let before = file.text.get(..file.text.floor_char_boundary(octet)).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
        };
        let (line, column) = position(finding.span.start);
        let (end_line, end_column) = position(finding.span.end.max(finding.span.start));
        Self { line, column, end_line, end_column }
    }
}

/// Message and help as one text of lines.
fn whole(finding: &Diagnostic) -> String {
    match &finding.help {
        Some(help) => format!("{}\n{help}", finding.message),
        None => finding.message.clone(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}
