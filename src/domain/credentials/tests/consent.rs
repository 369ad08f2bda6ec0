//! What specs cannot do with Secrets that do not permit it, and what they do not tell.

use super::*;

/// Exchange Online at Microsoft's own hosts, with these members in `tls` and in `clientSecretRef`'s place.
fn microsoft(tls: &Value, proof: &Value) -> Server {
    let mut exchange =
        json!({ "tenantID": "corp.example", "clientID": "app", "username": "it@corp.example" });
    for (name, value) in proof.as_object().unwrap() {
        exchange[name] = value.clone();
    }
    let spec = json!({ "sender": { "address": "it@corp.example" }, "tls": tls, "auth": { "exchangeOnline": exchange } });
    let mut config = MailServerConfig::new("mail", serde_json::from_value(spec).unwrap());
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    Server::from_config(&config).unwrap()
}

/// Whoever picks the CA, the name or the port of a server picks who gets the password.
#[test]
fn a_spec_does_not_pick_who_gets_the_password() {
    let ca = || named([("ca", stored(&[], &[("ca.crt", CA.as_bytes())]))]);
    let digest = binding::digest(CA);
    let hosts = "mail-operator.dev/allowed-hosts";
    let allowed_ca = ("mail-operator.dev/allowed-ca", digest.as_str());
    for (tls, port, annotations, own, words) in [
        (json!({}), 30587, vec![(hosts, HOST)], false, Some("to be sent to smtp.corp.example:30587. ")),
        (json!({}), 30587, vec![(hosts, "smtp.corp.example:30587")], false, None),
        (
            json!({ "serverName": "mine.example" }),
            587,
            vec![(hosts, HOST)],
            false,
            Some("to be sent to mine.example. "),
        ),
        (
            json!({ "serverName": "mine.example" }),
            587,
            vec![(hosts, "smtp.corp.example,mine.example")],
            false,
            None,
        ),
        (
            json!({ "caRef": { "name": "ca" } }),
            587,
            vec![(hosts, HOST)],
            false,
            Some("private CA of ConfigMap ca vouches"),
        ),
        (json!({ "caRef": { "name": "ca" } }), 587, vec![(hosts, HOST)], true, None),
        (json!({ "caRef": { "name": "ca" } }), 587, vec![(hosts, HOST), allowed_ca], false, None),
    ] {
        let server = server(&json!({ "tls": tls, "port": port }));
        let mut secret = stored(&annotations, &[("password", b"canary")]);
        if own {
            secret.data.insert("ca.crt".into(), Zeroizing::new(CA.into()));
        }
        let fetched = Fetched { config_maps: ca(), ..of_login(secret) };
        match words {
            Some(words) => {
                let (reason, message) = refusal(&server, &fetched);
                assert_eq!(reason, Reason::SecretNotBound);
                assert!(message.contains(words), "{tls} {annotations:?}: {message}");
                assert!(message.contains(": kubectl annotate --overwrite secret login -n ns "), "{message}");
            }
            None => assert!(resolve(&server, &fetched, Binding::Required).is_ok(), "{tls} {annotations:?}"),
        }
    }
}

#[test]
fn microsofts_hosts_need_permission_where_the_spec_says_who_they_are() {
    let secret = json!({ "clientSecretRef": { "name": "login", "key": "password" } });
    for tls in [json!({ "caRef": { "name": "ca" } }), json!({ "serverName": "mine.example" })] {
        let server = microsoft(&tls, &secret);
        let fetched = Fetched {
            config_maps: named([("ca", stored(&[], &[("ca.crt", CA.as_bytes())]))]),
            ..of_login(stored(&[], &[("password", b"canary")]))
        };
        let (reason, message) = refusal(&server, &fetched);
        assert_eq!(reason, Reason::SecretNotBound, "{message}");
    }
}

/// The login and, for a proxy without encryption, what comes through it go to a proxy that the Secret names with its port.
#[test]
fn a_proxy_is_permitted_with_its_port() {
    let proxied = server(&json!({ "tls": { "mode": "Disabled" }, "proxy": {
        "url": "http://proxy.corp.example:25", "credentialsSecretRef": { "name": "proxy" } } }));
    let with = |login: &str, proxy: &str| {
        let plain = ("mail-operator.dev/allow-plaintext", "true");
        secrets([
            (
                "login",
                stored(&[("mail-operator.dev/allowed-hosts", login), plain], &[("password", b"canary")]),
            ),
            (
                "proxy",
                stored(
                    &[("mail-operator.dev/allowed-hosts", proxy)],
                    &[("username", b"it"), ("password", b"canary")],
                ),
            ),
        ])
    };
    let (named, bare) = ("proxy.corp.example:25", "proxy.corp.example");
    let both = format!("{HOST},{named}");
    assert!(resolve(&proxied, &with(&both, named), Binding::Required).is_ok());
    for (login, proxy) in [(&*format!("{HOST},{bare}"), named), (&*both, bare), (HOST, named)] {
        let (reason, message) = refusal(&proxied, &with(login, proxy));
        assert_eq!(reason, Reason::SecretNotBound);
        assert!(message.contains("to be sent to proxy.corp.example:25. "), "{message}");
    }
}

/// Whatever a Secret holds that permits nothing, and whether there is one: the answer is the same.
#[test]
fn a_secret_that_permits_nothing_is_not_told_from_one_that_does_not_exist() {
    let pem = b"-----BEGIN CERTIFICATE-----\n".as_slice();
    let kinds = [
        None,
        Some(stored(&[], &[])),
        Some(stored(&[], &[("admin-token", b"canary"), ("password", b"")])),
        Some(stored(&[], &[("password", b"canary\nother"), ("ca.crt", CA.as_bytes())])),
        Some(stored(&[], &[("password", b"canary\xff"), ("tls.crt", pem), ("tls.key", pem)])),
        Some(stored(&[("mail-operator.dev/allowed-hosts", "")], &[("password", b"canary")])),
        Some(stored(&[("mail-operator.dev/allowed-ca", "sha256:00")], &[("password", b"canary")])),
        Some(stored(&[("mail-operator.dev/allow-plaintext", "true")], &[("password", b"canary")])),
    ];
    let proof = |proof: Value| microsoft(&json!({}), &proof);
    let reference = |key: &str| json!({ "name": "login", "key": key });
    for server in [
        server(&json!({})),
        server(&json!({ "tls": { "mode": "Disabled" } })),
        server(
            &json!({ "auth": null, "tls": { "caRef": { "kind": "Secret", "name": "login", "key": "password" } } }),
        ),
        server(&json!({ "auth": null, "tls": { "clientCertificateSecretRef": { "name": "login" } } })),
        server(
            &json!({ "auth": null, "proxy": { "url": "http://p.example:1", "credentialsSecretRef": { "name": "login" } } }),
        ),
        proof(json!({ "clientSecretRef": reference("nope") })),
    ] {
        let answers: Vec<_> = kinds
            .iter()
            .map(|secret| refusal(&server, &secret.clone().map(of_login).unwrap_or_default()))
            .collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
        assert!(!answers[0].1.contains("admin-token"), "{answers:#?}");
    }
    // Microsoft's own hosts need no permission, so what can be used is; of all else there is one answer.
    for (server, unusable) in [
        (proof(json!({ "clientSecretRef": reference("password") })), &kinds[..4]),
        (proof(json!({ "clientCertificateSecretRef": { "name": "login" } })), &kinds[..4]),
    ] {
        let answers: Vec<_> = unusable
            .iter()
            .map(|secret| refusal(&server, &secret.clone().map(of_login).unwrap_or_default()))
            .collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    }
    // One that permits a host is spoken about.
    let bound = stored(&[("mail-operator.dev/allowed-hosts", "smtp.office365.com")], &[("other", b"canary")]);
    let (_, message) = refusal(&proof(json!({ "clientSecretRef": reference("nope") })), &of_login(bound));
    assert!(message.contains("has no key nope; it has other"), "{message}");
}
