//! GitHub's workflow commands, which become annotations of a pull request. Its own rules of escaping apply: `%`, CR
//! and LF in messages, `:` and `,` in properties as well.

use super::{Lines, Report, whole};
use crate::cli::lint::diagnostic::Severity;

pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    for (finding, file) in report.shown() {
        let Lines { line, column, end_line, end_column } = Lines::of(finding, file);
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let (name, title) = (property(&file.name), property(&finding.code.to_string()));
        text.extend([
            format!("::{command} file={name},line={line},endLine={end_line},col={column},endColumn={end_column},title={title}::"),
            data(&whole(finding)),
            "\n".into(),
        ]);
    }
    text.push_str(&report.summary());
    text.push('\n');
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
