//! AUTH: which mechanism, in which form, over which connection, and what a refusal means.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Permanence, Phase, Scope};
use mail_operator_testbed::scripted_smtp::{Fault, Step};

async fn failure(target: &Target, credentials: &Credentials) -> Failure {
    let Err(failure) = open(target, Some(credentials)).await else { panic!("must fail") };
    failure
}

#[tokio::test]
async fn every_mechanism_in_both_forms() {
    let pki = Pki::new();
    let pinned = |mechanism| Credentials::Password {
        username: "joe@corp.test".to_owned(),
        password: Secret::new("canary-password"),
        mechanism: Some(mechanism),
        allow_plaintext: false,
    };
    for (mechanism, credentials) in [
        ("PLAIN", password(false)),
        ("LOGIN", password(false)),
        ("SCRAM-SHA-256", password(false)),
        ("SCRAM-SHA-256-PLUS", password(false)),
        ("SCRAM-SHA-256", pinned(PasswordMechanism::ScramSha256)),
        ("SCRAM-SHA-256-PLUS", pinned(PasswordMechanism::ScramSha256Plus)),
        ("PLAIN", pinned(PasswordMechanism::Plain)),
        ("LOGIN", pinned(PasswordMechanism::Login)),
        ("XOAUTH2", token("canary-password", TokenMechanism::XOAuth2)),
        ("OAUTHBEARER", token("canary-password", TokenMechanism::OAuthBearer)),
    ] {
        for challenge_form_only in [false, true] {
            let mut builder = ScriptedSmtp::builder().starttls(pki.server()).login_with(
                mechanism,
                "joe@corp.test",
                "canary-password",
            );
            if challenge_form_only {
                builder = builder.challenge_form_only();
            }
            let server = builder.start().await;
            let mut target = pki.target(&server, TlsMode::StartTls);
            let mut session = open(&target, Some(&credentials)).await.unwrap();
            send_one(&mut session, "jane@example.org").await;
            assert_eq!(server.ledger()[0].user.as_deref(), Some("joe@corp.test"));
            // What worked is used at once the next time.
            let before = server.count(Step::Auth);
            target.auth_hint = session.auth_hint();
            open(&target, Some(&credentials)).await.unwrap();
            let commands = server.commands();
            let auth = commands.iter().filter(|line| line.starts_with("AUTH")).count();
            let refused_once = usize::from(challenge_form_only && mechanism != "LOGIN");
            assert_eq!((auth, server.count(Step::Auth) - before), (2 + refused_once, 1), "{mechanism}");
            // RFC 4954: no EHLO behind AUTH.
            let last_hello = commands.iter().rposition(|line| line.starts_with("EHLO"));
            assert!(last_hello < commands.iter().rposition(|line| line.starts_with("AUTH")));
        }
    }
}

#[tokio::test]
async fn a_long_token_follows_the_command() {
    let pki = Pki::new();
    for length in [200, 280, 1500, 12_000] {
        let long = "t".repeat(length);
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .login_with("XOAUTH2", "joe@corp.test", &long)
            .start()
            .await;
        let target = pki.target(&server, TlsMode::StartTls);
        let session = open(&target, Some(&token(&long, TokenMechanism::XOAuth2))).await.unwrap();
        let commands = server.commands();
        let auth = commands.iter().find(|line| line.starts_with("AUTH")).unwrap();
        assert!(auth.len() + 2 <= 512, "{length}");
        let form = if length <= 280 { AuthForm::InitialResponse } else { AuthForm::Challenge };
        assert_eq!(session.auth_hint().map(|hint| hint.form), Some(form), "{length}");
    }
}

#[tokio::test]
async fn a_login_is_not_sent_in_the_clear() {
    for (credentials, is_sent) in [
        (password(false), false),
        (password(true), true),
        (token("canary-password", TokenMechanism::XOAuth2), false),
        (token("canary-password", TokenMechanism::OAuthBearer), false),
    ] {
        let server = ScriptedSmtp::builder()
            .login_with("PLAIN LOGIN XOAUTH2 OAUTHBEARER", "joe@corp.test", "canary-password")
            .start()
            .await;
        let outcome = open(&plain(server.address()), Some(&credentials)).await.map(drop);
        match outcome {
            Ok(()) => assert!(is_sent),
            Err(failure) => {
                assert!(!is_sent);
                assert_eq!(
                    (failure.reason, failure.permanence),
                    (Reason::PlaintextNotAllowed, Permanence::UntilChanged)
                );
            }
        }
        server.idle().await;
        assert_eq!(server.commands().iter().any(|line| line.starts_with("AUTH")), is_sent);
    }
}

#[tokio::test]
async fn a_connection_that_skipped_a_stage_is_not_logged_in() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder()
        .starttls(pki.server())
        .login("joe@corp.test", "canary-password")
        .start()
        .await;
    let target = pki.target(&server, TlsMode::StartTls);
    let connected = connect(&target, &[server.address()]).await.unwrap();
    assert!(connected.authenticate(Some(&password(true))).await.is_err());
    server.idle().await;
    assert!(!server.commands().iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn nothing_that_fits_is_offered() {
    let pki = Pki::new();
    for (mechanisms, words) in [("", "no login at all"), ("CRAM-MD5 XOAUTH2", "only CRAM-MD5, XOAUTH2")] {
        let server =
            ScriptedSmtp::builder().starttls(pki.server()).login_with(mechanisms, "joe", "x").start().await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!((failure.reason, failure.permanence), (Reason::AuthNotOffered, Permanence::UntilChanged));
        assert!(failure.detail.contains(words), "{}", failure.detail);
        assert!(failure.detail.contains("PLAIN or LOGIN"));
        server.idle().await;
        assert!(!server.commands().iter().any(|line| line.starts_with("AUTH")));
    }
}

#[tokio::test]
async fn refused_logins() {
    let pki = Pki::new();
    for mechanism in ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"] {
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .login_with(mechanism, "joe@corp.test", "another")
            .start()
            .await;
        let credentials = match mechanism {
            "XOAUTH2" => token("canary-password", TokenMechanism::XOAuth2),
            "OAUTHBEARER" => token("canary-password", TokenMechanism::OAuthBearer),
            _ => password(false),
        };
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &credentials).await;
        assert_eq!(
            (failure.scope, failure.permanence, failure.reason, failure.phase),
            (Scope::Server, Permanence::UntilChanged, Reason::AuthenticationFailed, Phase::Auth)
        );
        // The real refusal, not the challenge that came before it.
        assert_eq!(failure.reply.as_ref().map(|reply| reply.code), Some(535), "{mechanism}");
        let is_token = matches!(mechanism, "XOAUTH2" | "OAUTHBEARER");
        assert_eq!(failure.detail.contains("status 401"), is_token, "{}", failure.detail);
        // Once: accounts get locked for less.
        let auths = server.commands().iter().filter(|line| line.starts_with("AUTH")).count();
        assert_eq!(auths, 1, "{mechanism}");
    }
}

#[tokio::test]
async fn what_servers_say_to_a_login() {
    use Permanence::{Temporary, UntilChanged};
    let pki = Pki::new();
    for (line, permanence, reason, auths) in [
        (
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
            UntilChanged,
            Reason::BasicAuthDisabled,
            1,
        ),
        (
            "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant.",
            UntilChanged,
            Reason::SmtpAuthDisabled,
            1,
        ),
        ("454 4.7.0 Temporary authentication failure", Temporary, Reason::ServiceUnavailable, 1),
        ("421 4.7.0 Too many", Temporary, Reason::Throttled, 1),
        // The other form is tried once.
        ("504 5.5.4 no", UntilChanged, Reason::AuthNotOffered, 2),
        ("501 5.5.2 no", UntilChanged, Reason::AuthenticationFailed, 2),
        ("500 no", UntilChanged, Reason::AuthenticationFailed, 2),
        ("451 4.5.0 no", Temporary, Reason::ServiceUnavailable, 2),
    ] {
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .login("joe@corp.test", "canary-password")
            .fault(Step::Auth, Fault::reply(line))
            .start()
            .await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!((failure.permanence, failure.reason), (permanence, reason), "{line}");
        assert_eq!(server.count(Step::Auth), auths, "{line}");
    }
}

#[tokio::test]
async fn challenges_end() {
    let pki = Pki::new();
    for mechanism in ["PLAIN", "LOGIN", "XOAUTH2"] {
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .login_with(mechanism, "joe@corp.test", "another")
            .fault(Step::Auth, Fault::reply("334 not base64!"))
            .fault(Step::AuthResponse, Fault::reply("334 and again"))
            .start()
            .await;
        let credentials = match mechanism {
            "XOAUTH2" => token("canary-password", TokenMechanism::XOAuth2),
            _ => password(false),
        };
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &credentials).await;
        assert_eq!(failure.reason, Reason::ProtocolViolation, "{mechanism}");
        let secret = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode("\0joe@corp.test\0canary-password")
        };
        let copies = server.commands().iter().filter(|line| line.contains(&secret)).count();
        assert!(copies <= 1, "{mechanism} says the password {copies} times");
    }
}

#[tokio::test]
async fn echoed_credentials_are_masked() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let pki = Pki::new();
    let plain = encode("\0joe@corp.test\0canary-password");
    let reply = format!("535 5.7.8 bad: {plain} canary-password joe@corp.test");
    let server = ScriptedSmtp::builder()
        .starttls(pki.server())
        .login("joe@corp.test", "canary-password")
        .fault(Step::Auth, Fault::reply(reply))
        .start()
        .await;
    let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
    let reply = failure.reply.clone().unwrap();
    assert_eq!(reply.safe_text(), "bad: *** *** ***");
    let printed = format!("{failure} {failure:?} {reply} {reply:?} {:?}", password(false));
    for secret in ["canary", &plain, "joe@corp.test"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn unusable_credentials_stay_here() {
    let pki = Pki::new();
    let server =
        ScriptedSmtp::builder().starttls(pki.server()).login_with("PLAIN XOAUTH2", "joe", "x").start().await;
    let target = pki.target(&server, TlsMode::StartTls);
    let with = |username: &str, secret: &str| Credentials::Password {
        username: username.to_owned(),
        password: Secret::new(secret),
        mechanism: None,
        allow_plaintext: false,
    };
    for credentials in [
        with("", "x"),
        with("joe", ""),
        with("joe\0", "x"),
        with("joe", "x\0"),
        with("joe\r\n", "x"),
        Credentials::Token {
            username: "joe\u{1}auth=Bearer other".to_owned(),
            token: Secret::new("x"),
            mechanism: Some(TokenMechanism::XOAuth2),
        },
        token("", TokenMechanism::XOAuth2),
    ] {
        let failure = failure(&target, &credentials).await;
        assert_eq!((failure.reason, failure.reply), (Reason::AuthenticationFailed, None));
    }
    assert_eq!(server.count(Step::Auth), 0);
}

#[tokio::test]
async fn mail_without_a_login_that_is_demanded() {
    let server = ScriptedSmtp::builder().login("joe", "x").start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    let failure = session.begin(&to(&["jane@example.org"])).await.unwrap_err();
    assert_eq!((failure.scope, failure.reason), (Scope::Server, Reason::AuthenticationRequired));
}
