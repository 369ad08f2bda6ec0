//! What each grant and each proof sends: statements that verify, refresh tokens that rotate, service accounts'
//! keys, tokens of another issuer; and what is said of credentials that cannot be used.

use super::*;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_operator_testbed::client_keys::{Algorithm, Form, private_key, self_signed};
use mail_operator_testbed::scripted_token::Request;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};

const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn certificate(algorithm: Algorithm, form: Form) -> Proof {
    let made = self_signed("client", algorithm, form).unwrap();
    Proof::Certificate { chain_pem: made.certificate_pem, key_pem: Secret::new(made.key_pem) }
}

/// Header and claims of a JWT, whose signature has to verify with the key in `chain_pem`.
fn verified(jwt: &str, chain_pem: &str) -> (Value, Value) {
    let der = CertificateDer::from_pem_slice(chain_pem.as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    verified_with(jwt, &parsed.public_key().subject_public_key.data)
}

fn verified_with(jwt: &str, key: &[u8]) -> (Value, Value) {
    let (said, signature) = jwt.rsplit_once('.').unwrap();
    let part = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = said.split_once('.').map(|(header, claims)| (part(header), part(claims))).unwrap();
    let algorithm: &dyn VerificationAlgorithm = match header["alg"].as_str().unwrap() {
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        "EdDSA" => &signature::ED25519,
        other => panic!("{other}"),
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, key).verify(said.as_bytes(), &signature).unwrap();
    (header, claims)
}

fn only_request(setup: &Setup) -> Request {
    let mut requests = setup.server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.remove(0)
}

fn names(request: &Request) -> Vec<&str> {
    let mut names: Vec<_> = request.form.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_certificate_signs_a_statement_in_every_form_of_key() {
    for (algorithm, form, alg) in [
        (Algorithm::Rsa(2048), Form::Pkcs8, "PS256"),
        (Algorithm::Rsa(3072), Form::Traditional, "PS256"),
        (Algorithm::P256, Form::Pkcs8, "ES256"),
        (Algorithm::P256, Form::Traditional, "ES256"),
        (Algorithm::P384, Form::Traditional, "ES384"),
        (Algorithm::Ed25519, Form::Pkcs8, "EdDSA"),
    ] {
        let mut setup = setup().await;
        setup.request.proof = certificate(algorithm, form);
        let Proof::Certificate { chain_pem, .. } = setup.request.proof.clone() else { unreachable!() };
        setup.get(0).await.unwrap();
        let sent = only_request(&setup);
        assert_eq!(
            names(&sent),
            ["client_assertion", "client_assertion_type", "client_id", "grant_type", "resource", "scope"]
        );
        assert!(!sent.headers.contains_key("authorization"));
        assert_eq!(sent.field("client_assertion_type"), Some(CLIENT_ASSERTION));
        let (header, claims) = verified(sent.field("client_assertion").unwrap(), &chain_pem);
        let der = CertificateDer::from_pem_slice(chain_pem.as_bytes()).unwrap();
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&der));
        assert_eq!(header, json!({ "alg": alg, "typ": "JWT", "x5t#S256": thumbprint }));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app-1"), &json!("app-1")));
        assert_eq!(claims["aud"], setup.request.token_url.as_str());
        let time = |name: &str| claims[name].as_i64().unwrap() - at(0).as_second();
        assert!(time("nbf") < 0 && time("exp") > 0 && time("exp") - time("nbf") <= 600, "{claims}");
        assert!(claims["jti"].as_str().unwrap().len() >= 22);
    }
}

#[tokio::test]
async fn no_statement_is_used_twice() {
    let mut setup = setup().await;
    setup.request.proof = certificate(Algorithm::P256, Form::Pkcs8);
    for seconds in [0, 4000] {
        setup.get(seconds).await.unwrap();
    }
    let [first, second] = &setup.server.requests()[..] else { panic!() };
    assert_ne!(first.field("client_assertion"), second.field("client_assertion"));
}

#[tokio::test]
async fn rs256_where_ps256_is_refused_and_only_there() {
    let mut setup = setup().await;
    setup.request.proof = certificate(Algorithm::Rsa(2048), Form::Pkcs8);
    let Proof::Certificate { chain_pem, .. } = setup.request.proof.clone() else { unreachable!() };
    let algorithms = |setup: &Setup| -> Vec<String> {
        let used = setup.server.requests();
        let used = used.iter().map(|sent| verified(sent.field("client_assertion").unwrap(), &chain_pem).0);
        used.map(|header| header["alg"].as_str().unwrap().to_owned()).collect()
    };
    setup.server.then(Answer::error(401, "invalid_client", "alg")).then(Answer::token("one", 600));
    let first = setup.get(0).await.unwrap();
    setup.tokens.invalidate(&setup.request.key(), &first);
    setup.get(1).await.unwrap();
    assert_eq!(algorithms(&setup), ["PS256", "RS256", "RS256"], "what worked is remembered");

    setup.tokens = Tokens::new(loopback_permitted());
    setup.server.then(Answer::entra_error(401, "invalid_client", 700_027, "The certificate is unknown."));
    let failure = setup.get(2).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ClientCertificateUnknown);
    assert_eq!(algorithms(&setup).len(), 4, "Entra ID said what it is");
}

#[tokio::test]
async fn certificates_that_cannot_sign() {
    let good = self_signed("client", Algorithm::P256, Form::Pkcs8).unwrap();
    let other = self_signed("other", Algorithm::P256, Form::Pkcs8).unwrap();
    let locked = private_key(Algorithm::Rsa(2048), Form::Encrypted).unwrap().1;
    let short = private_key(Algorithm::Rsa(1024), Form::Pkcs8).unwrap().1;
    let cut = good.key_pem.lines().take(2).collect::<Vec<_>>().join("\n");
    let odd = good.certificate_pem.replacen("MII", "AAA", 1);
    for (chain, key, says) in [
        ("", good.key_pem.as_str(), "tls.crt is empty"),
        (&good.key_pem, &good.key_pem, "tls.crt holds no certificate"),
        (&odd, &good.key_pem, "is no X.509 certificate"),
        (&good.certificate_pem, &other.key_pem, "tls.key is not the key of the first certificate in tls.crt"),
        (&good.certificate_pem, &locked, "is locked with a passphrase; unlock it with `openssl pkey"),
        (&good.certificate_pem, &short, "is no RSA key of 2048 to 8192 bits"),
        (&good.certificate_pem, &cut, "is broken PEM"),
        (&good.certificate_pem, &good.certificate_pem, "holds no private key in PEM form"),
        (&good.certificate_pem, "canary", "holds no private key in PEM form"),
    ] {
        let mut setup = setup().await;
        setup.request.proof = Proof::Certificate { chain_pem: chain.to_owned(), key_pem: Secret::new(key) };
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ClientCertificateInvalid, "{failure}");
        assert_eq!(failure.permanence, Permanence::UntilChanged);
        assert!(failure.message.contains(says), "{failure} should say {says}");
        assert_eq!(setup.server.connections(), 0);
    }
}

/// A source that counts how often it is asked.
fn source(answer: Result<String, TokenFailure>) -> (Proof, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let ask = move || -> futures::future::BoxFuture<'static, _> {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        Box::pin(async move { answer.map(Secret::new) })
    };
    (Proof::Federated(AssertionSource(Arc::new(ask))), asked)
}

#[tokio::test]
async fn a_token_of_another_issuer_is_asked_for_at_each_exchange() {
    let mut setup = setup().await;
    let theirs = jwt(
        &json!({ "iss": "https://cluster.example", "sub": "system:serviceaccount:mail:sender", "aud": ["api://AzureADTokenExchange"], "canary": 1 }),
    );
    let (proof, asked) = source(Ok(theirs.clone()));
    setup.request.proof = proof;
    for seconds in [0, 1, 4000] {
        setup.get(seconds).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "not while the token is good");
    for sent in setup.server.requests() {
        assert_eq!(sent.field("client_assertion_type"), Some(CLIENT_ASSERTION));
        assert_eq!(sent.field("client_assertion"), Some(theirs.as_str()));
        assert_eq!(sent.field("client_id"), Some("app-1"));
    }
    setup.server.then(Answer::entra_error(
        401,
        "invalid_client",
        700_213,
        &format!("No matching federated identity record found for presented assertion {theirs}."),
    ));
    let failure = setup.get(8000).await.unwrap_err();
    assert_eq!(failure.reason, Reason::FederatedCredentialMismatch);
    assert_eq!(failure.aadsts, Some(700_213));
    for words in [
        "issuer https://cluster.example,",
        "subject system:serviceaccount:mail:sender and",
        "audience api://AzureADTokenExchange,",
        "Federated credentials > Add credential",
    ] {
        assert!(failure.message.contains(words), "{failure} should say {words}");
    }
    assert!(!failure.message.contains("eyJ"), "{failure}");
}

#[tokio::test]
async fn without_the_other_issuers_token_nothing_is_sent() {
    let mut setup = setup().await;
    let refused =
        TokenFailure::new(Reason::AudienceNotAllowed, Permanence::UntilChanged, "the API server's own");
    setup.request.proof = source(Err(refused.clone())).0;
    assert_eq!(setup.get(0).await.unwrap_err(), refused);
    assert_eq!(setup.server.connections(), 0);
}

fn with_refresh_token(setup: &mut Setup, token: &str, proof: Proof) {
    setup.request.grant = Grant::RefreshToken(Secret::new(token));
    setup.request.proof = proof;
}

fn answer(access_token: &str, refresh_token: &str) -> Answer {
    Answer::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 600, "access_token": access_token, "refresh_token": refresh_token }),
    )
}

fn refresh_tokens(setup: &Setup) -> Vec<String> {
    setup.server.requests().iter().map(|sent| sent.field("refresh_token").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_refresh_token_with_each_proof() {
    let mut setup = setup().await;
    for (proof, fields) in [
        (Proof::None, &["client_id", "grant_type", "refresh_token", "resource", "scope"][..]),
        (
            secret(ClientAuthentication::RequestBody),
            &["client_id", "client_secret", "grant_type", "refresh_token", "resource", "scope"],
        ),
        (secret(ClientAuthentication::Detect), &["grant_type", "refresh_token", "resource", "scope"]),
        (
            certificate(Algorithm::P256, Form::Pkcs8),
            &[
                "client_assertion",
                "client_assertion_type",
                "client_id",
                "grant_type",
                "refresh_token",
                "resource",
                "scope",
            ],
        ),
    ] {
        setup.tokens = Tokens::new(loopback_permitted());
        with_refresh_token(&mut setup, "canary-refresh", proof);
        let token = setup.get(0).await.unwrap();
        assert!(!token.refresh_token_replaced);
        let requests = setup.server.requests();
        let sent = requests.last().unwrap();
        assert_eq!(names(sent), fields);
        assert_eq!(sent.field("grant_type"), Some("refresh_token"));
        assert_eq!(sent.field("refresh_token"), Some("canary-refresh"));
    }
}

#[tokio::test]
async fn a_replaced_refresh_token_is_used_from_then_on() {
    let mut setup = setup().await;
    with_refresh_token(&mut setup, "canary-1", Proof::None);
    setup.server.then(answer("a", "canary-2")).then(answer("b", "canary-3")).then(Answer::token("c", 600));
    for (seconds, access) in [(0, "a"), (600, "b"), (1200, "c")] {
        let token = setup.get(seconds).await.unwrap();
        assert_eq!(token.access_token.expose(), access);
        assert!(token.refresh_token_replaced, "the stored one is out of date");
    }
    assert_eq!(refresh_tokens(&setup), ["canary-1", "canary-2", "canary-3"]);

    // Something else in the Secret changes, as a client secret beside it or an annotation.
    setup.request.versions[0].resource_version = "2".into();
    setup.server.then(answer("d", "canary-3"));
    assert!(setup.get(1201).await.unwrap().refresh_token_replaced);
    // Somebody stores a new one.
    setup.request.versions[0].resource_version = "3".into();
    with_refresh_token(&mut setup, "canary-9", Proof::None);
    setup.server.then(answer("e", "canary-9"));
    assert!(!setup.get(1202).await.unwrap().refresh_token_replaced);
    assert_eq!(refresh_tokens(&setup)[3..], ["canary-3", "canary-9"]);
}

#[tokio::test]
async fn a_replacement_outlives_what_else_goes_wrong() {
    let mut setup = setup().await;
    with_refresh_token(&mut setup, "canary-1", Proof::None);
    // No usable access token, but the old refresh token is worthless from now on.
    setup.server.then(Answer::json(
        200,
        &json!({ "token_type": "Bearer", "access_token": "a", "refresh_token": "canary-2" }),
    ));
    assert_eq!(setup.get(0).await.unwrap_err().reason, Reason::BadTokenResponse);
    // The caller goes away before the answer comes.
    let slow = Response::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 600, "access_token": "b", "refresh_token": "canary-3" }),
    );
    setup.server.then(Answer::Slow(slow, Duration::from_millis(1)));
    tokio::select! {
        biased;
        result = setup.get(1) => panic!("{result:?}"),
        () = requests(&setup.server, 2) => {}
    }
    assert!(setup.get(2).await.unwrap().refresh_token_replaced);
    assert_eq!(refresh_tokens(&setup), ["canary-1", "canary-2", "canary-3"]);
}

#[tokio::test]
async fn a_refused_replacement_is_forgotten() {
    let mut setup = setup().await;
    with_refresh_token(&mut setup, "canary-1", Proof::None);
    setup.server.then(answer("a", "canary-2")).then(Answer::error(400, "invalid_grant", "revoked canary-2"));
    setup.get(0).await.unwrap();
    let failure = setup.get(600).await.unwrap_err();
    assert_eq!((failure.reason, failure.permanence), (Reason::RefreshTokenInvalid, Permanence::UntilChanged));
    assert!(failure.message.contains("put the new refresh token into the Secret"), "{failure}");
    assert!(!setup.get(601).await.unwrap().refresh_token_replaced);
    assert_eq!(refresh_tokens(&setup), ["canary-1", "canary-2", "canary-1"]);
}

#[tokio::test]
async fn mailboxes_whose_refresh_tokens_are_in_one_secret_get_tokens_of_their_own() {
    let mut setup = setup().await;
    for mailbox in ["canary-ada", "canary-bob"] {
        with_refresh_token(&mut setup, mailbox, Proof::None);
        setup.server.then(Answer::token(mailbox, 600));
        assert_eq!(setup.get(0).await.unwrap().access_token.expose(), mailbox);
    }
    assert_eq!(refresh_tokens(&setup), ["canary-ada", "canary-bob"]);
}

const KEY_ID: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// A key file as Google hands it out, and the public key.
fn key_file(algorithm: Algorithm) -> (Value, Vec<u8>) {
    let made = self_signed("sender", algorithm, Form::Pkcs8).unwrap();
    let der = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
    let key =
        x509_parser::parse_x509_certificate(&der).unwrap().1.public_key().subject_public_key.data.to_vec();
    let file = json!({
        "type": "service_account", "project_id": "corp", "private_key_id": KEY_ID, "private_key": made.key_pem,
        "client_email": "sender@corp.iam.gserviceaccount.com", "client_id": "108000000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
    });
    (file, key)
}

fn with_key_file(setup: &mut Setup, file: &str) {
    setup.request.client_id.clear();
    setup.request.proof = Proof::None;
    setup.request.scopes = vec!["https://mail.google.com/".into()];
    setup.request.grant =
        Grant::JWTBearer { key_file: Secret::new(file), subject: "alerts@corp.example".into() };
}

#[tokio::test]
async fn a_service_account_speaks_in_the_name_of_a_mailbox() {
    for (algorithm, alg) in [(Algorithm::Rsa(2048), "RS256"), (Algorithm::P256, "ES256")] {
        let mut setup = setup().await;
        let (file, key) = key_file(algorithm);
        with_key_file(&mut setup, &file.to_string());
        assert!(!setup.get(0).await.unwrap().refresh_token_replaced);
        let sent = only_request(&setup);
        assert_eq!(names(&sent), ["assertion", "grant_type", "resource", "scope"]);
        assert_eq!(sent.field("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        let (header, claims) = verified_with(sent.field("assertion").unwrap(), &key);
        assert_eq!(header, json!({ "alg": alg, "typ": "JWT", "kid": KEY_ID }));
        assert_eq!(claims["iss"], "sender@corp.iam.gserviceaccount.com");
        assert_eq!(claims["sub"], "alerts@corp.example");
        assert_eq!(claims["scope"], "https://mail.google.com/");
        assert_eq!(claims["aud"], setup.request.token_url.as_str());
        assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 600);
    }
}

#[tokio::test]
async fn key_files_that_cannot_be_used() {
    let (good, _) = key_file(Algorithm::P256);
    let with = |name: &str, value: Value| {
        let mut file = good.clone();
        file[name] = value;
        file.to_string()
    };
    for (file, says) in [
        ("-----BEGIN PRIVATE KEY-----".to_owned(), "it is not JSON"),
        (good.to_string()[..100].to_owned(), "it is not JSON"),
        ("[]".to_owned(), "it is no JSON object"),
        ("\"canary\"".to_owned(), "a field has the wrong type"),
        (with("type", "authorized_user".into()), "its type is not service_account"),
        (with("client_email", Value::Null), "it has no client_email"),
        (with("client_email", json!(["canary"])), "a field has the wrong type"),
        (with("private_key", "".into()), "it has no private_key"),
        (with("private_key", "canary".into()), "its private_key holds no private key in PEM form"),
    ] {
        let mut setup = setup().await;
        with_key_file(&mut setup, &file);
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ServiceAccountKeyInvalid, "{failure}");
        assert!(failure.message.contains(says), "{failure} should say {says}");
        assert!(failure.message.contains("Keys > Add key > JSON"), "{failure}");
        assert_eq!(setup.server.connections(), 0);
    }
}

#[tokio::test]
async fn what_was_sent_is_masked_when_it_is_echoed() {
    let mut setup = setup().await;
    let echo = |setup: &Setup, field: &str| {
        let sent = setup.server.requests();
        let value = sent.last().unwrap().field(field).unwrap().to_owned();
        (
            value.clone(),
            Answer::error(400, "invalid_request", &format!("bad '{value}' and '{}'", &value[..30])),
        )
    };
    let theirs = jwt(&json!({ "iss": "https://cluster.example" }));
    for (grant, proof, field) in [
        (Grant::RefreshToken(Secret::new("canary-refresh-token")), Proof::None, "refresh_token"),
        (Grant::ClientCredentials, source(Ok(theirs)).0, "client_assertion"),
    ] {
        setup.tokens = Tokens::new(loopback_permitted());
        setup.request.grant = grant;
        setup.request.proof = proof;
        setup.get(0).await.unwrap();
        let (value, answer) = if field == "refresh_token" {
            let value = "canary-refresh-token".to_owned();
            (
                value.clone(),
                Answer::error(400, "invalid_request", &format!("bad '{value}' and '{}'", &value[..12])),
            )
        } else {
            echo(&setup, field)
        };
        setup.server.then(answer);
        let failure = setup.get(4000).await.unwrap_err();
        assert!(failure.message.contains("bad '***' and '***'"), "{failure}");
        assert!(!failure.message.contains(&value[..10]), "{failure}");
    }
}
