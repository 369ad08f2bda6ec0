//! SARIF 2.1.0 (OASIS), which code scanning reads: one run, a rule for each code that was found.

use super::{Lines, Report, whole};
use crate::cli::lint::STDIN;
use crate::cli::lint::diagnostic::Severity;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn write(report: &Report) -> String {
    let rules: BTreeMap<String, Value> = report
        .shown()
        .map(|(finding, _)| {
            let id = finding.code.to_string();
            let rule = json!({ "id": id, "shortDescription": { "text": finding.code.description() } });
            (id, rule)
        })
        .collect();
    let results: Vec<Value> = report
        .shown()
        .map(|(finding, file)| {
            let id = finding.code.to_string();
            let Lines { line, column, end_line, end_column } = Lines::of(finding, file);
            let mut location = json!({ "physicalLocation": {
                "artifactLocation": { "uri": uri(&file.name) },
                "region": {
                    "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column
                }
            } });
            let full = match (&finding.object, &finding.field) {
                (Some(object), Some(field)) => Some(format!("{object}, {field}")),
                (Some(object), None) => Some(object.to_string()),
                _ => None,
            };
            if let (Some(full), Some(location)) = (full, location.as_object_mut()) {
                location.insert("logicalLocations".into(), json!([{ "fullyQualifiedName": full }]));
            }
            json!({
                "ruleId": id, "ruleIndex": rules.keys().position(|known| *known == id).unwrap_or_default(),
                "level": level(finding.severity), "message": { "text": whole(finding) },
                "locations": [location]
            })
        })
        .collect();
    let document = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kubectl mail lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().collect::<Vec<_>>()
            } },
            "columnKind": "unicodeCodePoints",
            "results": results
        }]
    });
    format!("{document:#}\n")
}

const fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

/// A path as a relative reference (RFC 3986): other characters than these are octets in percent form.
fn uri(path: &str) -> String {
    if path == STDIN {
        return path.into();
    }
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for octet in path.replace('\\', "/").bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            uri.push(char::from(octet));
        } else {
            uri.extend([format!("%{octet:02X}")]);
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        assert_eq!(uri("mail/my file.yaml"), "mail/my%20file.yaml");
        assert_eq!(uri("/tmp/ä#.yaml"), "file:///tmp/%C3%A4%23.yaml");
    }
}
