//! MJML: what it becomes, and each mistake in it with its place and the sentence people read.

use super::*;

const WHOLE: &str = r##"<mjml>
  <mj-head>
    <mj-attributes><mj-all font-family="Arial" /><mj-text color="#333333" /><mj-class name="big" font-size="20px" /></mj-attributes>
    <mj-style>.note { color: #112233 } @media (prefers-color-scheme: dark) { .note { color: #ffffff } }</mj-style>
    <mj-preview>Hello {{ name }}</mj-preview>
  </mj-head>
  <mj-body>
    <mj-section {% if name %}background-color="#eeeeee"{% endif %}>
      <mj-column>
        <mj-text mj-class="big">Hello {{ name }}<br />&nbsp;<span class="note" title="{{ name }}">x</span></mj-text>
        <mj-image src="https://corp.example/logo.png" alt="{{ name }}" />
        <mj-button href="https://corp.example/?q={{ name }}">Go</mj-button>
        {% for i in [1, 2] %}<mj-divider />{% endfor %}
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>"##;

fn body(mjml: &str) -> Json {
    json!({ "text": null, "mjml": mjml })
}

fn in_body(mjml: &str) -> Json {
    body(&format!("<mjml><mj-body>{mjml}</mj-body></mjml>"))
}

#[test]
fn becomes_html_with_css_in_its_tags() {
    let template = compiled(body(WHOLE));
    let message = rendered(&template, None, json!({ "name": "A<b>\"\\'\u{200d}&" })).unwrap().content;
    let html = message.html().unwrap();
    assert!(!html.contains("<mj-") && html.starts_with("<!DOCTYPE html>"), "{html}");
    assert!(html.contains("@media (prefers-color-scheme: dark)"), "{html}");
    // Values of attributes hold what was given, and no backslash of the converter.
    assert!(html.contains("style=\"color: #112233") || html.contains("style=\"color:#112233"), "{html}");
    assert!(html.contains("title=\"A<b>&quot;\\'\u{200d}&amp;\""), "{html}");
    assert!(html.contains("alt=\"A<b>&quot;\\'\u{200d}&amp;\""), "{html}");
    assert!(html.contains("lang=\"en\"") && !html.contains("lang=\"und\""), "{html}");
    assert!(!html.contains("fonts.googleapis.com"), "{html}");
    let text = message.text().unwrap();
    assert!(text.contains("Hello A<b>\"\\'"), "{text}");
}

#[test]
fn a_translation_may_use_html() {
    let template = compiled(json!({
        "text": null, "mjml": WHOLE,
        "translations": [{ "locale": "de", "subject": "x", "html": "<p>{{ name }}" }],
    }));
    let html = |wanted| {
        rendered(&template, wanted, json!({ "name": "A" })).unwrap().content.html().unwrap().to_owned()
    };
    assert!(html(None).contains("<html"));
    assert_eq!(html(Some("de")), "<p>A");
}

#[test]
fn html_without_css_stays_as_it_was_written() {
    let written = "<P CLASS=a  title='b'>{{ name }}<br/>";
    let html = |html: &str| {
        let template = compiled(json!({ "html": html }));
        rendered(&template, None, json!({ "name": "A" })).unwrap().content.html().unwrap().to_owned()
    };
    assert_eq!(html(written), written.replace("{{ name }}", "A"));
    let styled = html("<style>p { color: red } p:hover { color: blue }</style><p>{{ name }}</p>");
    assert!(styled.contains("<p style=\"color: red;\">A</p>"), "{styled}");
    assert!(styled.contains("p:hover"), "{styled}");
}

#[test]
fn mistakes_in_mjml() {
    let text =
        |mjml: &str| format!("<mj-section><mj-column><mj-text>{mjml}</mj-text></mj-column></mj-section>");
    for (members, expected) in [
        (body("<p>x</p>"), "1, column 1: <p> where <mjml> is expected: MJML begins with <mjml><mj-body>"),
        (body("x"), "1, column 1: stands outside of <mjml>"),
        (body("{{ name }}"), "1, column 1: is not MJML: it begins with <mjml><mj-body>"),
        (
            body("<mjml>\n  <mj-body>\n    é<mj-sektion></mj-sektion></mj-body></mjml>"),
            "3, column 6: <mj-sektion> does not exist in MJML: did you mean mj-section?",
        ),
        (
            in_body("<mj-column></mj-column>"),
            "1, column 16: <mj-column> cannot stand in <mj-body>: it stands in mj-section, mj-group",
        ),
        (
            in_body("<mj-section>x</mj-section>"),
            "1, column 28: text cannot stand in <mj-section>: put it into <mj-text>",
        ),
        (
            in_body("<mj-section><p>x</p></mj-section>"),
            "<p> cannot stand in <mj-section>: write HTML in mj-text or mj-raw",
        ),
        (
            in_body("<mj-section colour=\"x\"></mj-section>"),
            "1, column 28: <mj-section> has no attribute colour",
        ),
        (
            in_body("<mj-section {# a #} paddin=\"x\"></mj-section>"),
            "1, column 36: <mj-section> has no attribute paddin: did you mean padding?",
        ),
        (
            in_body("<mj-section padding=1></mj-section>"),
            "the value of padding is not in quotes: write padding=\"…\"",
        ),
        (
            in_body("<mj-section>"),
            "</mj-body> closes nothing: <mj-section> is open, so </mj-section> comes first",
        ),
        (in_body("</mj-section>"), "</mj-section> closes nothing: <mj-body> is open"),
        (body("<mjml><mj-body>"), "<mj-body> is never closed: add </mj-body>"),
        (in_body(&text("<b>x")), "</mj-text> closes nothing: <b> is open, so </b> comes first"),
        (
            in_body(&text("<p><mj-button>x</mj-button></p>")),
            "<mj-button> cannot stand in <p>: it stands in mj-column, mj-hero",
        ),
        (
            in_body("<mj-include path=\"x\" />"),
            "mj-include does not exist here: nothing is fetched. For parts that several messages share use spec.layout",
        ),
        (
            body("<mjml><mj-head><mj-html-attributes /></mj-head></mjml>"),
            "mj-html-attributes is not supported",
        ),
        (body("<mjml><mj-body></mj-body></mjml><mjml"), "<mjml has no closing >"),
    ] {
        let found = problems(members.clone());
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(
            shown.iter().any(|shown| shown.contains(expected)),
            "{members}\nexpected {expected}\n   found {shown:#?}"
        );
        assert_eq!(found[0].reason, Reason::UnknownMarkup, "{members}");
    }
}

/// Each element and attribute of the table is one that the converter takes where the table says so.
#[test]
fn examples_of_every_element() {
    for inner in [
        "<mj-wrapper><mj-section><mj-group><mj-column></mj-column></mj-group></mj-section></mj-wrapper>",
        "<mj-hero mode=\"fluid-height\"><mj-text>x</mj-text></mj-hero>",
        "<mj-raw><table><tr><td>x</td></tr></table></mj-raw>",
        "<mj-section><mj-column><mj-table><tr><td>x</td></tr></mj-table><mj-spacer height=\"5px\" /><mj-social><mj-social-element name=\"x\" href=\"https://x.example/\">x</mj-social-element></mj-social></mj-column></mj-section>",
        "<mj-section><mj-column><mj-navbar><mj-navbar-link href=\"https://x.example/\">x</mj-navbar-link></mj-navbar></mj-column></mj-section>",
        "<mj-section><mj-column><mj-accordion><mj-accordion-element><mj-accordion-title>x</mj-accordion-title><mj-accordion-text>x</mj-accordion-text></mj-accordion-element></mj-accordion></mj-column></mj-section>",
        "<mj-section><mj-column><mj-carousel><mj-carousel-image src=\"https://x.example/a.png\" /></mj-carousel></mj-column></mj-section>",
    ] {
        compiled(in_body(inner));
    }
}

#[test]
fn lines_begin_where_the_language_has_them() {
    let document = |head: &str| {
        format!(
            "<mjml>{head}<mj-body><mj-section><mj-column><mj-text>x {{{{ recipient.direction }}}}</mj-text>\
             <mj-table><tr><td>x</td></tr></mj-table></mj-column></mj-section></mj-body></mjml>"
        )
    };
    let html = |locale: &str, head: &str| {
        let template = compiled(json!({ "locale": locale, "text": null, "mjml": document(head) }));
        rendered(&template, None, json!({})).unwrap().content.html().unwrap().to_owned()
    };
    let english = html("en", "");
    assert!(english.contains("text-align:left") && !english.contains("rtl"), "{english}");
    let arabic = html("ar-EG", "");
    assert!(arabic.contains("<html lang=\"ar-EG\" dir=\"rtl\""), "{arabic}");
    let plain = arabic.replace(": ", ":");
    assert!(plain.contains("x rtl") && plain.contains("direction:rtl"), "{arabic}");
    assert!(!plain.contains("ltr"), "{arabic}");
    let text_of = |html: &str| {
        html.replace(": ", ":").split("x rtl").next().unwrap().rsplit("<div").next().unwrap().to_owned()
    };
    assert!(text_of(&arabic).contains("text-align:right"), "{arabic}");
    assert!(arabic.contains("align=\"right\""), "the table: {arabic}");
    // The author's own word counts.
    for head in [
        "<mj-head><mj-attributes><mj-text align=\"left\" /></mj-attributes></mj-head>",
        "<mj-head><mj-attributes><mj-all align=\"left\" /></mj-attributes></mj-head>",
    ] {
        let arabic = html("ar", head);
        assert!(text_of(&arabic).contains("text-align:left"), "{head}: {arabic}");
    }
}
