//! What a schema's refusal means, for people: what the field takes, what stands there, and what was likely meant.

use crate::cli::lint::scalar;
use crate::cli::lint::yaml::{Content, Entry, Node};
use crate::domain::likeness::nearest;
use crate::domain::problem::printable;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value as Json;

/// What is wrong, and what would be right.
pub struct Sentence {
    /// Lower case, without a full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Sentence {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A value as part of a sentence.
pub fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => printable(text, 60),
        other => printable(&other.to_string(), 60),
    }
}

/// About a field that does not exist in `schema`, which is a part of `root`.
pub fn unknown(root: &Json, schema: &Json, entry: &Entry, path: &str) -> Sentence {
    let key = printable(&entry.key, 60);
    let raw = entry.raw.as_deref().filter(|raw| *raw != entry.key);
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let message = match (raw, parent) {
        (Some(raw), _) => format!("{raw} is not a field, and kubectl reads it as {key}"),
        (None, "") => format!("{key} is not a field of the object"),
        (None, parent) => format!("{key} is not a field of {parent}"),
    };
    let fields: Vec<&str> = schema
        .get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let written = raw.unwrap_or(&entry.key);
    if let Some(best) = nearest(written, fields.iter().copied()) {
        return Sentence::new(message).help(format!("did you mean {best}?"));
    }
    let mut elsewhere = Vec::new();
    homes(root, &entry.key, "", &mut elsewhere);
    elsewhere.retain(|home| !home.starts_with("status"));
    match elsewhere.as_slice() {
        [home] => Sentence::new(message).help(format!("it belongs into {home}")),
        [one, other] => Sentence::new(message).help(format!("it belongs into {one} or {other}")),
        _ if fields.is_empty() => Sentence::new(message),
        _ => Sentence::new(message).help(format!("there are {}", listed(&fields, "and"))),
    }
}

/// Where in a schema there is a field of that name.
fn homes(schema: &Json, name: &str, path: &str, found: &mut Vec<String>) {
    for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == name && !path.is_empty() {
            found.push(path.to_owned());
        }
        homes(below, name, &full, found);
    }
    if let Some(items) = schema.get("items") {
        homes(items, name, &format!("{path}[]"), found);
    }
}

fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., end] => format!("{} {last} {end}", words.join(", ")),
    }
}

/// About a value that the schema refuses. `node` is what stands there, or the object in which something is missing.
pub fn refusal(
    kind: &ValidationErrorKind,
    value: &Json,
    schema: &Json,
    node: &Node,
    path: &str,
) -> Option<Sentence> {
    use ValidationErrorKind as K;
    let bound = |word: &str| schema.get(word).and_then(Json::as_f64);
    let length = value.as_str().map_or(0, |text| text.chars().count());
    let items = value.as_array().map_or(0, Vec::len);
    Some(match kind {
        K::Required { property } => missing(property.as_str()?, schema, path),
        K::Type { kind } => wrong_type(kind, value, node),
        K::Enum { options } => one_of(options, value),
        // That it is empty has been said.
        K::Pattern { .. } if length == 0 && bound("minLength").is_some() => return None,
        K::Pattern { pattern } => Sentence::new(format!("{}, not {}", pattern_words(pattern), shown(value))),
        K::Format { .. } => {
            Sentence::new(format!("must be a time such as 2026-11-24T08:00:00Z, not {}", shown(value)))
        }
        K::MinLength { limit: 1 } => Sentence::new("must not be empty"),
        K::MinLength { limit } => {
            Sentence::new(format!("must have at least {limit} characters, not {length}"))
        }
        K::MaxLength { limit } => Sentence::new(format!("may have at most {limit} characters, not {length}")),
        K::MinItems { limit: 1 } => Sentence::new("must have at least one entry"),
        K::MinItems { limit } => Sentence::new(format!("must have at least {limit} entries, not {items}")),
        K::MaxItems { limit } => Sentence::new(format!("may have at most {limit} entries, not {items}")),
        K::MaxProperties { limit } => Sentence::new(format!("may have at most {limit} members")),
        K::Minimum { limit } | K::Maximum { limit } => {
            Sentence::new(match (bound("minimum"), bound("maximum"), kind) {
                (Some(low), Some(high), _) => format!("must lie between {low} and {high}, not {value}"),
                (Some(low), None, _) => format!("must be at least {low}, not {value}"),
                (_, Some(high), _) => format!("must be at most {high}, not {value}"),
                (None, None, _) => format!("must be beyond {limit}, not {value}"),
            })
        }
        other => Sentence::new(format!("is refused by the schema ({})", other.keyword())),
    })
}

fn missing(name: &str, schema: &Json, path: &str) -> Sentence {
    let whose = if path.is_empty() { String::new() } else { format!(" in {path}") };
    let sentence = Sentence::new(format!("{name} is missing{whose}"));
    let description = schema
        .get("properties")
        .and_then(|properties| properties.get(name)?.get("description")?.as_str())
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    match description {
        Some(text) => sentence.help(format!("{name}: {}", first_sentence(&text))),
        None => sentence,
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn wrong_type(kind: &TypeKind, value: &Json, node: &Node) -> Sentence {
    let wanted = match kind {
        TypeKind::Single(wanted) => wanted.to_string(),
        TypeKind::Multiple(_) => "string".into(),
    };
    let words = match wanted.as_str() {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map of fields",
        _ => "something else",
    };
    let raw = node.raw.as_deref().unwrap_or_default();
    let quote = format!("put it in quotes: \"{raw}\"");
    match (wanted.as_str(), value) {
        ("string", Json::Bool(_) | Json::Number(_)) if scalar::surprise(raw).is_some() => {
            let meaning = scalar::surprise(raw).unwrap_or_default();
            Sentence::new(format!("must be {words}, but kubectl reads {raw} as {meaning}")).help(quote)
        }
        ("string", Json::Bool(value)) => Sentence::new(format!("must be {words}, not {value}")).help(quote),
        ("string", Json::Number(_)) => {
            Sentence::new(format!("must be {words}, not the number {raw}")).help(quote)
        }
        ("integer" | "number", Json::String(text)) if text.parse::<f64>().is_ok() => {
            Sentence::new(format!("must be {words}, not text")).help(format!("remove the quotes: {text}"))
        }
        ("boolean", Json::String(text)) if matches!(text.as_str(), "true" | "false") => {
            Sentence::new(format!("must be {words}, not text")).help(format!("remove the quotes: {text}"))
        }
        ("array", Json::Object(_) | Json::String(_)) => {
            let found = if value.is_string() { "text" } else { "a single entry" };
            Sentence::new(format!("must be {words}, not {found}")).help("put - before each entry")
        }
        _ => Sentence::new(format!("must be {words}, not {}", found(&node.content, value))),
    }
}

fn found(content: &Content, value: &Json) -> String {
    match (content, value) {
        (_, Json::Null) => "nothing".into(),
        (_, Json::Bool(value)) => value.to_string(),
        (_, Json::Number(number)) => format!("{number}"),
        (Content::Text(text), _) => format!("the text {}", printable(text, 60)),
        (_, Json::Array(_)) => "a list".into(),
        (_, Json::Object(_)) => "a map of fields".into(),
        (_, Json::String(_)) => "text".into(),
    }
}

fn one_of(options: &Json, value: &Json) -> Sentence {
    let options: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    let written = shown(value);
    let sentence = Sentence::new(format!("must be {}, not {written}", listed(&words, "or")));
    match nearest(&written, words.iter().copied()) {
        Some(best) => sentence.help(format!("did you mean {best}?")),
        None => sentence,
    }
}

/// What a pattern wants, in words.
fn pattern_words(pattern: &str) -> String {
    let words = match pattern {
        r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" => {
            "must be the name of a Kubernetes object: lower-case letters, digits, - and ."
        }
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" => {
            "must be the name of a namespace: lower-case letters, digits and -"
        }
        r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" => "must be a language tag such as en or de-CH",
        r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$" => "must be a duration such as 90s, 10m or 1h30m",
        r"^(forever|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$" => "must be a duration such as 24h, or forever",
        r"^[A-Za-z_][A-Za-z0-9_]*$" => {
            "must be a name of letters, digits and _ that does not begin with a digit"
        }
        r"^[^\s@<>]+@[^\s@<>]+$" => "must be one e-mail address such as it@corp.example",
        r"^[^\x00-\x1f\x7f]+$" => "must be one line without control characters",
        r"^[^\x00-\x20\x7f]+$" => "must not hold spaces or control characters",
        r"^[\x20-\x7e]+$" => "must consist of ASCII characters",
        r"^[\x21-\x7e]+$" => "must consist of ASCII characters without spaces",
        r"^[\x21\x23-\x5b\x5d-\x7e]+$" => {
            "must consist of ASCII characters without spaces, quotes and backslashes"
        }
        r"^[^\x00-\x1f\x7f/\\]+$" => "must be the name of a file, without / and \\",
        r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$" => {
            "must be a media type such as application/pdf"
        }
        other => return format!("must match {other}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(schema: &Json, found: &mut Vec<String>) {
        match schema {
            Json::Object(members) => {
                if let Some(Json::String(pattern)) = members.get("pattern") {
                    found.push(pattern.clone());
                }
                members.values().for_each(|below| patterns(below, found));
            }
            Json::Array(items) => items.iter().for_each(|below| patterns(below, found)),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_our_kinds_has_words() {
        let mut found = Vec::new();
        for crd in crate::api::crds::all() {
            patterns(&serde_json::to_value(crd).unwrap_or_default(), &mut found);
        }
        assert!(found.len() > 10, "{found:?}");
        for pattern in found {
            assert!(!pattern_words(&pattern).starts_with("must match"), "{pattern} has no words");
        }
    }
}
