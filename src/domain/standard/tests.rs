//! What has to hold for the standard messages whatever they say: all languages are complete and say the same, and what
//! comes out can be read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::domain::address::Mailbox;
use crate::domain::content::Rendered;
use crate::domain::locale::Locale;
use crate::domain::template::{About, Compiled, Sources, Template, Wrap};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

const LOCALES: [&str; 4] = ["en", "de", "fr", "es"];

/// Longest line that no mail program breaks again, and longest subject that is shown whole in a list.
const MAX_LINE: usize = 76;
const MAX_SUBJECT: usize = 60;

/// The messages that can be sent.
fn messages() -> impl Iterator<Item = (&'static str, &'static MessageTemplateSpec)> {
    all().filter(|(_, spec)| spec.layout.is_some())
}

/// A message that can be rendered, and what is known of it.
struct Message {
    compiled: Compiled,
    template: Template,
}

fn compiled(name: &str, spec: &MessageTemplateSpec) -> Message {
    let wrap = |name: &str| Wrap { name: name.into(), spec: Arc::new(find(name).unwrap().clone()) };
    let layouts = spec.layout.iter().map(|layout| wrap(&layout.name)).collect();
    let sources = Sources { spec: Arc::new(spec.clone()), layouts };
    let compiled = Compiled::check(spec, &sources.layouts(), &|_| {})
        .unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let template = Template::new(sources, compiled.findings()).unwrap();
    Message { compiled, template }
}

/// Values for a message and its layout: all examples, or only what is required.
fn values(spec: &MessageTemplateSpec, all: bool) -> Map<String, Value> {
    let layout = spec.layout.as_ref().map(|layout| find(&layout.name).unwrap());
    let variables = spec.variables.iter().chain(layout.into_iter().flat_map(|layout| &layout.variables));
    variables
        .filter(|variable| all || variable.required)
        .map(|variable| (variable.name.clone(), variable.example.clone().unwrap()))
        .collect()
}

fn rendered(message: &Message, spec: &MessageTemplateSpec, locale: &str, all: bool) -> Rendered {
    let given = serde_json::from_value(values(spec, all).into()).unwrap();
    let checked = message.template.variables().check(Some(&given), &[("ada@corp.example", None)]).unwrap();
    let display_name = |name| all.then_some(name);
    let about = About {
        recipient: &Mailbox::parse("ada@corp.example", display_name("Ada Lovelace")).unwrap(),
        sender: &Mailbox::parse("it@corp.example", display_name("Corp IT")).unwrap(),
        name: "welcome",
        namespace: "hr",
    };
    let wanted = Locale::parse(locale).unwrap();
    let rendered =
        message.compiled.render(&[wanted], &checked.of("ada@corp.example"), &(&about).into(), &|_| {});
    let rendered = rendered.unwrap_or_else(|problem| panic!("{locale}, all={all}: {problem}"));
    assert_eq!(rendered.locale.as_str(), locale);
    rendered.content
}

/// Runs a check over each message, in each language, with all values and with only those that are required.
fn each(mut check: impl FnMut(&str, &Rendered)) {
    for (name, spec) in messages() {
        let template = compiled(name, spec);
        for locale in LOCALES {
            for all in [true, false] {
                let which = format!("{name} {locale} {}", if all { "with examples" } else { "bare" });
                check(&which, &rendered(&template, spec, locale, all));
            }
        }
    }
}

/// Locale, subject, text and MJML of each language.
fn texts(spec: &MessageTemplateSpec) -> Vec<(&str, [(&'static str, &str); 3])> {
    fn parts<'a>(
        subject: &'a str,
        text: Option<&'a String>,
        mjml: Option<&'a String>,
    ) -> [(&'static str, &'a str); 3] {
        [("subject", subject), ("text", text.unwrap()), ("mjml", mjml.unwrap())]
    }
    let own = (spec.locale.as_str(), parts(&spec.subject, spec.text.as_ref(), spec.mjml.as_ref()));
    let others = spec.translations.iter();
    let others = others.map(|t| (t.locale.as_str(), parts(&t.subject, t.text.as_ref(), t.mjml.as_ref())));
    std::iter::once(own).chain(others).collect()
}

#[test]
fn each_can_be_read() {
    for sources in SOURCES {
        read(sources).unwrap_or_else(|problem| panic!("{}: {problem}", sources.0));
    }
    assert_eq!(all().count(), SOURCES.len());
    assert_eq!(messages().count(), SOURCES.len() - 1, "all but the layout");
}

#[test]
fn each_is_complete_in_each_language() {
    for (name, spec) in all() {
        let locales: Vec<_> = texts(spec).iter().map(|(locale, _)| *locale).collect();
        assert_eq!(locales, LOCALES, "{name}");
        assert!(
            spec.description.as_ref().is_some_and(|text| text.ends_with('.')),
            "{name} has no description"
        );
        for variable in &spec.variables {
            let is_described = variable.description.as_ref().is_some_and(|text| text.ends_with('.'));
            assert!(is_described && variable.example.is_some(), "{name}: {} lacks something", variable.name);
        }
        compiled(name, spec);
    }
}

/// Values are given by name, whichever message is sent: a name means one thing.
#[test]
fn a_name_has_one_type() {
    let mut types = BTreeMap::new();
    for (name, spec) in all() {
        for variable in &spec.variables {
            let first = types.entry(variable.name.as_str()).or_insert(variable.type_);
            assert_eq!(*first, variable.type_, "{name}: {}", variable.name);
        }
    }
}

#[test]
fn each_variable_is_used() {
    for (name, spec) in messages() {
        let Message { template, .. } = compiled(name, spec);
        let used: BTreeSet<_> = template.names().collect();
        for variable in template.variables().names() {
            assert!(used.contains(variable), "{name} does not use {variable}");
        }
    }
}

#[test]
fn languages_have_the_same_places_for_values() {
    for (name, spec) in all() {
        let texts = texts(spec);
        for (locale, parts) in &texts {
            for ((part, text), (_, english)) in parts.iter().zip(&texts[0].1) {
                assert_eq!(places(text), places(english), "{name} {locale} {part}");
            }
        }
    }
}

/// Jinja's expressions and statements, without the words in them, in any order.
fn places(text: &str) -> Vec<String> {
    let starts = text.match_indices(['{']).filter(|(at, _)| text[at + 1..].starts_with(['{', '%']));
    let tags = starts.map(|(at, _)| {
        let end = text[at..].find("}}").into_iter().chain(text[at..].find("%}")).min().unwrap();
        // Every second piece is in quotes.
        text[at..at + end].split('"').step_by(2).collect::<Vec<_>>().join("\"")
    });
    let mut tags: Vec<_> = tags.collect();
    tags.sort();
    tags
}

#[test]
fn languages_have_the_same_markup() {
    for (name, spec) in all() {
        let texts = texts(spec);
        for (locale, parts) in &texts {
            assert_eq!(markup(parts[2].1), markup(texts[0].1[2].1), "{name} {locale}");
        }
    }
}

/// The tags with their attributes, of which only the language may differ.
fn markup(mjml: &str) -> Vec<String> {
    let tags = mjml.split('<').skip(1).map(|rest| rest.split('>').next().unwrap());
    let without_language = |tag: &str| match tag.strip_prefix("mjml lang=") {
        Some(_) => "mjml".to_owned(),
        None => tag.to_owned(),
    };
    tags.map(without_language).collect()
}

#[test]
fn no_language_says_much_less() {
    for (name, spec) in all() {
        let texts = texts(spec);
        for part in 0..3 {
            let lengths: Vec<_> = texts.iter().map(|(_, parts)| parts[part].1.chars().count()).collect();
            let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
            assert!(least * 2 >= *most, "{name} {}: {lengths:?}", texts[0].1[part].0);
        }
    }
}

#[test]
fn subjects_are_short() {
    each(|which, rendered| {
        let length = rendered.subject().chars().count();
        assert!(length <= MAX_SUBJECT, "{which}: {length} characters: {}", rendered.subject());
    });
}

#[test]
fn texts_can_be_read() {
    each(|which, rendered| {
        let text = rendered.text().unwrap();
        for line in text.lines() {
            let is_link = line.starts_with("https://") && !line.contains(' ');
            assert!(
                is_link || !line.contains("https://"),
                "{which}: a link is not alone in its line: {line}"
            );
            let length = line.chars().count();
            assert!(is_link || length <= MAX_LINE, "{which}: {length} characters: {line}");
            assert_eq!(line, line.trim_end(), "{which}: spaces at the end");
        }
        assert!(!text.contains("\n\n\n") && !text.starts_with('\n'), "{which}: gaps:\n{text}");
    });
}

/// Neither leftovers of places for values that are not given, nor what makes a message look like an advertisement.
#[test]
fn wording_is_tidy() {
    each(|which, rendered| {
        for text in [rendered.subject(), rendered.text().unwrap()] {
            for unwanted in ["!", "¡", "{", "}", " .", " ,", "()", "..", ",,", "=\"\""] {
                assert!(!text.contains(unwanted), "{which} has {unwanted:?}:\n{text}");
            }
            let inside = text.lines().any(|line| line.trim_start().contains("  "));
            assert!(!inside, "{which} has two spaces:\n{text}");
        }
        let html = rendered.html().unwrap();
        assert!(!html.contains("href=\"\"") && !html.contains("src=\"\""), "{which}: an empty address");
    });
}

/// Who is asked for something can tell that the question is genuine.
#[test]
fn each_says_how_to_know_that_it_is_genuine() {
    for (name, spec) in messages() {
        let template = compiled(name, spec);
        for (locale, word) in LOCALES.iter().zip(["password", "Passwort", "mot de passe", "contraseñas"]) {
            let rendered = rendered(&template, spec, locale, true);
            for body in [rendered.text().unwrap(), rendered.html().unwrap()] {
                assert!(body.contains(word) && body.contains("Example Corp"), "{name} {locale}: {body}");
                let link = values(spec, true).get("link").cloned();
                let host = link.map(|link| link.as_str().unwrap().split('/').nth(2).unwrap().to_owned());
                assert!(
                    host.is_none_or(|host| body.contains(&format!("https://{host}/"))),
                    "{name} {locale}"
                );
            }
        }
    }
}

/// Whoever translates a message into Arabic gets the frame turned around.
#[test]
fn a_translation_may_run_from_right_to_left() {
    let mut spec = find("system-event").unwrap().clone();
    spec.locale = "ar".into();
    spec.translations.clear();
    let html =
        rendered(&compiled("system-event", &spec), &spec, "ar", true).html().unwrap().replace(": ", ":");
    assert!(html.contains("lang=\"ar\" dir=\"rtl\""), "{html}");
    assert!(html.contains("border-right:4px solid") && !html.contains("border-left:4px"), "{html}");
    // Outlook's tables, images and buttons.
    assert!(html.contains("align=\"right\"") && !html.contains("align=\"left\""), "{html}");
    assert!(html.contains("padding-right:24px") && !html.contains("padding-left:24px"), "{html}");
    assert!(!html.contains("direction:ltr"), "{html}");
}
