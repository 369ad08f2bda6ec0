//! The standard messages: MessageTemplates that ship inside the operator, and the layout that they have in common. Their
//! texts are files, one folder a message and one file a language, so that who writes them needs no Rust.

use crate::api::message_template::MessageTemplateSpec;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Name, description and variables, then the languages, the own one first.
type Sources = (&'static str, &'static str, &'static [&'static str]);

macro_rules! message {
    ($name:literal) => {
        message!($name: "en" "de" "fr" "es")
    };
    ($name:literal: $($locale:literal)+) => {
        (
            $name,
            include_str!(concat!("../messages/", $name, "/template.yaml")),
            &[$(include_str!(concat!("../messages/", $name, "/", $locale, ".yaml")),)+],
        )
    };
}

const SOURCES: &[Sources] = &[
    message!("agent-installation"),
    message!("security-questions-enrollment"),
    message!("standard-layout"),
    message!("system-event"),
    message!("test-message"),
];

/// None is left out: a test reads each of them. An operator whose files were wrong all the same would rather send
/// everything else than nothing.
static MESSAGES: LazyLock<BTreeMap<&'static str, MessageTemplateSpec>> =
    LazyLock::new(|| SOURCES.iter().filter_map(|sources| Some((sources.0, read(sources).ok()?))).collect());

/// The standard message of that name.
pub fn find(name: &str) -> Option<&'static MessageTemplateSpec> {
    MESSAGES.get(name)
}

/// All of them with their names, sorted.
pub fn all() -> impl Iterator<Item = (&'static str, &'static MessageTemplateSpec)> {
    MESSAGES.iter().map(|(name, spec)| (*name, spec))
}

/// Puts a template together: the first language is its own, the others are translations.
fn read((_, template, locales): &Sources) -> Result<MessageTemplateSpec, serde_yaml::Error> {
    let mut spec: serde_json::Map<String, serde_json::Value> = serde_yaml::from_str(template)?;
    let mut locales = locales.iter().map(|locale| serde_yaml::from_str::<serde_json::Value>(locale));
    if let Some(serde_json::Value::Object(own)) = locales.next().transpose()? {
        spec.extend(own);
    }
    spec.insert("translations".into(), locales.collect::<Result<Vec<_>, _>>()?.into());
    serde_yaml::from_value(serde_yaml::to_value(spec)?)
}

#[cfg(test)]
mod tests;
