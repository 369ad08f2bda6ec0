//! What is sent with a secret, and what becomes of every kind of answer.

use super::*;

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
        assert_eq!(failure.permanence, Permanence::Temporary);
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
        assert!(matches!(failure.permanence, Permanence::Temporary));
    }
}

#[tokio::test]
async fn too_many_requests() {
    let setup = setup().await;
    let answer = Response::json(429, &json!({ "error": "throttled" })).header("Retry-After", "120");
    let failure = setup.failure(Answer::Full(answer)).await;
    assert_eq!(failure.reason, Reason::Throttled);
    assert_eq!(failure.permanence, Permanence::Temporary);
    assert_eq!(failure.retry_after, Some(Duration::from_mins(2)));
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
