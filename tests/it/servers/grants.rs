//! Every grant and every proof of identity, to the end: a real token server that checks signatures, rotates refresh
//! tokens and trusts this cluster's ServiceAccount, and a real mail server that checks the tokens.

use super::exchange_online::{Microsoft, notification};
use super::{Mends, annotate, fails, manifest, server, verified};
use crate::objects::{Space, condition};
use mail_operator_testbed::certificates::ServerCertificate;
use mail_operator_testbed::client_keys::{Algorithm, Form, self_signed};
use mail_operator_testbed::oidc::{CertificateClient, OidcOptions, TrustedCluster};
use mail_operator_testbed::scripted_token::{Answer, ThrowawayCa, TokenServer};
use serde_json::{Value, json};
use std::time::Duration;

const SERVICE_ACCOUNT: &str = "sender@corp.iam.gserviceaccount.com";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Token and mail servers, and everything that proves a client to them.
struct Scene {
    space: Space,
    microsoft: Microsoft,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let space = Space::new(name).await;
        let rsa = self_signed("rsa", Algorithm::Rsa(2048), Form::Traditional).unwrap();
        let rs256 = self_signed("rs256", Algorithm::Rsa(2048), Form::Pkcs8).unwrap();
        let ec = self_signed("ec", Algorithm::P256, Form::Traditional).unwrap();
        let account = self_signed("account", Algorithm::Rsa(2048), Form::Pkcs8).unwrap();
        let client =
            |name: &str, certificate: &ServerCertificate, algorithm: Option<&str>| CertificateClient {
                client_id: name.into(),
                certificate_pem: certificate.certificate_pem.clone(),
                algorithm: algorithm.map(str::to_owned),
            };
        let options = OidcOptions {
            certificates: vec![
                client("rsa", &rsa, None),
                client("rs256", &rs256, Some("RS256")),
                client("ec", &ec, None),
            ],
            service_account: Some((SERVICE_ACCOUNT.into(), account.certificate_pem.clone())),
            cluster: Some(cluster(&space, "sender").await),
            ..OidcOptions::default()
        };
        let microsoft = Microsoft::with(&space, options).await;
        for (name, certificate) in [("rsa", &rsa), ("rs256", &rs256), ("ec", &ec)] {
            tls_secret(&space, name, certificate).await;
        }
        secret(&space, "refresh", "token", microsoft.oidc.refresh_token()).await;
        secret(&space, "account", "key.json", &key_file(&account.key_pem)).await;
        for name in ["sender", "stranger"] {
            service_account(&space, name).await;
        }
        Self { space, microsoft }
    }

    fn exchange_online(&self, client_id: &str, proof: &str) -> String {
        let options = self.microsoft.oidc.options();
        format!(
            "
auth:
  exchangeOnline:
    tenantID: {}
    clientID: {client_id}
    username: {}
    {proof}
    endpoints: {{ host: localhost, port: {}, tokenURL: \"{}\", caRef: {{ name: ca }} }}
tls: {{ caRef: {{ name: ca }} }}",
            options.tenant_id,
            options.email,
            self.microsoft.dovecot.starttls_port(),
            self.microsoft.oidc.token_url(),
        )
    }

    fn oauth2(&self, lines: &[&str]) -> String {
        let options = self.microsoft.oidc.options();
        format!(
            "
host: localhost
port: {}
auth:
  oauth2:
    username: {}
    tokenURL: \"{}\"
    scopes: [\"{}\"]
    caRef: {{ name: ca }}
    {}
tls: {{ caRef: {{ name: ca }} }}",
            self.microsoft.dovecot.starttls_port(),
            options.email,
            self.microsoft.oidc.token_url(),
            options.scope,
            lines.join("\n    "),
        )
    }
}

/// What a provider is told about this cluster and its ServiceAccount.
async fn cluster(space: &Space, account: &str) -> TrustedCluster {
    let raw = async |path: &str| -> Value {
        serde_json::from_str(&space.kubectl(&["get", "--raw", path]).await).unwrap()
    };
    TrustedCluster {
        issuer: raw("/.well-known/openid-configuration").await["issuer"].as_str().unwrap().into(),
        subject: format!("system:serviceaccount:{}:{account}", space.name),
        audience: AUDIENCE.into(),
        jwks: raw("/openid/v1/jwks").await,
    }
}

fn key_file(private_key: &str) -> String {
    json!({
        "type": "service_account", "client_email": SERVICE_ACCOUNT, "client_id": "108000000000000000001",
        "private_key_id": "k", "private_key": private_key,
    })
    .to_string()
}

async fn secret(space: &Space, name: &str, key: &str, value: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "annotations": space.consent("localhost").await },
        "stringData": { key: value },
    });
    space.apply(&object.to_string()).await;
}

async fn tls_secret(space: &Space, name: &str, certificate: &ServerCertificate) {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": name, "annotations": space.consent("localhost").await },
        "stringData": { "tls.crt": certificate.certificate_pem, "tls.key": certificate.key_pem },
    });
    space.apply(&object.to_string()).await;
}

async fn service_account(space: &Space, name: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": name, "annotations": space.consent("localhost").await },
    });
    space.apply(&object.to_string()).await;
}

fn certificate(name: &str) -> String {
    format!("clientCertificateSecretRef: {{ name: {name} }}")
}

fn federated(account: &str, audience: &str) -> String {
    format!("federatedToken: {{ serviceAccountName: {account}, audience: \"{audience}\" }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_with_every_grant_and_every_proof() {
    let scene = Scene::new("servers-grants").await;
    let Scene { space, microsoft } = &scene;
    let options = microsoft.oidc.options();
    let client = format!("clientID: {}", options.client_id);
    let by_default = "federatedToken: { serviceAccountName: sender }";
    let secret = "clientSecretRef: { name: exchange, key: password }";
    let servers: [(&str, String); 10] = [
        ("ps256", scene.exchange_online("rsa", &certificate("rsa"))),
        ("rs256", scene.exchange_online("rs256", &certificate("rs256"))),
        ("es256", scene.exchange_online("ec", &certificate("ec"))),
        ("federated", scene.exchange_online(&options.client_id, by_default)),
        ("oauth2-ps256", scene.oauth2(&["clientID: rsa", &certificate("rsa")])),
        ("oauth2-rs256", scene.oauth2(&["clientID: rs256", &certificate("rs256")])),
        ("oauth2-es256", scene.oauth2(&["clientID: ec", &certificate("ec")])),
        ("oauth2-federated", scene.oauth2(&[&client, &federated("sender", AUDIENCE)])),
        (
            "refresh-token",
            scene.oauth2(&[
                &client,
                "grant: RefreshToken",
                secret,
                "refreshTokenSecretRef: { name: refresh, key: token }",
            ]),
        ),
        (
            "service-account",
            scene.oauth2(&[
                "grant: JWTBearer",
                "serviceAccountKeySecretRef: { name: account, key: key.json }",
            ]),
        ),
    ];
    for (name, spec) in &servers {
        // They share a mailbox, and would share the 30 messages a minute that Exchange Online permits.
        let spec = format!("{spec}\nlimits: {{ messagesPerMinute: 6000 }}");
        space.apply(&format!("{}---\n{}", manifest(name, &spec), notification(name, name))).await;
    }
    for (name, _) in &servers {
        let found = verified(space, name).await;
        assert_eq!(found["status"]["token"]["audience"], options.audience, "{name}");
        assert!(condition(&found, "TokenAcquired")["message"].to_string().contains("gave a token"), "{name}");
        space.until_phase(name, "Sent").await;
    }
    let messages = microsoft.inbox.wait_for(servers.len(), Duration::from_secs(10)).await.unwrap();
    assert_eq!(messages.len(), servers.len());
    let everything = space.kubectl(&["get", "msc,notif,events", "-o", "yaml"]).await;
    assert!(!everything.contains("eyJ") && !everything.contains("canary"), "{everything}");

    // The refresh token in the Secret was good once. Its successor is in memory, whatever else changes.
    for round in ["one", "two"] {
        annotate(space, "secret", "refresh", &format!("corp.example/note={round}")).await;
        annotate(space, "msc", "refresh-token", &format!("mail-operator.dev/verify-requested-at={round}"))
            .await;
        let object = space
            .until(super::SERVERS, "refresh-token", "verified once more", |object| {
                object["status"]["lastHandledVerifyRequest"] == round
            })
            .await;
        assert_eq!(condition(&object, "Ready")["status"], "True", "{object}");
    }
    let object = space.get(super::SERVERS, "refresh-token").await;
    let warning = condition(&object, "RefreshTokenRotated");
    assert_eq!((&warning["status"], &warning["reason"]), (&"True".into(), &"RefreshTokenReplaced".into()));
    assert!(space.events_of("refresh-token").await.contains(&"Warning RefreshTokenReplaced".to_owned()));
    let other = space.get(super::SERVERS, "service-account").await;
    assert!(condition(&other, "RefreshTokenRotated").is_null(), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_the_provider_does_not_know() {
    let scene = Scene::new("servers-strange-proofs").await;
    let Scene { space, microsoft } = &scene;
    let options = microsoft.oidc.options();
    let stranger = self_signed("stranger", Algorithm::Rsa(2048), Form::Pkcs8).unwrap();
    tls_secret(space, "unknown", &stranger).await;
    secret(space, "revoked", "token", "canary-revoked").await;
    secret(space, "strange", "key.json", &key_file(&stranger.key_pem)).await;
    secret(space, "broken", "key.json", "{\"client_email\": \"canary\"}").await;
    let mixed = ServerCertificate {
        key_pem: self_signed("other", Algorithm::P256, Form::Pkcs8).unwrap().key_pem,
        ..stranger.clone()
    };
    tls_secret(space, "mixed", &mixed).await;
    let client = format!("clientID: {}", options.client_id);
    let jwt_bearer = |name: &str| {
        let key = format!("serviceAccountKeySecretRef: {{ name: {name}, key: key.json }}");
        scene.oauth2(&["grant: JWTBearer", &key])
    };
    let subject = format!("subject system:serviceaccount:{}:stranger", space.name);
    let cases: [(&str, String, &str, &[&str]); 7] = [
        (
            "unknown",
            scene.exchange_online("rsa", &certificate("unknown")),
            "ClientCertificateUnknown",
            &["register the certificate", "thumbprint"],
        ),
        (
            "mixed",
            scene.exchange_online("rsa", &certificate("mixed")),
            "ClientCertificateInvalid",
            &["tls.key is not the key of the first certificate in tls.crt"],
        ),
        (
            "stranger",
            scene.exchange_online(&options.client_id, &federated("stranger", AUDIENCE)),
            "FederatedCredentialMismatch",
            &["issuer https://", &subject, "audience api://AzureADTokenExchange", "Federated credentials"],
        ),
        (
            "audience",
            scene.oauth2(&[&client, &federated("sender", "api://elsewhere")]),
            "FederatedCredentialMismatch",
            &["audience api://elsewhere"],
        ),
        (
            "revoked",
            scene.oauth2(&[
                &client,
                "grant: RefreshToken",
                "clientSecretRef: { name: exchange, key: password }",
                "refreshTokenSecretRef: { name: revoked, key: token }",
            ]),
            "RefreshTokenInvalid",
            &["put the new refresh token into the Secret"],
        ),
        ("strange", jwt_bearer("strange"), "ServiceAccountKeyInvalid", &[SERVICE_ACCOUNT, "Add key > JSON"]),
        ("broken", jwt_bearer("broken"), "ServiceAccountKeyInvalid", &["it has no private_key"]),
    ];
    space.apply(&cases.iter().map(|(name, spec, ..)| manifest(name, spec)).collect::<String>()).await;
    for (name, _, reason, words) in &cases {
        let message = fails(space, name, "TokenAcquired", reason, Mends::AChange, words).await;
        assert!(!message.contains("eyJ"), "{message}");
    }

    // It works as soon as the Secret holds what the provider knows.
    let rsa = space.kubectl(&["get", "secret", "rsa", "-o", "json"]).await;
    let mut known: Value = serde_json::from_str(&rsa).unwrap();
    known["metadata"] = json!({ "name": "unknown", "annotations": known["metadata"]["annotations"] });
    space.apply(&known.to_string()).await;
    verified(space, "unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_api_server_itself_accepts_goes_nowhere() {
    let space = Space::new("servers-own-audience").await;
    let ca = ThrowawayCa::new(&["localhost"]).unwrap();
    let provider = TokenServer::start(ca.server_config().unwrap()).await.unwrap();
    provider.otherwise(Answer::error(401, "invalid_client", "no"));
    space.ca("ca", &ca.ca_pem).await;
    service_account(&space, "sender").await;
    let own = cluster(&space, "sender").await.issuer;
    let spec = |audience: &str| {
        format!(
            "
host: localhost
auth:
  oauth2:
    username: alerts@corp.example
    tokenURL: \"{}\"
    clientID: app
    caRef: {{ name: ca }}
    {}",
            provider.url("/token"),
            federated("sender", audience)
        )
    };
    server(&space, "own", &spec(&own)).await;
    let words = [own.as_str(), "this cluster's own API server", "federatedToken.audience"];
    fails(&space, "own", "TokenAcquired", "AudienceNotAllowed", Mends::AChange, &words).await;
    assert_eq!(provider.connections(), 0, "not even the connection is made");

    server(&space, "own", &spec("provider.example")).await;
    let words = ["audience provider.example"];
    fails(&space, "own", "TokenAcquired", "FederatedCredentialMismatch", Mends::AChange, &words).await;
    assert_eq!(provider.requests().len(), 1);

    // Nobody else's: without the annotation the ServiceAccount stays at home.
    space.kubectl(&["annotate", "serviceaccount", "sender", "mail-operator.dev/allowed-hosts-"]).await;
    annotate(&space, "msc", "own", "mail-operator.dev/verify-requested-at=now").await;
    let words = ["kubectl annotate --overwrite serviceaccount sender"];
    fails(&space, "own", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    assert_eq!(provider.requests().len(), 1);
}
