//! What the engine says, in the words of those who write templates: they know text, lists and objects, and no Rust.

use super::engine;
use minijinja::{Error, ErrorKind};

/// Why a text does not render: what is wrong and what would be right.
pub(super) fn rendering(error: &Error) -> String {
    message(error.kind(), error.detail().unwrap_or_default())
}

/// `detail` is empty where the engine says no more than the kind.
fn message(kind: ErrorKind, detail: &str) -> String {
    let detail = &*readable(detail);
    match kind {
        ErrorKind::OutOfFuel => format!("takes more than {} steps: shorten its loops", engine::FUEL),
        ErrorKind::UndefinedError if detail.is_empty() => "uses something undefined".into(),
        ErrorKind::UndefinedError => {
            format!("{detail}: ask for it first, as in {{% if name.member is defined %}}, or always give it")
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
            format!("{detail}: those of Jinja that MiniJinja has can be used")
        }
        ErrorKind::UnknownFunction => {
            format!(
                "{}: of functions there are range, dict, namespace, debug and your macros",
                or(detail, "is unknown")
            )
        }
        ErrorKind::UnknownMethod => {
            format!(
                "{}: values have filters, as in {{{{ name | upper }}}}",
                or(detail, "there are no methods")
            )
        }
        ErrorKind::MissingArgument => or(detail, "a filter, test or function here needs one more argument"),
        ErrorKind::TooManyArguments => or(detail, "a filter, test or function here has an argument too many"),
        ErrorKind::NonPrimitive => or(detail, "text or a number is needed here, not a list or an object"),
        ErrorKind::NonKey => or(detail, "a list or an object names no member"),
        ErrorKind::BadEscape => or(
            detail,
            "holds a backslash before something else than n, t, r, u, a quote or a backslash: double it",
        ),
        ErrorKind::BadSerialization => or(detail, "the value has no JSON form"),
        ErrorKind::CannotUnpack => {
            format!(
                "there are not as many items as names for them: {}",
                or(detail, "write one name for each")
            )
        }
        ErrorKind::InvalidOperation | ErrorKind::SyntaxError => or(detail, "does not work with these values"),
        // Of files, blocks and delimiters there is nothing to say here, and the list of kinds may grow.
        _ => or(detail, "does not render"),
    }
}

fn or(detail: &str, otherwise: &str) -> String {
    if detail.is_empty() { otherwise.to_owned() } else { detail.to_owned() }
}

/// Details that speak of the engine's types. What is none of these is a sentence already; our own filters' are.
fn readable(detail: &str) -> String {
    let between = |text: &str, start: &str, middle: &str| {
        let (before, after) = text.strip_prefix(start)?.split_once(middle)?;
        Some((before.to_owned(), after.to_owned()))
    };
    if let Some((operator, kinds)) = between(detail, "tried to use ", " operator on unsupported types ") {
        let (left, right) = kinds.split_once(" and ").unwrap_or((&kinds, "nothing"));
        let (left, right) = (called(left), called(right));
        let hint = if operator == "+" { "; texts are joined by ~" } else { "" };
        return format!("{left} {operator} {right} does not work: both must be numbers{hint}");
    }
    if let Some((found, wanted)) = between(detail, "cannot convert ", " to ") {
        return format!("{} is needed here, not {}", called(&wanted), called(&found));
    }
    if let Some(found) = detail.strip_suffix(" is not iterable") {
        return format!("a list is needed here, not {}", called(found));
    }
    if let Some((found, _)) = between(detail, "value of type ", " is not callable") {
        return format!("{} is no function", called(&found));
    }
    if let Some(found) = detail.strip_prefix("cannot calculate length of value of type ") {
        return format!("text or a list is needed here, not {}", called(found));
    }
    if let Some((found, method)) = between(detail, "", " has no method named ") {
        return format!("{} has no method {method}", called(&found));
    }
    match detail {
        "object is not callable" => "an object is no function".into(),
        "value is not iterable" => "a list is needed here".into(),
        "strings can only be multiplied with integers" => {
            "text can only be multiplied by a whole number".into()
        }
        "sequences and iterables can only be multiplied with integers" => {
            "a list can only be multiplied by a whole number".into()
        }
        _ => detail.to_owned(),
    }
}

/// The engine's names of types, and Rust's.
fn called(kind: &str) -> &str {
    match kind {
        "undefined" | "none" | "()" => "nothing",
        "bool" => "true or false",
        "number" | "f32" | "f64" => "a number",
        "string" | "String" | "str" | "non single character string" => "text",
        "bytes" => "bytes",
        "sequence" | "iterator" => "a list",
        "map" | "plain object" => "an object",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            "a whole number"
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that there are.
    const KINDS: [ErrorKind; 20] = [
        ErrorKind::NonPrimitive,
        ErrorKind::NonKey,
        ErrorKind::InvalidOperation,
        ErrorKind::SyntaxError,
        ErrorKind::TemplateNotFound,
        ErrorKind::TooManyArguments,
        ErrorKind::MissingArgument,
        ErrorKind::UnknownFilter,
        ErrorKind::UnknownTest,
        ErrorKind::UnknownFunction,
        ErrorKind::UnknownMethod,
        ErrorKind::BadEscape,
        ErrorKind::UndefinedError,
        ErrorKind::BadSerialization,
        ErrorKind::CannotDeserialize,
        ErrorKind::BadInclude,
        ErrorKind::EvalBlock,
        ErrorKind::CannotUnpack,
        ErrorKind::WriteFailure,
        ErrorKind::OutOfFuel,
    ];

    #[test]
    fn no_kind_is_named_as_the_engine_names_it() {
        for kind in KINDS {
            for detail in ["", "what it says"] {
                let message = message(kind, detail);
                assert!(!message.is_empty() && !message.contains(&kind.to_string()), "{kind:?}: {message}");
            }
        }
    }
}
