//! Values that stand as text in ConfigMaps and Secrets: what each becomes is decided by its variable's type. What is
//! said about a Secret's text tells nothing of it.

use super::{MAX_OCTETS, Variables, types};
use crate::api::message_template::VariableType as Type;
use serde_json::Value as Json;

impl Variables {
    /// The value of the variable `name` that the bytes are. A refusal reads on after "key x of ConfigMap y"; if they
    /// are `secret`, it holds none of them.
    pub fn sourced(&self, name: &str, bytes: &[u8], secret: bool) -> Result<Json, String> {
        let Some(declared) = self.0.get(name) else { return Err(self.unknown(name)) };
        let type_ = declared.type_;
        if bytes.len() > MAX_OCTETS {
            return Err(format!("has {} octets, of at most {MAX_OCTETS}", bytes.len()));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| "is not UTF-8 text; a file is sent by message.attachments".to_owned())?;
        let wrong =
            |detail: String| if secret { format!("must be {}", types::expected(type_)) } else { detail };
        let json = read(type_, text).map_err(wrong)?;
        types::check(type_, &json).map_err(wrong)?;
        Ok(json)
    }
}

fn read(type_: Type, text: &str) -> Result<Json, String> {
    let expected = types::expected(type_);
    let trimmed = text.trim();
    match type_ {
        Type::Integer => {
            let number = trimmed.parse::<i64>().map(Json::from);
            number
                .or_else(|_| trimmed.parse::<u64>().map(Json::from))
                .map_err(|_| format!("must be {expected}"))
        }
        Type::Number => trimmed
            .parse::<f64>()
            .ok()
            .filter(|_| trimmed.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)))
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number)
            .ok_or_else(|| format!("must be {expected}")),
        Type::Boolean => trimmed.parse::<bool>().map(Json::Bool).map_err(|_| format!("must be {expected}")),
        Type::List | Type::Object => {
            // JSON is YAML, but the reader of JSON names the place of a mistake in it better.
            let json = trimmed.starts_with(['{', '[']);
            let read = if json { serde_json::from_str(text).ok() } else { None };
            read.map_or_else(
                || {
                    serde_yaml::from_str(text)
                        .map_err(|error| format!("must be {expected} as JSON or YAML: {error}"))
                },
                Ok,
            )
        }
        // The line break that editors put behind a text is not part of it.
        Type::String | Type::URL | Type::Email | Type::Date => {
            let text = text.strip_suffix('\n').unwrap_or(text);
            Ok(Json::from(text.strip_suffix('\r').unwrap_or(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::message_template::Variable;
    use proptest::prelude::*;
    use serde_json::json;

    const TYPES: [&str; 9] =
        ["String", "Integer", "Number", "Boolean", "URL", "Email", "Date", "List", "Object"];

    fn variables() -> Variables {
        let declared = TYPES.map(|type_| json!({ "name": type_.to_lowercase(), "type": type_ }));
        let declared: Vec<Variable> = serde_json::from_value(json!(declared)).unwrap();
        Variables::new(&declared).unwrap()
    }

    #[test]
    fn text_becomes_what_the_type_wants() {
        let variables = variables();
        for (name, text, expected) in [
            ("string", "5\n", json!("5")),
            ("string", "a\r\nb\r\n", json!("a\r\nb")),
            ("string", "a\n\n", json!("a\n")),
            ("string", "", json!("")),
            ("integer", "-5\n", json!(-5)),
            ("integer", "18446744073709551615", json!(u64::MAX)),
            ("number", " 1.5\n", json!(1.5)),
            ("number", "2", json!(2.0)),
            ("boolean", "true\n", json!(true)),
            ("url", "https://corp.example/\n", json!("https://corp.example/")),
            ("email", "it@corp.example\n", json!("it@corp.example")),
            ("date", "2026-11-24\n", json!("2026-11-24")),
            ("list", "[1, \"a\"]", json!([1, "a"])),
            ("list", "- 1\n- a\n", json!([1, "a"])),
            ("object", "{\"a\": {\"b\": 1}}", json!({ "a": { "b": 1 } })),
            ("object", "a:\n  b: [x]\n", json!({ "a": { "b": ["x"] } })),
        ] {
            assert_eq!(variables.sourced(name, text.as_bytes(), true), Ok(expected), "{name} {text:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let variables = variables();
        let large = vec![b'x'; MAX_OCTETS + 1];
        for (name, bytes, words) in [
            ("strng", b"x" as &[u8], &["did you mean string"] as &[_]),
            ("string", b"\xff", &["is not UTF-8 text", "message.attachments"]),
            ("string", &large, &["262145 octets", "262144"]),
            ("string", b"a\x1bb", &["control character U+001B"]),
            ("integer", b"1.5", &["must be a whole number"]),
            ("integer", b"", &["must be a whole number"]),
            ("number", b"NaN", &["must be a number"]),
            ("number", b"1e999", &["must be a number"]),
            ("boolean", b"yes", &["must be true or false"]),
            ("url", b"http://corp.example", &["http is not accepted"]),
            ("email", b"a b@corp.example", &["' ' before the @"]),
            ("date", b"soon", &["must be a date"]),
            ("list", b"a: b", &["must be a list, not an object"]),
            ("object", b"a: [", &["must be an object as JSON or YAML", "line"]),
            ("object", b"{\"a\": 1", &["must be an object as JSON or YAML"]),
            ("object", b"", &["must be an object"]),
        ] {
            let problem = variables.sourced(name, bytes, false).unwrap_err();
            for word in words {
                assert!(problem.contains(word), "{name}: {word:?} is missing in: {problem}");
            }
        }
    }

    #[test]
    fn yaml_cannot_grow() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let before = n - 1;
            bomb.push_str(
                &[format!("a{n}: &a{n} ["), vec![format!("*a{before}"); 10].join(", "), "]\n".into()]
                    .concat(),
            );
        }
        assert!(variables().sourced("object", bomb.as_bytes(), false).is_err());
        let deep = "[".repeat(100_000);
        assert!(variables().sourced("list", deep.as_bytes(), false).is_err());
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_said(secret in "[\\PC\n]{0,12}", index in 0..TYPES.len()) {
            let variables = variables();
            let said = |text: &str| variables.sourced(&TYPES[index].to_lowercase(), text.as_bytes(), true).err();
            if let Some(message) = said(&format!("canary@ {secret}: [canary")) {
                prop_assert!(!message.contains("canary"), "{message}");
                // The same words for whatever does not fit.
                prop_assert_eq!(message, format!("must be {}", types::expected(serde_json::from_value(json!(TYPES[index])).unwrap())));
            }
        }
    }
}
