//! `kubectl mail lint`: what it says of each wrong manifest in `tests/lint/`, that the real API server agrees with it
//! about every one of them and about every example, and what its output formats are made of.
//! `UPDATE_GENERATED=1 cargo test --test it lint::` rewrites the expected outputs.

use crate::cluster::{cluster, in_repository};
use crate::generated::compare;
use jiff::Timestamp;
use mail_operator::cli::lint::scalar::{self, Scalar};
use mail_operator::cli::lint::{Options, Report, Severity, Source, Sources, lint};
use mail_operator::cli::{Exit, Format};
use mail_operator::evaluation::{Evaluator, Program};
use mail_operator_testbed::ControlPlane;
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::LazyLock;
use tokio::runtime::Runtime;

fn options(strict_references: bool) -> Options {
    Options {
        namespace: "default".into(),
        operator_namespace: "mail-operator".into(),
        strict_references,
        warnings_are_errors: false,
        severity: Severity::Note,
        now: "2026-11-24T08:00:00Z".parse::<Timestamp>().unwrap(),
    }
}

/// Processes that evaluate need a runtime that lives as long as they do, whichever test asks first.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static EVALUATOR: LazyLock<Evaluator> =
    LazyLock::new(|| Evaluator::new(Program::at(env!("CARGO_BIN_EXE_kubectl-mail"))));

/// What lint says of some files.
pub fn linted(files: Vec<Source>, options: Options) -> Report {
    let (report, reported) = std::sync::mpsc::channel();
    RUNTIME.spawn(async move {
        let sources = Sources { files, charts: Vec::new() };
        report.send(lint(sources, &options, &EVALUATOR).await).unwrap();
    });
    reported.recv().unwrap().unwrap()
}

/// The wrong manifests, by name.
fn wrong() -> Vec<String> {
    let folder = std::fs::read_dir(in_repository("tests/lint")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.rsplit('.').next() != Some("txt")).collect();
    names.sort();
    names
}

fn judge(names: &[&str]) -> Report {
    let source = |name: &&str| Source {
        name: format!("tests/lint/{name}"),
        bytes: std::fs::read(in_repository(format!("tests/lint/{name}"))).unwrap(),
        found: false,
    };
    let files = names.iter().map(source).collect();
    let strict = names.contains(&"strict-references.yaml");
    linted(files, options(strict))
}

fn plain(report: &Report) -> String {
    anstream::adapter::strip_str(&report.write(None)).to_string()
}

fn document(report: &Report) -> Value {
    serde_json::from_str(&report.write(Some(Format::Json))).unwrap()
}

#[test]
fn each_wrong_manifest_gets_its_words() {
    let names = wrong();
    assert!(names.len() >= 40, "{}", names.len());
    for name in names {
        let report = judge(&[&name]);
        assert_ne!(document(&report)["diagnostics"], json!([]), "{name}: nothing was found");
        compare(format!("tests/lint/{name}.txt"), &plain(&report));
    }
}

/// Codes of what the API server, or kubectl before it, refuses.
const AT_THE_DOOR: [&str; 9] = [
    "yaml-syntax",
    "no-manifest",
    "unknown-kind",
    "metadata",
    "unknown-field",
    "wrong-type",
    "invalid-value",
    "missing-field",
    "duplicate-entry",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_agrees() {
    let plane = cluster().await;
    for namespace in ["hr", "mail"] {
        // Another test may have made them.
        let _ = plane.kubectl(&["create", "namespace", namespace]).await.unwrap();
    }
    let mut differ = Vec::new();
    for name in wrong() {
        let found = document(&judge(&[&name]));
        let refuses = |finding: &Value| {
            let code = finding["code"].as_str().unwrap();
            let early = AT_THE_DOOR.contains(&code) || code == "rule" && finding["severity"] == "error";
            // Without a name there is nothing to apply; a number without a form in JSON cannot be sent.
            let others =
                code == "generate-name" || finding["message"].as_str().unwrap().contains("no form for");
            early && finding["severity"] == "error" || others
        };
        let expected = found["diagnostics"].as_array().unwrap().iter().any(refuses);
        let said = refused(plane, &format!("tests/lint/{name}")).await;
        if said.is_some() != expected {
            differ.push(format!("{name}: {said:?}, but lint: {found}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    for example in crate::docs::pages_in("examples") {
        assert_eq!(refused(plane, &example).await, None, "{example}");
    }
}

/// What kubectl or the API server says against a file.
async fn refused(plane: &ControlPlane, path: &str) -> Option<String> {
    let path = in_repository(path).display().to_string();
    let output =
        plane.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &path]).await.unwrap();
    (!output.status.success()).then_some(output.stderr)
}

/// The words of YAML 1.1, as kubectl sends them.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_words_as_lint_does() {
    let words = [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "N",
        "yEs",
        "true",
        "True",
        "~",
        "null",
        "Null",
        "010",
        "0o10",
        "0x1F",
        "0X1f",
        "0b11",
        "-010",
        "+7",
        "089",
        "0_1",
        "1_000",
        "1.0",
        "1.50",
        "1.",
        ".5",
        "1e3",
        "1E+3",
        "1e",
        "12:30",
        "1.2.3",
        "2026-11-24",
        "2026-11-24T08:00:00Z",
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901",
    ];
    let list: String = words.iter().flat_map(|word| ["        - ", word, "\n"]).collect();
    let manifest = format!(
        "apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata:\n  name: words\nspec:\n  to:\n  - address: a@b.example\n  message:\n    templateRef:\n      name: x\n    values:\n      list:\n{list}"
    );
    let plane = cluster().await;
    let arguments = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-"];
    let sent = plane.kubectl_with_input(&arguments, &manifest).await.unwrap().success().unwrap();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let sent = sent["spec"]["message"]["values"]["list"].as_array().unwrap();
    for (word, sent) in words.iter().zip(sent) {
        let read = match scalar::resolve(word) {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => value.into(),
            Scalar::Number(number) => number.into(),
            Scalar::NoNumber => panic!("{word}"),
            Scalar::Text => (*word).into(),
        };
        assert_eq!(read, *sent, "{word}");
    }
}

/// `kubectl mail`, found by the real kubectl.
async fn kubectl_mail(arguments: &[&str]) -> Output {
    let plugin = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-mail")).parent().unwrap();
    let path = std::env::join_paths([plugin, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let mut command = Command::new(cluster().await.kubectl_path());
    command.arg("mail").args(arguments).env("PATH", path).env("KUBECONFIG", "/dev/null");
    command.current_dir(in_repository("")).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_are_clean() {
    let output = kubectl_mail(&["lint", "-W", "error", "examples"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("no errors in ") && said.lines().count() == 1, "{said}");
    assert!(!said.contains("no objects"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes() {
    for (arguments, code, words) in [
        (&["lint", "tests/lint/values.yaml"] as &[_], 1, "did you mean firstName?"),
        (&["lint", "tests/lint/exchange-password.yaml"], 0, "no errors, 1 warning in 1 file"),
        (&["lint", "-W", "error", "tests/lint/exchange-password.yaml"], 1, "1 error in 1 file"),
        (&["lint", "--severity", "error", "tests/lint/exchange-password.yaml"], 0, "no errors, 1 warning"),
        (&["lint", "--strict-references", "tests/lint/strict-references.yaml"], 1, "missing-reference"),
        (&["lint", "tests/lint/strict-references.yaml"], 0, "no errors in 1 file, 2 objects"),
        (
            &["lint", "-o", "github", "tests/lint/rule-host.yaml"],
            1,
            "::error file=tests/lint/rule-host.yaml,line=5,",
        ),
        (&["lint", "-o", "yaml", "examples"], 2, "it writes json, sarif, github"),
        (&["lint", "-o", "sarif", "tests/lint/rule-host.yaml"], 1, "\"ruleId\": \"rule\""),
        (&["version", "-o", "sarif"], 2, "it writes json, yaml, name"),
        (&["lint", "nowhere.yaml"], 2, "nowhere.yaml: No such file"),
        (&["lint"], 2, "required"),
        (&["lint", "charts"], 0, "helm template charts/mail-operator | kubectl mail lint -"),
        (&["lint", "-n", "hr", "-o", "json", "tests/lint/rule-host.yaml"], 1, "\"namespace\": \"hr\""),
    ] {
        let output = kubectl_mail(arguments).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains('\u{1b}'), "colours where there is no terminal: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rendered_charts_are_read_from_standard_input() {
    let plane = cluster().await;
    let chart = in_repository("charts/mail-operator").display().to_string();
    let values = format!("{chart}/ci/servers-and-templates-values.yaml");
    let rendered = plane.helm(&["template", "mail", &chart, "-f", &values]).await.unwrap().success().unwrap();
    let source = Source { name: "stdin".into(), bytes: rendered.into_bytes(), found: false };
    let report = linted(vec![source], options(false));
    assert_eq!(report.exit(), Exit::Good, "{}", plain(&report));
    assert!(document(&report)["summary"]["objects"].as_u64() > Some(5), "{}", plain(&report));
}

/// What SARIF 2.1.0 requires of the members that are used (sections 3.13, 3.14, 3.19, 3.27, 3.30, 3.49).
#[test]
fn sarif_is_as_its_standard_says() {
    let names = wrong();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let report = judge(&names);
    let log: Value = serde_json::from_str(&report.write(Some(Format::Sarif))).unwrap();
    let schema: Value = serde_json::from_str(
        r#"{
        "type": "object", "required": ["version", "runs"], "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string", "format": "uri" }, "version": { "const": "2.1.0" },
            "runs": { "type": "array", "minItems": 1, "maxItems": 1, "items": {
                "type": "object", "required": ["tool", "results"], "additionalProperties": false,
                "properties": {
                    "columnKind": { "enum": ["utf16CodeUnits", "unicodeCodePoints"] },
                    "tool": { "type": "object", "required": ["driver"], "additionalProperties": false, "properties": {
                        "driver": { "type": "object", "required": ["name"], "additionalProperties": false, "properties": {
                            "name": { "type": "string", "minLength": 1 }, "version": { "type": "string" },
                            "rules": { "type": "array", "uniqueItems": true, "items": {
                                "type": "object", "required": ["id"], "additionalProperties": false, "properties": {
                                    "id": { "type": "string", "pattern": "^[a-z-]+$" },
                                    "shortDescription": { "type": "object", "required": ["text"], "properties": { "text": { "type": "string", "minLength": 10 } } }
                                }
                            } }
                        } }
                    } },
                    "results": { "type": "array", "minItems": 40, "items": {
                        "type": "object", "required": ["message", "ruleId", "ruleIndex", "level", "locations"], "additionalProperties": false,
                        "properties": {
                            "ruleId": { "type": "string" }, "ruleIndex": { "type": "integer", "minimum": 0 },
                            "level": { "enum": ["none", "note", "warning", "error"] },
                            "message": { "type": "object", "required": ["text"], "additionalProperties": false, "properties": { "text": { "type": "string", "minLength": 1 } } },
                            "locations": { "type": "array", "minItems": 1, "items": {
                                "type": "object", "additionalProperties": false, "properties": {
                                    "physicalLocation": { "type": "object", "required": ["artifactLocation"], "additionalProperties": false, "properties": {
                                        "artifactLocation": { "type": "object", "required": ["uri"], "properties": { "uri": { "type": "string", "format": "uri-reference" } } },
                                        "region": { "type": "object", "additionalProperties": false, "properties": {
                                            "startLine": { "type": "integer", "minimum": 1 }, "startColumn": { "type": "integer", "minimum": 1 },
                                            "endLine": { "type": "integer", "minimum": 1 }, "endColumn": { "type": "integer", "minimum": 1 }
                                        } }
                                    } },
                                    "logicalLocations": { "type": "array", "items": { "type": "object", "required": ["fullyQualifiedName"] } }
                                }
                            } }
                        }
                    } }
                }
            } }
        }
    }"#,
    )
    .unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let run = &log["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let rule =
            &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let place = |which: &str| {
            (region[format!("{which}Line")].as_u64(), region[format!("{which}Column")].as_u64())
        };
        assert!(place("start") <= place("end"), "{region}");
    }
}

/// The page shows what is really printed.
#[test]
fn the_page_is_true() {
    let page = std::fs::read_to_string(in_repository("docs/lint.md")).unwrap();
    for name in ["values.yaml", "secret-not-bound.yaml"] {
        let shown = plain(&judge(&[name]));
        assert!(page.contains(&shown), "docs/lint.md does not show this:\n{shown}");
    }
    for code in mail_operator::cli::lint::Code::OWN {
        assert!(page.contains(&format!("| `{code}` |")), "docs/lint.md lacks {code}");
    }
}

/// A thousand objects take three seconds in a debug build; the limit only tells whether time grows with their square,
/// on a machine that does other things as well.
#[test]
fn a_thousand_objects_take_seconds() {
    use std::fmt::Write;
    let template = std::fs::read_to_string(in_repository("examples/quickstart/template.yaml")).unwrap();
    let mut text = template;
    for number in 0..1000 {
        write!(
            text,
            "---\napiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata:\n  name: n{number}\nspec:\n  to:\n    - address: ada{number}@corp.example\n  message:\n    templateRef:\n      name: welcome\n    values:\n      firstName: Ada\n"
        )
        .unwrap();
    }
    let begun = std::time::Instant::now();
    let source = Source { name: "many.yaml".into(), bytes: text.into_bytes(), found: false };
    let report = linted(vec![source], options(false));
    assert_eq!(report.to_string(), "no errors in 1 file, 1001 objects");
    assert!(begun.elapsed() < std::time::Duration::from_secs(90), "{:?}", begun.elapsed());
}
