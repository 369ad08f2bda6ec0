//! What goes on by the rules of an earlier version, and what does not.

use super::*;
use crate::api::mail_server_config::{ConsentStatus, MailServerConfigStatus};

const HOSTS: &str = "mail-operator.dev/allowed-hosts";

fn status(ready: &str, consent: Option<&ConsentStatus>) -> MailServerConfigStatus {
    serde_json::from_value(json!({
        "observedGeneration": 3,
        "conditions": [{
            "type": "Ready", "status": ready, "reason": "Verified", "message": "", "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        }],
        "consent": consent,
    }))
    .unwrap()
}

#[test]
fn what_was_ready_before_goes_on() {
    let earlier =
        |tolerated: Option<&str>| Some(ConsentStatus { rules: 1, tolerated: tolerated.map(Into::into) });
    let only = || Tolerance::Only("sha256:1".into());
    for (ready, consent, generation, expected) in [
        ("True", None, 3, Tolerance::Unseen),
        ("False", None, 3, Tolerance::None),
        ("Unknown", None, 3, Tolerance::None),
        ("True", None, 4, Tolerance::None),
        ("False", earlier(None), 3, Tolerance::Unseen),
        ("False", earlier(Some("sha256:1")), 3, only()),
        ("True", earlier(Some("sha256:1")), 3, only()),
        ("True", earlier(Some("sha256:1")), 4, Tolerance::None),
        ("True", Some(ConsentStatus { rules: 2, tolerated: None }), 3, Tolerance::None),
        ("True", Some(ConsentStatus { rules: 2, tolerated: Some("sha256:1".into()) }), 3, Tolerance::None),
    ] {
        let status = status(ready, consent.as_ref());
        let found = Tolerance::of(Some(&status), Some(generation));
        assert_eq!(found, expected, "{status:?} {generation}");
        let again = MailServerConfigStatus { consent: Some(found.status()), ..status };
        assert_eq!(
            Tolerance::of(Some(&again), Some(3)),
            found,
            "what is stored says the same after a restart"
        );
    }
    assert_eq!(Tolerance::of(None, Some(1)), Tolerance::None, "a new object has never been ready");
}

/// A config's members, its Secret's annotations, and whether the earlier rules permitted it.
#[test]
fn the_earlier_rules_ask_for_hosts_alone() {
    let exchange = |tls: Value| {
        json!({ "tls": tls, "host": null, "auth": { "exchangeOnline": {
            "tenantID": "corp.example", "clientID": "app", "username": "it@corp.example",
            "clientSecretRef": { "name": "login", "key": "password" }
        } } })
    };
    let private = || json!({ "caRef": { "name": "ca" } });
    let proxy = || json!({ "url": "socks5://proxy.corp.example:1080", "for": "All" });
    for (members, hosts, permitted) in [
        (json!({ "port": 30587 }), HOST, true),
        (json!({ "port": 30587 }), "smtp.corp.example:30587", true),
        (json!({ "port": 30587 }), "smtp.corp.example:30588", false),
        (json!({ "port": 30587 }), "elsewhere.example", false),
        (json!({ "port": 30587 }), "", false),
        (json!({ "tls": private() }), HOST, true),
        (json!({ "tls": private() }), "elsewhere.example", false),
        (json!({ "tls": { "serverName": "other.example" } }), HOST, true),
        (json!({ "tls": { "serverName": "other.example" } }), "other.example", false),
        (json!({ "proxy": proxy() }), HOST, false),
        (json!({ "proxy": proxy() }), "smtp.corp.example,proxy.corp.example", true),
        (exchange(private()), "", true),
    ] {
        let server = server(&members);
        let secret = stored(&[(HOSTS, hosts)], &[("password", b"canary")]);
        let maps = named([("ca", stored(&[], &[("ca.crt", CA.as_bytes())]))]);
        let fetched = Fetched { config_maps: maps, ..of_login(secret) };
        let today = resolve(&server, &fetched, Binding::Required).err();
        let (found, left) = Tolerance::Unseen.resolve(&server, &fetched, Binding::Required);
        let case = format!("{members} {hosts}");
        match (permitted, today) {
            (true, None) => {
                assert_eq!((found.unwrap().consent_missing, left), (None, Tolerance::None), "{case}");
            }
            (true, Some(refused)) => {
                assert_eq!(found.unwrap().consent_missing, Some(refused.message), "{case}");
                assert!(matches!(left, Tolerance::Only(_)), "{case}");
            }
            (false, refused) => {
                assert_eq!((found.err(), left), (refused, Tolerance::Unseen), "{case}");
            }
        }
        let (found, left) = Tolerance::None.resolve(&server, &fetched, Binding::Required);
        assert_eq!(
            (found.err(), left),
            (resolve(&server, &fetched, Binding::Required).err(), Tolerance::None)
        );
    }
}

/// Somebody who may change the ConfigMap gets the password no more than by today's rules.
#[test]
fn another_ca_is_not_covered() {
    let server = server(&json!({ "tls": { "caRef": { "name": "ca" } } }));
    let with = |pem: &str, more: &[(&str, &str)]| {
        let annotations: Vec<_> = [(HOSTS, HOST)].into_iter().chain(more.iter().copied()).collect();
        let maps = named([("ca", stored(&[], &[("ca.crt", pem.as_bytes())]))]);
        Fetched { config_maps: maps, ..of_login(stored(&annotations, &[("password", b"canary")])) }
    };
    let other = format!("{CA}{CA}");
    let (found, seen) = Tolerance::Unseen.resolve(&server, &with(CA, &[]), Binding::Required);
    assert!(found.unwrap().consent_missing.unwrap().contains(&binding::digest(CA)));
    let (found, left) = seen.resolve(&server, &with(CA, &[]), Binding::Required);
    assert!(found.is_ok());
    assert_eq!(left, seen);
    let (found, left) = seen.resolve(&server, &with(&other, &[]), Binding::Required);
    assert_eq!(found.unwrap_err().reason, Reason::SecretNotBound);
    assert_eq!(left, seen, "the CA that was seen first may come back");
    // The owner permits it: from then on today's rules hold.
    let permitted = [("mail-operator.dev/allowed-ca", &*binding::digest(CA))];
    let (found, left) = seen.resolve(&server, &with(CA, &permitted), Binding::Required);
    assert_eq!((found.unwrap().consent_missing, left), (None, Tolerance::None));
}
