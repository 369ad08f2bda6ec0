//! The bounds in the chart's `values.schema.json`. They stand in its `$defs`, which are written from here, as the rest of
//! the file is by hand; whatever they let through, the operator's own arguments understand.

use super::{chart, helm_offline, objects};
use crate::generated::compare;
use clap::Parser;
use mail_operator::domain::{host, object};
use mail_operator::process::arguments::{Arguments, MOST_ACCOUNTS_PER_NAMESPACE, MOST_WORKERS};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const FILE: &str = "charts/mail-operator/values.schema.json";
/// Of each pattern.
const SAMPLES: usize = 300;

/// Go's regular expressions, which Helm uses, know no look-ahead. What they cannot say is left to `maxLength`, which is a
/// little stricter than it need be where a scheme or a port stand before or after the name.
fn definitions() -> Value {
    let octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    let v4 = format!(r"{octet}(\.{octet}){{3}}");
    let v6 = v6(&v4);
    let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let label = format!("[A-Za-z0-9_-]{{1,{}}}", host::LONGEST_LABEL);
    // With something that is no digit: a name that ends in a number is an address with a mistake in it.
    let last = format!("[0-9]{{0,20}}[A-Za-z_-][A-Za-z0-9_-]{{0,{}}}", host::LONGEST_LABEL - 21);
    let name = format!(r"({label}\.)*{last}\.?");
    let networks = format!("({v4}/([0-9]|[12][0-9]|3[0-2])|({v6})/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))");
    let located = format!(r"({v4}|{name}|\[({v6})\])(:{port})?");
    let dns_label = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
    let object = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
    let key = format!("{dns_label}/{object}");
    let domain = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
    let path = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";

    let (longest_host, longest_name) = (Some(host::LONGEST_NAME), Some(object::LONGEST_NAME));
    let mut all = Map::new();
    let mut add = |name: &str, longest: Option<usize>, pattern: &str| {
        let mut definition = json!({ "type": "string", "pattern": format!("^({pattern})$") });
        if let Some(longest) = longest {
            definition["maxLength"] = json!(longest);
        }
        all.insert(name.to_owned(), definition);
    };
    add("cidr", None, &networks);
    add("cidrOrCluster", None, &format!("cluster|{networks}"));
    add("place", longest_host, &format!(r"{networks}|{v4}|{v6}|(\*\.)?{name}"));
    add("proxyURL", longest_host, &format!("(socks5|http|https)://{located}/?"));
    add("hostAndPort", longest_host, &format!("{located}|{v6}"));
    add("namespaceName", None, dns_label);
    add("objectName", longest_name, object);
    add("objectNameOrEmpty", longest_name, &format!("({object})?"));
    add("objectKeyOrEmpty", longest_name, &format!("({key})?"));
    add("serviceAccount", longest_name, &format!(r"\*|{key}"));
    // A Service's name begins with a letter, and some names add something to this one.
    add("fullNameOrEmpty", None, "([a-z]([-a-z0-9]{0,48}[a-z0-9])?)?");
    // A ConfigMap's: neither `.` nor `..`, nor anything that begins with two dots.
    add("dataKey", longest_name, r"\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*");
    add("imageRepository", Some(255), &format!(r"({domain}(\.{domain})*(:{port})?/)?{path}(/{path})*"));
    add("imageTagOrEmpty", None, "([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?");
    add("imageDigestOrEmpty", None, "(sha256:[0-9a-f]{64})?");
    add("interval", None, "[1-9][0-9]{0,5}(ms|s|m|h)");
    let number = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most });
    all.insert("workers".into(), number(MOST_WORKERS as u64));
    all.insert("accountsPerNamespace".into(), number(MOST_ACCOUNTS_PER_NAMESPACE.into()));
    all.insert("port".into(), number(u16::MAX.into()));
    Value::Object(all)
}

/// IPv6 addresses as RFC 3986 writes them down.
fn v6(v4: &str) -> String {
    let group = "[0-9A-Fa-f]{1,4}";
    let last = format!("({group}:{group}|{v4})");
    let mut forms = vec![format!("({group}:){{6}}{last}"), format!("::({group}:){{5}}{last}")];
    for before in 0..5_usize {
        let after = match 4 - before {
            0 => String::new(),
            after => format!("({group}:){{{after}}}"),
        };
        forms.push(format!("(({group}:){{0,{before}}}{group})?::{after}{last}"));
    }
    forms.push(format!("(({group}:){{0,5}}{group})?::{group}"));
    forms.push(format!("(({group}:){{0,6}}{group})?::"));
    format!("({})", forms.join("|"))
}

fn schema() -> (String, Value) {
    let text = std::fs::read_to_string(format!("{}/values.schema.json", chart())).unwrap();
    let schema = serde_json::from_str(&text).unwrap();
    (text, schema)
}

#[test]
fn bounds_are_generated_from_here() {
    let (text, _) = schema();
    let (head, rest) = text.split_once("  \"$defs\": ").unwrap();
    let (_, tail) = rest.split_once("\n  },\n").unwrap();
    let definitions = serde_json::to_string_pretty(&definitions()).unwrap();
    let definitions = definitions.replace('\n', "\n  ");
    let wanted = format!("{head}  \"$defs\": {definitions},\n{tail}");
    compare(FILE, &wanted);
    let (_, mut rest) = schema();
    rest.as_object_mut().unwrap().remove("$defs");
    for bound in ["\"pattern\":", "\"maximum\":65535", "\"maxLength\":"] {
        assert!(!rest.to_string().contains(bound), "{bound} belongs into the definitions");
    }
    // The one place that takes no reference: names of objects are keys there.
    for value in ["mailServers", "templates"] {
        let names = rest["properties"][value]["patternProperties"].as_object().unwrap();
        assert_eq!(names.keys().collect::<Vec<_>>(), [&format!("^{NAME_AS_KEY}$")], "{value}");
    }
}

const NAME_AS_KEY: &str = "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?";

/// Different texts that a definition lets through, of those that its pattern describes.
fn samples(definition: &Value) -> Vec<String> {
    let pattern = definition["pattern"].as_str().unwrap();
    let pattern = pattern.strip_prefix('^').and_then(|pattern| pattern.strip_suffix('$')).unwrap();
    let longest = definition["maxLength"].as_u64().unwrap_or(u64::MAX);
    // Else most would be longer than `maxLength`, after much work.
    let shorter = pattern.replace(")*", "){0,3}");
    let strategy = proptest::string::string_regex(&shorter).unwrap();
    let random = TestRng::deterministic_rng(RngAlgorithm::XorShift);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let mut found = BTreeSet::new();
    // Few patterns describe fewer texts than that.
    for _ in 0..10 * SAMPLES {
        let sample = strategy.new_tree(&mut runner).unwrap().current();
        if sample.len() as u64 <= longest {
            found.insert(sample);
        }
        if found.len() == SAMPLES {
            break;
        }
    }
    assert!(found.len() > SAMPLES / 2, "{pattern}: only {}", found.len());
    found.into_iter().collect()
}

/// Where the schema refers to a definition with a pattern: the value's path, whether it is a list's, and the definition.
fn places(schema: &Value, at: &Value, path: &str, found: &mut Vec<(String, bool, Value)>) {
    let referred = |at: &Value| {
        let name = at["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        Some(schema["$defs"][name].clone()).filter(|definition| definition["pattern"].is_string())
    };
    if let Some(definition) = referred(at) {
        found.push((path.to_owned(), false, definition));
    }
    if let Some(definition) = referred(&at["items"]) {
        found.push((path.to_owned(), true, definition));
    }
    for (name, at) in at["properties"].as_object().into_iter().flatten() {
        places(schema, at, &format!("{path}/{name}"), found);
    }
}

fn set(values: &mut Value, path: &str, value: Value) {
    let mut at = values;
    for name in path.split('/').skip(1) {
        at = &mut at[name];
    }
    *at = value;
}

fn parse(arguments: &[String]) -> Result<(), String> {
    let line = std::iter::once("mail-operator").chain(arguments.iter().map(String::as_str));
    Arguments::try_parse_from(line).map(drop).map_err(|error| error.to_string())
}

/// What Helm makes of the values: arguments and objects.
async fn render(values: &Value) -> (Vec<String>, Vec<Value>) {
    let text = helm_offline(&["template", "x", &chart(), "--values", "-"], &values.to_string()).await;
    let objects = objects(&text.unwrap());
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    (serde_json::from_value(arguments).unwrap(), objects)
}

/// A value that the schema lets through and the operator does not is a Pod that dies.
#[tokio::test]
async fn whatever_a_pattern_lets_through_is_understood() {
    let (_, schema) = schema();
    let mut all = Vec::new();
    places(&schema, &schema, "", &mut all);
    assert!(all.len() > 15, "{all:?}");
    // Lists take all their samples at once; of the others, each argument that shows the first one is then given the rest.
    let mut values = json!({ "metrics": { "monitor": "PodMonitor" } });
    let mut singles = Vec::new();
    for (path, is_list, definition) in &all {
        let samples = samples(definition);
        if *is_list {
            set(&mut values, path, json!(samples));
        } else if path != "/fullnameOverride" {
            // Long enough not to be part of another argument by chance.
            let marker = samples.iter().max_by_key(|sample| sample.len()).unwrap().clone();
            set(&mut values, path, json!(marker));
            singles.push((marker, samples));
        }
    }
    // It names a namespace, which would have to be one of the others.
    let spaces = values["namespaces"].take();
    let (arguments, objects) = render(&values).await;
    parse(&arguments).unwrap();
    for list in [
        "--egress-allow",
        "--egress-deny",
        "--cluster-network",
        "--egress-only",
        "--proxies-only",
        "--plaintext-only",
    ] {
        let count = arguments.iter().filter(|argument| argument.starts_with(&format!("{list}="))).count();
        assert_eq!(count, SAMPLES, "{list}");
    }
    let mut tried = 0;
    for (marker, samples) in &singles {
        for argument in arguments.iter().filter(|argument| argument.ends_with(&format!("={marker}"))) {
            for sample in samples.iter().filter(|sample| !sample.is_empty()) {
                let alone = ["run".to_owned(), argument.replace(marker, sample)];
                parse(&alone).unwrap_or_else(|error| panic!("{sample}: {error}"));
                tried += 1;
            }
        }
    }
    assert!(tried > SAMPLES / 2, "defaultServer at least");
    assert_eq!(names_that_are_no_text(&objects), [""; 0]);
    set(&mut values, "/defaultServer", json!(""));
    set(&mut values, "/namespaces", spaces);
    let (arguments, objects) = render(&values).await;
    parse(&arguments).unwrap();
    assert_eq!(names_that_are_no_text(&objects), [""; 0]);
}

/// YAML takes some names for numbers or the like; the API server then refuses the object.
fn names_that_are_no_text(objects: &[Value]) -> Vec<String> {
    fn look(at: &Value, path: &str, found: &mut Vec<String>) {
        for (name, value) in at.as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            let is_name =
                matches!(&**name, "name" | "namespace" | "serviceAccountName" | "priorityClassName" | "key");
            if is_name && !value.is_string() {
                found.push(format!("{path}: {value}"));
            }
            look(value, &path, found);
        }
        for (index, value) in at.as_array().into_iter().flatten().enumerate() {
            look(value, &format!("{path}/{index}"), found);
        }
    }
    let mut found = Vec::new();
    for object in objects {
        look(object, object["kind"].as_str().unwrap_or_default(), &mut found);
    }
    found
}

#[tokio::test]
async fn names_that_look_like_numbers_stay_names() {
    for name in ["123", "1e3", "null", "true", "0x1"] {
        let values = json!({
            "namespaces": [name], "mailServers": {}, "priorityClassName": name, "defaultServer": format!("{name}/{name}"),
            "federation": { "serviceAccounts": [format!("{name}/{name}")] }, "imagePullSecrets": [{ "name": name }],
            "trustBundle": { "configMap": name, "key": name },
            "metrics": { "monitor": "PodMonitor", "authentication": { "enabled": true, "tokenSecret": { "name": name, "key": name } } },
        });
        let (arguments, objects) = render(&values).await;
        parse(&arguments).unwrap();
        assert_eq!(names_that_are_no_text(&objects), [""; 0]);
    }
}
