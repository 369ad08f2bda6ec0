//! SCRAM: which variant is spoken, what a server must prove and may ask for, and when the password
//! goes another way instead.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Permanence, Phase};
use base64::Engine as _;
use mail_operator_testbed::scripted_smtp::{Builder, Fault, Step};

const ALL: &str = "LOGIN PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
const WITHOUT_PLUS: &str = "LOGIN PLAIN SCRAM-SHA-256";

fn pinned(mechanism: Option<PasswordMechanism>) -> Credentials {
    Credentials::Password {
        username: "joe@corp.test".to_owned(),
        password: Secret::new("canary-password"),
        mechanism,
        allow_plaintext: false,
    }
}

fn offering(mechanisms: &str) -> Builder {
    ScriptedSmtp::builder().login_with(mechanisms, "joe@corp.test", "canary-password")
}

async fn failure(target: &Target, credentials: &Credentials) -> Failure {
    let Err(failure) = open(target, Some(credentials)).await else { panic!("must fail") };
    failure
}

/// Mechanism and initial response of every AUTH.
fn auths(server: &ScriptedSmtp) -> Vec<(String, String)> {
    let decode = |initial: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(initial).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let commands = server.commands();
    let auths = commands.iter().filter_map(|line| line.strip_prefix("AUTH ")?.split_once(' '));
    auths.map(|(mechanism, initial)| (mechanism.to_owned(), decode(initial))).collect()
}

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn the_strongest_that_fits_is_taken_and_bound() {
    use PasswordMechanism::{Login, Plain, ScramSha256, ScramSha256Plus};
    let pki = Pki::new();
    let certificate = pki.authority.server("mail.test", &[]).unwrap();
    let (tls13, tls12) = (certificate.server_config().unwrap(), certificate.tls12_server_config().unwrap());
    for (tls, offered, pin, mechanism, flag) in [
        (&tls13, ALL, None, Mechanism::ScramSha256Plus, "p=tls-exporter,,"),
        // The server is told that we could have bound, in case somebody took PLUS out of its offer.
        (&tls13, WITHOUT_PLUS, None, Mechanism::ScramSha256, "y,,"),
        (&tls13, "PLAIN LOGIN", None, Mechanism::Plain, ""),
        (&tls13, "LOGIN", None, Mechanism::Login, ""),
        (&tls13, ALL, Some(ScramSha256Plus), Mechanism::ScramSha256Plus, "p=tls-exporter,,"),
        (&tls13, ALL, Some(ScramSha256), Mechanism::ScramSha256, "n,,"),
        (&tls13, ALL, Some(Plain), Mechanism::Plain, ""),
        (&tls13, ALL, Some(Login), Mechanism::Login, ""),
        // With TLS 1.2 only who asks for it gets it, since few servers know what is left to bind to.
        (&tls12, ALL, None, Mechanism::ScramSha256, "n,,"),
        (&tls12, WITHOUT_PLUS, None, Mechanism::ScramSha256, "n,,"),
        (&tls12, ALL, Some(ScramSha256Plus), Mechanism::ScramSha256Plus, "p=tls-server-end-point,,"),
        (&tls12, "SCRAM-SHA-256-PLUS", None, Mechanism::ScramSha256Plus, "p=tls-server-end-point,,"),
    ] {
        for mode in [TlsMode::StartTls, TlsMode::Implicit] {
            let builder = offering(offered).end_point(&certificate);
            let server = match mode {
                TlsMode::Implicit => builder.implicit_tls(tls.clone()),
                _ => builder.starttls(tls.clone()),
            };
            let server = server.start().await;
            let mut session = open(&pki.target(&server, mode), Some(&pinned(pin))).await.unwrap();
            assert_eq!(session.mechanism(), Some(mechanism), "{offered} {pin:?}");
            send_one(&mut session, "jane@example.org").await;
            if mechanism != Mechanism::Login {
                let auths = auths(&server);
                assert_eq!(auths.len(), 1);
                assert!(auths[0].1.starts_with(flag), "{} is not {flag}", auths[0].1);
            }
            let says_password = server.commands().iter().any(|line| {
                base64::engine::general_purpose::STANDARD
                    .decode(line.rsplit(' ').next().unwrap_or_default())
                    .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("canary-password"))
            });
            assert_eq!(says_password, matches!(mechanism, Mechanism::Plain | Mechanism::Login));
        }
    }
}

#[tokio::test]
async fn in_the_clear_there_is_nothing_to_bind_to() {
    for (pin, offered, allow_plaintext, reason) in [
        (Some(PasswordMechanism::ScramSha256Plus), ALL, true, Some(Reason::AuthNotOffered)),
        // The password itself stays here, and still its owner has to permit it.
        (None, ALL, false, Some(Reason::PlaintextNotAllowed)),
        (None, ALL, true, None),
    ] {
        let server = offering(offered).start().await;
        let credentials = Credentials::Password {
            username: "joe@corp.test".to_owned(),
            password: Secret::new("canary-password"),
            mechanism: pin,
            allow_plaintext,
        };
        match (open(&plain(server.address()), Some(&credentials)).await, reason) {
            (Ok(session), None) => {
                assert_eq!(session.mechanism(), Some(Mechanism::ScramSha256));
                assert!(auths(&server)[0].1.starts_with("n,,"));
            }
            (Err(failure), Some(reason)) => {
                assert_eq!((failure.reason, failure.permanence), (reason, Permanence::UntilChanged));
                assert_eq!(server.count(Step::Auth), 0);
            }
            (outcome, _) => panic!("{reason:?}: {:?}", outcome.err()),
        }
    }
}

#[tokio::test]
async fn names_and_passwords_of_all_kinds() {
    let pki = Pki::new();
    for (user, password, stored) in [
        ("a=b,c@corp.test", "p,=w", "p,=w"),
        ("joe@corp.test", "grüße", "grüße"),
        // RFC 4013: one password, written in two ways.
        ("joe@corp.test", "o\u{fb03}ce", "office"),
        // Has no SASLprep form.
        ("joe@corp.test", "bell\u{7}", "bell\u{7}"),
    ] {
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .login_with("SCRAM-SHA-256", user, stored)
            .start()
            .await;
        let credentials = Credentials::Password {
            username: user.to_owned(),
            password: Secret::new(password),
            mechanism: None,
            allow_plaintext: false,
        };
        let session = open(&pki.target(&server, TlsMode::StartTls), Some(&credentials)).await;
        assert!(session.is_ok(), "{user} {password}: {:?}", session.err());
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_gets_no_mail() {
    let pki = Pki::new();
    for (nth, reply) in [
        // Instead of its proof, with another's proof, and with one that is cut off.
        (1, "235 2.7.0 Welcome".to_owned()),
        (1, format!("334 {}", encoded("v=AAAA"))),
        (1, format!("334 {}", encoded("v="))),
        (1, format!("334 {}", encoded("v"))),
        (1, "334 ".to_owned()),
    ] {
        let server = offering(ALL)
            .starttls(pki.server())
            .fault_at(Step::AuthResponse, nth, Fault::reply(reply.clone()))
            .start()
            .await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!((failure.reason, failure.phase), (Reason::ProtocolViolation, Phase::Auth), "{reply}");
        assert!(failure.detail.contains("without proving"), "{reply}: {}", failure.detail);
        server.idle().await;
        assert_eq!(server.count(Step::Auth), 1, "{reply}");
    }
    // Also one that says so before it has asked anything.
    let server =
        offering(ALL).starttls(pki.server()).fault(Step::Auth, Fault::reply("235 Welcome")).start().await;
    let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
    assert!(failure.detail.contains("without proving"), "{}", failure.detail);
}

#[tokio::test]
async fn challenges_that_make_no_sense_or_cost_too_much() {
    let pki = Pki::new();
    let long = format!("r=x,s={},i=4096", "A".repeat(1300));
    for challenge in ["", "r=,,", "r", "v=AAAA", "m=x,r=a,s=QQ==,i=4096", "r=other,s=QQ==,i=4096", &long] {
        let server = offering(WITHOUT_PLUS)
            .starttls(pki.server())
            .fault(Step::Auth, Fault::reply(format!("334 {}", encoded(challenge))))
            .start()
            .await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!((failure.reason, failure.phase), (Reason::ProtocolViolation, Phase::Auth), "{challenge}");
        assert_eq!(server.count(Step::Auth), 1, "{challenge}");
    }
    for rounds in [1, 4095, 1_000_001, u32::MAX] {
        let server = offering(WITHOUT_PLUS).starttls(pki.server()).scram_rounds(rounds).start().await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!(
            (failure.reason, failure.permanence),
            (Reason::ProtocolViolation, Permanence::UntilChanged)
        );
        assert!(failure.detail.contains(&rounds.to_string()), "{}", failure.detail);
        server.idle().await;
        assert_eq!(server.count(Step::AuthResponse), 0, "{rounds}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_once() {
    let pki = Pki::new();
    for answer in [None, Some("334 ZT1pbnZhbGlkLXByb29m")] {
        let mut builder =
            ScriptedSmtp::builder().starttls(pki.server()).login_with(ALL, "joe@corp.test", "another");
        if let Some(answer) = answer {
            // `e=invalid-proof`, and only then the refusal.
            builder = builder.fault_at(Step::AuthResponse, 1, Fault::reply(answer));
        }
        let server = builder.start().await;
        let failure = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
        assert_eq!(
            (failure.reason, failure.permanence, failure.reply.as_ref().map(|reply| reply.code)),
            (Reason::AuthenticationFailed, Permanence::UntilChanged, Some(535))
        );
        assert!(failure.detail.contains("auth.basic.mechanism"), "{}", failure.detail);
        assert_eq!(failure.detail.contains("invalid-proof"), answer.is_some(), "{}", failure.detail);
        server.idle().await;
        assert_eq!(server.count(Step::Auth), 1);
    }
}

#[tokio::test]
async fn where_scram_has_no_secret_the_password_goes_the_other_way() {
    let pki = Pki::new();
    let server = offering(ALL).starttls(pki.server()).without_scram_secrets().start().await;
    let mut target = pki.target(&server, TlsMode::StartTls);
    let mut session = open(&target, Some(&password(false))).await.unwrap();
    assert_eq!(session.mechanism(), Some(Mechanism::Plain));
    send_one(&mut session, "jane@example.org").await;
    let used = |server: &ScriptedSmtp| auths(server).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(used(&server), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"]);
    // The next session does not ask again for what the server does not have.
    target.auth_hint = session.auth_hint();
    let session = open(&target, Some(&password(false))).await.unwrap();
    assert_eq!(used(&server)[3..], ["PLAIN"]);
    target.auth_hint = session.auth_hint();
    open(&target, Some(&password(false))).await.unwrap();
    assert_eq!(used(&server)[4..], ["PLAIN"]);
    // What was the best there was yesterday is no reason to pass by something better today.
    target.auth_hint = Some(AuthHint { is_second_choice: false, ..target.auth_hint.unwrap() });
    open(&target, Some(&password(false))).await.unwrap();
    assert_eq!(used(&server)[5], "SCRAM-SHA-256-PLUS");
}

#[tokio::test]
async fn where_the_password_does_not_go_another_way() {
    let pki = Pki::new();
    let failing = |pin: Option<PasswordMechanism>, line: &'static str| {
        let builder = offering(ALL).starttls(pki.server()).fault_once(Step::Auth, Fault::reply(line));
        let client = &pki;
        async move {
            let server = builder.start().await;
            let failure = failure(&client.target(&server, TlsMode::StartTls), &pinned(pin)).await;
            (failure.reason, server.count(Step::Auth))
        }
    };
    let refused = "535 5.7.8 no";
    // Somebody wants exactly this mechanism.
    let pin = Some(PasswordMechanism::ScramSha256);
    assert_eq!(failing(pin, refused).await, (Reason::AuthenticationFailed, 1));
    // It is not about the mechanism.
    let disabled = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.";
    assert_eq!(failing(None, disabled).await, (Reason::BasicAuthDisabled, 1));
    assert_eq!(failing(None, "454 4.7.0 later").await, (Reason::ServiceUnavailable, 1));
    assert_eq!(failing(None, "421 4.7.0 later").await, (Reason::Throttled, 1));
    // Nobody knows who refuses.
    let server = offering(ALL).without_scram_secrets().start().await;
    let in_the_clear = failure(&plain(server.address()), &password(true)).await;
    assert_eq!((in_the_clear.reason, server.count(Step::Auth)), (Reason::AuthenticationFailed, 1));
    // The server has had enough: what it said first is what counts.
    let server = offering(WITHOUT_PLUS)
        .starttls(pki.server())
        .without_scram_secrets()
        .fault_at(Step::Auth, 2, Fault::Eof)
        .start()
        .await;
    let enough = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
    assert_eq!((enough.reason, enough.reply.unwrap().code), (Reason::AuthenticationFailed, 535));
    // The password itself is wrong: said by the mechanism that looked at it.
    let server = ScriptedSmtp::builder()
        .starttls(pki.server())
        .without_scram_secrets()
        .login_with(WITHOUT_PLUS, "joe@corp.test", "another")
        .start()
        .await;
    let wrong = failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
    assert_eq!((wrong.reason, server.count(Step::Auth)), (Reason::AuthenticationFailed, 2));
    assert!(!wrong.detail.contains("SCRAM"), "{}", wrong.detail);
}
