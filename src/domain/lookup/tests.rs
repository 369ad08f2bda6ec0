#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use super::*;
use crate::domain::samples::{add_template, check_all, template};
use serde_json::{Value, json};

/// Of an operator in namespace `mail`.
fn catalog() -> Catalog {
    let mut catalog = Catalog::new("mail");
    check_all(&mut catalog);
    catalog
}

fn all() -> Value {
    json!({ "access": { "namespaces": { "from": "All" } } })
}

fn found(catalog: &Catalog, namespace: &str, name: &str) -> Option<String> {
    catalog.look_up(namespace, name).map(|(source, _)| source.to_string())
}

fn remove(catalog: &mut Catalog, namespace: &str, name: &str) {
    catalog.remove(&Source::object(namespace, name));
    check_all(catalog);
}

fn known(catalog: &Catalog, namespace: &str, name: &str) -> Arc<KnownTemplate> {
    catalog.template(&Source::object(namespace, name)).unwrap().clone()
}

/// Reason and message of what is wrong with a template.
fn wrong(catalog: &Catalog, namespace: &str, name: &str) -> Option<(Reason, String)> {
    let known = known(catalog, namespace, name);
    let problem = known.problems().first()?;
    Some((problem.reason, problem.message.clone()))
}

#[test]
fn the_own_namespace_then_the_operators_then_the_standard_messages() {
    let mut catalog = catalog();
    let built_in = Some("built-in:test-message".to_owned());
    assert_eq!(found(&catalog, "hr", "test-message"), built_in);
    assert_eq!(found(&catalog, "mail", "test-message"), built_in);
    assert_eq!(found(&catalog, "hr", "welcome"), None);
    // The operator's namespace edits it for everybody, whatever its access says.
    add_template(&mut catalog, "mail", "test-message", json!({}));
    assert_eq!(found(&catalog, "hr", "test-message").unwrap(), "mail/test-message");
    // The own namespace wins, and only there.
    add_template(&mut catalog, "hr", "test-message", json!({}));
    assert_eq!(found(&catalog, "hr", "test-message").unwrap(), "hr/test-message");
    assert_eq!(found(&catalog, "it", "test-message").unwrap(), "mail/test-message");
    // Deleting restores.
    remove(&mut catalog, "hr", "test-message");
    assert_eq!(found(&catalog, "hr", "test-message").unwrap(), "mail/test-message");
    remove(&mut catalog, "mail", "test-message");
    assert_eq!(found(&catalog, "hr", "test-message"), built_in);
}

#[test]
fn other_templates_of_the_operators_namespace_must_admit() {
    let mut catalog = catalog();
    add_template(&mut catalog, "mail", "welcome", json!({}));
    assert_eq!(found(&catalog, "hr", "welcome"), None);
    assert_eq!(found(&catalog, "mail", "welcome").unwrap(), "mail/welcome");
    let hr = json!({ "access": { "namespaces": { "from": "Selector", "selector": { "matchLabels": { "team": "hr" } } } } });
    add_template(&mut catalog, "mail", "welcome", hr);
    assert_eq!(found(&catalog, "hr", "welcome"), None);
    catalog.namespaces.insert("hr".into(), [("team".to_owned(), "hr".to_owned())].into());
    assert_eq!(found(&catalog, "hr", "welcome").unwrap(), "mail/welcome");
    assert_eq!(found(&catalog, "it", "welcome"), None);
}

#[test]
fn one_that_cannot_be_read_still_stands_for_its_name() {
    let mut catalog = catalog();
    let source = Source::object("mail", "test-message");
    catalog.learn_undecodable(ObjectKey::new("mail", "test-message"), "no subject");
    let (found, known) = catalog.look_up("hr", "test-message").unwrap();
    assert_eq!(found, source);
    assert!(known.template().is_none());
}

#[test]
fn what_is_overridden_and_where_it_differs() {
    let mut catalog = catalog();
    let overrides = |catalog: &Catalog, namespace| {
        let known = known(catalog, namespace, "test-message");
        known.overrides.clone().map(|(source, differs)| (source.to_string(), differs))
    };
    let standard = crate::domain::standard::find("test-message").unwrap();
    let standard = serde_json::to_value(standard).unwrap();
    let mut ours = template("mail", "test-message", json!({}));
    ours.spec = serde_json::from_value(standard.clone()).unwrap();
    ours.spec.subject = "Ours".into();
    catalog.learn(&ours);
    check_all(&mut catalog);
    let expected = ("built-in:test-message".to_owned(), vec!["en subject".to_owned()]);
    assert_eq!(overrides(&catalog, "mail").unwrap(), expected);
    // The own namespace's overrides the operator's, as it is now.
    let mut theirs = ours.clone();
    theirs.metadata.namespace = Some("hr".into());
    catalog.learn(&theirs);
    check_all(&mut catalog);
    assert_eq!(overrides(&catalog, "hr").unwrap(), ("mail/test-message".to_owned(), vec![]));
    ours.spec.subject = "Ours again".into();
    ours.metadata.generation = Some(99);
    catalog.learn(&ours);
    check_all(&mut catalog);
    assert_eq!(overrides(&catalog, "hr").unwrap().1, ["en subject"]);
    remove(&mut catalog, "mail", "test-message");
    assert_eq!(overrides(&catalog, "hr").unwrap().0, "built-in:test-message");
    // Another name overrides nothing.
    add_template(&mut catalog, "hr", "welcome", json!({}));
    assert_eq!(known(&catalog, "hr", "welcome").overrides, None);
}

fn layout(name: &str) -> Value {
    json!({ "layout": { "name": name } })
}

/// A template that others can be wrapped in.
fn frame(more: Value) -> Value {
    let mut frame = json!({
        "subject": "{{ content }}", "text": "Frame. {{ content }}", "variables": [], "translations": []
    });
    for (key, value) in more.as_object().unwrap() {
        frame[key] = value.clone();
    }
    frame
}

fn layouts(catalog: &Catalog, namespace: &str, name: &str) -> Vec<String> {
    known(catalog, namespace, name).layouts.iter().map(Source::to_string).collect()
}

#[test]
fn absent_layouts_are_waited_for() {
    let mut catalog = catalog();
    add_template(&mut catalog, "hr", "welcome", layout("frame"));
    let (reason, message) = wrong(&catalog, "hr", "welcome").unwrap();
    assert_eq!(reason, Reason::LayoutNotFound);
    for words in ["frame", "namespace hr", "operator's namespace mail", "create it"] {
        assert!(message.contains(words), "{message}");
    }
    // Of others it does not count, even of the operator's namespace, unless it admits this one.
    add_template(&mut catalog, "it", "frame", frame(all()));
    add_template(&mut catalog, "mail", "frame", frame(json!({})));
    assert_eq!(wrong(&catalog, "hr", "welcome").unwrap().0, Reason::LayoutNotFound);
    add_template(&mut catalog, "mail", "frame", frame(all()));
    assert_eq!(wrong(&catalog, "hr", "welcome"), None);
    assert_eq!(layouts(&catalog, "hr", "welcome"), ["mail/frame"]);
    // One nearer by takes its place, and gives it back.
    add_template(&mut catalog, "hr", "frame", frame(json!({})));
    assert_eq!(layouts(&catalog, "hr", "welcome"), ["hr/frame"]);
    remove(&mut catalog, "hr", "frame");
    assert_eq!(layouts(&catalog, "hr", "welcome"), ["mail/frame"]);
    remove(&mut catalog, "mail", "frame");
    assert_eq!(wrong(&catalog, "hr", "welcome").unwrap().0, Reason::LayoutNotFound);
}

#[test]
fn chains_circles_and_too_many() {
    let mut catalog = catalog();
    add_template(&mut catalog, "hr", "welcome", layout("a"));
    add_template(&mut catalog, "hr", "a", frame(layout("b")));
    let (reason, message) = wrong(&catalog, "hr", "welcome").unwrap();
    assert_eq!(reason, Reason::LayoutNotFound);
    assert!(message.contains("the layout of hr/a"), "{message}");
    add_template(&mut catalog, "hr", "b", frame(json!({})));
    assert_eq!(layouts(&catalog, "hr", "welcome"), ["hr/a", "hr/b"]);
    // A circle is everybody's problem in it and of those it wraps, and goes away as it came.
    add_template(&mut catalog, "hr", "b", frame(layout("a")));
    for name in ["welcome", "a", "b"] {
        let (reason, message) = wrong(&catalog, "hr", name).unwrap();
        assert_eq!(reason, Reason::LayoutCycle, "{name}");
        assert!(message.contains("hr/a in hr/b") || message.contains("hr/b in hr/a"), "{message}");
    }
    add_template(&mut catalog, "hr", "b", frame(json!({})));
    for name in ["welcome", "a", "b"] {
        assert_eq!(wrong(&catalog, "hr", name), None, "{name}");
    }
    add_template(&mut catalog, "hr", "self", frame(layout("self")));
    assert_eq!(wrong(&catalog, "hr", "self").unwrap().0, Reason::LayoutCycle);
    for n in 0..=MAX_LAYOUTS {
        let next = if n == 0 { json!({}) } else { layout(&format!("n{}", n - 1)) };
        add_template(&mut catalog, "hr", &format!("n{n}"), frame(next));
    }
    let last = format!("n{MAX_LAYOUTS}");
    assert_eq!(wrong(&catalog, "hr", &last), None, "eight are possible");
    add_template(&mut catalog, "hr", "more", layout(&last));
    assert_eq!(wrong(&catalog, "hr", "more").unwrap().0, Reason::LayoutCycle);
}

#[test]
fn a_layout_that_cannot_be_used_is_named() {
    let mut catalog = catalog();
    add_template(&mut catalog, "hr", "welcome", layout("a"));
    add_template(&mut catalog, "hr", "a", frame(layout("b")));
    add_template(&mut catalog, "hr", "b", frame(json!({ "text": "{{ content" })));
    for name in ["welcome", "a"] {
        let (reason, message) = wrong(&catalog, "hr", name).unwrap();
        assert_eq!(reason, Reason::LayoutInvalid, "{name}");
        assert!(message.starts_with("the layout hr/b cannot be used: en text, line 1"), "{message}");
    }
    add_template(&mut catalog, "hr", "b", frame(json!({})));
    assert_eq!(wrong(&catalog, "hr", "welcome"), None);
}

/// Standard messages take their layout from the operator's namespace, where an administrator changes all of them at once.
#[test]
fn the_standard_layout_is_changed_for_all_standard_messages() {
    let mut catalog = catalog();
    let layouts = |catalog: &Catalog| {
        let known = catalog.template(&Source::built_in("test-message")).unwrap();
        assert!(known.template().is_some());
        known.layouts.iter().map(Source::to_string).collect::<Vec<_>>()
    };
    assert_eq!(layouts(&catalog), ["built-in:standard-layout"]);
    add_template(&mut catalog, "hr", "standard-layout", frame(json!({})));
    assert_eq!(layouts(&catalog), ["built-in:standard-layout"], "a team changes its own messages only");
    let mut ours = template("mail", "standard-layout", json!({}));
    ours.spec = (*catalog.template(&Source::built_in("standard-layout")).unwrap().spec).clone();
    catalog.learn(&ours);
    check_all(&mut catalog);
    assert_eq!(layouts(&catalog), ["mail/standard-layout"]);
    remove(&mut catalog, "mail", "standard-layout");
    assert_eq!(layouts(&catalog), ["built-in:standard-layout"]);
}

#[test]
fn nothing_is_made_anew_without_need() {
    let mut catalog = catalog();
    add_template(&mut catalog, "hr", "frame", frame(json!({})));
    add_template(&mut catalog, "hr", "welcome", layout("frame"));
    add_template(&mut catalog, "it", "welcome", layout("frame"));
    let before = known(&catalog, "it", "welcome");
    assert!(catalog.reconsider(&Source::object("hr", "welcome")).is_empty());
    add_template(&mut catalog, "hr", "frame", frame(json!({ "text": "Corp. {{ content }}" })));
    assert!(Arc::ptr_eq(&before, &known(&catalog, "it", "welcome")), "of another namespace");
    assert!(known(&catalog, "hr", "welcome").template().is_some());
}

/// What overrides a standard message may lead back to it by way of layouts; that must end.
#[test]
fn overriding_what_one_is_wrapped_in_ends() {
    let mut catalog = catalog();
    add_template(&mut catalog, "mail", "test-message", layout("frame"));
    add_template(&mut catalog, "mail", "frame", frame(layout("test-message")));
    assert_eq!(wrong(&catalog, "mail", "frame").unwrap().0, Reason::LayoutCycle);
    remove(&mut catalog, "mail", "test-message");
    assert_eq!(layouts(&catalog, "mail", "frame").first().unwrap(), "built-in:test-message");
}
