#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod consent;
mod earlier;

use super::*;
use crate::api::MailServerConfig;
use serde_json::{Value, json};

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const HOST: &str = "smtp.corp.example";

/// A server at [`HOST`] with a password in key `password` of Secret `login`, and these members besides.
fn server(more: &Value) -> Server {
    let mut spec = json!({
        "host": HOST, "sender": { "address": "it@corp.example" },
        "auth": { "basic": { "username": "it", "passwordSecretRef": { "name": "login", "key": "password" } } }
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let mut config = MailServerConfig::new("mail", serde_json::from_value(spec).unwrap());
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    Server::from_config(&config).unwrap()
}

fn oauth2() -> Value {
    json!({ "auth": { "oauth2": {
        "username": "it", "tokenURL": "https://login.corp.example:8443/token", "clientID": "app",
        "clientSecretRef": { "name": "login", "key": "password" }, "caRef": { "name": "token-ca" }
    } } })
}

fn stored(annotations: &[(&str, &str)], data: &[(&str, &[u8])]) -> Stored {
    Stored {
        uid: "u1".into(),
        resource_version: "7".into(),
        annotations: annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        data: data.iter().map(|(key, value)| ((*key).into(), Zeroizing::new(value.to_vec()))).collect(),
    }
}

/// A bound Secret `login`.
fn login(password: &[u8]) -> Stored {
    stored(&[("mail-operator.dev/allowed-hosts", HOST)], &[("password", password)])
}

fn of_login(login: Stored) -> Fetched {
    secrets([("login", login)])
}

fn secrets<const N: usize>(secrets: [(&str, Stored); N]) -> Fetched {
    Fetched { secrets: named(secrets), ..Fetched::default() }
}

fn named<const N: usize>(objects: [(&str, Stored); N]) -> BTreeMap<String, Stored> {
    objects.into_iter().map(|(name, stored)| (name.to_owned(), stored)).collect()
}

fn password(found: &Credentials) -> (&str, bool) {
    let LoginCredentials::Password { password, allow_plaintext } = &found.login else {
        unreachable!("{found:?}")
    };
    (password.expose(), *allow_plaintext)
}

/// The refusal, which only a change can mend.
fn refusal(server: &Server, fetched: &Fetched) -> (Reason, String) {
    let failure = resolve(server, fetched, Binding::Required).unwrap_err();
    assert_eq!(failure.permanence, crate::domain::failure::Permanence::UntilChanged, "{failure}");
    assert!(!failure.message.contains("canary"), "{failure}");
    (failure.reason, failure.message)
}

#[test]
fn a_password_is_one_line_without_its_break() {
    for text in ["canary", "canary\n", "canary\r\n", "canary\n\n"] {
        let found =
            resolve(&server(&json!({})), &of_login(login(text.as_bytes())), Binding::Required).unwrap();
        assert_eq!(password(&found), ("canary", false), "{text:?}");
        assert_eq!(found.versions, [("u1".into(), "7".into())]);
        assert_eq!(found.expiries, []);
    }
    // Spaces may be part of it.
    let found = resolve(&server(&json!({})), &of_login(login(b" canary ")), Binding::Required).unwrap();
    assert_eq!(password(&found).0, " canary ");
}

#[test]
fn secrets_that_cannot_be_used_say_what_to_do() {
    use Reason::{SecretKeyMissing, SecretNotBound};
    let bound = [("mail-operator.dev/allowed-hosts", HOST)];
    for (secret, reason, words) in [
        (
            None,
            SecretNotBound,
            "no Secret login in namespace ns permits its contents to be sent to smtp.corp.example. Create it",
        ),
        (
            Some(stored(&bound, &[])),
            SecretKeyMissing,
            "Secret login in namespace ns has no key password; it is empty",
        ),
        (
            Some(stored(&bound, &[("pass", b"canary"), ("user", b"it")])),
            SecretKeyMissing,
            "has no key password; it has pass, user",
        ),
        (Some(login(b"")), SecretKeyMissing, "key password of Secret login is empty"),
        (Some(login(b"\r\n")), SecretKeyMissing, "is empty"),
        (Some(login(b"canary\nother")), SecretKeyMissing, "holds several lines"),
        (Some(login(b"canary\0")), SecretKeyMissing, "holds several lines"),
        (Some(login(b"canary\xff")), SecretKeyMissing, "is not UTF-8 text"),
        (
            Some(stored(&[], &[("password", b"canary")])),
            SecretNotBound,
            "kubectl annotate --overwrite secret login -n ns mail-operator.dev/allowed-hosts=\"$(kubectl get secret login -n ns -o jsonpath='{.metadata.annotations.mail-operator\\.dev/allowed-hosts}'),smtp.corp.example\"",
        ),
    ] {
        let fetched = secret.map(of_login).unwrap_or_default();
        let (found, message) = refusal(&server(&json!({})), &fetched);
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(words), "`{words}` is missing in: {message}");
    }
}

#[test]
fn a_client_secret_must_name_the_token_host_and_the_mail_server() {
    let server = server(&oauth2());
    let with = |hosts: &str| Fetched {
        config_maps: named([("token-ca", stored(&[], &[("ca.crt", CA.as_bytes())]))]),
        ..of_login(stored(
            &[
                ("mail-operator.dev/allowed-hosts", hosts),
                ("mail-operator.dev/allowed-ca", &binding::digest(CA)),
            ],
            &[("password", b"canary")],
        ))
    };
    for (hosts, missing) in [
        ("", "login.corp.example:8443 and smtp.corp.example"),
        ("smtp.corp.example", "login.corp.example:8443"),
        ("login.corp.example:8443", "smtp.corp.example"),
        ("login.corp.example, smtp.corp.example", "login.corp.example:8443"),
        ("login.corp.example:443, smtp.corp.example", "login.corp.example:8443"),
    ] {
        let (reason, message) = refusal(&server, &with(hosts));
        assert_eq!(reason, Reason::SecretNotBound);
        assert!(message.contains(&format!("to be sent to {missing}")), "{hosts}: {message}");
    }
    for hosts in ["login.corp.example:*, smtp.corp.example", "login.corp.example:8443,smtp.corp.example:587"]
    {
        let found = resolve(&server, &with(hosts), Binding::Required).unwrap();
        assert_eq!(found.token_ca_pem.as_deref(), Some(CA), "{hosts}");
    }
}

#[test]
fn microsofts_own_hosts_need_no_permission() {
    let mut config = MailServerConfig::new(
        "mail",
        serde_json::from_value(json!({
            "sender": { "address": "it@corp.example" },
            "auth": { "exchangeOnline": {
                "tenantID": "corp.example", "clientID": "app", "username": "it@corp.example",
                "clientSecretRef": { "name": "login", "key": "password" }
            } }
        }))
        .unwrap(),
    );
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    let server = Server::from_config(&config).unwrap();
    let fetched = of_login(stored(&[], &[("password", b"canary")]));
    assert!(resolve(&server, &fetched, Binding::Required).is_ok());
}

#[test]
fn a_password_in_the_clear_needs_its_owners_word() {
    let plain = server(&json!({ "tls": { "mode": "Disabled" } }));
    let with = |value: &str| {
        let annotations =
            [("mail-operator.dev/allowed-hosts", HOST), ("mail-operator.dev/allow-plaintext", value)];
        of_login(stored(&annotations, &[("password", b"canary")]))
    };
    for value in ["false", "yes", ""] {
        let (reason, message) = refusal(&plain, &with(value));
        assert_eq!(reason, Reason::PlaintextNotAllowed, "{value}");
        let command = "kubectl annotate secret login -n ns mail-operator.dev/allow-plaintext=true";
        assert!(message.ends_with(command), "{message}");
    }
    assert!(password(&resolve(&plain, &with("true"), Binding::Required).unwrap()).1);
}

#[test]
fn a_bundle_is_pem_under_its_key() {
    let bound = [("mail-operator.dev/allowed-hosts", HOST)];
    let by =
        |kind: &str| server(&json!({ "auth": null, "tls": { "caRef": { "kind": kind, "name": "ca" } } }));
    for (kind, ca, words) in [
        ("ConfigMap", None, "ConfigMap ca with the CA bundle does not exist in namespace ns: create it"),
        (
            "ConfigMap",
            Some(stored(&[], &[("tls.crt", CA.as_bytes())])),
            "has no key ca.crt; put the CA certificates there",
        ),
        ("ConfigMap", Some(stored(&[], &[("ca.crt", b"MIIB")])), "is broken PEM; copy the whole file"),
        ("Secret", Some(stored(&bound, &[("ca.crt", b"\xff")])), "is binary, not text in PEM form"),
    ] {
        let objects = ca.map(|ca| named([("ca", ca)])).unwrap_or_default();
        let fetched = match kind {
            "Secret" => Fetched { secrets: objects, ..Fetched::default() },
            _ => Fetched { config_maps: objects, ..Fetched::default() },
        };
        let (reason, message) = refusal(&by(kind), &fetched);
        assert_eq!(reason, Reason::CANotFound);
        assert!(message.contains(words), "{message}");
    }
    let config_maps = named([("ca", stored(&[], &[("ca.crt", CA.as_bytes())]))]);
    let fetched = Fetched { config_maps, ..Fetched::default() };
    assert_eq!(resolve(&by("ConfigMap"), &fetched, Binding::Required).unwrap().ca_pem.as_deref(), Some(CA));
}

#[test]
fn a_client_certificate_is_a_pair() {
    let server =
        server(&json!({ "auth": null, "tls": { "clientCertificateSecretRef": { "name": "robot" } } }));
    let with = |data: &[(&str, &[u8])]| {
        secrets([("robot", stored(&[("mail-operator.dev/allowed-hosts", HOST)], data))])
    };
    let (reason, message) = refusal(&server, &Fetched::default());
    assert_eq!(reason, Reason::SecretNotBound);
    assert!(message.contains("no Secret robot in namespace ns permits"), "{message}");
    for (data, key) in [
        (&[][..], "tls.crt"),
        (&[("tls.crt", CA.as_bytes())], "tls.key"),
        (&[("tls.crt", CA.as_bytes()), ("tls.key", b"canary")], "tls.key"),
    ] {
        let (reason, message) = refusal(&server, &with(data));
        assert_eq!(reason, Reason::ClientCertificateInvalid);
        assert!(message.contains("type kubernetes.io/tls") && message.contains(key), "{message}");
    }
    let key = b"-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    let found = resolve(&server, &with(&[("tls.crt", CA.as_bytes()), ("tls.key", key)]), Binding::Required);
    assert_eq!(found.unwrap().client_certificate.unwrap().chain_pem, CA);
}

#[test]
fn when_a_credential_ends_is_a_date_or_a_time() {
    let with = |text: &str| {
        let annotations = [("mail-operator.dev/allowed-hosts", HOST), ("mail-operator.dev/expires-at", text)];
        of_login(stored(&annotations, &[("password", b"canary")]))
    };
    for (text, time) in [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        (" 2027-01-31T12:00:00Z ", "2027-01-31T12:00:00Z"),
        ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00Z"),
    ] {
        let found = resolve(&server(&json!({})), &with(text), Binding::Required).unwrap();
        let what = "the credential in Secret login".into();
        assert_eq!(found.expiries, [Expiry { what, at: Ok(time.parse().unwrap()) }], "{text}");
    }
    for text in ["", "soon", "31.01.2027", "2027-13-01"] {
        // A reminder that cannot be read is no reason to send nothing.
        let found = resolve(&server(&json!({})), &with(text), Binding::Required).unwrap();
        let message = found.expiries[0].at.clone().unwrap_err();
        assert!(message.contains("must be a date such as 2027-01-31"), "{text}: {message}");
    }
}

#[test]
fn the_fingerprint_changes_with_every_object_that_was_read() {
    let all = || Fetched {
        secrets: named([("login", login(b"canary")), ("robot", stored(&[], &[]))]),
        config_maps: named([("ca", stored(&[], &[])), ("token-ca", stored(&[], &[]))]),
        service_account: Some(stored(&[], &[])),
    };
    let before = all().fingerprint();
    assert!(!before.contains("canary"));
    let changes: [fn(&mut Stored); 2] =
        [|found| found.resource_version.push('1'), |found| found.uid.push('1')];
    let objects: [fn(&mut Fetched) -> &mut Stored; 5] = [
        |all| all.secrets.get_mut("login").unwrap(),
        |all| all.secrets.get_mut("robot").unwrap(),
        |all| all.config_maps.get_mut("ca").unwrap(),
        |all| all.config_maps.get_mut("token-ca").unwrap(),
        |all| all.service_account.as_mut().unwrap(),
    ];
    for object in objects {
        for change in changes {
            let mut other = all();
            change(object(&mut other));
            assert_ne!(other.fingerprint(), before);
        }
    }
    let removals: [fn(&mut Fetched); 3] = [
        |all| drop(all.secrets.remove("robot")),
        |all| drop(all.config_maps.remove("ca")),
        |all| all.service_account = None,
    ];
    for remove in removals {
        let mut other = all();
        remove(&mut other);
        assert_ne!(other.fingerprint(), before);
    }
}

/// A credential whose way leads through a proxy could be led anywhere by it, whatever name the spec gives.
#[test]
fn a_proxy_on_the_way_must_be_named_too() {
    let proxied = |traffic: &str| {
        server(&json!({ "proxy": { "url": "http://proxy.corp.example:3128", "traffic": traffic } }))
    };
    let (reason, message) = refusal(&proxied("All"), &of_login(login(b"canary")));
    assert_eq!(reason, Reason::SecretNotBound);
    assert!(message.contains("to be sent to proxy.corp.example:3128. "), "{message}");
    assert!(
        resolve(&proxied("Tokens"), &of_login(login(b"canary")), Binding::Required).is_ok(),
        "not on its way"
    );
    let hosts = [("mail-operator.dev/allowed-hosts", "smtp.corp.example,proxy.corp.example:3128")];
    let both = of_login(stored(&hosts, &[("password", b"canary")]));
    assert!(resolve(&proxied("Mail"), &both, Binding::Required).is_ok());
}

#[test]
fn a_service_account_must_permit_its_use() {
    let mut config = MailServerConfig::new(
        "mail",
        serde_json::from_value(json!({
            "sender": { "address": "it@corp.example" },
            "auth": { "exchangeOnline": {
                "tenantID": "corp.example", "clientID": "app", "username": "it@corp.example",
                "federatedToken": { "serviceAccountName": "mailer" }
            } }
        }))
        .unwrap(),
    );
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    let server = Server::from_config(&config).unwrap();
    let with = |account| Fetched { service_account: account, ..Fetched::default() };
    let absent = refusal(&server, &with(None));
    assert_eq!(absent, refusal(&server, &with(Some(stored(&[], &[])))), "nobody learns which there are");
    let elsewhere = [("mail-operator.dev/allowed-hosts", "provider.example")];
    assert_eq!(absent, refusal(&server, &with(Some(stored(&elsewhere, &[])))), "or where they may go");
    assert!(
        resolve(&server, &with(Some(stored(&[], &[]))), Binding::WhenAnnotated).is_err(),
        "whatever holds for Secrets"
    );
    let (reason, message) = refusal(&server, &with(Some(stored(&[], &[]))));
    assert_eq!(reason, Reason::SecretNotBound);
    let command = "kubectl annotate --overwrite serviceaccount mailer -n ns mail-operator.dev/allowed-hosts=\"$(kubectl get serviceaccount mailer -n ns -o jsonpath='{.metadata.annotations.mail-operator\\.dev/allowed-hosts}'),login.microsoftonline.com\"";
    assert!(message.ends_with(command), "{message}");
    let hosts = [("mail-operator.dev/allowed-hosts", "login.microsoftonline.com")];
    let found = resolve(&server, &with(Some(stored(&hosts, &[]))), Binding::Required).unwrap();
    assert_eq!(found.versions, [("u1".into(), "7".into())]);
}
