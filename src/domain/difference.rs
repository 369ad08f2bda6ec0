//! Where a template differs from the one that it overrides, in words that a status can show: `de subject`, `fr missing`,
//! `variables.contact`. Who may use a template and what it is for are no part of the message, and not compared.

use crate::api::message_template::{MessageTemplateSpec, Translation, Variable};
use std::collections::BTreeMap;

/// How many differences are listed. A template in many languages can differ in hundreds of places; after these it is
/// another message.
const LISTED: usize = 50;

/// Where `own` differs from `other`: what only `own` has is `added`, what only `other` has is `missing`.
pub fn differences(own: &MessageTemplateSpec, other: &MessageTemplateSpec) -> Vec<String> {
    let mut found = Vec::new();
    if own.locale != other.locale {
        found.push("locale".to_owned());
    }
    compare(&texts(own), &texts(other), &mut found, "", |locale, own, other, found| {
        let Texts { subject, text, html, mjml } = own;
        for (part, differs) in [
            ("subject", *subject != other.subject),
            ("text", *text != other.text),
            ("html", *html != other.html),
            ("mjml", *mjml != other.mjml),
        ] {
            if differs {
                found.push(format!("{locale} {part}"));
            }
        }
    });
    if own.layout != other.layout {
        found.push("layout".into());
    }
    compare(&variables(own), &variables(other), &mut found, "variables.", |name, own, other, found| {
        if own != other {
            found.push(format!("variables.{name}"));
        }
    });
    found.truncate(LISTED);
    found
}

/// The texts of one language.
struct Texts<'a> {
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    mjml: Option<&'a str>,
}

fn texts(spec: &MessageTemplateSpec) -> BTreeMap<&str, Texts<'_>> {
    let own = Texts {
        subject: &spec.subject,
        text: spec.text.as_deref(),
        html: spec.html.as_deref(),
        mjml: spec.mjml.as_deref(),
    };
    spec.translations.iter().map(translated).chain([(spec.locale.as_str(), own)]).collect()
}

fn translated(translation: &Translation) -> (&str, Texts<'_>) {
    let Translation { locale, subject, text, html, mjml } = translation;
    let (text, html, mjml) = (text.as_deref(), html.as_deref(), mjml.as_deref());
    (locale.as_str(), Texts { subject, text, html, mjml })
}

fn variables(spec: &MessageTemplateSpec) -> BTreeMap<&str, &Variable> {
    spec.variables.iter().map(|variable| (variable.name.as_str(), variable)).collect()
}

/// What either has alone, and what `each` says of what both have.
fn compare<T>(
    own: &BTreeMap<&str, T>,
    other: &BTreeMap<&str, T>,
    found: &mut Vec<String>,
    prefix: &str,
    each: impl Fn(&str, &T, &T, &mut Vec<String>),
) {
    for (name, mine) in own {
        match other.get(name) {
            Some(theirs) => each(name, mine, theirs, found),
            None => found.push(format!("{prefix}{name} added")),
        }
    }
    for name in other.keys().filter(|name| !own.contains_key(*name)) {
        found.push(format!("{prefix}{name} missing"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn names_each_place() {
        let base = json!({
            "subject": "Hello", "text": "Hello {{ contact }}",
            "variables": [{ "name": "contact" }, { "name": "link", "type": "URL" }],
            "translations": [
                { "locale": "de", "subject": "Hallo", "text": "Hallo" },
                { "locale": "fr", "subject": "Bonjour", "text": "Bonjour" }
            ]
        });
        let german = |subject: &str| json!({ "translations": [{ "locale": "de", "subject": subject, "text": "Hallo" }] });
        for (change, expected) in [
            (json!({}), &[] as &[_]),
            (json!({ "description": "ours", "access": { "namespaces": { "from": "All" } } }), &[]),
            (json!({ "subject": "Hi" }), &["en subject"]),
            (json!({ "text": null, "mjml": "<mjml/>" }), &["en text", "en mjml"]),
            (german("Servus"), &["de subject", "fr missing"]),
            (json!({ "locale": "it" }), &["locale", "it added", "en missing"]),
            (json!({ "layout": { "name": "frame" } }), &["layout"]),
            (
                json!({ "variables": [{ "name": "contact", "required": true }, { "name": "team" }] }),
                &["variables.contact", "variables.team added", "variables.link missing"],
            ),
        ] {
            let mut own = base.clone();
            for (key, value) in change.as_object().unwrap() {
                own[key] = value.clone();
            }
            let read = |spec: Value| serde_json::from_value::<MessageTemplateSpec>(spec).unwrap();
            assert_eq!(differences(&read(own), &read(base.clone())), expected, "{change}");
        }
    }

    #[test]
    fn lists_a_bounded_number() {
        let variables: Vec<_> = (0..64).map(|n| json!({ "name": format!("v{n}") })).collect();
        let spec = |variables: Value| {
            serde_json::from_value::<MessageTemplateSpec>(
                json!({ "subject": "x", "text": "x", "variables": variables }),
            )
            .unwrap()
        };
        assert_eq!(differences(&spec(variables.into()), &spec(json!([]))).len(), LISTED);
    }
}
