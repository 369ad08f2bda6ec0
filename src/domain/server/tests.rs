#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::mail_server_config::TokenMechanism;
use serde_json::{Value, json};

const SENDER: &str = "it@corp.example";

fn config(spec: &Value) -> MailServerConfig {
    let mut config = MailServerConfig::new("mail", serde_json::from_value(spec.clone()).unwrap());
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    config.metadata.generation = Some(7);
    config
}

/// The smallest spec there is, with these members besides.
fn spec(more: &Value) -> Value {
    let mut spec = json!({ "host": "smtp.corp.example", "sender": { "address": SENDER } });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

fn server(more: &Value) -> Server {
    Server::from_config(&config(&spec(more))).unwrap()
}

/// Fields with a problem.
fn problems(spec: &Value) -> Vec<String> {
    let problems = Server::from_config(&config(spec)).unwrap_err();
    problems.into_iter().map(|problem| problem.field).collect()
}

fn basic() -> Value {
    json!({ "basic": { "username": "it", "passwordSecretRef": { "name": "login", "key": "password" } } })
}

fn exchange_online(endpoints: &Value) -> Value {
    json!({
        "sender": { "address": SENDER },
        "auth": { "exchangeOnline": {
            "tenantID": "6f1e4a3c-0000-4000-8000-7e7a47000001", "clientID": "app", "username": SENDER,
            "clientSecretRef": { "name": "login", "key": "secret" }, "endpoints": endpoints
        } }
    })
}

fn oauth2(token_url: &str) -> Value {
    json!({ "oauth2": {
        "username": "it", "tokenURL": token_url, "clientID": "app",
        "clientSecretRef": { "name": "login", "key": "secret" }
    } })
}

#[test]
fn the_smallest_spec_has_these_defaults() {
    let server = server(&json!({}));
    assert_eq!(server.key, ObjectKey::new("ns", "mail"));
    assert_eq!(server.generation, 7);
    assert_eq!((server.host.as_str(), server.port), ("smtp.corp.example", 587));
    assert_eq!(
        server.tls,
        TlsSettings {
            mode: TlsMode::StartTLS,
            min_version: TlsVersion::Tls12,
            server_name: "smtp.corp.example".into(),
            ca: None,
            client_certificate: None,
        }
    );
    assert_eq!(server.hello_name, "corp.example", "the sender's domain");
    assert_eq!(server.reply_to, None);
    assert_eq!(server.login, Login::None);
    assert_eq!(
        server.limits,
        Limits {
            connections: 4,
            messages_per_minute: None,
            recipients_per_day: None,
            recipients_per_message: 100
        }
    );
    assert_eq!(server.access, NamespaceAccess::default());
    assert!(server.senders.is_empty() && !server.suspended);
    assert_eq!(server.verify_every, Some(Duration::from_mins(10)));
}

#[test]
fn every_field_arrives() {
    let server = server(&json!({
        "port": 2525,
        "tls": {
            "mode": "Implicit", "minVersion": "1.3", "serverName": "mx.corp.example",
            "caRef": { "name": "ca" }, "clientCertificateSecretRef": { "name": "robot" }
        },
        "sender": { "address": SENDER, "displayName": "Corp IT" },
        "replyTo": "help@corp.example",
        "helloName": "cluster.corp.example",
        "auth": basic(),
        "limits": { "connections": 2, "messagesPerMinute": 5, "recipientsPerDay": 1000, "recipientsPerMessage": 50 },
        "access": { "namespaces": { "from": "All" }, "senders": ["*@corp.example"] },
        "verification": { "interval": "0s" },
        "suspend": true
    }));
    assert_eq!(server.port, 2525);
    assert_eq!(
        server.tls,
        TlsSettings {
            mode: TlsMode::Implicit,
            min_version: TlsVersion::Tls13,
            server_name: "mx.corp.example".into(),
            ca: Some(serde_json::from_value(json!({ "name": "ca", "key": "ca.crt" })).unwrap()),
            client_certificate: Some("robot".into()),
        }
    );
    assert_eq!(server.sender.address().to_string(), SENDER);
    assert_eq!(server.reply_to.map(|address| address.to_string()).as_deref(), Some("help@corp.example"));
    assert_eq!(server.hello_name, "cluster.corp.example");
    assert_eq!((server.login.kind(), server.login.username()), ("Basic", Some("it")));
    assert_eq!(server.login.secrets(), ["login"]);
    assert_eq!(
        server.limits,
        Limits {
            connections: 2,
            messages_per_minute: Some(5),
            recipients_per_day: Some(1000),
            recipients_per_message: 50
        }
    );
    assert_eq!(server.access.from, crate::api::shared::NamespacesFrom::All);
    assert_eq!(server.senders, ["*@corp.example"]);
    assert_eq!(server.verify_every, None, "0s: only when something changes");
    assert!(server.suspended);
}

#[test]
fn the_port_follows_the_mode() {
    for (mode, port) in [("StartTLS", 587), ("Implicit", 465), ("Disabled", 25)] {
        assert_eq!(server(&json!({ "tls": { "mode": mode } })).port, port, "{mode}");
    }
}

#[test]
fn exchange_online_needs_nothing_but_the_five_things() {
    for (cloud, host, authority) in [
        ("Public", "smtp.office365.com", "login.microsoftonline.com"),
        ("USGovernmentHigh", "smtp.office365.us", "login.microsoftonline.us"),
    ] {
        let mut spec = exchange_online(&Value::Null);
        spec["auth"]["exchangeOnline"]["cloud"] = json!(cloud);
        let server = Server::from_config(&config(&spec)).unwrap();
        assert_eq!((server.host.as_str(), server.port, server.tls.mode), (host, 587, TlsMode::StartTLS));
        assert_eq!(
            server.limits,
            Limits {
                connections: 3,
                messages_per_minute: Some(30),
                recipients_per_day: Some(10_000),
                recipients_per_message: 500
            }
        );
        let Login::OAuth2(login) = &server.login else { unreachable!() };
        assert_eq!(login.token_url.host_str(), Some(authority));
        assert_eq!(login.token_url.path(), "/6f1e4a3c-0000-4000-8000-7e7a47000001/oauth2/v2.0/token");
        assert_eq!(login.mechanism, TokenMechanism::XOAUTH2);
        assert!(login.built_in_hosts, "{cloud}");
        assert_eq!(server.login.kind(), "ExchangeOnline");
    }
}

#[test]
fn whoever_moves_a_host_of_exchange_online_must_have_the_secret_name_it() {
    for (endpoints, built_in) in [
        (json!({}), true),
        (json!({ "port": 25 }), true),
        (json!({ "scope": "https://other/.default" }), true),
        (json!({ "host": "proxy.corp.example" }), false),
        (json!({ "tokenURL": "https://proxy.corp.example/token" }), false),
    ] {
        let server = Server::from_config(&config(&exchange_online(&endpoints))).unwrap();
        let Login::OAuth2(login) = &server.login else { unreachable!() };
        assert_eq!(login.built_in_hosts, built_in, "{endpoints}");
    }
}

#[test]
fn hosts_are_made_one_form() {
    for (host, normal, shown) in [
        ("smtp.corp.example.", "smtp.corp.example", "smtp.corp.example:587"),
        ("SMTP.Corp.Example", "smtp.corp.example", "smtp.corp.example:587"),
        ("_mail.corp.example", "_mail.corp.example", "_mail.corp.example:587"),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example:587"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1:587"),
        ("2001:DB8::0:1", "2001:db8::1", "[2001:db8::1]:587"),
        ("[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:587"),
    ] {
        let server = server(&json!({ "host": host }));
        assert_eq!((server.host.as_str(), server.host_and_port().as_str()), (normal, shown), "{host}");
        assert_eq!(server.tls.server_name, normal, "{host}");
    }
}

#[test]
fn hosts_that_are_none_are_refused() {
    let long = format!("{}.example", "a".repeat(64));
    for host in ["", ".", "a..b", "smtp corp", "smtp:25", "user@host", "host/path", "a\r\nb", &long] {
        assert_eq!(problems(&spec(&json!({ "host": host }))), ["host"], "{host:?}");
        let server_name = spec(&json!({ "tls": { "serverName": host } }));
        assert_eq!(problems(&server_name), ["tls.serverName"], "{host:?}");
    }
}

#[test]
fn all_problems_come_at_once_and_name_their_fields() {
    let bad = json!({
        "host": "a b", "port": 0, "sender": { "address": "nobody" }, "replyTo": "x@",
        "tls": { "serverName": "c d" }, "auth": {}, "verification": { "interval": "soon" }
    });
    let mut found = problems(&bad);
    found.sort();
    let expected =
        ["auth", "host", "port", "replyTo", "sender.address", "tls.serverName", "verification.interval"];
    assert_eq!(found, expected);
}

#[test]
fn logins_that_contradict_themselves_are_refused() {
    let both = json!({ "basic": basic()["basic"], "oauth2": oauth2("https://a.example/t")["oauth2"] });
    assert_eq!(problems(&spec(&json!({ "auth": both }))), ["auth"]);
    for url in
        ["http://a.example/t", "https://user@a.example/t", "https://a.example/t#x", "https://", "token"]
    {
        assert_eq!(problems(&spec(&json!({ "auth": oauth2(url) }))), ["auth.oauth2.tokenURL"], "{url}");
        let exchange = exchange_online(&json!({ "tokenURL": url }));
        assert_eq!(problems(&exchange), ["auth.exchangeOnline.endpoints.tokenURL"], "{url}");
    }
    let mut exchange = exchange_online(&Value::Null);
    exchange["auth"]["exchangeOnline"]["tenantID"] = json!("../common");
    assert_eq!(problems(&exchange), ["auth.exchangeOnline.tenantID"]);
}

/// The account of a config in this namespace.
fn account(namespace: &str, spec: &Value) -> Account {
    server_in(namespace, spec).account()
}

fn server_in(namespace: &str, spec: &Value) -> Server {
    let mut config = config(spec);
    config.metadata.namespace = Some(namespace.into());
    Server::from_config(&config).unwrap()
}

#[test]
fn who_shares_a_login_shares_an_account() {
    let login = |host: &str, user: &str| {
        let mut spec = spec(&json!({ "host": host, "auth": basic() }));
        spec["auth"]["basic"]["username"] = json!(user);
        spec
    };
    let here = account("a", &login("smtp.corp.example", "it"));
    assert_eq!(here, account("b", &login("smtp.corp.example", "it")), "also from another namespace");
    assert_eq!(here, account("a", &login("SMTP.corp.example.", "it")), "however the host is written");
    for other in [login("smtp.corp.example", "hr"), login("mx.corp.example", "it")] {
        assert_ne!(here, account("a", &other));
    }
    let mut other_port = login("smtp.corp.example", "it");
    other_port["port"] = json!(2525);
    assert_ne!(here, account("a", &other_port));
}

/// Whoever may reach another server than the other one by the same host and port, or another one's by his own, shares
/// nothing with anybody.
#[test]
fn only_who_provably_means_the_same_server_shares_an_account() {
    let plain = spec(&json!({ "auth": basic(), "host": "smtp.corp.example" }));
    let shared = account("a", &plain);
    assert!(shared.is_shared());
    assert_eq!(
        shared.as_str(),
        format!("{}@smtp.corp.example:587", basic()["basic"]["username"].as_str().unwrap())
    );
    let with = |more: Value| {
        let mut spec = plain.clone();
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    };
    let proxy =
        |traffic: &str| with(json!({ "proxy": { "url": "socks5://proxy.example", "traffic": traffic } }));
    for same in [
        with(json!({ "tls": { "serverName": "SMTP.corp.example" } })),
        with(json!({ "tls": { "minVersion": "1.3" } })),
        with(json!({ "tls": { "clientCertificateSecretRef": { "name": "pair" } } })),
        proxy("Tokens"),
    ] {
        assert_eq!(account("b", &same), shared, "{same:#}");
    }
    for own in [
        proxy("All"),
        proxy("Mail"),
        with(json!({ "tls": { "caRef": { "name": "ca" } } })),
        with(
            json!({ "tls": { "caRef": { "name": "ca", "kind": "Secret" }, "serverName": "smtp.corp.example" } }),
        ),
        with(json!({ "tls": { "mode": "Disabled" }, "port": 587 })),
        with(json!({ "tls": { "mode": "Disabled" }, "port": 587, "proxy": { "url": "http://p.example" } })),
    ] {
        let (a, b) = (account("a", &own), account("b", &own));
        assert!(!a.is_shared() && a != shared && a != b, "{own:#}");
        assert_eq!(a, account("a", &proxy("All")), "one of the namespace, whatever the way");
    }
    // A proxy that the operator's arguments name is the same for all, and another way than none.
    let known = |namespace: &str| {
        let mut server = server_in(namespace, &proxy("All"));
        server.proxy_is_known = true;
        server.account()
    };
    assert!(known("a").is_shared() && known("a") == known("b") && known("a") != shared);
    // Another name on the certificate may be another server at the same address.
    let named = with(json!({ "tls": { "serverName": "mx.corp.example" } }));
    assert!(account("a", &named).is_shared());
    assert_eq!(account("a", &named), account("b", &named));
    assert_ne!(account("a", &named), shared);
    // No user name reads like another account.
    for name in ["it@smtp.corp.example:587 in a", "a:smtp.corp.example", "it@x as mx.corp.example"] {
        let mut wily = plain.clone();
        wily["auth"]["basic"]["username"] = json!(name);
        let wily = account("b", &wily);
        for other in [&plain, &named, &proxy("All")] {
            assert_ne!(wily, account("a", other), "{name}");
        }
    }
}

#[test]
fn without_a_login_namespaces_never_share_an_account() {
    let relay = spec(&json!({}));
    assert_eq!(account("a", &relay), account("a", &relay));
    assert_ne!(account("a", &relay), account("b", &relay));
    // Nor can a user name pretend to be a namespace, or the other way round.
    let mut named = spec(&json!({ "auth": basic() }));
    named["auth"]["basic"]["username"] = json!("a:");
    assert_ne!(account("a", &relay), account("a", &named));
}

#[test]
fn admission_refuses_what_would_never_work() {
    let exchange = |more: &Value| {
        let mut spec = exchange_online(&Value::Null);
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    };
    for (spec, words) in [
        (spec(&json!({})), None),
        (exchange(&json!({})), None),
        (json!({ "sender": { "address": SENDER } }), Some("host is required: the DNS name or IP address")),
        (exchange(&json!({ "host": "a.example" })), Some("remove host and port")),
        (exchange(&json!({ "port": 25 })), Some("remove host and port")),
        (exchange(&json!({ "tls": { "mode": "Disabled" } })), Some("OAuth2 logins need TLS")),
        (
            spec(&json!({ "auth": oauth2("https://a.example/t"), "tls": { "mode": "Disabled" } })),
            Some("set tls.mode to StartTLS or Implicit"),
        ),
        (spec(&json!({ "auth": basic(), "tls": { "mode": "Disabled" } })), None),
        (spec(&json!({ "auth": {} })), Some("set exactly one of basic, exchangeOnline, oauth2")),
        (spec(&json!({ "verification": { "interval": "1s" } })), Some("at least 10s")),
        (spec(&json!({ "verification": { "interval": "0s" } })), None),
        (spec(&json!({ "verification": { "interval": "10s" } })), None),
        (spec(&json!({ "host": "a b" })), Some("host must be a DNS name such as smtp.corp.example")),
        (spec(&json!({ "host": "[2001:db8::1]" })), Some("or an IP address")),
        (spec(&json!({ "host": "2001:db8::1" })), None),
        (spec(&json!({ "tls": { "serverName": "a/b" } })), Some("serverName must be a DNS name")),
        (spec(&json!({ "replyTo": "Help <help@corp.example>" })), Some("without a name or angle brackets")),
        (spec(&json!({ "replyTo": "help@corp.example" })), None),
        (spec(&json!({ "helloName": "corp.example." })), Some("helloName must be a DNS name")),
        (spec(&json!({ "sender": { "address": "IT <it@corp.example>" } })), Some("goes into displayName")),
        (spec(&json!({ "access": { "senders": ["*@corp.example", "hr@corp.example"] } })), None),
        (spec(&json!({ "access": { "senders": ["*"] } })), Some("all of a domain: *@corp.example")),
        (spec(&json!({ "access": { "headers": ["X-SMTPAPI", "x-ses-*", "X-*"] } })), None),
        (spec(&json!({ "access": { "headers": ["X-*-y"] } })), Some("the beginning of names: X-SES-*")),
        (spec(&json!({ "access": { "headers": ["Bcc"] } })), Some("such as X-SES-CONFIGURATION-SET")),
        (spec(&json!({ "auth": oauth2("http://a.example/t") })), Some("tokenURL must be an https URL")),
        (spec(&json!({ "auth": oauth2("https://it@a.example/t") })), Some("without a user name")),
        (exchange_online(&json!({ "tokenURL": "a.example" })), Some("tokenURL must be an https URL")),
        (exchange_online(&json!({ "host": "a b" })), Some("host must be a DNS name")),
        (
            spec(&json!({ "access": { "namespaces": { "from": "Selector" } } })),
            Some("selector belongs to from: Selector"),
        ),
    ] {
        let refused = config(&spec)
            .validate_cel()
            .err()
            .map(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        match words {
            None => assert_eq!(refused, None, "{spec}"),
            Some(words) => {
                assert!(refused.as_ref().is_some_and(|text| text.contains(words)), "{refused:?}: {spec}");
            }
        }
    }
}
