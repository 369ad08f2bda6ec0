//! What the API server says of an object before it is stored: unknown fields, types, bounds and patterns of the CRD's
//! schema, doubles in list maps, then the CEL rules. In the API server's order and no stricter than it: nulls are
//! dropped and defaults filled in first, and grave mistakes keep the rules from being asked.

use crate::api::crds;
use crate::cli::lint::diagnostic::{Code, Diagnostic};
use crate::cli::lint::place::{self, Step};
use crate::cli::lint::sentences::{self, Sentence};
use crate::cli::lint::set::{Kind, Manifest};
use crate::cli::lint::yaml::{Content, Node};
use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;
use kube::core::cel::{self, CompiledSchema};
use serde_json::{Map, Value as Json};
use std::sync::LazyLock;

/// The schema of a kind, ready to judge with.
struct Schema {
    kind: Kind,
    /// As it stands in the CRD.
    written: Json,
    /// For what JSON Schema can say.
    validator: jsonschema::Validator,
    rules: CompiledSchema,
}

/// The schemas of all our kinds.
pub struct Schemas(Vec<Schema>);

/// An object as the API server would store it, and whether it would.
pub struct Judged {
    /// Without unknown fields, with defaults.
    pub json: Json,
    /// What is wrong with it.
    pub problems: Vec<Diagnostic>,
}

static OURS: LazyLock<Result<Schemas, String>> = LazyLock::new(Schemas::new);

impl Schemas {
    /// Those of our CRDs, made once. Fails only if these are no schemas.
    pub fn ours() -> Result<&'static Self, &'static str> {
        OURS.as_ref().map_err(String::as_str)
    }

    fn new() -> Result<Self, String> {
        let schemas = crds::all().into_iter().filter_map(|crd| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == crd.spec.names.kind)?;
            let version = crd.spec.versions.into_iter().next()?;
            let written = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            let options = jsonschema::options()
                .with_draft(jsonschema::Draft::Draft4)
                .with_pattern_options(PatternOptions::regex())
                .should_validate_formats(true)
                .with_format("date-time", |text: &str| text.parse::<jiff::Timestamp>().is_ok());
            let validator = options.build(&plain(&written)).map_err(|error| error.to_string());
            let rules = cel::compile_schema(&written);
            Some(validator.map(|validator| Schema { kind, written, validator, rules }))
        });
        schemas.collect::<Result<_, _>>().map(Self)
    }

    /// Judges an object.
    pub fn judge(&self, manifest: &Manifest, text: &str) -> Judged {
        let Some(schema) = self.0.iter().find(|schema| schema.kind == manifest.kind) else {
            return Judged { json: Json::Null, problems: Vec::new() };
        };
        let mut judge = Judge { schema, manifest, text, problems: Vec::new() };
        let json = judge.all();
        Judged { json, problems: judge.problems }
    }
}

/// The schema in the words of JSON Schema: without Kubernetes' own, and without formats it does not check.
fn plain(schema: &Json) -> Json {
    let Json::Object(members) = schema else { return schema.clone() };
    let mut plain = Map::new();
    for (word, value) in members {
        match word.as_str() {
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let properties: Map<_, _> =
                    properties.map(|(name, schema)| (name.clone(), self::plain(schema))).collect();
                plain.insert(word.clone(), properties.into());
            }
            "items" | "additionalProperties" => drop(plain.insert(word.clone(), self::plain(value))),
            "format" if value == "date-time" => drop(plain.insert(word.clone(), value.clone())),
            "format" | "description" | "default" | "example" | "nullable" => {}
            word if word.starts_with("x-") => {}
            word => drop(plain.insert(word.to_owned(), value.clone())),
        }
    }
    if members.get("nullable") == Some(&Json::Bool(true))
        && let Some(kind) = members.get("type")
    {
        plain.insert("type".into(), serde_json::json!([kind, "null"]));
    }
    if members.get("x-kubernetes-int-or-string") == Some(&Json::Bool(true)) {
        plain.insert("type".into(), serde_json::json!(["integer", "string"]));
    }
    plain.into()
}

struct Judge<'a> {
    schema: &'a Schema,
    manifest: &'a Manifest,
    text: &'a str,
    problems: Vec<Diagnostic>,
}

impl Judge<'_> {
    fn all(&mut self) -> Json {
        let root = &self.manifest.object.root;
        let mut object = Map::new();
        let properties = self.schema.written.get("properties");
        for entry in root.entries() {
            match (entry.key.as_str(), properties.and_then(|known| known.get(&entry.key))) {
                ("apiVersion" | "kind", _) => drop(object.insert(entry.key.clone(), entry.value.to_json())),
                ("status", _) => self.problems.push(
                    Diagnostic::warning(
                        Code::StatusIgnored,
                        self.manifest.object.file,
                        entry.span.clone(),
                        "the API server drops a status that is applied",
                    )
                    .help("remove it")
                    .field("status"),
                ),
                ("spec", Some(schema)) if !matches!(entry.value.content, Content::Null) => {
                    object.insert("spec".into(), self.shape(schema, &entry.value, "spec"));
                }
                ("metadata" | "spec", _) => {}
                _ => self.unknown(&self.schema.written, root, &entry.key, ""),
            }
        }
        let json = cel::apply_defaults(&self.schema.written, &object.into());
        let grave = self.bounds(&json);
        if !grave {
            self.rules(&json);
        }
        json
    }

    /// The value as it would be stored: unknown fields are reported and left out, nulls left out.
    fn shape(&mut self, schema: &Json, node: &Node, path: &str) -> Json {
        match &node.content {
            Content::Map(entries) if schema.get("x-kubernetes-preserve-unknown-fields").is_none() => {
                let (properties, others) = (schema.get("properties"), schema.get("additionalProperties"));
                let mut members = Map::new();
                for entry in entries {
                    let known = properties.and_then(|known| known.get(&entry.key)).or(others);
                    let path = format!("{path}.{}", entry.key);
                    match (known, &entry.value.content) {
                        (Some(_), Content::Null) => {}
                        (Some(known), _) => {
                            members.insert(entry.key.clone(), self.shape(known, &entry.value, &path));
                        }
                        // Not an object by its schema: its type is the mistake.
                        (None, _) if properties.is_none() => {
                            members.insert(entry.key.clone(), entry.value.to_json());
                        }
                        (None, _) => self.unknown(schema, node, &entry.key, &path),
                    }
                }
                members.into()
            }
            Content::List(items) => {
                let known = schema.get("items").unwrap_or(&Json::Null);
                let each = |(at, item)| self.shape(known, item, &format!("{path}[{at}]"));
                let list = items.iter().enumerate().map(each).collect();
                self.doubles(schema, items, path);
                Json::Array(list)
            }
            _ => node.to_json(),
        }
    }

    fn unknown(&mut self, schema: &Json, node: &Node, key: &str, path: &str) {
        let Some(entry) = node.entry(key) else { return };
        let Sentence { message, help } = sentences::unknown(&self.schema.written, schema, entry, path);
        let file = self.manifest.object.file;
        let mut problem = Diagnostic::error(Code::UnknownField, file, entry.span.clone(), message);
        problem.help = help;
        self.problems.push(problem.field(if path.is_empty() { key } else { path }));
    }

    fn doubles(&mut self, schema: &Json, items: &[Node], path: &str) {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
        let Some(keys) = keys else { return };
        let mut seen = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let mut values = keys.iter().filter_map(|key| item.get(key.as_str()?));
            let known_by: Vec<Json> = values.clone().map(Node::to_json).collect();
            if known_by.len() == keys.len() && seen.contains(&known_by) {
                let words: Vec<_> = known_by.iter().map(sentences::shown).collect();
                let span = values.next_back().map_or(item.span.clone(), |value| value.span.clone());
                let name = path.rsplit('.').next().unwrap_or(path);
                let message = format!("{} is there twice in {name}", words.join(", "));
                let problem =
                    Diagnostic::error(Code::DuplicateEntry, self.manifest.object.file, span, message);
                self.problems.push(problem.help("remove one of the two").field(format!("{path}[{at}]")));
            }
            seen.push(known_by);
        }
    }

    /// Types, bounds and patterns. Returns whether the API server would not ask the rules any more.
    fn bounds(&mut self, json: &Json) -> bool {
        use ValidationErrorKind as K;
        let mut grave = false;
        let validator = &self.schema.validator;
        for error in validator.iter_errors(json) {
            let pointer = error.instance_path().as_str();
            let steps = steps(pointer);
            let mut path = written(&steps);
            let place = place::find(&self.manifest.object.root, &steps);
            let schema = schema_at(&self.schema.written, &steps);
            let Some(Sentence { message, help }) =
                sentences::refusal(error.kind(), error.instance(), schema, place.value, &path)
            else {
                continue;
            };
            let (code, is_grave) = match error.kind() {
                K::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    path = if path.is_empty() { name.into() } else { format!("{path}.{name}") };
                    (Code::MissingField, true)
                }
                K::Type { .. } => (Code::WrongType, true),
                K::Enum { .. } | K::MaxLength { .. } | K::MaxItems { .. } | K::MaxProperties { .. } => {
                    (Code::InvalidValue, true)
                }
                _ => (Code::InvalidValue, false),
            };
            grave |= is_grave;
            if code == Code::MissingField && self.is_meant(&path) {
                continue;
            }
            let span = match (path.is_empty() || path == "spec", code) {
                (true, Code::MissingField) => self.manifest.object.span(),
                _ => place.span(self.text),
            };
            let mut problem = Diagnostic::error(code, self.manifest.object.file, span, message);
            problem.help = help;
            self.problems.push(problem.field(path));
        }
        grave
    }

    /// Whether a field that is missing is there under a wrong name, of which that was said.
    fn is_meant(&self, path: &str) -> bool {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let meant = format!("did you mean {name}?");
        self.problems.iter().any(|problem| {
            let field = problem.field.as_deref().unwrap_or_default();
            problem.code == Code::UnknownField
                && field.rsplit_once('.').map_or("", |(parent, _)| parent) == parent
                && problem.help.as_deref() == Some(&meant)
        })
    }

    fn rules(&mut self, json: &Json) {
        let Err(refusals) = cel::Validator::new().validate_compiled(&self.schema.rules, json, None) else {
            return;
        };
        for refusal in refusals {
            let place = place::find(&self.manifest.object.root, &place::steps(&refusal.field_path));
            let span = place.span(self.text);
            let problem = Diagnostic::error(Code::Rule, self.manifest.object.file, span, refusal.message);
            self.problems.push(problem.field(refusal.field_path));
        }
    }
}

/// The steps of a JSON pointer.
fn steps(pointer: &str) -> Vec<Step> {
    let parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    parts.map(|part| part.parse().map_or_else(|_| Step::Key(part.clone()), Step::Index)).collect()
}

/// Steps as Kubernetes writes a path.
fn written(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.extend([".", key]),
            Step::Index(at) => path.extend(["[", &at.to_string(), "]"]),
            Step::Named(name) => path.extend(["[", name, "]"]),
        }
    }
    path
}

fn schema_at<'a>(root: &'a Json, steps: &[Step]) -> &'a Json {
    steps.iter().fold(root, |schema, step| {
        let below = match step {
            Step::Key(key) => schema
                .get("properties")
                .and_then(|properties| properties.get(key))
                .or(schema.get("additionalProperties")),
            Step::Index(_) | Step::Named(_) => schema.get("items"),
        };
        below.unwrap_or(&Json::Null)
    })
}
