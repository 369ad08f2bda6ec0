#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use super::*;
use serde_json::json;

fn variables(declared: Json) -> Variables {
    Variables::new(&serde_json::from_value::<Vec<Variable>>(declared).unwrap()).unwrap()
}

fn values(json: Json) -> Values {
    serde_json::from_value(json).unwrap()
}

/// The problems of common values with two recipients who have none of their own.
fn problems(variables: &Variables, common: Json) -> Vec<String> {
    let found =
        variables.check(Some(&values(common)), &[("a@x", None), ("b@x", None)]).err().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn types() {
    let date = "must be a date like 2026-11-24 or a time like 2026-11-24T08:00:00Z, not ";
    let url = "must be an https URL like https://corp.example/start";
    for (type_, value, expected) in [
        ("String", json!("x"), None),
        ("String", json!("a\r\n\tb"), None),
        ("String", json!(1.1), Some("must be text, not a number: put it in quotes")),
        (
            "String",
            json!(true),
            Some("must be text, not true or false (YAML reads yes, no, on and off so too): put it in quotes"),
        ),
        ("String", json!(["x"]), Some("must be text, not a list")),
        ("String", json!("a\u{0}b"), Some("holds the control character U+0000: remove it")),
        ("Integer", json!(5), None),
        ("Integer", json!(-5), None),
        ("Integer", json!(5.5), Some("must be a whole number, not a fraction")),
        ("Integer", json!("5"), Some("must be a whole number, not text: remove the quotes")),
        ("Integer", json!("five"), Some("must be a whole number, not text")),
        ("Number", json!(5.5), None),
        ("Number", json!("5.5"), Some("must be a number, not text: remove the quotes")),
        ("Boolean", json!(false), None),
        ("Boolean", json!("false"), Some("must be true or false, not text: remove the quotes")),
        ("Boolean", json!(0), Some("must be true or false, not a number")),
        ("URL", json!("https://corp.example/a?b=c#d"), None),
        (
            "URL",
            json!("http://corp.example/"),
            Some("must be an https URL like https://corp.example/start: http is not accepted"),
        ),
        ("URL", json!("javascript:alert(1)"), Some(url)),
        ("URL", json!("corp.example"), Some(url)),
        ("URL", json!("https://"), Some(url)),
        (
            "URL",
            json!("https://a/\nb"),
            Some("must be an https URL like https://corp.example/start, without spaces and line breaks"),
        ),
        ("Email", json!("it@corp.example"), None),
        ("Email", json!("it"), Some("is not an e-mail address: write it like name@corp.example")),
        ("Email", json!("a@b\r\nBcc: c@d"), Some("holds the control character U+000D: remove it")),
        ("Date", json!("2026-11-24"), None),
        ("Date", json!("2026-11-24T08:00:00Z"), None),
        ("Date", json!("2026-11-24T08:00:00.5+01:00"), None),
        ("Date", json!("2026-02-30"), Some(&format!("{date}this text"))),
        ("Date", json!("24.11.2026"), Some(&format!("{date}this text"))),
        ("Date", json!("2026-11-24T08:00:00"), Some(&format!("{date}this text"))),
        ("Date", json!("20261124"), Some(&format!("{date}this text"))),
        ("Date", json!(20_261_124), Some(&format!("{date}a number: put it in quotes"))),
        ("List", json!([1, "a", {}]), None),
        ("List", json!({}), Some("must be a list, not an object")),
        ("List", json!(["a\u{1b}[31m"]), Some("holds the control character U+001B: remove it")),
        ("Object", json!({ "a": { "b": [] } }), None),
        ("Object", json!([]), Some("must be an object, not a list")),
        ("Object", json!({ "a\u{0}": 1 }), Some("holds the control character U+0000: remove it")),
    ] {
        let variables = variables(json!([{ "name": "v", "type": type_ }]));
        let expected: Vec<_> =
            expected.map(|message| format!("message.values.v: {message}")).into_iter().collect();
        assert_eq!(problems(&variables, json!({ "v": value })), expected, "{type_} {value}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let variables = variables(json!([
        { "name": "name", "required": true },
        { "name": "seats", "type": "Integer" },
        { "name": "userName", "required": true },
    ]));
    assert_eq!(
        problems(&variables, json!({ "seats": "many", "nmae": "x", "user_name": "y", "zzz": null })),
        [
            "message.values.nmae: is unknown to the template; did you mean name?",
            "message.values.seats: must be a whole number, not text",
            "message.values.user_name: is unknown to the template; did you mean userName?",
            "message.values.name: is missing: the template needs text",
            "message.values.userName: is missing: the template needs text",
        ]
    );
}

#[test]
fn unknown_names() {
    let declared = variables(json!([{ "name": "on" }, { "name": "N" }, { "name": "department" }]));
    for (name, expected) in [
        (
            "true",
            "is unknown to the template; did you mean on? YAML reads on without quotes as true: write \"on\"",
        ),
        (
            "false",
            "is unknown to the template; did you mean N? YAML reads N without quotes as false: write \"N\"",
        ),
        ("Departement", "is unknown to the template; did you mean department?"),
        ("colour", "is unknown to the template, which declares N, department, on"),
    ] {
        assert_eq!(problems(&declared, json!({ name: "x" })), [format!("message.values.{name}: {expected}")]);
    }
    assert_eq!(
        problems(&variables(json!([])), json!({ "x": 1 })),
        ["message.values.x: is unknown: the template declares no variables"]
    );
}

#[test]
fn recipients_values_win_and_defaults_fill() {
    let variables = variables(json!([
        { "name": "name", "required": true },
        { "name": "team", "default": "all" },
        { "name": "seats", "type": "Integer" },
    ]));
    let common = values(json!({ "name": "common", "seats": 3 }));
    let own = values(json!({ "name": "Anna", "team": "hr", "seats": null }));
    let checked = variables.check(Some(&common), &[("anna@x", Some(&own)), ("bert@x", None)]).unwrap();
    let of = |address| checked.of(address).0.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(of("anna@x"), ["name=\"Anna\"", "seats=3", "team=\"hr\""]);
    assert_eq!(of("bert@x"), ["name=\"common\"", "seats=3", "team=\"all\""]);
}

#[test]
fn problems_of_one_recipient_name_him() {
    let variables =
        variables(json!([{ "name": "name", "required": true }, { "name": "n", "type": "Integer" }]));
    let (anna, bert) = (values(json!({ "name": "Anna", "n": "x" })), values(json!({ "m": 1 })));
    let found = variables.check(None, &[("anna@x", Some(&anna)), ("bert@x", Some(&bert))]).unwrap_err();
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "to[anna@x].values.n: must be a whole number, not text",
            "to[bert@x].values.m: is unknown to the template, which declares n, name",
            "to[bert@x].values.name: is missing: the template needs text",
        ]
    );
}

#[test]
fn bounds() {
    let variables = variables(json!([{ "name": "a" }, { "name": "l", "type": "List" }]));
    let half = "x".repeat(MAX_OCTETS / 2);
    assert_eq!(problems(&variables, json!({ "a": half })), [""; 0]);
    assert!(
        problems(&variables, json!({ "a": half, "l": [half] }))[0].starts_with("message.values: too much")
    );
    let (common, own) = (values(json!({ "a": half })), values(json!({ "l": [half] })));
    let found = variables.check(Some(&common), &[("anna@x", Some(&own))]).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("to[anna@x].values: too much"), "{}", found[0]);
    let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(
        problems(&variables, json!({ "l": deep })),
        ["message.values.l: is nested deeper than 16 levels"]
    );
}

#[test]
fn null_is_nothing_at_any_depth() {
    let variables = variables(json!([
        { "name": "labels", "type": "Object", "default": { "zone": null, "team": "core" } }, { "name": "rows", "type": "List" },
    ]));
    let given = values(json!({
        "rows": [["a", null, "c"], { "name": "disk", "runbook": null, "in": { "it": null, "no": 1 } }],
    }));
    let checked = variables.check(Some(&given), &[]).unwrap().of("");
    let found = serde_json::to_value(&checked).unwrap();
    let rows = json!([["a", "", "c"], { "name": "disk", "in": { "no": 1 } }]);
    assert_eq!(found, json!({ "labels": { "team": "core" }, "rows": rows }));
    let null = values(json!({ "rows": null }));
    let found = variables.check(Some(&null), &[]).unwrap().of("");
    assert_eq!(serde_json::to_value(&found).unwrap()["rows"], json!([]));
}
