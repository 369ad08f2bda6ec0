//! TLS: every way in which a connection cannot be made safe, and what cures it.

use super::{Case, Mends, PASSWORD, USER, annotate, basic, fails, manifest, server, verified};
use crate::objects::{Space, condition, consent};
use mail_operator_testbed::certificates::{CertificateAuthority, ServerCertificate};
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};

/// A server with STARTTLS that needs no login.
async fn starttls(certificate: &ServerCertificate) -> ScriptedSmtp {
    ScriptedSmtp::builder().starttls(certificate.server_config().unwrap()).start().await
}

/// The spec that leads to a server, with these words under `tls`.
fn spec(smtp: &ScriptedSmtp, tls: &str) -> String {
    format!("host: 127.0.0.1\nport: {}\ntls: {{ {tls} }}", smtp.address().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_cannot_be_made_safe_say_why() {
    let space = Space::new("servers-tls").await;
    let (ours, foreign) =
        (CertificateAuthority::new("Corp CA").unwrap(), CertificateAuthority::new("Other CA").unwrap());
    space.ca("ca", ours.pem()).await;
    let good = ours.server("localhost", &["127.0.0.1"]).unwrap();
    let config = || good.server_config().unwrap();

    let plain = ScriptedSmtp::builder().start().await;
    let injecting = ScriptedSmtp::builder()
        .starttls(config())
        .fault(Step::StartTls, Fault::Followed(b"250 canary injected\r\n".to_vec()))
        .start()
        .await;
    let unwilling = ScriptedSmtp::builder()
        .starttls(config())
        .fault(Step::StartTls, Fault::reply("454 4.7.0 canary"))
        .start()
        .await;
    let unknown = starttls(&foreign.server("localhost", &["127.0.0.1"]).unwrap()).await;
    let expired = starttls(&ours.expired_server("localhost", &["127.0.0.1"]).unwrap()).await;
    let misnamed = starttls(&ours.server("relay.corp.example", &[]).unwrap()).await;
    let old = ScriptedSmtp::builder().starttls(good.tls12_server_config().unwrap()).start().await;
    let implicit = ScriptedSmtp::builder().implicit_tls(config()).start().await;
    let without_login = starttls(&good).await;

    let ca = "caRef: { name: ca }";
    let itself = Mends::Itself;
    let cases: [Case<'_>; 10] = [
        (
            "plain",
            spec(&plain, ca),
            "Secured",
            "StartTLSNotOffered",
            itself,
            &[
                "does not offer STARTTLS",
                "usually 587",
                "Implicit with port 465",
                "something on the way removes it",
            ],
        ),
        ("injecting", spec(&injecting, ca), "Secured", "ProtocolViolation", itself, &["STARTTLS"]),
        (
            "unwilling",
            spec(&unwilling, ca),
            "Secured",
            "ServiceUnavailable",
            itself,
            &["(server: 454 4.7.0)"],
        ),
        (
            "unknown",
            spec(&unknown, ca),
            "Secured",
            "CertificateUnknownIssuer",
            itself,
            &["signed by no authority we know", "tls.caRef"],
        ),
        (
            "expired",
            spec(&expired, ca),
            "Secured",
            "CertificateExpired",
            itself,
            &["has expired", "renewed on the server"],
        ),
        (
            "misnamed",
            spec(&misnamed, ca),
            "Secured",
            "CertificateNameMismatch",
            itself,
            &["is not for 127.0.0.1", "tls.serverName"],
        ),
        (
            "old",
            spec(&old, "minVersion: \"1.3\", caRef: { name: ca }"),
            "Secured",
            "TLSVersionTooOld",
            itself,
            &["older than tls.minVersion", "lower tls.minVersion if it is 1.3"],
        ),
        (
            "implicit",
            spec(&implicit, ca),
            "Connected",
            "TLSOnConnect",
            itself,
            &["expects TLS from the first byte", "set tls.mode to Implicit", "usually 587"],
        ),
        (
            "upside-down",
            spec(&plain, "mode: Implicit, caRef: { name: ca }"),
            "Secured",
            "NotTLS",
            itself,
            &["does not speak TLS on this port", "usually 465", "set tls.mode to StartTLS"],
        ),
        (
            "without-login",
            format!("{}\n{}", spec(&without_login, ca), basic()),
            "Authenticated",
            "AuthNotOffered",
            Mends::AChange,
            &["offers no login at all", "PLAIN", "check the port"],
        ),
    ];
    space.password("login", PASSWORD, "127.0.0.1").await;
    space.apply(&cases.iter().map(|(name, spec, ..)| manifest(name, spec)).collect::<String>()).await;
    for (name, _, stage, reason, mends, words) in cases {
        fails(&space, name, stage, reason, mends, words).await;
    }
    for smtp in
        [&plain, &injecting, &unwilling, &unknown, &expired, &misnamed, &old, &implicit, &without_login]
    {
        assert_eq!(smtp.count(Step::Auth), 0, "no password goes over a connection that is not safe");
    }

    // What the messages advise helps.
    space.ca("foreign", foreign.pem()).await;
    server(&space, "unknown", &spec(&unknown, "caRef: { name: foreign }")).await;
    server(&space, "misnamed", &spec(&misnamed, "serverName: relay.corp.example, caRef: { name: ca }")).await;
    server(&space, "old", &spec(&old, ca)).await;
    server(&space, "implicit", &spec(&implicit, "mode: Implicit, caRef: { name: ca }")).await;
    for (name, version, subject, issuer) in [
        ("unknown", "1.3", "CN=localhost", "CN=Other CA"),
        ("misnamed", "1.3", "CN=relay.corp.example", "CN=Corp CA"),
        ("old", "1.2", "CN=localhost", "CN=Corp CA"),
        ("implicit", "1.3", "CN=localhost", "CN=Corp CA"),
    ] {
        let found = verified(&space, name).await;
        let tls = &found["status"]["tls"];
        assert_eq!(tls["version"], version, "{name}");
        assert_eq!(tls["certificate"]["subject"], subject, "{name}");
        assert_eq!(tls["certificate"]["issuer"], issuer, "{name}");
        assert!(
            tls["certificate"]["notAfter"].is_string() && tls["cipherSuite"].is_string(),
            "{name}: {tls}"
        );
        let extensions = found["status"]["server"]["extensions"].to_string();
        assert!(extensions.contains("PIPELINING"), "{name}: {extensions}");
        assert_eq!(found["status"]["server"]["maxMessageBytes"], 10_485_760, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_bundle_is_looked_for_where_the_spec_says_and_described_when_it_is_not_there() {
    let space = Space::new("servers-ca").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let smtp = starttls(&authority.server("localhost", &["127.0.0.1"]).unwrap()).await;
    server(&space, "mail", &spec(&smtp, "caRef: { name: ca }")).await;
    let failed = async |words: &[&str]| {
        space
            .until("mailserverconfigs", "mail", words[0], |object| {
                object["status"]["conditions"].to_string().contains(words[0])
            })
            .await;
        fails(&space, "mail", "CredentialsResolved", "CANotFound", Mends::AChange, words).await;
    };
    failed(&["ConfigMap ca with the CA bundle does not exist in namespace servers-ca", "create it"]).await;
    let broken = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
    for (data, words) in [
        (
            json!({ "tls.crt": authority.pem() }),
            "ConfigMap ca has no key ca.crt; put the CA certificates there, in PEM form",
        ),
        (
            json!({ "ca.crt": "MIIB" }),
            "key ca.crt of ConfigMap ca is broken PEM; copy the whole file, with its first and last line",
        ),
        (json!({ "ca.crt": broken }), "the CA bundle holds something that is no X.509 certificate"),
    ] {
        space.kubectl(&["delete", "configmap", "ca", "--ignore-not-found"]).await;
        let map =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": data });
        space.apply(&map.to_string()).await;
        annotate(&space, "msc", "mail", &format!("mail-operator.dev/verify-requested-at={words}")).await;
        failed(&[words]).await;
    }
    assert_eq!(smtp.connections(), 0);
    space.ca("ca", authority.pem()).await;
    verified(&space, "mail").await;

    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "bundle" }, "stringData": { "bundle.pem": authority.pem() } });
    space.apply(&secret.to_string()).await;
    server(&space, "by-secret", &spec(&smtp, "caRef: { kind: Secret, name: bundle, key: bundle.pem }")).await;
    let words = ["no Secret bundle in namespace servers-ca permits its contents to be sent to 127.0.0.1"];
    fails(&space, "by-secret", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    annotate(&space, "secret", "bundle", "mail-operator.dev/allowed-hosts=127.0.0.1:*").await;
    verified(&space, "by-secret").await;
}

/// A Secret of type `kubernetes.io/tls`.
fn key_pair(name: &str, certificate: &str, key: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": name, "annotations": consent("127.0.0.1", &[]) }, "stringData": { "tls.crt": certificate, "tls.key": key } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_opens_a_server_that_demands_one() {
    let space = Space::new("servers-mutual-tls").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    space.ca("ca", authority.pem()).await;
    let certificate = authority.server("localhost", &["127.0.0.1"]).unwrap();
    let smtp =
        ScriptedSmtp::builder().starttls(certificate.mutual_server_config(&authority).unwrap()).start().await;
    let (ours, other) = (authority.client("robot").unwrap(), authority.client("other").unwrap());
    let stranger = CertificateAuthority::new("Other CA").unwrap().client("robot").unwrap();
    let with = |secret: &str| {
        spec(&smtp, &format!("clientCertificateSecretRef: {{ name: {secret} }}, caRef: {{ name: ca }}"))
    };
    for secret in [
        key_pair("good", &ours.certificate_pem, &ours.key_pem),
        key_pair("mismatch", &ours.certificate_pem, &other.key_pem),
        key_pair("stranger", &stranger.certificate_pem, &stranger.key_pem),
        key_pair("empty", "", ""),
    ] {
        space.apply(&secret.to_string()).await;
    }
    let manifests: String =
        ["good", "mismatch", "stranger", "empty", "absent"].map(|name| manifest(name, &with(name))).concat();
    space.apply(&format!("{manifests}{}", manifest("none", &spec(&smtp, "caRef: { name: ca }")))).await;

    verified(&space, "good").await;
    let resolved = "CredentialsResolved";
    fails(
        &space,
        "mismatch",
        resolved,
        "ClientCertificateInvalid",
        Mends::AChange,
        &["tls.key is not the key of the first certificate"],
    )
    .await;
    let words = ["Secret empty must be of type kubernetes.io/tls", "tls.crt is empty"];
    fails(&space, "empty", resolved, "ClientCertificateInvalid", Mends::AChange, &words).await;
    let words = ["no Secret absent in namespace servers-mutual-tls permits its contents", "Create it"];
    fails(&space, "absent", resolved, "SecretNotBound", Mends::AChange, &words).await;
    for name in ["none", "stranger"] {
        let words = ["demands a client certificate that it knows", "tls.clientCertificateSecretRef"];
        fails(&space, name, "Secured", "TLSHandshakeFailed", Mends::Itself, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_login_and_gets_none_says_so_when_mail_is_refused() {
    let space = Space::new("servers-login-wanted").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    space.ca("ca", authority.pem()).await;
    let config = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    let smtp = ScriptedSmtp::builder().starttls(config).login(USER, PASSWORD).start().await;
    space.password("login", PASSWORD, "127.0.0.1").await;
    server(&space, "mail", &spec(&smtp, "caRef: { name: ca }")).await;
    verified(&space, "mail").await;
    space
        .apply("apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: { name: hello }\nspec: { serverRef: { name: mail }, to: [{ address: ada@corp.example }], message: { content: { subject: s, text: t } } }")
        .await;
    let held = space.until_reason("mailserverconfigs", "mail", "Ready", "AuthenticationRequired").await;
    let message = held["message"].as_str().unwrap();
    assert!(message.contains("the server wants a login: set auth"), "{message}");
    assert_eq!(space.get("notifications", "hello").await["status"]["phase"], "Pending");

    server(&space, "mail", &format!("{}\n{}", spec(&smtp, "caRef: { name: ca }"), basic())).await;
    let logged_in =
        |object: &Value| condition(object, "Authenticated")["message"] == format!("logged in as {USER}");
    let object = space.until("mailserverconfigs", "mail", "logged in", logged_in).await;
    assert_eq!(condition(&object, "Ready")["reason"], "Verified", "what held the server was the old spec");
    space.until_phase("hello", "Sent").await;
    assert_eq!(smtp.copies_for("ada@corp.example"), 1);
}
