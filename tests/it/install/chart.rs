//! The chart by itself and in `helm install`: what it accepts, what it refuses with which words, what it leaves behind.

use super::{ask, chart, helm, helm_offline, objects, rendered, values_files};
use crate::cluster::{cluster, namespace};
use clap::Parser;
use mail_operator_testbed::ControlPlane;

#[tokio::test]
async fn lint_has_nothing_to_say() {
    let chart = chart();
    helm_offline(&["lint", "--strict", &chart], "").await.unwrap();
    for values in values_files() {
        helm_offline(&["lint", "--strict", &chart, "--values", &values.display().to_string()], "")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn wrong_values_are_refused_with_their_name() {
    for (values, complaint) in [
        ("replica: 1", "'replica' not allowed"),
        ("replicas: two", "at '/replicas'"),
        ("replicas: -1", "at '/replicas'"),
        ("image: {digest: latest}", "at '/image/digest'"),
        ("image: {pullpolicy: Always}", "'pullpolicy' not allowed"),
        ("namespaces: team-a", "at '/namespaces'"),
        ("namespaces: [Team_A]", "at '/namespaces/0'"),
        ("namespaces: [a, a]", "at '/namespaces'"),
        ("defaultServer: corp", "at '/defaultServer'"),
        ("secretBinding: Optional", "at '/secretBinding'"),
        ("egress: {allow: [10.0.0.0]}", "at '/egress/allow/0'"),
        ("egress: {deny: [10.0.0.0/33]}", "at '/egress/deny/0'"),
        ("egress: {deny: [pods]}", "at '/egress/deny/0'"),
        ("egress: {clusterNetworks: [cluster]}", "at '/egress/clusterNetworks/0'"),
        ("lockdown: {enabled: 'yes'}", "at '/lockdown/enabled'"),
        ("lockdown: {proxies: [proxy.corp.example]}", "at '/lockdown/proxies/0'"),
        ("lockdown: {noProxies: true}", "'noProxies' not allowed"),
        ("log: {level: verbose}", "at '/log/level'"),
        ("log: {format: no}", "at '/log/format'"),
        ("workers: 0", "at '/workers'"),
        ("manageCRDs: 'yes'", "at '/manageCRDs'"),
        ("mailServers: {Corp: {sender: {address: a@b.example}}}", "'Corp'"),
        ("mailServers: {corp: {host: smtp.corp.example}}", "missing property 'sender'"),
        ("templates: {welcome: {text: Hello}}", "missing property 'subject'"),
        ("podAnnotations: {date: 1}", "at '/podAnnotations/date'"),
        ("metrics: {monitor: Prometheus}", "at '/metrics/monitor'"),
        ("networkPolicy: {egressPorts: [smtp]}", "at '/networkPolicy/egressPorts/0'"),
        ("networkPolicy: {egressPorts: [0]}", "at '/networkPolicy/egressPorts/0'"),
        // One by one they are fine.
        (
            "{namespaces: [a], mailServers: {corp: {sender: {address: a@b.example}}}}",
            "mail, which the operator would not see",
        ),
        ("{namespaces: [a], defaultServer: b/corp}", "namespace b, which the operator would not see"),
        ("metrics: {monitor: ServiceMonitor, service: false}", "needs metrics.service"),
        (
            "metrics: {monitor: PodMonitor, authentication: {enabled: true}}",
            "needs metrics.authentication.tokenSecret.name",
        ),
        ("lockdown: {enabled: true}", "lockdown.enabled needs lockdown.egress"),
        (
            "{lockdown: {enabled: true, egress: [smtp.corp.example]}, secretBinding: WhenAnnotated}",
            "needs secretBinding: Required",
        ),
    ] {
        let arguments = ["template", "x", &chart(), "--namespace", "mail", "--values", "-"];
        let refusal = helm_offline(&arguments, values).await.expect_err(values);
        assert!(refusal.contains(complaint), "{values}: {refusal}");
    }
}

/// A schema that does not know a value would refuse it; one that nobody explains is no use either.
#[test]
fn the_schema_knows_and_explains_each_value() {
    let read = |file: &str| std::fs::read_to_string(format!("{}/{file}", chart())).unwrap();
    let values: serde_json::Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    explained(&values, &schema, "");
}

/// Walks values and schema side by side.
fn explained(values: &serde_json::Value, schema: &serde_json::Value, path: &str) {
    let known = schema["properties"].as_object();
    for (name, value) in values.as_object().into_iter().flatten() {
        let Some(known) = known else { continue };
        let path = format!("{path}/{name}");
        let schema = known.get(name).unwrap_or_else(|| panic!("values.schema.json has no {path}"));
        assert!(schema["description"].is_string(), "{path} has no description");
        explained(value, schema, &path);
    }
    for name in
        known.into_iter().flat_map(|known| known.keys()).filter(|name| *name != "global" && *name != "claims")
    {
        assert!(values.get(name).is_some(), "values.yaml does not show {path}/{name}");
    }
}

#[tokio::test]
async fn prometheus_operator_is_told_on_demand() {
    for (monitor, endpoints, port) in
        [("ServiceMonitor", "endpoints", "metrics"), ("PodMonitor", "podMetricsEndpoints", "admin")]
    {
        let values =
            format!("metrics: {{monitor: {monitor}, interval: 15s, monitorLabels: {{release: prometheus}}}}");
        let arguments = ["template", "x", &chart(), "--values", "-"];
        let objects = objects(&helm_offline(&arguments, &values).await.unwrap());
        let found = objects.iter().find(|object| object["kind"] == monitor).unwrap();
        assert_eq!(found["metadata"]["labels"]["release"], "prometheus");
        let wanted = serde_json::json!([{ "port": port, "path": "/metrics", "interval": "15s" }]);
        assert_eq!(found["spec"][endpoints], wanted);
    }
    let values =
        "metrics: {monitor: PodMonitor, authentication: {enabled: true, tokenSecret: {name: reader}}}";
    let objects =
        objects(&helm_offline(&["template", "x", &chart(), "--values", "-"], values).await.unwrap());
    let found = objects.iter().find(|object| object["kind"] == "PodMonitor").unwrap();
    let credentials = &found["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"];
    assert_eq!(*credentials, serde_json::json!({ "name": "reader", "key": "token" }));
    assert!(!rendered(None).await.contains("monitoring.coreos.com"));
}

/// The operator trusts what this variable names (`it::accounts` has it do so), and nothing else.
#[tokio::test]
async fn the_trust_bundle_is_where_the_operator_looks_for_it() {
    let values = "trustBundle: {configMap: corp-roots, key: roots.pem}";
    let objects =
        objects(&helm_offline(&["template", "x", &chart(), "--values", "-"], values).await.unwrap());
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let file =
        variables.iter().find(|variable| variable["name"] == "SSL_CERT_FILE").unwrap()["value"].as_str();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "trust").unwrap();
    assert_eq!(file, Some(&*format!("{}/roots.pem", mount["mountPath"].as_str().unwrap())));
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "trust");
    assert_eq!(volume.unwrap()["configMap"]["name"], "corp-roots");
    assert!(!rendered(None).await.contains("SSL_CERT_FILE"));
}

#[tokio::test]
async fn servers_and_templates_come_with_the_install_and_stay_without_it() {
    let plane = namespace("mail").await;
    let values = format!("{}/ci/servers-and-templates-values.yaml", chart());
    let (chart, [flag, space, name]) = (chart(), ["--namespace", "mail", "objects"]);

    let notes = helm(plane, &["install", name, &chart, flag, space, "--values", &values]).await.unwrap();
    assert!(notes.contains("serverRef: {name: \"corp\"}"), "{notes}");
    assert_eq!(accepted_from_notes(plane, &notes).await, 1);
    let servers = ask(plane, &["get", "msc", flag, space, "-o", "name"]).await;
    assert_eq!(servers.split_whitespace().count(), 2, "{servers}");
    let subject = "jsonpath={.spec.subject}|{.spec.translations[0].locale}";
    let subject = ask(plane, &["get", "mt", "welcome", flag, space, "-o", subject]).await;
    assert_eq!(subject, "Welcome, {{ name }}|no");
    let arguments = ["get", "deployment", "objects-mail-operator", flag, space, "-o", "jsonpath={..args}"];
    let arguments = ask(plane, &arguments).await;
    assert!(arguments.contains("--default-server=mail/corp"), "{arguments}");

    helm(plane, &["upgrade", name, &chart, flag, space]).await.unwrap();
    helm(plane, &["uninstall", name, flag, space]).await.unwrap();
    let kept = ask(plane, &["get", "msc,mt", flag, space, "-o", "name"]).await;
    assert_eq!(kept.split_whitespace().count(), 3, "{kept}");

    // The same release takes them back; with keepObjects off they then go with it.
    let give_up = ["--set", "keepObjects=false", "--values", &values];
    helm(plane, &[&["install", name, &chart, flag, space], &give_up[..]].concat()).await.unwrap();
    helm(plane, &["uninstall", name, flag, space]).await.unwrap();
    assert_eq!(ask(plane, &["get", "msc,mt", flag, space, "-o", "name"]).await, "");
}

#[tokio::test]
async fn what_the_notes_tell_people_to_type_works() {
    let plane = namespace("notes").await;
    let notes = helm(plane, &["install", "notes", &chart(), "--namespace", "notes"]).await.unwrap();
    assert_eq!(accepted_from_notes(plane, &notes).await, 2);
    helm(plane, &["uninstall", "notes", "--namespace", "notes"]).await.unwrap();

    // What is typed is for a namespace that the operator sees.
    for (namespaces, seen) in [("{notes-a,notes-b}", "notes-a"), ("{notes-a,notes}", "notes")] {
        let install = ["install", "notes", &chart(), "--namespace", "notes", "--dry-run=client", "--set"];
        let namespaces = format!("namespaces={namespaces}");
        let notes = helm(plane, &[&install[..], &[&namespaces]].concat()).await.unwrap();
        let (_, notes) = notes.split_once("NOTES:").unwrap();
        assert!(notes.contains("kubectl -n notes rollout status"), "{notes}");
        let (_, typed) = notes.split_once("2. ").unwrap();
        let words = typed.split(|c: char| c.is_whitespace() || "\"},".contains(c));
        let named: Vec<_> = words.filter(|word| word.starts_with("notes")).collect();
        assert!(named.len() == 6 && named.iter().all(|name| *name == seen), "{named:?}\n{notes}");
    }
}

/// How many documents the notes tell people to pipe into kubectl; each must be accepted.
async fn accepted_from_notes(plane: &ControlPlane, notes: &str) -> usize {
    let documents: Vec<_> =
        notes.split("<<EOF\n").skip(1).map(|rest| rest.split("\nEOF\n").next().unwrap()).collect();
    for document in &documents {
        let answer =
            plane.kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], document).await.unwrap();
        assert!(answer.status.success(), "{}\n{document}", answer.stderr);
    }
    documents.len()
}

#[tokio::test]
async fn a_mistake_in_a_mail_server_is_answered_at_install() {
    let plane = namespace("mistake").await;
    let values = "mailServers.corp.sender.address=a@corp.example";
    let (chart, more) = (chart(), ["--namespace", "mistake", "--set", values]);
    let refusal = helm(plane, &[&["install", "mistake", &chart], &more[..]].concat()).await.unwrap_err();
    assert!(refusal.contains("host is required: the DNS name or IP address of the mail server"), "{refusal}");
}

#[tokio::test]
async fn restricted_to_namespaces() {
    let plane = namespace("restricted-a").await;
    for other in ["restricted-b", "restricted-operator"] {
        ask(plane, &["create", "namespace", other]).await;
    }
    let values = format!("{}/ci/restricted-values.yaml", chart());
    let namespaced = ["--namespace", "restricted-operator"];
    let install = ["install", "restricted", &chart(), "--values", &values];
    helm(plane, &[&install[..], &namespaced].concat()).await.unwrap();

    let account = "system:serviceaccount:restricted-operator:restricted-mail-operator";
    for (question, expected) in [
        ("get secrets -n restricted-a", "yes"),
        ("patch notifications.mail-operator.dev --subresource=status -n restricted-b", "yes"),
        ("watch namespaces", "yes"),
        ("get secrets -n default", "no"),
        ("list notifications.mail-operator.dev -n default", "no"),
        ("get secrets -n restricted-operator", "no"),
        // The templates there are for all.
        ("watch messagetemplates.mail-operator.dev -n restricted-operator", "yes"),
        ("patch messagetemplates.mail-operator.dev --subresource=status -n restricted-operator", "yes"),
        ("create events.events.k8s.io -n restricted-operator", "yes"),
        ("patch messagetemplates.mail-operator.dev -n restricted-operator", "no"),
        ("list notifications.mail-operator.dev -n restricted-operator", "no"),
        ("list messagetemplates.mail-operator.dev -n default", "no"),
        ("update configmaps -n restricted-operator", "yes"),
        ("patch customresourcedefinitions/notifications.mail-operator.dev", "no"), // manageCRDs is off
    ] {
        let question: Vec<_> = question.split(' ').chain(["--as", account]).collect();
        let answer = plane.kubectl(&[&["auth", "can-i"], &question[..]].concat()).await.unwrap().stdout;
        assert_eq!(answer.trim(), expected, "{question:?}");
    }
    let arguments = ["get", "deployment", "restricted-mail-operator", "-o", "jsonpath={..args}"];
    let arguments = ask(plane, &[&arguments[..], &namespaced].concat()).await;
    for argument in [
        "--namespace=restricted-a",
        "--namespace=restricted-b",
        "--egress-deny=2001:db8::/32",
        "--manage-crds=false",
    ] {
        assert!(arguments.contains(argument), "{arguments}");
    }
    ask(plane, &[&["get", "networkpolicy", "restricted-mail-operator"], &namespaced[..]].concat()).await;
    helm(plane, &[&["uninstall", "restricted"], &namespaced[..]].concat()).await.unwrap();
}

/// The operator's arguments, and whether there is a NetworkPolicy.
async fn locked(values: &str) -> (Vec<String>, bool) {
    let text = helm_offline(&["template", "x", &chart(), "--values", "-"], values).await.unwrap();
    let objects = objects(&text);
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind);
    let arguments =
        of_kind("Deployment").unwrap()["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    (serde_json::from_value(arguments).unwrap(), of_kind("NetworkPolicy").is_some())
}

#[tokio::test]
async fn one_value_locks_down_and_each_can_be_set_by_itself() {
    let strict = [
        "--egress-deny=cluster",
        "--egress-only=smtp.corp.example",
        "--no-cross-namespace-refs=true",
        "--proxies-only=none",
        "--no-private-cas=true",
        "--plaintext-only=none",
        "--one-network-error=true",
        "--metrics-authentication=true",
    ];
    let (arguments, policy) = locked("lockdown: {enabled: true, egress: [smtp.corp.example]}").await;
    for argument in strict {
        assert!(arguments.iter().any(|found| found == argument), "{argument} is missing: {arguments:?}");
    }
    assert!(policy);
    // What the chart passes, the operator understands.
    let line = std::iter::once("mail-operator").chain(arguments.iter().map(String::as_str));
    mail_operator::process::arguments::Arguments::try_parse_from(line).unwrap();

    let (arguments, policy) = locked("{}").await;
    let names: Vec<_> = strict.iter().map(|argument| argument.split('=').next().unwrap()).collect();
    assert!(!arguments.iter().any(|found| names.iter().any(|name| found.starts_with(name))), "{arguments:?}");
    assert!(!policy);

    // One rule less than all, and one alone.
    let values = "lockdown: {enabled: true, egress: [smtp.corp.example], noCrossNamespaceRefs: false, networkPolicy: false, \
                  proxies: ['http://proxy.corp.example:3128']}";
    let (arguments, policy) = locked(values).await;
    assert!(!arguments.iter().any(|found| found.starts_with("--no-cross-namespace-refs")), "{arguments:?}");
    assert!(
        arguments.contains(&"--proxies-only=http://proxy.corp.example:3128".into()) && !policy,
        "{arguments:?}"
    );
    let (arguments, _) = locked("lockdown: {plaintextServers: []}").await;
    assert!(arguments.contains(&"--plaintext-only=none".into()), "{arguments:?}");
    assert!(!arguments.iter().any(|found| found.starts_with("--proxies-only")), "{arguments:?}");
}

/// A value that the schema lets through and the operator does not is a Pod that dies: at the bounds of each, both agree.
#[tokio::test]
async fn what_passes_the_schema_starts() {
    let text = |values: String| async move {
        helm_offline(&["template", "x", &chart(), "--values", "-"], &values).await
    };
    let too_long = format!("a/{}", "b".repeat(254));
    let accepted = [
        ("workers", &["1", "64"][..], &["0", "65", "100"][..]),
        ("accountsPerNamespace", &["1", "10000"], &["0", "10001"]),
        ("defaultServer", &["'a/b'", "'mail/x.y'"], &["'a'", "'A/b'", "'a/b/c'", &too_long]),
        ("secretBinding", &["Required", "WhenAnnotated"], &["Never"]),
        ("log.level", &["error", "trace"], &["loud"]),
        ("log.format", &["json", "text"], &["xml"]),
        (
            "egress.allow",
            &[
                "['0.0.0.0/0', '255.255.255.255/32']",
                "['::/0', '2001:db8::1/128', 'fc00::/7', '1:2:3:4:5:6:7:8/64']",
            ],
            &[
                "['999.1.1.1/8']",
                "['10.0.0.0/33']",
                "['1.2.3/8']",
                "[':::/3']",
                "['1::2::3/64']",
                "['::/129']",
                "['10.0.0.0']",
                "['01.1.1.1/8']",
            ],
        ),
        ("egress.deny", &["[cluster]", "['10.0.0.0/8']"], &["[pods]", "['10.0.0.256/8']"]),
        (
            "lockdown.proxies",
            &["['socks5://p.corp.example:65535', 'http://[2001:db8::1]:3128', 'https://10.0.0.1']"],
            &[
                "['http://999.1.1.1']",
                "['http://host.5']",
                "['socks5://p:65536']",
                "['http://a b']",
                "['ftp://p']",
                "['http://p/path']",
            ],
        ),
        (
            "lockdown.plaintextServers",
            &["['relay.corp.example', 'relay:65535', '[2001:db8::1]:25', '2001:db8::1', '10.0.0.1:25']"],
            &["['relay:x']", "['relay:65536']", "['a b']", "['01.1.1.1']"],
        ),
        (
            "lockdown.egress",
            &["['*.corp.example', 'relay_1.corp.example', '10.0.0.0/8', '2001:db8::', '10.0.0.1']"],
            &["['a/b']", "['10.0.0.0/33']", "['smtp.corp.example:25']", "['*.10.0.0.1']"],
        ),
        ("trustBundle.key", &[".a", "ca-certificates.crt"], &["..", ".", "..a", "a/b"]),
    ];
    for (path, good, bad) in accepted {
        let values = |value: &str| {
            let (head, tail) = path.split_once('.').unwrap_or((path, ""));
            if tail.is_empty() { format!("{head}: {value}") } else { format!("{head}: {{{tail}: {value}}}") }
        };
        for value in good {
            let rendered =
                text(values(value)).await.unwrap_or_else(|refusal| panic!("{path}: {value}: {refusal}"));
            let objects = objects(&rendered);
            let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
            let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
            let arguments: Vec<String> = serde_json::from_value(arguments.clone()).unwrap();
            let line = std::iter::once("mail-operator").chain(arguments.iter().map(String::as_str));
            if let Err(error) = mail_operator::process::arguments::Arguments::try_parse_from(line) {
                panic!("{path}: {value}: {error}");
            }
        }
        for value in bad {
            let refusal = text(values(value)).await.expect_err(value);
            let at = format!("at '/{}", path.replace('.', "/"));
            assert!(refusal.contains(&at), "{path}: {value}: {refusal}");
        }
    }
    // A name that no object may have is told where it stands.
    for value in ["mailServers", "templates"] {
        let refusal = text(format!("{value}: {{A_b: {{sender: {{address: a@corp.example}}, subject: x}}}}"))
            .await
            .unwrap_err();
        assert!(refusal.contains(&format!("at '/{value}'")) && refusal.contains("A_b"), "{refusal}");
    }
}

/// Kinds that `view`, and that `edit`, let people read.
async fn readable(values: &str) -> [Vec<String>; 2] {
    let text = helm_offline(&["template", "x", &chart(), "--values", "-"], values).await.unwrap();
    let objects = objects(&text);
    ["view", "edit"].map(|role| {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
        let aggregated = objects.iter().filter(|object| object["metadata"]["labels"][&label] == "true");
        let rules = aggregated.flat_map(|object| object["rules"].as_array().unwrap());
        let reading = rules.filter(|rule| rule["verbs"].as_array().unwrap().contains(&"get".into()));
        let kinds = reading.flat_map(|rule| rule["resources"].as_array().unwrap());
        let mut kinds: Vec<String> = kinds.map(|kind| kind.as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    })
}

#[tokio::test]
async fn view_can_be_kept_from_the_text_of_notifications() {
    let all = ["mailserverconfigs", "messagetemplates", "notifications"].map(String::from).to_vec();
    assert_eq!(readable("{}").await, [all.clone(), all.clone()]);
    let without = all.iter().filter(|kind| *kind != "notifications").cloned().collect();
    assert_eq!(readable("viewNotifications: false").await, [without, all]);
}

#[tokio::test]
async fn everything_a_large_cluster_sets() {
    let plane = namespace("production").await;
    let values = format!("{}/ci/production-values.yaml", chart());
    let namespaced = ["--namespace", "production"];
    let install = ["install", "production", &chart(), "--values", &values];
    helm(plane, &[&install[..], &namespaced].concat()).await.unwrap();
    let image =
        ask(plane, &[&["get", "deployment", "mailer", "-o", "jsonpath={..image}"], &namespaced[..]].concat())
            .await;
    assert!(image.starts_with("registry.corp.example/platform/mail-operator@sha256:"), "{image}");
    helm(plane, &[&["uninstall", "production"], &namespaced[..]].concat()).await.unwrap();
    let left = ask(
        plane,
        &[
            &["get", "deployment,service,role,serviceaccount,networkpolicy,pdb", "-o", "name"],
            &namespaced[..],
        ]
        .concat(),
    )
    .await;
    assert_eq!(left.trim(), "serviceaccount/default");
    assert_eq!(ask(cluster().await, &["get", "clusterrole", "mailer", "--ignore-not-found"]).await, "");
}
