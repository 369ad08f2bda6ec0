//! What a hostile template costs: at most 100 ms of processor time for a text and 64 MiB of memory. Counts
//! every allocation of this process, so nothing else may run in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use mail_operator::api::message_template::MessageTemplateSpec;
use mail_operator::domain::template::Compiled;
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use std::time::Duration;

#[global_allocator]
static ALLOCATIONS: PeakAlloc = PeakAlloc;

/// Without optimisation everything takes some twenty times as long; the bound then still tells the square
/// of something from the thing itself.
const MOST_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2500 } else { 100 });
const MOST_BYTES: usize = 64 << 20;
const SOURCE: usize = 64 * 1024;

#[test]
fn a_hostile_template_costs_little() {
    let mut most = Vec::new();
    // What is set up once is no template's cost.
    compile(&json!({ "text": "x", "html": "<style>a{b:c}</style>" }));
    for (name, spec) in hostilities() {
        ALLOCATIONS.reset_peak_usage();
        let (before, started) = (ALLOCATIONS.current_usage(), processor_time());
        compile(&spec);
        let took = processor_time().checked_sub(started).unwrap();
        let cost = ALLOCATIONS.peak_usage().saturating_sub(before);
        println!("{took:>10.1?} {:>8} KiB  {name}", cost / 1024);
        most.push((took, cost, name));
    }
    for (took, cost, name) in most {
        assert!(took < MOST_TIME, "{name}: took {took:?}");
        assert!(cost < MOST_BYTES, "{name}: {cost} octets");
    }
}

/// Time that this thread was on a processor, whatever else the machine does.
fn processor_time() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(line.split(' ').next().unwrap().parse().unwrap())
}

/// Both times that a text is tried out, with the examples and without them, count.
fn compile(members: &Value) {
    let mut spec = json!({
        "subject": "x",
        "variables": [{ "name": "name" }, { "name": "list", "type": "List", "default": vec!["some text"; 5000] }],
    });
    for (key, value) in members.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let spec: MessageTemplateSpec = serde_json::from_value(spec).unwrap();
    drop(Compiled::check(&spec, &[], &|_| {}));
}

/// As many pieces as a source holds, numbered where they have `#`.
fn fill(before: &str, piece: &str, after: &str) -> String {
    let (mut filled, mut n) = (before.to_owned(), 0_usize);
    while filled.len() + piece.len() + 8 + after.len() < SOURCE {
        filled += &piece.replace('#', &n.to_string());
        n += 1;
    }
    filled + after
}

fn hostilities() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for text in [
        fill("", "{{", ""),
        fill("{% raw %}", "{%", ""),
        fill("", "{{ a# }}", ""),
        fill("", "{{ name|f# }}", ""),
        fill("", "{{ name|upper }}", ""),
        fill("", "{% if name is defined %}", ""),
        fill("{% if 1 %}", "{% elif name %}", "{% endif %}"),
        fill("{{ [", "1,", "] }}"),
        fill("", "{{ [[[[[[[[1]]]]]]]] }}", ""),
        fill("", "{{ 'x' * 9999 }}", ""),
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}".into(),
        "{% set ns = namespace(x='x') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}".into(),
        "{% for i in range(9999) %}{{ list | sort | join(',') }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ list | list('and') }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ list | tojson | length }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ list | unique | list | length }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ ('x' * 9999) | replace('x', 'yy') | length }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ '2026-11-24T00:00:00Z' | datetime('full', timezone='Europe/Berlin') }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ 1e300 | number }}{% endfor %}".into(),
        "{% for i in range(9999) %}{{ i | plural(one='{} x', other='{} xs') }}{% endfor %}".into(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
    ] {
        all.push((format!("text {text:.60}"), json!({ "text": text })));
    }
    let looped = |piece: &str| format!("{{% for i in range(9000) %}}{piece}{{% endfor %}}");
    let long = |piece: &str| format!("{{% for i in range(9000) %}}{piece}{{% endfor %}}");
    let styles = fill("<style>", "a#{color:red}", "</style>");
    for html in [
        fill("", "<div>", ""),
        fill("", "<b a=#>", ""),
        fill("", "<p><b a=#></p>", ""),
        fill("<a", " b#", ">"),
        fill("<a", " b#=\"{{ name }}\"", ">"),
        fill("", "<table><tr><td>", ""),
        fill("", "<", ""),
        fill("", "<!--[if", ""),
        fill("", "<a b='{{ name }}'", ""),
        looped("<div>"),
        looped("<b title='{{ i }}'>"),
        looped("<table><td>"),
        looped("<a href='https://a.example/'>x</a>"),
        looped("<tr><td>a<td>b"),
        long("<p title='x'>some words to wrap, and some more of them, in many lines</p>"),
        format!("{styles}{{% for i in range(5000) %}}<p>{{% endfor %}}"),
        format!("<style>{}</style>{}", "p p p p p p p p p p p p p p p,".repeat(30), "<div><p>".repeat(40)),
        format!("<style>{}</style>{}", "div ".repeat(3000), "<div>".repeat(90)),
        format!("<style>{}</style>{}", ":not(".repeat(5000), "<div>".repeat(90)),
        format!("<style>{}</style>{}", "p{".repeat(15_000), "<p>".repeat(90)),
        format!("<style>{}</style>{}", "p{color:red}".repeat(1000), "<p>x".repeat(400)),
    ] {
        all.push((format!("html {html:.60}"), json!({ "html": html })));
    }
    let body = |inside: &str| format!("<mjml><mj-body>{inside}</mj-body></mjml>");
    let column = |inside: &str| body(&format!("<mj-section><mj-column>{inside}</mj-column></mj-section>"));
    let attributes = fill("<mj-attributes>", "<mj-class name=\"a#\" color=\"red\" />", "</mj-attributes>");
    for mjml in [
        body(&fill("", "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>", "")),
        body(&looped("<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>")),
        body(&looped("<mj-section>")),
        body(&looped("<mj-wrapper>")),
        column(&looped("<mj-text>x</mj-text>")),
        column(&looped("<mj-image src=\"https://a.example/\" />")),
        column(&format!(
            "<mj-carousel>{}</mj-carousel>",
            looped("<mj-carousel-image src=\"https://a.example/\" />")
        )),
        column(&format!("<mj-text>{}</mj-text>", looped("<b>"))),
        column(&format!("<mj-text>{}</mj-text>", "<b>".repeat(90) + &"</b>".repeat(90))),
        column(&format!("<mj-navbar>{}</mj-navbar>", looped("<mj-navbar-link>x</mj-navbar-link>"))),
        body(&format!("<mj-section>{}</mj-section>", looped("<mj-column></mj-column>"))),
        format!("<mjml><mj-head>{attributes}</mj-head><mj-body></mj-body></mjml>"),
        fill("", "<mj-", ""),
        fill("<mjml><mj-body>", "<mj-x#>", ""),
    ] {
        all.push((format!("mjml {mjml:.80}"), json!({ "mjml": mjml })));
    }
    all
}
