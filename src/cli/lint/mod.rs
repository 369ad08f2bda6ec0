//! `kubectl mail lint` without a cluster: what the API server and the operator would say of the objects in some files,
//! found with their own schemas and code, and shown where it stands.

mod diagnostic;
mod judgement;
mod metadata;
mod notifications;
mod place;
mod report;
pub mod scalar;
mod schema;
mod sentences;
mod servers;
mod set;
mod source;
mod templates;
mod words;
mod yaml;

pub use diagnostic::{Code, Diagnostic, ObjectName, Severity};
pub use report::Report;
pub use source::{Source, Sources, read};

use crate::cli::evaluation;
use crate::cli::failure::{Exit, Failure};
use crate::domain::catalog::Catalog;
use crate::evaluation::Evaluator;
use jiff::Timestamp;
use judgement::{Bench, of_kind};
use set::{Kind, Manifest, Set};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// What standard input is called.
pub const STDIN: &str = "stdin";

/// The standard messages, checked once.
static STANDARD: OnceCell<Catalog> = OnceCell::const_new();

/// A file that was read.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// Its path.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// The operator's namespace.
    pub operator_namespace: String,
    /// Whether references to objects that are not among the files are errors.
    pub strict_references: bool,
    /// Whether warnings are errors.
    pub warnings_are_errors: bool,
    /// What is shown: this and what is graver.
    pub severity: Severity,
    /// The time.
    pub now: Timestamp,
}

/// Judges everything in these files.
pub async fn lint(
    sources: source::Sources,
    options: &Options,
    evaluator: &Evaluator,
) -> Result<Report, Failure> {
    let schemas = schema::Schemas::ours().map_err(|error| {
        Failure::new(Exit::Failed, format!("the schemas of this program are broken: {error}"))
    })?;
    let mut found = Vec::new();
    let mut files = Vec::new();
    let mut set = Set::default();
    for (file, source) in sources.files.into_iter().enumerate() {
        let text = decode(file, source.bytes, &mut found);
        set.add((file, &text, source.found), &options.namespace, &mut found);
        files.push(File { name: source.name, text });
    }
    set.doubles(&mut found);
    let bench = Bench {
        set: &set,
        files: &files,
        operator_namespace: &options.operator_namespace,
        strict_references: options.strict_references,
        evaluator,
        now: options.now,
    };
    judge(&bench, schemas, &mut found).await?;
    for folder in sources.charts {
        let file = files.len();
        let chart = folder.trim_end_matches("templates").trim_end_matches('/');
        let message = "the templates of a chart are no manifests until they are rendered";
        let help = format!("helm template {chart} | kubectl mail lint -");
        found.push(Diagnostic::note(Code::Chart, file, 0..0, message).help(help));
        files.push(File { name: folder, text: String::new() });
    }
    Ok(Report::new(files, set.objects, found, options))
}

fn decode(file: usize, bytes: Vec<u8>, found: &mut Vec<Diagnostic>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let at = error.utf8_error().valid_up_to();
        let (line, column) = error.as_bytes().get(..at).map_or((1, 1), |before| {
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            let column = before.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
            (line, column)
        });
        let message =
            format!("is not UTF-8 text: octet {column} of line {line} would arrive as another character");
        found.push(Diagnostic::error(Code::NotText, file, 0..0, message).help("save it as UTF-8"));
        String::new()
    })
}

async fn judge(
    bench: &Bench<'_>,
    schemas: &schema::Schemas,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let set = bench.set;
    let mut stored = Vec::with_capacity(set.manifests.len());
    for manifest in &set.manifests {
        let mut own = metadata::check(manifest);
        let judged = schemas.judge(manifest, bench.text(&manifest.object));
        own.extend(judged.problems);
        own.extend(words::check(manifest));
        keep(manifest, own, found);
        stored.push(judged.json);
    }
    for (objects, is_secret) in [(&set.secrets, true), (&set.service_accounts, false)] {
        found.extend(objects.values().flat_map(|object| metadata::neighbour(object, is_secret)));
    }
    let json = |at: usize| stored.get(at).unwrap_or(&serde_json::Value::Null);
    let standard = STANDARD.get_or_try_init(async || standard(bench.evaluator).await).await?;
    let mut catalog = standard.in_namespace(bench.operator_namespace);
    catalog.namespaces.clone_from(&set.namespaces);
    for (at, manifest) in of_kind(set, Kind::Server) {
        let mut own = Vec::new();
        let server = servers::check(bench, manifest, json(at), &mut own);
        keep(manifest, own, found);
        let known = server.map_or_else(|| Err(Arc::from([])), |server| Ok(Arc::new(server)));
        catalog.servers.insert(manifest.object.key.clone(), known);
    }
    for (at, manifest) in of_kind(set, Kind::Template) {
        templates::learn(bench, &mut catalog, manifest, json(at));
    }
    evaluation::check_all(bench.evaluator, &mut catalog).await?;
    for (_, manifest) in of_kind(set, Kind::Template) {
        let mut own = Vec::new();
        templates::check(bench, &catalog, manifest, &mut own).await?;
        keep(manifest, own, found);
    }
    for (at, manifest) in of_kind(set, Kind::Notification) {
        let mut own = Vec::new();
        notifications::check(bench, &mut catalog, manifest, json(at), &mut own).await?;
        keep(manifest, own, found);
    }
    Ok(())
}

/// The standard messages, checked.
async fn standard(evaluator: &Evaluator) -> Result<Catalog, Failure> {
    let mut catalog = Catalog::new("");
    evaluation::check_all(evaluator, &mut catalog).await?;
    Ok(catalog)
}

/// Adds findings about an object. Who has read of a mistake does not want to read of its consequences: nothing is
/// added about a place of which an error is known.
fn keep(manifest: &Manifest, own: Vec<Diagnostic>, found: &mut Vec<Diagnostic>) {
    for mut finding in own {
        let known = found.iter().rev().any(|known| {
            known.severity == Severity::Error
                && known.file == finding.file
                && known.span == finding.span
                && known.code != finding.code
                && known.code != Code::MissingField
        });
        if !known {
            finding.object.get_or_insert_with(|| manifest.name());
            found.push(finding);
        }
    }
}
