//! Tokens against a scripted endpoint over real TLS: what is sent, what each answer means, what is
//! refused before anything leaves, and what the cache does with all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::api::Reason;
use crate::domain::{egress, secret::Secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use mail_operator_testbed::scripted_token::{Answer, Response, ThrowawayCa, TokenServer, jwt};
use serde_json::json;
use std::sync::{Arc, Once};
use std::time::Duration;

const SECRET: &str = "canary~S3cret/with+signs&more=";

struct Setup {
    server: TokenServer,
    tokens: Tokens,
    request: TokenRequest,
}

fn loopback_permitted() -> Arc<egress::Policy> {
    Arc::new(egress::Policy {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        deny: vec![],
    })
}

fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

async fn setup() -> Setup {
    with(ThrowawayCa::new(&["localhost", "127.0.0.1"]).unwrap()).await
}

async fn with(ca: ThrowawayCa) -> Setup {
    install_provider();
    let server = TokenServer::start(ca.server_config().unwrap()).await.unwrap();
    let request = TokenRequest {
        token_url: server.url("/tenant/oauth2/v2.0/token").parse().unwrap(),
        client_id: "app-1".into(),
        grant: Grant::ClientCredentials,
        proof: secret(ClientAuthentication::RequestBody),
        versions: vec![SecretVersion { uid: "uid".into(), resource_version: "1".into() }],
        scopes: vec!["https://outlook.office365.com/.default".into()],
        parameters: [("resource".to_owned(), "mail".to_owned())].into(),
        ca_pem: Some(ca.ca_pem),
        proxy: None,
    };
    Setup { server, tokens: Tokens::new(loopback_permitted()), request }
}

fn secret(placement: ClientAuthentication) -> Proof {
    Proof::Secret { secret: Secret::new(SECRET), placement }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Waits until that many requests have arrived; the caller's own request ends the waiting otherwise.
async fn requests(server: &TokenServer, count: usize) {
    while server.requests().len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Setup {
    async fn get(&self, seconds: i64) -> Result<Arc<Token>, TokenFailure> {
        let result = self.tokens.get(&self.request, at(seconds)).await;
        let printed = format!("{result:?} {:?} {:?}", self.request, self.request.key());
        assert!(!printed.contains("canary"), "{printed}");
        result
    }

    async fn failure(&self, answer: Answer) -> TokenFailure {
        self.server.then(answer);
        let failure = self.get(0).await.unwrap_err();
        let all = format!("{failure} {failure:?}");
        assert!(!all.contains("canary") && !all.contains("Y2FuYX"), "{all}");
        assert!(!failure.message.contains(['\r', '\n', '\u{1b}']), "{failure}");
        assert!(failure.message.chars().count() < 700, "{failure}");
        failure
    }
}

#[tokio::test]
async fn a_token_with_its_claims() {
    let setup = setup().await;
    let token = jwt(
        &json!({ "aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "tid": "t", "appid": "a" }),
    );
    setup.server.then(Answer::token(&token, 3599));
    let got = setup.get(0).await.unwrap();
    assert_eq!(got.access_token.expose(), token);
    let late = got.expires_at.duration_since(at(3599));
    assert!((SignedDuration::ZERO..SignedDuration::from_secs(1)).contains(&late), "{late}");
    assert_eq!(got.claims.roles, ["SMTP.SendAsApp"]);
    assert_eq!(got.claims.audience.as_deref(), Some("https://outlook.office365.com"));
    assert!(!format!("{got:?}").contains(&token));
}

#[tokio::test]
async fn what_is_sent_in_the_form() {
    let setup = setup().await;
    setup.get(0).await.unwrap();
    let requests = setup.server.requests();
    let [sent] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/tenant/oauth2/v2.0/token"));
    let mut form = sent.form.clone();
    form.sort();
    let expected = [
        ("client_id", "app-1"),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("resource", "mail"),
        ("scope", "https://outlook.office365.com/.default"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(!sent.headers.contains_key("authorization"));
    assert_eq!(sent.headers["accept"], "application/json");
}

#[tokio::test]
async fn basic_first_then_the_form_and_the_one_that_worked_is_remembered() {
    let mut setup = setup().await;
    setup.request.proof = secret(ClientAuthentication::Detect);
    setup.server.then(Answer::error(401, "invalid_client", "not like this")).then(Answer::token("one", 600));
    let first = setup.get(0).await.unwrap();
    setup.tokens.invalidate(&setup.request.key(), &first);
    setup.server.then(Answer::token("two", 600));
    assert_eq!(setup.get(1).await.unwrap().access_token.expose(), "two");
    let sent = setup.server.requests();
    // RFC 6749, section 2.3.1: both parts form-encoded before they are joined.
    let basic = STANDARD.encode("app-1:canary%7ES3cret%2Fwith%2Bsigns%26more%3D");
    assert_eq!(sent[0].headers["authorization"], format!("Basic {basic}"));
    assert_eq!(sent[0].field("client_secret"), None);
    for with_form in &sent[1..] {
        assert_eq!(with_form.field("client_secret"), Some(SECRET));
        assert!(!with_form.headers.contains_key("authorization"));
    }
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn only_a_refusal_that_may_mean_the_style_is_tried_in_the_other() {
    for (answer, requests) in [
        (Answer::error(401, "invalid_client", ""), 2),
        (Answer::error(400, "invalid_request", "client_id missing"), 2),
        (Answer::Full(Response::new(401, "text/plain", "no")), 2),
        (Answer::error(400, "invalid_scope", ""), 1),
        (Answer::error(503, "temporarily_unavailable", ""), 1),
        (Answer::html(), 1),
        (Answer::Close, 1),
    ] {
        let mut setup = setup().await;
        setup.request.proof = secret(ClientAuthentication::Detect);
        setup.server.otherwise(answer.clone());
        setup.get(0).await.unwrap_err();
        assert_eq!(setup.server.requests().len(), requests, "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_sane_token() {
    let token = |expires_in: serde_json::Value| json!({ "access_token": "t", "token_type": "Bearer", "expires_in": expires_in });
    let json = |body| Answer::json(200, &body);
    for (answer, says) in [
        (Answer::html(), "not JSON"),
        (Answer::Full(Response::new(200, "application/json", "{\"access_token\":")), "not JSON"),
        (Answer::Full(Response::new(200, "application/json", "")), "not JSON"),
        (Answer::Full(Response::new(200, "application/json", [0xff, 0xfe, 0x00])), "not JSON"),
        (json(json!([1])), "no JSON object"),
        (json(json!({ "error": "invalid_client" })), "an error with status 200"),
        (json(json!({ "token_type": "Bearer", "expires_in": 3600 })), "no access_token"),
        (json(json!({ "access_token": "t", "expires_in": 3600 })), "no token_type"),
        (json(json!({ "access_token": "t", "token_type": "MAC", "expires_in": 3600 })), "not Bearer"),
        (json(json!({ "access_token": "t", "token_type": "Bearer" })), "no expires_in"),
        (
            json(json!({ "access_token": "", "token_type": "Bearer", "expires_in": 3600 })),
            "not visible ASCII",
        ),
        (
            json(json!({ "access_token": "a\u{1}b", "token_type": "Bearer", "expires_in": 3600 })),
            "not visible ASCII",
        ),
        (json(token(json!("3600"))), "wrong type"),
        (json(token(json!(0))), "below a minute"),
        (json(token(json!(-5))), "wrong type"),
        (json(token(json!(59))), "below a minute"),
        (json(token(json!(u64::MAX))), "beyond a year"),
        (json(token(json!(1e300))), "wrong type"),
        (Answer::json(201, &token(json!(3600))), "status 201"),
        (
            Answer::Full(Response::new(200, "application/json", vec![b' '; 64 * 1024 + 1])),
            "larger than 64 KiB",
        ),
    ] {
        let setup = setup().await;
        let failure = setup.failure(answer).await;
        assert_eq!(failure.reason, Reason::BadTokenResponse, "{failure}");
        assert!(failure.message.contains(says), "{failure} should say {says}");
        assert_eq!(failure.permanence, Permanence::Temporary { retry_after: None });
    }
}

#[tokio::test]
async fn a_redirect_takes_nothing_along() {
    let target = setup().await;
    for status in [301, 302, 303, 307, 308] {
        let setup = setup().await;
        let failure = setup.failure(Answer::redirect(status, &target.server.url("/elsewhere"))).await;
        assert_eq!(
            (failure.reason, failure.permanence),
            (Reason::TokenEndpointRedirects, Permanence::UntilChanged)
        );
        assert!(failure.message.contains("redirects to localhost,"), "{failure}");
    }
    assert_eq!(target.server.connections(), 0);
}

#[tokio::test]
async fn endpoints_that_fail() {
    let long = Response::new(200, "application/json", vec![b' '; 4000]);
    for (answer, says) in [
        (Answer::Stall, "no complete answer within 2 s"),
        (Answer::Slow(long.clone(), Duration::from_millis(5)), "no complete answer within 2 s"),
        (Answer::Close, "cannot be reached"),
        (Answer::CutShort(long), "cannot be reached"),
        (Answer::Full(Response::new(503, "text/html", "<h1>down")), "passing problem (status 503)"),
        (Answer::Full(Response::new(500, "text/html", vec![b'x'; 1 << 20])), "passing problem (status 500)"),
    ] {
        let mut setup = setup().await;
        setup.tokens = Tokens::with_timeout(loopback_permitted(), Duration::from_secs(2));
        let failure = setup.failure(answer).await;
        assert_eq!(failure.reason, Reason::TokenEndpointUnavailable, "{failure}");
        assert!(failure.message.contains(says), "{failure} should say {says}");
        assert!(matches!(failure.permanence, Permanence::Temporary { .. }));
    }
}

#[tokio::test]
async fn too_many_requests() {
    let setup = setup().await;
    let answer = Response::json(429, &json!({ "error": "throttled" })).header("Retry-After", "120");
    let failure = setup.failure(Answer::Full(answer)).await;
    assert_eq!(failure.reason, Reason::Throttled);
    assert_eq!(failure.permanence, Permanence::Temporary { retry_after: Some(Duration::from_mins(2)) });
}

#[tokio::test]
async fn nobody_listens() {
    let mut setup = setup().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    setup.request.token_url = format!("https://127.0.0.1:{}/token", free.port()).parse().unwrap();
    let failure = setup.get(0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TokenEndpointUnavailable);
    assert!(failure.message.contains("connection refused"), "{failure}");

    setup.request.token_url = "https://token.invalid/token".parse().unwrap();
    let failure = setup.get(0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TokenEndpointUnavailable, "{failure}");
    assert!(failure.message.contains("cannot be reached: failed to lookup address"), "{failure}");
}

#[tokio::test]
async fn certificates() {
    let mut renewed = setup().await;
    renewed.request.ca_pem = Some(ThrowawayCa::new(&["localhost"]).unwrap().ca_pem);
    let mut unknown = setup().await;
    unknown.request.ca_pem = Some(ThrowawayCa::named("Another CA", &["localhost"]).unwrap().ca_pem);
    let elsewhere = with(ThrowawayCa::new(&["login.example"]).unwrap()).await;
    let expired = with(ThrowawayCa::expired(&["localhost"]).unwrap()).await;
    let mut none = setup().await;
    none.request.ca_pem = Some("no certificate".into());
    for (setup, reason) in [
        (unknown, Reason::CertificateUnknownIssuer),
        (renewed, Reason::CertificateUnknownIssuer),
        (expired, Reason::CertificateExpired),
        (elsewhere, Reason::CertificateNameMismatch),
        (none, Reason::CANotFound),
    ] {
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
        assert_eq!(setup.server.requests(), []);
    }
}

#[tokio::test]
async fn a_port_without_tls() {
    let mut setup = setup().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    setup.request.token_url = format!("https://{}/token", listener.local_addr().unwrap()).parse().unwrap();
    let greeting = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n").await.unwrap();
        stream
    });
    let failure = setup.get(0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NotTLS, "{failure}");
    drop(greeting.await);
}

#[tokio::test]
async fn addresses_that_are_refused_get_no_connection() {
    for host in ["localhost", "127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"] {
        let mut setup = setup().await;
        setup.tokens = Tokens::new(Arc::default());
        setup.request.token_url =
            format!("https://{host}:{}/token", setup.server.address().port()).parse().unwrap();
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::EgressDenied, "{host}: {failure}");
        assert!(failure.message.contains("loopback address"), "{failure}");
        assert_eq!(setup.server.connections(), 0);
    }
}

#[tokio::test]
async fn requests_that_must_not_leave() {
    let setup = setup().await;
    let mut plain = setup.request.clone();
    plain.token_url = plain.token_url.as_str().replace("https:", "http:").parse().unwrap();
    let mut with_user = setup.request.clone();
    with_user.token_url.set_username("user").unwrap();
    let mut twice = setup.request.clone();
    twice.parameters.insert("client_secret".into(), "other".into());
    for request in [plain, with_user, twice] {
        let failure = setup.tokens.get(&request, at(0)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidSpec, "{failure}");
    }
    assert_eq!(setup.server.connections(), 0);
}

#[tokio::test]
async fn fifty_at_once_share_one_request() {
    for answer in [Answer::token("t", 3600), Answer::error(401, "invalid_client", "no")] {
        let setup = Arc::new(setup().await);
        let Answer::Full(response) = answer else { panic!() };
        let fails = response.status != 200;
        // Slow enough that all of them come while it is under way.
        setup.server.otherwise(Answer::Slow(response, Duration::from_millis(1)));
        let ask = |_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.get(0).await })
        };
        let results: Vec<_> = futures::future::try_join_all((0..50).map(ask)).await.unwrap();
        assert!(results.iter().all(|result| result.is_err() == fails && *result == results[0]));
        assert_eq!(setup.server.requests().len(), 1);
        // A failure is not kept: who comes later asks anew.
        assert_eq!(setup.get(0).await.is_err(), fails);
        assert_eq!(setup.server.requests().len(), if fails { 2 } else { 1 });
    }
}

#[tokio::test]
async fn somebody_else_goes_on_when_the_one_who_asks_is_cancelled() {
    let setup = setup().await;
    setup.server.then(Answer::Stall);
    let asking = async {
        tokio::select! {
            biased;
            result = setup.get(0) => panic!("{result:?}"),
            () = requests(&setup.server, 1) => {}
        }
    };
    let ((), waiting) = tokio::join!(asking, setup.get(0));
    assert_eq!(waiting.unwrap().access_token.expose(), "opaque-token");
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn renewal_at_four_fifths_of_the_life() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000)).then(Answer::token("two", 1000));
    for (now, token) in [(0, "one"), (1, "one"), (749, "one"), (851, "two"), (851 + 749, "two")] {
        assert_eq!(setup.get(now).await.unwrap().access_token.expose(), token, "after {now} s");
    }
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_token_until_its_last_minute() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000)).otherwise(Answer::error(401, "invalid_client", ""));
    for (now, requests) in [(0, 1), (851, 2), (880, 2), (912, 3)] {
        assert_eq!(setup.get(now).await.unwrap().access_token.expose(), "one", "after {now} s");
        assert_eq!(setup.server.requests().len(), requests, "after {now} s");
    }
    assert_eq!(setup.get(941).await.unwrap_err().reason, Reason::InvalidClientSecret);
}

#[tokio::test]
async fn never_less_than_a_minute() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 70)).then(Answer::token("two", 70));
    for (now, token) in [(0, "one"), (10, "one"), (11, "two")] {
        let got = setup.get(now).await.unwrap();
        assert_eq!(got.access_token.expose(), token, "after {now} s");
        assert!(got.expires_at.duration_since(at(now)) >= SignedDuration::from_secs(60));
    }
}

#[tokio::test]
async fn a_renewal_under_way_delays_nobody() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 1000));
    setup.get(0).await.unwrap();
    setup.server.then(Answer::Stall);
    let meanwhile = async {
        requests(&setup.server, 2).await;
        setup.get(851).await.unwrap()
    };
    tokio::select! {
        biased;
        result = setup.get(851) => panic!("the endpoint is silent: {result:?}"),
        token = meanwhile => assert_eq!(token.access_token.expose(), "one"),
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let setup = setup().await;
    setup.server.then(Answer::token("one", 3600)).then(Answer::token("two", 3600));
    let key = setup.request.key();
    let one = setup.get(0).await.unwrap();
    setup.tokens.invalidate(&key, &one);
    let two = setup.get(1).await.unwrap();
    setup.tokens.invalidate(&key, &one); // a second session, refused with the same old token
    assert_eq!(setup.get(2).await.unwrap(), two);
    assert_eq!(setup.server.requests().len(), 2);
}

#[tokio::test]
async fn what_counts_as_another_token() {
    type Change = fn(&mut TokenRequest);
    let changes: [(Change, bool); 8] = [
        (|_| {}, true),
        (|request| request.versions[0].resource_version = "2".into(), false),
        (|request| request.versions[0].uid = "other".into(), false),
        (|request| request.token_url.set_path("/other"), false),
        (|request| request.client_id = "app-2".into(), false),
        (|request| request.scopes.clear(), false),
        (|request| request.parameters.clear(), false),
        (|request| request.proof = secret(ClientAuthentication::Detect), true),
    ];
    for (number, (change, same)) in changes.into_iter().enumerate() {
        let mut setup = setup().await;
        setup.server.then(Answer::token("one", 3600)).then(Answer::token("two", 3600));
        setup.get(0).await.unwrap();
        change(&mut setup.request);
        let token = setup.get(0).await.unwrap();
        assert_eq!(token.access_token.expose() == "one", same, "change {number}");
    }
}
