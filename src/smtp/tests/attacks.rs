//! Somebody on the way, or a server that is not what it seems: no byte of a credential leaves where it
//! must not, and nothing is believed that anybody could have said. What is heard on the other side is
//! compared byte for byte.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Phase, Scope};
use base64::Engine as _;
use mail_operator_testbed::scripted_smtp::{Builder, Fault, Step};

/// What the victim's server is told in the clear, and no more.
const HELLO: &[u8] = b"EHLO client.test\r\n";
const STARTTLS: &[u8] = b"EHLO client.test\r\nSTARTTLS\r\n";

fn anybody() -> [Credentials; 3] {
    // The Secret's owner permits plain text, which is no reason where TLS is configured.
    [
        password(true),
        token("canary-password", TokenMechanism::XOAuth2),
        token("canary-password", TokenMechanism::OAuthBearer),
    ]
}

fn login(pki: &Pki) -> Builder {
    let all = "PLAIN LOGIN XOAUTH2 OAUTHBEARER";
    ScriptedSmtp::builder().starttls(pki.server()).login_with(all, "joe@corp.test", "canary-password")
}

async fn failure(target: &Target, credentials: &Credentials) -> Failure {
    let Err(failure) = open(target, Some(credentials)).await else { panic!("must fail") };
    assert!(!format!("{failure} {failure:?}").contains("canary"));
    failure
}

/// The password in the clear, or in base64 at any of the three places a byte can have in it.
fn says_the_secret(heard: &[u8]) -> bool {
    let encoded = (0..3).map(|shift| {
        let shifted = [vec![b'x'; shift], b"canary-password".to_vec()].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(shifted);
        text[4..text.len() - 4].to_owned()
    });
    encoded.chain(["canary".to_owned()]).any(|words| memchr::memmem::find(heard, words.as_bytes()).is_some())
}

#[test]
fn a_secret_is_found_in_whatever_form() {
    for said in [
        "joe canary-password",
        "\0joe@corp.test\0canary-password",
        "n,a=j,\u{1}auth=Bearer canary-password\u{1}\u{1}",
    ] {
        assert!(says_the_secret(said.as_bytes()));
        assert!(says_the_secret(base64::engine::general_purpose::STANDARD.encode(said).as_bytes()));
    }
    assert!(!says_the_secret(STARTTLS));
}

#[tokio::test]
async fn a_login_offered_in_the_clear_is_not_taken_up() {
    let pki = Pki::new();
    for hello in [
        // STARTTLS stripped, or nearly.
        "250-evil.test\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER",
        "250-evil.test\r\n250-AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n250 XSTARTTLS",
        "250-evil.test\r\n250-AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n250 XXXXXXXA STARTTLS",
        "250-evil.test STARTTLS\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER",
        "250 STARTTLS",
        "250-evil.test\r\n250-AUTH=PLAIN LOGIN\r\n250 STARTTL",
    ] {
        for credentials in anybody() {
            let server = login(&pki).fault(Step::Ehlo, Fault::reply(hello)).start().await;
            let failure = failure(&pki.target(&server, TlsMode::StartTls), &credentials).await;
            assert_eq!(
                (failure.reason, failure.scope),
                (Reason::StartTLSNotOffered, Scope::Server),
                "{hello}"
            );
            server.idle().await;
            assert_eq!(
                server.heard().escape_ascii().to_string(),
                HELLO.escape_ascii().to_string(),
                "{hello}"
            );
        }
    }
}

#[tokio::test]
async fn starttls_that_is_answered_otherwise_ends_it() {
    let pki = Pki::new();
    for answer in [
        "250 2.0.0 Ready",
        "221 2.0.0 Bye",
        "235 2.7.0 You are logged in already",
        "334 ",
        "354 Go ahead",
        "454 4.7.0 TLS not available, please log in as it is",
        "503 5.5.1 TLS is active already",
        "530 5.7.0 Authentication required",
        "220-2.0.0 Ready\r\n250 2.0.0 Ready",
    ] {
        for credentials in anybody() {
            let server = login(&pki).fault(Step::StartTls, Fault::reply(answer)).start().await;
            let failure = failure(&pki.target(&server, TlsMode::StartTls), &credentials).await;
            assert_eq!((failure.phase, failure.scope), (Phase::StartTls, Scope::Server), "{answer}");
            server.idle().await;
            assert_eq!(
                server.heard().escape_ascii().to_string(),
                STARTTLS.escape_ascii().to_string(),
                "{answer}"
            );
        }
    }
}

/// CVE-2011-0411 turned around: what somebody slips in before the handshake would count as the server's
/// answers to what is said under its protection.
#[tokio::test]
async fn nothing_slipped_in_before_the_handshake_counts() {
    let pki = Pki::new();
    let server_name = b"250-mail.test\r\n250 AUTH PLAIN\r\n";
    for slipped in [
        b"2".as_slice(),
        b"\r\n",
        b"\0",
        b"220 2.0.0 Ready\r\n",
        b"421 4.3.2 Closing\r\n",
        server_name,
        &[server_name.as_slice(), b"235 2.7.0 Welcome\r\n"].concat(),
        // The head of a TLS record.
        &[22, 3, 3],
    ] {
        for credentials in anybody() {
            let server = login(&pki).fault(Step::StartTls, Fault::Followed(slipped.to_vec())).start().await;
            let failure = failure(&pki.target(&server, TlsMode::StartTls), &credentials).await;
            assert_eq!((failure.reason, failure.phase), (Reason::ProtocolViolation, Phase::StartTls));
            server.idle().await;
            assert_eq!(server.heard().escape_ascii().to_string(), STARTTLS.escape_ascii().to_string());
        }
    }
}

#[tokio::test]
async fn what_is_announced_before_tls_is_forgotten() {
    let pki = Pki::new();
    // A size nothing fits into, one recipient a transaction, no login but the weakest; and promises.
    let forged = "250-evil.test\r\n250-SIZE 1\r\n250-LIMITS RCPTMAX=1 MAILMAX=1\r\n250-AUTH LOGIN\r\n\
                  250-8BITMIME\r\n250-SMTPUTF8\r\n250-XEVIL\r\n250 STARTTLS";
    let server = login(&pki)
        .extensions(&["PIPELINING", "SIZE 1000"])
        .fault(Step::Ehlo, Fault::reply(forged))
        .start()
        .await;
    let target = pki.target(&server, TlsMode::StartTls);
    let mut session = open(&target, Some(&password(false))).await.unwrap();
    let info = session.info().clone();
    assert_eq!(info.extensions, ["PIPELINING", "SIZE", "AUTH"]);
    assert_eq!(info.auth_mechanisms, ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"]);
    assert_eq!(info.max_message_bytes, Some(1000));
    assert_eq!(session.begin(&to(&["a@example.org", "b@example.org"])).await.unwrap().accepted(), 2);
    assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
    let eight_bit = Envelope { eight_bit: true, ..to(&["a@example.org"]) };
    assert_eq!(session.begin(&eight_bit).await.unwrap_err().reason, Reason::InvalidMessage);
    assert!(server.commands().iter().any(|line| line.starts_with("AUTH PLAIN ")));
    assert_eq!(server.heard_in_the_clear(), STARTTLS);
}

/// Under TLS the server itself may try: a token is never a password, a pinned mechanism never another,
/// and STARTTLS is not begun anew.
#[tokio::test]
async fn no_weaker_login_is_fallen_back_to() {
    let pki = Pki::new();
    let pinned = Credentials::Password {
        username: "joe@corp.test".to_owned(),
        password: Secret::new("canary-password"),
        mechanism: Some(PasswordMechanism::Plain),
        allow_plaintext: true,
    };
    for (credentials, offered) in [
        (token("canary-password", TokenMechanism::XOAuth2), "PLAIN LOGIN OAUTHBEARER"),
        (token("canary-password", TokenMechanism::OAuthBearer), "PLAIN LOGIN XOAUTH2"),
        (pinned, "LOGIN XOAUTH2 OAUTHBEARER CRAM-MD5"),
        (password(true), "XOAUTH2 ANONYMOUS EXTERNAL NTLM"),
    ] {
        for mode in [TlsMode::StartTls, TlsMode::Implicit, TlsMode::Disabled] {
            let builder = ScriptedSmtp::builder().login_with(offered, "joe@corp.test", "canary-password");
            let server = match mode {
                TlsMode::StartTls => builder.starttls(pki.server()),
                TlsMode::Implicit => builder.implicit_tls(pki.server()),
                TlsMode::Disabled => builder,
            };
            let server = server.start().await;
            let failure = failure(&pki.target(&server, mode), &credentials).await;
            assert!(
                matches!(failure.reason, Reason::AuthNotOffered | Reason::PlaintextNotAllowed),
                "{failure}"
            );
            server.idle().await;
            assert!(!says_the_secret(&server.heard()));
            assert!(!server.commands().iter().any(|line| line.starts_with("AUTH")));
        }
    }
    let again = "250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN";
    let server = login(&pki).fault(Step::EhloAfterTls, Fault::reply(again)).start().await;
    open(&pki.target(&server, TlsMode::StartTls), Some(&password(false))).await.unwrap();
    assert_eq!((server.count(Step::StartTls), server.heard_in_the_clear().as_slice()), (1, STARTTLS));
}

/// A login refused under one mechanism is not said again under another, nor to a server that says at
/// MAIL that it has forgotten it.
#[tokio::test]
async fn a_credential_is_not_coaxed_out_again() {
    let pki = Pki::new();
    let auths =
        |server: &ScriptedSmtp| server.commands().iter().filter(|line| line.starts_with("AUTH")).count();
    let server =
        login(&pki).fault(Step::Auth, Fault::reply("535 5.7.8 PLAIN is broken, try LOGIN")).start().await;
    failure(&pki.target(&server, TlsMode::StartTls), &password(false)).await;
    assert_eq!(auths(&server), 1);

    let forgets = Fault::reply("530 5.7.0 Authentication required");
    let server = login(&pki).fault(Step::Mail, forgets).start().await;
    let target = pki.target(&server, TlsMode::StartTls);
    let mut session = open(&target, Some(&password(false))).await.unwrap();
    let refused = session.begin(&to(&["jane@example.org"])).await.unwrap_err();
    assert_eq!((refused.scope, refused.reason), (Scope::Server, Reason::AuthenticationFailed));
    assert_eq!(auths(&server), 1);
}

/// SMTP has answers that name another place. None of them moves us.
#[tokio::test]
async fn nobody_sends_us_elsewhere() {
    let pki = Pki::new();
    let decoy = login(&pki).start().await;
    let there = decoy.address();
    for (step, answer) in [
        (Step::Greeting, format!("421 4.3.2 Moved, use {there}")),
        (Step::Greeting, format!("554 5.3.2 Use {there}")),
        (Step::Ehlo, format!("550 5.3.2 Use {there}")),
        (Step::StartTls, format!("454 4.7.0 Use {there}")),
        (Step::EhloAfterTls, format!("421 4.3.2 Use {there}")),
        (Step::Auth, format!("432 4.7.12 Use {there}")),
        (Step::Mail, format!("551 5.1.6 Use {there}")),
        (Step::Rcpt, format!("551 5.1.6 User not local; please try <jane@[{there}]>")),
        (Step::Data, format!("551 5.1.6 Use {there}")),
        (Step::Dot, format!("551 5.1.6 Use {there}")),
    ] {
        let server = login(&pki).fault(step, Fault::reply(answer)).start().await;
        let mut target = pki.target(&server, TlsMode::StartTls);
        target.deadlines = Deadlines::all(Duration::from_secs(20));
        if let Ok(mut session) = open(&target, Some(&password(false))).await {
            if session.begin(&to(&["jane@example.org"])).await.is_ok() {
                assert!(!matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
            }
            session.quit().await;
        }
        server.idle().await;
        assert_eq!((server.connections(), decoy.connections()), (1, 0), "{step:?}");
        assert!(server.ledger().is_empty());
        assert!(!says_the_secret(&server.heard_in_the_clear()));
    }
    // 251 says that the server forwards by itself, to whom is its own affair.
    let forwards = Fault::reply("251 2.1.5 User not local; will forward to <evil@evil.test>");
    let server = login(&pki).fault(Step::Rcpt, forwards).start().await;
    let mut session = open(&pki.target(&server, TlsMode::StartTls), Some(&password(false))).await.unwrap();
    send_one(&mut session, "jane@example.org").await;
    assert_eq!(server.ledger()[0].recipients, ["jane@example.org"]);
    assert!(memchr::memmem::find(&server.heard(), b"evil").is_none());
}
