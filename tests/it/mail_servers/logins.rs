//! Every mechanism at every server that offers it, with right and wrong secrets, over both kinds of TLS.

use super::servers::{PASSWORD, Scene, USER, password, scene, token};
use super::{log_in, message, send, target, with_each_server};
use mail_operator::api::Reason;
use mail_operator::domain::failure::{Permanence, Scope};
use mail_operator::domain::secret::Secret;
use mail_operator::smtp::{Credentials, PasswordMechanism, TlsMode, TokenMechanism};

/// The credentials for a mechanism, right and wrong.
fn credentials(mechanism: &str) -> (Credentials, Credentials) {
    let scene = Scene::started();
    let by_password =
        |mechanism| (password(PASSWORD, Some(mechanism)), password("canary-wrong", Some(mechanism)));
    let by_token =
        |mechanism| (scene.token(mechanism), token(Secret::new("e30.e30.AAAA".to_owned()), mechanism));
    match mechanism {
        "EXTERNAL" => {
            let of =
                |username: Option<&str>| Credentials::Certificate { username: username.map(str::to_owned) };
            (of(None), of(Some("ceo@corp.example")))
        }
        "SCRAM-SHA-256" => by_password(PasswordMechanism::ScramSha256),
        "PLAIN" => by_password(PasswordMechanism::Plain),
        "LOGIN" => by_password(PasswordMechanism::Login),
        "XOAUTH2" => by_token(TokenMechanism::XOAuth2),
        "OAUTHBEARER" => by_token(TokenMechanism::OAuthBearer),
        other => panic!("no credentials for {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_opens_every_server_that_offers_it() {
    with_each_server(async |server| {
        for mechanism in server.mechanisms {
            let (right, wrong) = credentials(mechanism);
            for tls in [TlsMode::StartTls, TlsMode::Implicit] {
                if tls == TlsMode::Implicit && server.implicit_port.is_none() {
                    continue;
                }
                let case = format!("{} at {} with {tls:?}", mechanism, server.name);
                let target = target(server, tls);
                let session = log_in(&target, Some(&right)).await;
                let mut session = session.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                assert!(session.info().auth_mechanisms.iter().any(|offered| offered == mechanism), "{case}");
                let to = server.address(&format!("login-{}-{tls:?}", mechanism.to_lowercase()));
                send(&mut session, &[&to], &message("Hello\r\n")).await;
                session.quit().await;
                server.handed_on(&to, 1).await;

                let refused = log_in(&target, Some(&wrong)).await.err();
                let failure = refused.unwrap_or_else(|| panic!("{case}: was let in with a wrong secret"));
                assert_eq!(failure.reason, Reason::AuthenticationFailed, "{case}: {failure:?}");
                assert_eq!(failure.scope, Scope::Server, "{case}");
                assert_eq!(failure.permanence, Permanence::UntilChanged, "{case}: {failure:?}");
                let shown = format!("{failure:?}");
                assert!(!shown.contains("canary") && !shown.contains(USER), "{case}: {shown}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_longer_than_a_command_line() {
    let Credentials::Token { token, .. } = scene().await.token(TokenMechanism::XOAuth2) else { panic!() };
    let length = token.expose().len();
    assert!((2048..4096).contains(&length), "{length} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_log_in_may_not_send() {
    with_each_server(async |server| {
        let mut session = log_in(&target(server, TlsMode::StartTls), None).await.unwrap();
        let body = message("Hello\r\n");
        let to = server.address("stranger");
        let failure = session.begin(&super::envelope(&[&to], &body)).await.map(|opened| opened.accepted());
        assert!(failure.is_err() || failure == Ok(0), "{}: {failure:?}", server.name);
        assert_eq!(server.sink.copies_for(&to), 0);
    })
    .await;
}
