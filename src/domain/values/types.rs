//! The types a variable can have: which JSON fits each, and what to say when it does not.

use super::MAX_DEPTH;
use crate::api::message_template::VariableType as Type;
use crate::domain::address::EmailAddress;
use serde_json::Value as Json;

/// Whether the value is of the type. The refusal says what would be right.
pub(super) fn check(type_: Type, json: &Json) -> Result<(), String> {
    match (type_, json) {
        (Type::String, Json::String(_))
        | (Type::Number, Json::Number(_))
        | (Type::Boolean, Json::Bool(_))
        | (Type::List, Json::Array(_))
        | (Type::Object, Json::Object(_)) => Ok(()),
        (Type::Integer, Json::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
        (Type::URL, Json::String(text)) => check_url(text),
        (Type::Email, Json::String(text)) => EmailAddress::parse(text).map(drop).map_err(|p| p.to_string()),
        (Type::Date, Json::String(text)) if is_date(text) => Ok(()),
        _ => Err(mismatch(type_, json)),
    }?;
    check_content(json, 0)
}

/// A text as a value of a type that is no text; lists and objects as in YAML.
pub(super) fn read(type_: Type, text: &str) -> Option<Json> {
    match type_ {
        Type::Integer | Type::Number | Type::Boolean => serde_json::from_str(text).ok(),
        Type::List | Type::Object => serde_yaml::from_str(text).ok(),
        Type::String | Type::URL | Type::Email | Type::Date => None,
    }
}

/// What a value of the type looks like, for messages.
pub(super) fn expected(type_: Type) -> &'static str {
    match type_ {
        Type::String => "text",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Boolean => "true or false",
        Type::URL => "an https URL like https://corp.example/start",
        Type::Email => "an e-mail address like name@corp.example",
        Type::Date => "a date like 2026-11-24 or a time like 2026-11-24T08:00:00Z",
        Type::List => "a list",
        Type::Object => "an object",
    }
}

/// What is in a text for an optional variable that was not given.
pub(super) fn empty(type_: Type) -> Json {
    match type_ {
        Type::Boolean => Json::from(false),
        Type::List => Json::Array(Vec::new()),
        Type::Object => Json::Object(serde_json::Map::new()),
        _ => Json::from(""),
    }
}

/// What a template is checked with where the variable has no example.
pub(super) fn example(type_: Type) -> Json {
    match type_ {
        Type::String => Json::from("example"),
        Type::Integer => Json::from(2),
        Type::Number => Json::from(1.5),
        Type::Boolean => Json::from(true),
        Type::URL => Json::from("https://corp.example/"),
        Type::Email => Json::from("name@corp.example"),
        Type::Date => Json::from("2026-11-24"),
        Type::List | Type::Object => empty(type_),
    }
}

/// Octets of all texts, and 8 for each member.
pub(super) fn weight(json: &Json) -> usize {
    match json {
        Json::String(text) => 8 + text.len(),
        Json::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Json::Object(members) => {
            8 + members.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}

fn mismatch(type_: Type, json: &Json) -> String {
    let (found, hint) = match (type_, json) {
        (Type::String | Type::Date, Json::Number(_)) => ("a number", ": put it in quotes"),
        (Type::String, Json::Bool(_)) => {
            ("true or false (YAML reads yes, no, on and off so too)", ": put it in quotes")
        }
        (Type::Integer | Type::Number, Json::String(text)) if text.parse::<f64>().is_ok() => {
            ("text", ": remove the quotes")
        }
        (Type::Boolean, Json::String(text)) if matches!(text.as_str(), "true" | "false") => {
            ("text", ": remove the quotes")
        }
        (Type::Date, Json::String(_)) => ("this text", ""),
        (Type::Integer, Json::Number(_)) => ("a fraction", ""),
        (_, Json::Null) => ("nothing", ""),
        (_, Json::Bool(_)) => ("true or false", ""),
        (_, Json::Number(_)) => ("a number", ""),
        (_, Json::String(_)) => ("text", ""),
        (_, Json::Array(_)) => ("a list", ""),
        (_, Json::Object(_)) => ("an object", ""),
    };
    format!("must be {}, not {found}{hint}", expected(type_))
}

/// Whether a text is an `https` address. The refusal says what would be right.
pub(in crate::domain) fn check_url(text: &str) -> Result<(), String> {
    // The parser would drop these silently; what stands in the mail is the text as it was given.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("must be {}, without spaces and line breaks", expected(Type::URL)));
    }
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" => Ok(()),
        Ok(url) if url.scheme() == "http" => {
            Err(format!("must be {}: http is not accepted", expected(Type::URL)))
        }
        Ok(_) | Err(_) => Err(format!("must be {}", expected(Type::URL))),
    }
}

fn is_date(text: &str) -> bool {
    // jiff is more generous (`20261124`, `[Europe/Berlin]`); dates in mails look alike everywhere.
    let digits = |c: char| c.is_ascii_digit() || "-:.+TZ".contains(c);
    text.chars().all(digits)
        && text.chars().nth(4) == Some('-')
        && (text.parse::<jiff::Timestamp>().is_ok()
            || (text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()))
}

/// No control characters but tabs and line breaks in any text, and no nesting without end.
fn check_content(json: &Json, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("is nested deeper than {MAX_DEPTH} levels"));
    }
    match json {
        Json::String(text) => check_text(text),
        Json::Array(items) => items.iter().try_for_each(|item| check_content(item, depth + 1)),
        Json::Object(members) => members.iter().try_for_each(|(name, value)| {
            check_text(name)?;
            check_content(value, depth + 1)
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), String> {
    match crate::domain::content::stray_control(text) {
        Some(c) => Err(format!("holds the control character U+{:04X}: remove it", u32::from(c))),
        None => Ok(()),
    }
}
