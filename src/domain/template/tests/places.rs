//! Values in markup: where they may stand, and that none of them becomes markup.

use super::super::markup::{self, Token};
use super::*;

fn with(html: &str) -> Json {
    json!({
        "html": html,
        "variables": [
            { "name": "name", "default": "x" }, { "name": "portal", "type": "URL", "default": "https://corp.example/?a=1" },
            { "name": "links", "type": "List", "default": [{ "url": "https://a.example/" }] }, { "name": "tint", "default": "#123456" },
        ],
    })
}

#[test]
fn places_where_values_are_safe() {
    for html in [
        "<p title=\"{{ name }}\" class='a {{ name }}'>{{ name }}</p>",
        "<a href=\"{{ portal }}\">x</a><a href='{{ portal }}/{{ name }}'>x</a>",
        "<a href=\"https://corp.example/{{ name }}\">x</a><a href=\"mailto:{{ name }}\">x</a>",
        "{% for link in links %}<a href=\"{{ link.url | url }}\">x</a>{% endfor %}",
        "{% set a = 'cid:logo.png' %}<img src=\"{{ a | url }}\">",
        "<p style=\"color: {{ tint | color }}\">x</p><style>p { color: {{ tint | color }} }</style>",
        "<p {% if name %}title=\"{{ name }}\"{% else %}class='b'{% endif %}>x</p>",
        "<p title=\"{% if name %}{{ name }}{% else %}b{% endif %}\">x</p>",
        "<title>{{ name }}</title>{% set a %}<b>{{ name }}</b>{% endset %}{{ a }}",
        "<!--[if mso]><a href=\"{{ portal }}\">x</a><![endif]-->",
    ] {
        compiled(with(html));
    }
}

#[test]
fn places_where_values_are_refused() {
    for (html, expected) in [
        (
            "<p>\n<a href={{ portal }}>x</a>",
            "line 2, column 9: the value of href is not in quotes: write href=\"{{ portal }}\"",
        ),
        ("<{{ name }}>", "line 1, column 2: a value cannot stand in the name of a tag or attribute"),
        ("<p {{ name }}=\"x\">", "line 1, column 4: a value cannot stand in the name of a tag or attribute"),
        ("<p a{{ name }}=\"x\">", "a value cannot stand in the name of a tag or attribute"),
        ("<p></{{ name }}>", "a value cannot stand in the name of a tag or attribute"),
        ("<p onclick=\"{{ name }}\">", "line 1, column 13: a value cannot stand in onclick, which is code"),
        (
            "<script>{{ name }}</script>",
            "line 1, column 9: a value cannot stand in <script>: it could be read as code",
        ),
        ("<!-- {{ name }} -->", "a value cannot stand in a comment of the markup"),
        (
            "<style>{{ name }}</style>",
            "line 1, column 8: a value cannot stand in CSS: only a colour can, as in {{ name | color }}",
        ),
        ("<p style=\"color: {{ name }}\">", "a value cannot stand in style, which becomes CSS"),
        ("<p style=\"color: {{ name if 1 else tint | color }}\">", "a value cannot stand in style"),
        (
            "<a href=\"{{ name }}\">x</a>",
            "line 1, column 10: href begins with a value that may be no address: declare it with type URL, or write {{ name | url }}, or write https:// before it",
        ),
        (
            "<a HREF=\"java{{ name }}\">x</a>",
            "HREF must begin with https://, mailto: or tel:, or with a variable of type URL",
        ),
        ("<img src=\"{{ name or portal | url }}\">", "src begins with a value"),
        ("<meta http-equiv=\"refresh\" content=\"0;{{ name }}\">", "a value cannot stand in content"),
        (
            "<p title=\"{% if name %}\">{% endif %}x",
            "line 1, column 26: a block begins in one place of the markup and ends in another",
        ),
        ("<iframe srcdoc=\"{{ name }}\"></iframe>", "a value cannot stand in srcdoc"),
        ("<p title=\"{{ content }}\">", "content is markup and cannot stand in an attribute"),
    ] {
        let found = problems(with(html));
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(
            shown.iter().any(|shown| shown.contains(expected)),
            "{html}\nexpected {expected}\n   found {shown:#?}"
        );
        assert_eq!(found[0].reason, Reason::UnsafePlace, "{html}");
    }
    let mjml = |inside: &str| json!({ "text": null, "mjml": format!("<mjml><mj-body><mj-section><mj-column>{inside}</mj-column></mj-section></mj-body></mjml>") });
    for inside in [
        "<mj-text color=\"{{ name }}\">x</mj-text>",
        "<mj-button href=\"{{ name }}\">x</mj-button>",
        "<mj-text><b {{ name }}>x</b></mj-text>",
    ] {
        assert_eq!(problems(mjml(inside))[0].reason, Reason::UnsafePlace, "{inside}");
    }
    compiled(mjml("<mj-text css-class=\"a\" color=\"{{ name | color }}\">{{ name }}</mj-text>").pointer("/mjml").map(|mjml| json!({ "mjml": mjml, "variables": [{ "name": "name", "example": "red" , "default": "red" }] })).unwrap());
}

#[test]
fn an_address_that_became_something_else_is_not_sent() {
    // A name that hides another gets past the check of the source.
    let template = compiled(with("{% set portal = name %}<a href=\"{{ portal }}\">x</a>"));
    for value in ["javascript:alert(1)", "JAVA\tscript:x", " vbscript:x", "data:text/html,x"] {
        let problem = rendered(&template, None, json!({ "name": value })).unwrap_err();
        assert_eq!(problem.reason, Reason::RenderFailed);
        assert!(
            problem.message.contains(
                "in href: only https, http, mailto, tel and cid are possible; it comes from the value of name"
            ),
            "{problem}"
        );
    }
    rendered(&template, None, json!({ "name": "https://a.example" })).unwrap();
}

/// Tags with the names of their attributes: what no value may change.
fn structure(html: &str) -> Vec<String> {
    markup::tokens(html)
        .filter_map(|(_, token)| match token {
            Token::Text(_) | Token::Raw(_) => None,
            Token::Open(tag) => {
                Some(format!("{} {:?}", tag.name, tag.attributes.iter().map(|a| a.name).collect::<Vec<_>>()))
            }
            other => Some(format!("{other:?}")),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_value_becomes_markup(value in "([<>\"'&/=;:!#\\\\ \\-a-z\u{200d}]|javascript:|</?script>|-->|on[a-z]+=|&lt;|&#58;|\\]\\]>|</?p|\t|\n){0,12}") {
        let html = "<p title=\"{{ name }}\" class='{{ name }}'>{{ name }}<a href=\"https://a.example/{{ name }}\">{{ name | upper }}</a>{{ name | tojson }}</p><title>{{ name }}</title><p title='{{ name | tojson }}'>{{ name | e | replace('lt', name) }}</p>";
        let mjml = "<mjml><mj-body><mj-section><mj-column><mj-image alt=\"{{ name }}\" src=\"https://a.example/{{ name }}\" /><mj-button href=\"https://a.example/{{ name }}\" title=\"{{ name }}\">{{ name }}</mj-button><mj-text>{{ name }}<b title=\"{{ name }}\">{{ [name, name] | join(', ') }}</b></mj-text></mj-column></mj-section></mj-body></mjml>";
        let all = [
            json!({ "html": html, "text": "x" }),
            json!({ "html": format!("<style>p {{ color: red }}</style>{html}"), "text": "x" }),
            json!({ "mjml": mjml, "text": "x" }),
        ];
        for members in all {
            let template = compiled(members);
            let message = |value: &str| {
                let message = rendered(&template, None, json!({ "name": value })).unwrap();
                message.content.html().unwrap().to_owned()
            };
            prop_assert_eq!(structure(&message("harmless")), structure(&message(&value)));
        }
    }
}
