//! Token endpoints that give no token, and tokens that the mail server does not like: what is said, and that the
//! client secret goes nowhere else.

use super::{Case, Mends, SERVERS, annotate, fails, manifest, server, verified};
use crate::objects::Space;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use mail_operator_testbed::scripted_token::{Answer, Response, ThrowawayCa, TokenServer, jwt};
use serde_json::json;

const MAILBOX: &str = "alerts@corp.example";
const CLIENT_SECRET: &str = "canary~client-secret";

/// A mail server that takes one token, and the namespace with what is needed to reach it.
struct Scene {
    space: Space,
    smtp: ScriptedSmtp,
    token_ca: ThrowawayCa,
}

impl Scene {
    async fn new(name: &str, good_token: &str) -> Self {
        let space = Space::new(name).await;
        let authority = CertificateAuthority::new("Corp CA").unwrap();
        let config = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
        let smtp =
            ScriptedSmtp::builder().starttls(config).login_with("XOAUTH2", MAILBOX, good_token).start().await;
        let token_ca = ThrowawayCa::new(&["localhost", "127.0.0.1"]).unwrap();
        space.ca("ca", authority.pem()).await;
        space.ca("token-ca", &token_ca.ca_pem).await;
        space.password("client", CLIENT_SECRET, "localhost,127.0.0.1,::1,169.254.169.254").await;
        Self { space, smtp, token_ca }
    }

    async fn token_server(&self, answer: Answer) -> TokenServer {
        let server = TokenServer::start(self.token_ca.server_config().unwrap()).await.unwrap();
        server.otherwise(answer);
        server
    }

    fn spec(&self, token_url: &str, token_ca: &str) -> String {
        format!(
            "
auth:
  exchangeOnline:
    tenantID: corp.example
    clientID: 2b9d8c57-0000-4000-8000-c11e47000001
    username: {MAILBOX}
    clientSecretRef: {{ name: client, key: password }}
    endpoints: {{ host: localhost, port: {}, tokenURL: \"{token_url}\", caRef: {{ name: {token_ca} }} }}
tls: {{ caRef: {{ name: ca }} }}",
            self.smtp.address().port()
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_endpoints_without_a_token_say_why_and_the_secret_goes_nowhere_else() {
    let scene = Scene::new("servers-token-endpoints", "canary-token").await;
    let space = &scene.space;
    let thief = scene.token_server(Answer::token("canary-token", 3600)).await;
    let redirecting = scene.token_server(Answer::redirect(307, &thief.url("/token"))).await;
    let page = scene.token_server(Answer::html()).await;
    let unavailable =
        scene.token_server(Answer::Full(Response::new(503, "text/html", "<h1>canary maintenance"))).await;
    let slower = Answer::Full(
        Response::json(429, &json!({ "error": "temporarily_unavailable" })).header("Retry-After", "3600"),
    );
    let busy = scene.token_server(slower).await;
    let wrong =
        Answer::entra_error(401, "invalid_client", 7_000_215, "Invalid client secret provided. canary");
    let wrong = scene.token_server(wrong).await;
    let expired = scene
        .token_server(Answer::entra_error(
            401,
            "invalid_client",
            7_000_222,
            "The provided client secret keys are expired.",
        ))
        .await;
    let stranger = scene.token_server(Answer::token("canary-token", 3600)).await;
    let (down, ours) = (free_port().unwrap(), "token-ca");
    let (itself, change) = (Mends::Itself, Mends::AChange);
    let cases: [Case<'_>; 10] = [
        (
            "down",
            format!("https://localhost:{down}/token"),
            ours,
            "TokenEndpointUnavailable",
            itself,
            &["token endpoint localhost:", "cannot be reached"],
        ),
        (
            "redirecting",
            redirecting.url("/token"),
            ours,
            "TokenEndpointRedirects",
            change,
            &["redirects to localhost", "not followed because the secret would go along", "correct tokenURL"],
        ),
        (
            "page",
            page.url("/token"),
            ours,
            "BadTokenResponse",
            itself,
            &["is no usable token: it is not JSON", "check tokenURL"],
        ),
        (
            "unavailable",
            unavailable.url("/token"),
            ours,
            "TokenEndpointUnavailable",
            itself,
            &["passing problem (status 503)"],
        ),
        ("busy", busy.url("/token"), ours, "Throttled", itself, &["asks for fewer requests (status 429)"]),
        (
            "wrong",
            wrong.url("/token"),
            ours,
            "InvalidClientSecret",
            change,
            &[
                "AADSTS7000215",
                "the secret's ID was pasted instead of its value",
                "App registrations > Certificates & secrets",
            ],
        ),
        (
            "expired",
            expired.url("/token"),
            ours,
            "ClientSecretExpired",
            change,
            &["AADSTS7000222", "create a new one"],
        ),
        (
            "unknown-ca",
            stranger.url("/token"),
            "ca",
            "CertificateUnknownIssuer",
            itself,
            &["token endpoint localhost:", "give its certificate in caRef beside tokenURL"],
        ),
        (
            "loopback6",
            "https://[::1]:8443/token".into(),
            ours,
            "EgressDenied",
            change,
            &["token endpoint [::1]:8443", "loopback", "--egress-allow"],
        ),
        (
            "metadata",
            "https://169.254.169.254/token".into(),
            ours,
            "EgressDenied",
            change,
            &["169.254.169.254", "metadata", "--egress-allow"],
        ),
    ];
    space
        .apply(
            &cases.iter().map(|(name, url, ca, ..)| manifest(name, &scene.spec(url, ca))).collect::<String>(),
        )
        .await;
    for (name, _, _, reason, mends, words) in cases {
        fails(space, name, "TokenAcquired", reason, mends, words).await;
    }
    assert_eq!(thief.connections(), 0, "a redirect is not followed");
    assert_eq!(scene.smtp.count(Step::Auth), 0);
    assert!(stranger.requests().is_empty(), "nothing is said to whom we do not know");
    assert_eq!(wrong.requests().len(), 1, "a wrong secret is not tried again and again");
    // It asked to be left alone for an hour: a hundredth of that is longer than all of this takes.
    assert_eq!(busy.requests().len(), 1, "Retry-After is obeyed");

    // It works as soon as somebody corrects what the message names.
    server(space, "redirecting", &scene.spec(&thief.url("/token"), ours)).await;
    verified(space, "redirecting").await;
    let request = thief.requests().remove(0);
    assert_eq!(request.field("grant_type"), Some("client_credentials"));
    assert_eq!(request.field("client_secret"), Some(CLIENT_SECRET));
    assert_eq!(request.field("scope"), Some("https://outlook.office365.com/.default"));
}

/// What the token itself shows needs no mail server to say it; and what it does not show is what the check list is
/// for.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_looked_into_before_a_mail_server_is_bothered() {
    let scene = Scene::new("servers-refused-token", "canary-good-token").await;
    let space = &scene.space;
    let exchange = "https://outlook.office365.com";
    let token = |claims| Answer::token(&jwt(&claims), 3600);
    let roleless =
        scene.token_server(token(json!({ "aud": exchange, "roles": [], "exp": 4_000_000_000_i64 }))).await;
    let graph = scene
        .token_server(token(json!({ "aud": "https://graph.microsoft.com", "exp": 4_000_000_000_i64 })))
        .await;
    let cases: [(&str, &TokenServer, &[&str]); 2] = [
        ("roleless", &roleless, &["the token lacks the role SMTP.SendAsApp", "admin consent"]),
        ("graph", &graph, &["the token is for https://graph.microsoft.com", exchange]),
    ];
    let of =
        |name: &str, endpoint: &TokenServer| manifest(name, &scene.spec(&endpoint.url("/token"), "token-ca"));
    space.apply(&cases.iter().map(|(name, endpoint, _)| of(name, endpoint)).collect::<String>()).await;
    for (name, _, words) in cases {
        let message = fails(space, name, "TokenAcquired", "TokenUnsuitable", Mends::AChange, words).await;
        assert!(!message.contains("eyJ"), "no part of a token is shown: {message}");
        let shown = space.get(SERVERS, name).await;
        assert!(shown["status"]["token"]["audience"].is_string(), "{shown}");
    }
    assert_eq!(scene.smtp.connections(), 0, "the mail server heard nothing");

    // Somebody grants the permission and asks for a test: a new token has it.
    roleless.otherwise(Answer::token("canary-good-token", 3600));
    annotate(space, "msc", "roleless", "mail-operator.dev/verify-requested-at=now").await;
    verified(space, "roleless").await;
    assert_eq!(roleless.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_that_shows_nothing_leads_to_the_check_list() {
    let scene = Scene::new("servers-fitting-token", "canary-good-token").await;
    let space = &scene.space;
    let claims = json!({
        "aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "exp": 4_000_000_000_i64
    });
    let fitting = scene.token_server(Answer::token(&jwt(&claims), 3600)).await;
    space.apply(&manifest("fitting", &scene.spec(&fitting.url("/token"), "token-ca"))).await;
    let check_list = ["535", "New-ServicePrincipal", "Add-MailboxPermission", "FullAccess"];
    let message =
        fails(space, "fitting", "Authenticated", "AuthenticationFailed", Mends::AChange, &check_list).await;
    assert!(!message.contains("eyJ"), "no part of a token is shown: {message}");

    // Somebody does what the list says, and asks for a test: with a new token, since the old one was refused.
    fitting.otherwise(Answer::token("canary-good-token", 3600));
    annotate(space, "msc", "fitting", "mail-operator.dev/verify-requested-at=now").await;
    verified(space, "fitting").await;
    assert_eq!(fitting.requests().len(), 2);
}
