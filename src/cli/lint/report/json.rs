//! One JSON document: `diagnostics` in the order of files and places, and a `summary`.

use super::{Lines, Report};
use crate::cli::lint::diagnostic::Severity;
use serde_json::{Value, json};

pub(super) fn write(report: &Report) -> String {
    let diagnostics: Vec<Value> = report
        .shown()
        .map(|(finding, file)| {
            let Lines { line, column, end_line, end_column } = Lines::of(finding, file);
            let object = finding.object.as_ref().map(|object| {
                json!({ "kind": object.kind, "namespace": *object.key.namespace, "name": *object.key.name })
            });
            json!({
                "severity": finding.severity.as_str(), "code": finding.code.to_string(),
                "message": finding.message, "help": finding.help,
                "file": file.name, "line": line, "column": column, "endLine": end_line, "endColumn": end_column,
                "object": object, "field": finding.field
            })
        })
        .collect();
    let document = json!({
        "diagnostics": diagnostics,
        "summary": {
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
            "notes": report.count(Severity::Note),
            "files": report.files.len(),
            "objects": report.objects
        }
    });
    format!("{document:#}\n")
}
