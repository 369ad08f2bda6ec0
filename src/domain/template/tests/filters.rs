//! The filters that follow a language, and those that check.

use super::*;

fn text_in(locale: &str, expression: &str, more: Json) -> Result<String, String> {
    let members = json!({
        "locale": locale, "text": expression,
        "variables": [
            { "name": "start", "type": "Date", "default": "2026-11-24T08:05:09Z" }, { "name": "day", "type": "Date", "default": "2026-11-24" },
            { "name": "count", "type": "Integer", "default": 2 }, { "name": "size", "type": "Number", "default": 1_234_567.5 },
            { "name": "systems", "type": "List", "default": ["Wiki", "Mail", "VPN"] }, { "name": "portal", "type": "URL", "default": "https://corp.example/?a&b" },
            { "name": "nothing", "type": "Date" }, { "name": "name" },
        ],
    });
    match Compiled::check(&spec(members), &[], &|_| {}) {
        Ok(template) => Ok(rendered(&template, None, more).unwrap().content.text().unwrap().to_owned()),
        Err(problems) => Err(problems[0].to_string()),
    }
}

#[test]
fn values_in_the_language_of_the_text() {
    for (locale, expression, expected) in [
        ("en", "{{ day | date }}", "Nov 24, 2026"),
        ("de", "{{ day | date('full') }}", "Dienstag, 24. November 2026"),
        ("en", "{{ nothing | date }}.", "."),
        ("en", "{{ day | datetime('short') }}", "11/24/26"),
        // Not `GMT+0`, which nobody writes.
        ("de", "{{ start | datetime('long') }}", "24. November 2026 um 08:05 UTC"),
        (
            "de",
            "{{ start | datetime('long', timezone='Europe/Berlin') }}",
            "24. November 2026 um 09:05 GMT+1",
        ),
        ("fr", "{{ start | time('short', 'Europe/Berlin') }}", "09:05"),
        ("en-GB", "{{ start | date(format='short') }}", "24/11/2026"),
        (
            "de",
            "{{ size | number }} {{ size | number(digits=2) }} {{ 5 | number(1) }}",
            "1.234.567,5 1.234.567,50 5,0",
        ),
        ("es", "{{ systems | list('or') }}", "Wiki, Mail o VPN"),
        ("en", "{{ systems | list('and') }}", "Wiki, Mail, and VPN"),
        ("en", "{{ systems | list | length }}", "3"),
        (
            "en",
            "{{ count | plural(one='{} file', other='{} files') }} {{ 1 | plural(one='{} file', other='{} files') }} {{ 1000 | plural(one='one', other='{}') }}",
            "2 files 1 file 1,000",
        ),
        (
            "pl",
            "{{ 5 | plural(one='{} plik', few='{} pliki', many='{} plików', other='{} pliku') }}",
            "5 plików",
        ),
        // Fractions alone have `other` in Polish and `many` in Czech, millions alone `many` in French.
        ("pl", "{{ 22 | plural(one='{} plik', few='{} pliki', many='{} plików') }}", "22 pliki"),
        ("cs", "{{ 5 | plural(one='{} soubor', few='{} soubory', other='{} souborů') }}", "5 souborů"),
        ("fr", "{{ 1000000 | plural(one='{} page', other='{} pages') }}", "1 000 000 pages"),
        ("ja", "{{ 3 | plural(other='{}件') }}", "3件"),
        ("cy", "{{ 3 | plural(zero='0', one='1', two='2', few='3', many='6', other='x') }}", "3"),
        (
            "en",
            "{{ portal | link('Portal') }} {{ portal | link }}",
            "Portal (https://corp.example/?a&b) https://corp.example/?a&b",
        ),
        ("x-private-tag", "{{ day | date }}", "locale: \"x-private-tag\" is not a language tag"),
        ("qq", "{{ size | number }}", "1,234,567.5"),
    ] {
        let found = text_in(locale, expression, json!({})).unwrap_or_else(|problem| problem);
        let found = found.replace(['\u{202f}', '\u{a0}'], " ");
        assert!(found.starts_with(expected), "{locale} {expression}\nexpected {expected}\n   found {found}");
    }
}

#[test]
fn links_in_html() {
    let template = compiled(json!({
        "html": "{{ 'https://a.example/?a&b' | link(name) }}{{ 'https://a.example/' | link('<b>') }}",
    }));
    let html =
        rendered(&template, None, json!({ "name": "\"><i>" })).unwrap().content.html().unwrap().to_owned();
    assert_eq!(
        html,
        "<a href=\"https://a.example/?a&amp;b\">&quot;&gt;&lt;i&gt;</a><a href=\"https://a.example/\">&lt;b&gt;</a>"
    );
}

#[test]
fn what_filters_refuse() {
    for (expression, expected) in [
        ("{{ count | date }}", "a date is needed, like \"2026-11-24\", not number"),
        ("{{ 'soon' | date }}", "a date is needed, like 2026-11-24 or 2026-11-24T08:00:00Z, not \"soon\""),
        ("{{ day | time }}", "\"2026-11-24\" has no time of day: give it one, like 2026-11-24T08:00:00Z"),
        ("{{ start | date('huge') }}", "there is no format \"huge\": there are short, medium, long and full"),
        (
            "{{ start | date(timezone='Berlin') }}",
            "there is no time zone \"Berlin\": write it like Europe/Berlin",
        ),
        ("{{ start | date(tz='Berlin') }}", "unknown keyword argument 'tz'"),
        ("{{ day | number }}", "number takes a number, not \"2026-11-24\""),
        ("{{ 1 | number(99) }}", "number shows 0 to 20 digits, not 99"),
        ("{{ 1 | plural(one='x') }}", "plural needs the form other in en: add other=\"{} …\""),
        (
            "{{ 1 | plural(one='x', few='y', other='z') }}",
            "plural has no form few in en: its forms are one, other",
        ),
        ("{{ 'x' | plural(one='x', other='z') }}", "plural takes a number, not \"x\""),
        ("{{ 'x' | list('and') }}", "list takes a list, not \"x\""),
        ("{{ [] | list('nor') }}", "list joins with \"and\" or \"or\", not \"nor\""),
        ("{{ 'javascript:x' | link('x') }}", "\"javascript:x\" must be an https URL"),
        ("{{ 'http://x' | url }}", "\"http://x\" must be an https URL"),
        ("{{ 'red;x:y' | color }}", "color takes a colour like #1a2b3c or navy, not \"red;x:y\""),
        ("{{ name | safe }}", "filter safe does not exist here: values are always escaped"),
    ] {
        let found = text_in("en", expression, json!({})).unwrap_err();
        assert!(found.contains(expected), "{expression}\nexpected {expected}\n   found {found}");
    }
}

#[test]
fn plural_needs_what_counting_takes_and_says_what_else() {
    for (locale, expression, expected) in [
        ("pl", "{{ 1 | plural(one='x', few='y', other='z') }}", "plural needs the form many in pl"),
        ("cs", "{{ 1 | plural(one='x', other='z') }}", "plural needs the form few in cs"),
        ("ar", "{{ 1 | plural(one='x', other='z') }}", "plural needs the form zero in ar"),
        ("pl", "{{ 1.5 | plural(one='x', few='y', many='z') }}", "plural needs the form other in pl for 1.5"),
    ] {
        let found = text_in(locale, expression, json!({})).unwrap_err();
        assert!(found.contains(expected), "{expression}\nexpected {expected}\n   found {found}");
    }
}

/// The engine speaks of its own types and operations.
#[test]
fn what_the_engine_refuses_is_told_in_our_words() {
    let mut wrong: Vec<String> = Vec::new();
    for (expression, expected) in [
        ("{{ name + 1 }}", "text + a number does not work: both must be numbers; texts are joined by ~"),
        ("{{ count * name * systems }}", "text can only be multiplied by a whole number"),
        ("{{ systems - 1 }}", "a list - a number does not work: both must be numbers"),
        ("{% for x in count %}{% endfor %}", "a list is needed here, not a number"),
        ("{{ count | length }}", "text or a list is needed here, not a number"),
        ("{{ name() }}", "text is no function"),
        ("{{ name.shout() }}", "text has no method shout: values have filters"),
        ("{{ systems | join }}{{ 1 | round('x') }}", "a whole number is needed here, not text"),
        ("{{ name | replace('a') }}", "needs one more argument"),
        ("{{ name | upper(1) }}", "an argument too many"),
        ("{% set a, b = systems %}", "there are not as many items as names for them"),
        ("{{ name | batch }}", "needs one more argument"),
    ] {
        let Err(found) = text_in("en", expression, json!({})) else {
            wrong.push(expression.to_owned());
            continue;
        };
        if !found.contains(expected) {
            wrong.push(format!("{expression}\nexpected {expected}\n   found {found}"));
        }
        for theirs in [
            "invalid operation",
            "missing argument",
            "too many arguments",
            "unknown method",
            "cannot unpack: ",
        ] {
            assert!(!found.contains(theirs), "{found}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn filters_in_long_loops_use_up_the_steps() {
    for expression in
        ["start | date", "size | number", "count | plural(one='x', other='y')", "systems | list('and')"]
    {
        let text = format!("{{% for i in range(9000) %}}{{{{ {expression} }}}}{{% endfor %}}");
        let found = text_in("en", &text, json!({})).unwrap_err();
        assert!(found.contains("takes more than 100000 steps"), "{found}");
    }
}

/// The table of the documentation says what comes out.
#[test]
fn the_page_tells_the_truth() {
    let path = format!("{}/docs/templates.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let table = page.split("| expression | en | de | fr | es |").nth(1).unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    let expected = rows.iter().map(|row| {
        let row = row.replace("\\|", "\u{0}");
        let expression = row.split('|').nth(1).unwrap().trim().trim_matches('`').replace('\u{0}', "|");
        let cells = ["en", "de", "fr", "es"].map(|locale| {
            let shown = text_in(locale, &format!("{{{{ {expression} }}}}"), json!({})).unwrap();
            shown.replace(['\u{202f}', '\u{a0}'], " ")
        });
        format!("| `{}` | {} |", expression.replace('|', "\\|"), cells.join(" | "))
    });
    let expected = expected.collect::<Vec<_>>().join("\n");
    assert_eq!(rows.join("\n"), expected, "\n{expected}");
}
