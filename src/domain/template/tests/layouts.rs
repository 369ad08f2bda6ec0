//! Layouts: what they make of what they wrap, and what keeps them from it.

use super::*;

fn wrapped(members: Json, layouts: &[Json]) -> Result<Compiled, Vec<TemplateProblem>> {
    let layouts: Vec<_> = layouts.iter().map(|members| spec(members.clone())).collect();
    let names = ["inner", "outer"];
    let layouts: Vec<_> = layouts.iter().zip(names).map(|(spec, name)| Layout { name, spec }).collect();
    Compiled::check(&spec(members), &layouts, &|_| {})
}

fn shown(members: Json, layouts: &[Json]) -> Vec<String> {
    let problems = wrapped(members, layouts).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{} {problem}", problem.reason)).collect()
}

fn layout() -> Json {
    json!({
        "subject": "[{{ company }}] {{ content }}",
        "text": "{{ content }}\n-- \n{{ company }}, {{ recipient.locale }}",
        "html": "<h1>{{ company }}</h1>{{ content }}",
        "variables": [{ "name": "company", "default": "Corp & Co" }, { "name": "name", "type": "Integer" }],
        "translations": [{ "locale": "de", "subject": "{{ content }}", "text": "{{ content }}\n-- \nMit Gruß" }],
    })
}

#[test]
fn wraps_every_text_in_the_language_that_fits() {
    let template = json!({
        "subject": "Hello {{ name }}\n", "html": "<p>{{ name }}</p>",
        "translations": [{ "locale": "de-CH", "subject": "Hallo", "text": "Grüezi {{ name }}", "html": "<i>{{ name }}</i>" }],
    });
    let outer = json!({ "text": "= {{ content }} =", "subject": "{{ content }}!", "variables": [] });
    let template = wrapped(template, &[layout(), outer]).unwrap();
    let found = template.findings();
    assert!(!found.is_layout);
    assert_eq!(found.names.iter().collect::<Vec<_>>(), ["company", "name"]);
    let message = rendered(&template, None, json!({ "name": "A&B" })).unwrap().content;
    assert_eq!(message.subject(), "[Corp & Co] Hello A&B!");
    assert_eq!(message.text(), Some("= Hello A&B\n-- \nCorp & Co, en ="));
    assert_eq!(message.html(), Some("<h1>Corp &amp; Co</h1><p>A&amp;B</p>"));
    let message = rendered(&template, Some("de-CH"), json!({ "name": "A", "company": "X" })).unwrap().content;
    assert_eq!(message.subject(), "Hallo!");
    assert_eq!(message.text(), Some("= Grüezi A\n-- \nMit Gruß ="));
    assert_eq!(message.html(), Some("<i>A</i>"), "the layout has no html in German");
}

#[test]
fn wraps_mjml_before_it_is_converted() {
    let frame = |inside: &str| json!({ "text": null, "subject": "{{ content }}", "mjml": format!("<mjml><mj-body>{inside}</mj-body></mjml>"), "variables": [] });
    let template = |mjml: &str| json!({ "text": null, "mjml": mjml });
    let section = "<mj-section><mj-column><mj-text>{{ name }}</mj-text></mj-column></mj-section>";
    let framed = wrapped(template(section), &[frame("{{ content }}")]).unwrap();
    let message = rendered(&framed, None, json!({ "name": "A&B" })).unwrap().content;
    assert!(message.html().unwrap().contains("A&amp;B") && message.text().unwrap().contains("A&B"));
    let in_column = frame("<mj-section><mj-column>{{ content }}</mj-column></mj-section>");
    wrapped(template("<mj-text>{{ name }}</mj-text>"), std::slice::from_ref(&in_column)).unwrap();
    for (members, layout, expected) in [
        (
            template(section),
            in_column,
            "UnknownMarkup en mjml, line 1, column 1: <mj-section> cannot stand in <mj-column>: it stands in mj-body, mj-wrapper",
        ),
        (
            template("<mjml><mj-body></mj-body></mjml>"),
            frame("{{ content }}"),
            "UnknownMarkup en mjml, line 1, column 1: <mjml> is a whole document, but a layout wraps this text",
        ),
        (
            template(section),
            super::layouts::layout(),
            "LayoutInvalid en mjml: is mjml, but the layout inner (en) that wraps it is html",
        ),
        (
            json!({ "html": "<p>x" }),
            frame("{{ content }}"),
            "LayoutInvalid en html: is html, but the layout inner (en) that wraps it is mjml: write this text as mjml",
        ),
        (
            template(section),
            json!({ "text": "{{ content }}", "subject": "{{ content }}" }),
            "LayoutInvalid en mjml: is mjml, but the layout inner (en) that wraps it has only text",
        ),
    ] {
        let shown = shown(members, &[layout]);
        assert!(shown.iter().any(|shown| shown.contains(expected)), "{expected}\n{shown:#?}");
    }
}

#[test]
fn problems_of_layouts_name_them() {
    let with = |key: &str, value: Json| {
        let mut layout = layout();
        layout[key] = value;
        layout
    };
    for (layout, expected) in [
        (
            with("text", json!("x")),
            "LayoutInvalid layout inner, en text: does not use content: write {{ content }} where",
        ),
        (with("subject", json!("x")), "LayoutInvalid layout inner, en subject: does not use content"),
        (
            with("html", json!("{{ content }}{{ oops }}")),
            "LayoutInvalid layout inner, en html, line 1, column 17: oops is not declared",
        ),
        (with("html", json!("{{ content")), "LayoutInvalid layout inner, en html, line 1"),
        (
            with("variables", json!([{ "name": "company", "default": 1 }])),
            "LayoutInvalid layout inner, variables[company].default: must be text",
        ),
        (
            with("html", json!("{{ content }}{{ company + 1 }}")),
            "LayoutInvalid layout inner, en html, line 1, column 17: text + a number does not work",
        ),
        (with("locale", json!("e_n")), "LayoutInvalid layout inner, locale: \"e_n\" is not a language tag"),
    ] {
        let shown = shown(json!({ "html": "<p>{{ name }}</p>" }), std::slice::from_ref(&layout));
        assert!(shown.iter().any(|shown| shown.contains(expected)), "{layout} {expected}\n{shown:#?}");
    }
}

#[test]
fn a_layout_alone_is_tried_out_and_shown() {
    let mjml = "<mjml><mj-body><mj-section>{{ content }}</mj-section></mj-body></mjml>";
    for members in [layout(), json!({ "subject": "{{ content }}", "text": null, "mjml": mjml })] {
        let template = compiled(members);
        assert!(template.findings().is_layout);
        let seen = rendered(&template, None, json!({})).unwrap();
        assert!(seen.content.html().unwrap().contains("Content"));
        assert!(seen.content.text().unwrap().contains("Content"));
    }
}
