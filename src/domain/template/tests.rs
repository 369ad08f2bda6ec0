#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod filters;
mod layouts;
mod mjml;
mod places;

use super::*;
use crate::api::Reason;
use crate::api::shared::Values;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A spec as it arrives from YAML, whose members win over those of a small valid one.
fn spec(members: Json) -> MessageTemplateSpec {
    let mut spec =
        json!({ "subject": "Hello", "text": "Hello {{ name }}", "variables": [{ "name": "name" }] });
    for (key, value) in members.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn compiled(members: Json) -> Compiled {
    Compiled::check(&spec(members), &[], &|_| {}).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(members: Json) -> Vec<TemplateProblem> {
    Compiled::check(&spec(members), &[], &|_| {}).err().unwrap_or_default()
}

fn rendered(
    template: &Compiled,
    wanted: Option<&str>,
    values: Json,
) -> Result<RenderedTemplate, TemplateProblem> {
    let to = Mailbox::parse("anna@corp.example", Some("Anna <b>")).unwrap();
    let from = Mailbox::parse("it@corp.example", None).unwrap();
    let common: Values = serde_json::from_value(values).unwrap();
    let values = template.variables.check(Some(&common), &[("anna@corp.example", None)]).unwrap();
    let about = About { recipient: &to, sender: &from, name: "welcome", namespace: "hr" };
    let wanted = wanted.map(|tag| Locale::parse(tag).unwrap());
    template.render(wanted.as_slice(), &values.of("anna@corp.example"), &(&about).into(), &|_| {})
}

#[test]
fn renders_the_language_that_fits() {
    let template = compiled(json!({
        "subject": "Hello {{ name }}\n",
        "text": "{{ recipient.displayName }} {{ recipient.address }} {{ recipient.locale }} {{ notification.namespace }}/{{ notification.name }}",
        "translations": [{ "locale": "de-ch", "subject": "Grüezi {{ name }}", "text": "x" },
                         { "locale": "de", "subject": "Hallo {{ name }}", "html": "<p>{{ name }} {{ sender.address }}</p>" }],
    }));
    assert_eq!(
        template.findings().locales.iter().map(Locale::as_str).collect::<Vec<_>>(),
        ["en", "de-CH", "de"]
    );
    assert_eq!(template.findings().names.iter().map(String::as_str).collect::<Vec<_>>(), ["name"]);
    for (wanted, locale, subject, text, html) in [
        (None, "en", "Hello A&B", "Anna <b> anna@corp.example en hr/welcome", None),
        (Some("fr"), "en", "Hello A&B", "Anna <b> anna@corp.example en hr/welcome", None),
        (Some("de-CH"), "de-CH", "Grüezi A&B", "x", None),
        (Some("de-AT"), "de", "Hallo A&B", "A&B it@corp.example\n", Some("<p>A&amp;B it@corp.example</p>")),
    ] {
        let message = rendered(&template, wanted, json!({ "name": "A&B" })).unwrap();
        assert_eq!(message.locale.as_str(), locale);
        assert_eq!(message.content.subject(), subject);
        assert_eq!(message.content.text(), Some(text));
        assert_eq!(message.content.html(), html);
    }
}

#[test]
fn a_variable_may_be_called_like_a_function() {
    let template =
        compiled(json!({ "text": "{{ range(2) }} {{ namespace }}", "variables": [{ "name": "namespace" }] }));
    assert_eq!(template.findings().names.iter().map(String::as_str).collect::<Vec<_>>(), ["namespace"]);
    let message = rendered(&template, None, json!({ "namespace": "hr" })).unwrap();
    assert_eq!(message.content.text(), Some("[0, 1] hr"));
}

#[test]
fn values_are_escaped_in_html_only() {
    let template = compiled(json!({
        "subject": ".{{ name }}", "text": "{{ name }}", "html": "<a title=\"{{ name }}\">{{ name }}</a>",
    }));
    let message = rendered(&template, None, json!({ "name": "<i a=\"'\">&" })).unwrap().content;
    assert_eq!(message.subject(), ".<i a=\"'\">&");
    assert_eq!(message.text(), Some("<i a=\"'\">&"));
    let escaped = "&lt;i a=&quot;&#x27;&quot;&gt;&amp;";
    assert_eq!(message.html(), Some(format!("<a title=\"{escaped}\">{escaped}</a>").as_str()));
}

/// Each mistake with its place and the sentence people read.
#[test]
#[allow(clippy::too_many_lines)] // a table
fn mistakes() {
    use Reason::{ExampleFailed, InvalidSpec, OutputTooLarge, SyntaxError, TooManySteps, UndeclaredVariable};
    let object = json!([{ "name": "user", "type": "Object", "required": true, "example": { "id": 1 } }]);
    for (members, reason, expected) in [
        (
            json!({ "text": "a\n  é {{ name" }),
            SyntaxError,
            "en text, line 2, column 8: unexpected end of input, expected end of variable block",
        ),
        (
            json!({ "text": "{% if name %}x" }),
            SyntaxError,
            "en text, line 1, column 14: unexpected end of input",
        ),
        (
            json!({ "html": "{% include \"x\" %}" }),
            SyntaxError,
            "en html, line 1, column 4: include does not exist here: a template is complete in itself",
        ),
        (
            json!({ "html": "{% extends \"x\" %}" }),
            SyntaxError,
            "en html, line 1, column 4: extends does not exist here",
        ),
        (json!({ "text": "a\u{0}b" }), SyntaxError, "en text: holds the control character U+0000: remove it"),
        (
            json!({ "text": "a\n b {{ nmae }}" }),
            UndeclaredVariable,
            "en text, line 2, column 7: nmae is not declared: did you mean name? Else add it to variables",
        ),
        (
            json!({ "subject": "{{ x.name }} name {{ other }}" }),
            UndeclaredVariable,
            "en subject, line 1, column 4: x is not declared: add it to variables",
        ),
        (
            json!({ "text": "recipient.adress {# recipient.adress #} {{ recipient.adress }}" }),
            UndeclaredVariable,
            "en text, line 1, column 44: recipient.adress does not exist: recipient has address, displayName, locale, direction",
        ),
        (
            json!({ "text": "{{ debug() }}" }),
            UndeclaredVariable,
            "en text, line 1, column 4: debug is not declared",
        ),
        (
            json!({ "text": "{{ name | shout }}" }),
            SyntaxError,
            "en text, line 1, column 11: filter shout does not exist",
        ),
        (
            json!({ "text": "{% if name is loud %}{% endif %}" }),
            SyntaxError,
            "en text, line 1, column 15: test loud does not exist",
        ),
        (
            json!({ "text": "{{ name + 1 }}" }),
            ExampleFailed,
            "en text, line 1, column 4: text + a number does not work: both must be numbers; texts are joined by ~",
        ),
        (
            json!({ "text": "{{ user.nmae }}", "variables": object }),
            ExampleFailed,
            "en text, line 1, column 4: `user.nmae` is undefined: ask for it first",
        ),
        (
            json!({ "text": "{{ user.id }}", "variables": [{ "name": "user", "type": "Object" }] }),
            ExampleFailed,
            "(to be checked, these variables need an example: user)",
        ),
        (
            json!({ "text": "{{ user.id }}", "variables": [{ "name": "user", "type": "Object", "example": { "id": 1 } }] }),
            ExampleFailed,
            "en text, line 1, column 4: without the variables that are not required: `user.id` is undefined",
        ),
        (
            json!({ "text": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}" }),
            TooManySteps,
            "takes more than 100000 steps: shorten its loops",
        ),
        (
            json!({ "text": "{% for a in range(200) %}{{ 'x' * 10000 }}{% endfor %}" }),
            OutputTooLarge,
            "en text: once rendered is larger than 1024 KiB",
        ),
        (json!({ "subject": "a\nb" }), ExampleFailed, "en subject: once rendered has more than one line"),
        (json!({ "subject": "{{ '' }}" }), ExampleFailed, "en subject: once rendered is empty"),
        (
            json!({ "text": "{{ '\\u001b' }}" }),
            ExampleFailed,
            "en text: once rendered holds the control character U+001B",
        ),
        (json!({ "locale": "en_US" }), InvalidSpec, "locale: \"en_US\" is not a language tag"),
        (json!({ "text": null }), InvalidSpec, "locale: en has no body: set text, html or mjml"),
        (
            json!({ "translations": [{ "locale": "EN", "subject": "x", "text": "x" }] }),
            InvalidSpec,
            "translations[EN].locale: en is there twice",
        ),
        (
            json!({ "variables": [{ "name": "name", "type": "Integer", "example": "5" }] }),
            InvalidSpec,
            "variables[name].example: must be a whole number, not text: remove the quotes",
        ),
        (
            json!({ "variables": [{ "name": "name", "default": true }] }),
            InvalidSpec,
            "variables[name].default: must be text, not true or false",
        ),
    ] {
        let found = problems(members.clone());
        assert_eq!(
            found.iter().map(|problem| problem.reason).collect::<Vec<_>>().first(),
            Some(&reason),
            "{members} {found:#?}"
        );
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(
            shown.iter().any(|shown| shown.contains(expected)),
            "{members}\nexpected {expected}\n   found {shown:#?}"
        );
    }
}

#[test]
fn all_mistakes_of_all_languages_at_once() {
    let found = problems(json!({
        "subject": "{{ a }}", "text": "{{ b }} {{ c }}",
        "translations": [{ "locale": "de", "subject": "{{ d }}", "html": "{{ recipient.x }}" }],
    }));
    let shown: Vec<_> = found.iter().map(|p| p.place.to_string()).collect();
    assert_eq!(
        shown,
        [
            "en subject, line 1, column 4",
            "en text, line 1, column 4",
            "en text, line 1, column 12",
            "de subject, line 1, column 4",
            "de html, line 1, column 4",
        ]
    );
}

#[test]
fn a_subject_stays_one_line() {
    let template = compiled(json!({ "subject": "Hi {{ name }}{{ notification.name }}" }));
    for (value, expected) in [
        (
            "Anna\r\nBcc: x@y",
            "has more than one line, since the value of name holds a line break: remove it there, or write {{ name | lines | join(\" \") }}",
        ),
        ("Anna\nB", "has more than one line, since the value of name holds a line break"),
    ] {
        let problem = rendered(&template, None, json!({ "name": value })).unwrap_err();
        assert_eq!(problem.reason, Reason::RenderFailed);
        assert!(problem.message.starts_with(expected), "{problem}");
    }
    let advice = compiled(json!({ "subject": "Hi {{ name | lines | join(\" \") }}" }));
    let message = rendered(&advice, None, json!({ "name": "Anna\r\nB" })).unwrap();
    assert_eq!(message.content.subject(), "Hi Anna B");
}

#[test]
fn nothing_runs_away() {
    for text in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{% set ns = namespace(x='x') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ range(100000000) | list }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ] {
        let found = problems(json!({ "text": text }));
        let limits = [Reason::TooManySteps, Reason::TooDeep, Reason::ExampleFailed];
        assert!(found.first().is_some_and(|p| limits.contains(&p.reason)), "{text}: {found:#?}");
    }
}

/// The deepest nesting there is, up to 64 KiB of it, on the stack of an ordinary thread. Whether a text
/// is refused or rendered matters little; that the process lives, and goes on within seconds, does.
#[test]
fn nesting_does_not_overflow_an_ordinary_stack() {
    let fill = |octets: usize, open: &str, middle: &str, close: &str| {
        let n = (octets - middle.len() - 8) / (open.len() + close.len());
        format!("{}{middle}{}", open.repeat(n), close.repeat(n))
    };
    let tag = |open, middle, close| format!("{{{{ {} }}}}", fill(jinja::MAX_TAG, open, middle, close));
    let many = |tag: String| tag.repeat(engine::MAX_SOURCE / tag.len());
    let text = |open, middle, close| fill(engine::MAX_SOURCE, open, middle, close);
    let sources = [
        tag("(", "1", ")"),
        tag("[", "1", "]"),
        tag("-", "1", ""),
        tag("not ", "1", ""),
        tag("", "name", ".a"),
        tag("", "name", "[0]"),
        tag("", "name", "()"),
        tag("", "name", "|e"),
        tag("name+", "name", ""),
        tag("1 if 1 else ", "1", ""),
        tag("1<", "1", ""),
        tag("1**", "1", ""),
        many(tag("1+", "1", "")),
        many(tag("1~", "1", "")),
        format!("{{{{ {} }}}}", text("1~", "1", "")),
        text("{%if 1%}", "", "{%endif%}"),
        text("{%for a in[]%}", "", "{%endfor%}"),
        format!("{{%if 1%}}{}{{%endif%}}", "{%elif 1%}".repeat(6000)),
    ];
    let htmls =
        ["<div>", "<b>", "<table><td>", "<p><font>", "<ul><li>"].map(|open| fill(20_000, open, "x", ""));
    let work = move || {
        for source in sources {
            let _ = Compiled::check(&spec(json!({ "text": source })), &[], &|_| {});
        }
        for html in htmls {
            let _ = Compiled::check(&spec(json!({ "text": null, "html": html })), &[], &|_| {});
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn optional_variables_are_empty() {
    let template = compiled(json!({
        "text": "[{{ s }}][{{ i }}][{{ b }}][{% for x in l %}{{ x }}{% endfor %}][{% if o %}{{ o.id }}{% endif %}][{{ d }}]",
        "variables": [
            { "name": "s" }, { "name": "i", "type": "Integer" }, { "name": "b", "type": "Boolean" },
            { "name": "l", "type": "List" }, { "name": "o", "type": "Object", "example": { "id": 7 } },
            { "name": "d", "default": "standard" },
        ],
    }));
    let text = |values| rendered(&template, None, values).unwrap().content.text().unwrap().to_owned();
    assert_eq!(text(json!({})), "[][][False][][][standard]");
    assert_eq!(
        text(json!({ "s": "a", "i": 3, "b": true, "l": [1, "x"], "o": { "id": 9 }, "d": null })),
        "[a][3][True][1x][9][standard]"
    );
}

#[test]
fn messages_show_no_control_characters_and_are_short() {
    for name in ["\u{7f}", "\u{202e}evil", &"long".repeat(500)] {
        for problem in problems(json!({ "text": format!("{{{{ name | {name} }}}} {{% {name} %}}") })) {
            assert!(!problem.message.contains(['\u{7f}', '\u{202e}']), "{problem}");
            assert!(problem.message.chars().count() <= 600, "{problem}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "([a-z{}%# .|()\\[\\]'\"0-9\n-]|\\{\\{|\\}\\}|\\{%|%\\}|name|if |for |in |end|é){0,60}") {
        let found = Compiled::check(&spec(json!({ "text": text, "html": text })), &[], &|_| {});
        if let Err(problems) = found {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn any_value_renders_and_stays_text(value in "[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{2028}\u{2029}]{1,40}") {
        let template = compiled(json!({ "subject": ".{{ name }}.", "html": "<p>{{ name }}</p>" }));
        let message = rendered(&template, None, json!({ "name": value })).unwrap().content;
        prop_assert_eq!(message.subject(), format!(".{value}."));
        let html = message.html().unwrap();
        prop_assert_eq!(html.matches(['<', '>']).count(), 4, "{}", html);
    }
}

#[test]
fn html_runs_as_the_language_does() {
    for (locale, html, expected) in [
        ("he", "<p>x</p>", "<div dir=\"rtl\"><p>x</p></div>"),
        ("en", "<p>x</p>", "<p>x</p>"),
        (
            "fa",
            "<html lang=\"fa\"><body>x</body></html>",
            "<html dir=\"rtl\" lang=\"fa\"><body>x</body></html>",
        ),
        ("fa", "<html dir=\"ltr\"><body>x</body></html>", "<html dir=\"ltr\"><body>x</body></html>"),
        ("ur", "<BODY>x</BODY>", "<BODY dir=\"rtl\">x</BODY>"),
        (
            "ar",
            "<!-- <html> --><p dir=\"ltr\">x</p>",
            "<div dir=\"rtl\"><!-- <html> --><p dir=\"ltr\">x</p></div>",
        ),
    ] {
        let template = compiled(json!({ "locale": locale, "text": "x", "html": html }));
        let found = rendered(&template, None, json!({})).unwrap();
        assert_eq!(found.content.html(), Some(expected), "{locale} {html}");
    }
    let styled =
        compiled(json!({ "locale": "ar", "text": "x", "html": "<style>p { color: red }</style><p>x</p>" }));
    let found = rendered(&styled, None, json!({})).unwrap().content.html().unwrap().to_owned();
    assert!(found.contains("<div dir=\"rtl\">") && found.contains("<p style=\"color: red;\">"), "{found}");
}
