//! A server that repeats the login in whatever it says after it: in any reply of the session, in any encoding, in
//! parts. What is made of the replies shows none of it, and they are judged as if it were not there.

use super::*;
use crate::api::Reason;
use crate::domain::failure::Reply;
use base64::Engine as _;
use mail_operator_testbed::scripted_smtp::{Fault, Step};

/// What a server could make of `joe@corp.test` and `canary-password`.
fn echoes() -> Vec<String> {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let hex = "canary-password".bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    vec![
        "canary-password".into(),
        "CANARY-PASSWORD".into(),
        "canary-pass".into(),
        "canary%2Dpassword".into(),
        "canary=2Dpassword".into(),
        "canary\\u002dpassword".into(),
        hex.to_lowercase(),
        hex,
        encode("canary-password"),
        encode("\0joe@corp.test\0canary-password"),
        encode("joe@corp.test"),
        "user=joe@corp.test".into(),
        "for joe".into(),
    ]
}

fn shows_nothing(shown: &str, echo: &str) {
    let lower = shown.to_lowercase();
    for part in ["canary", "password", "joe", echo] {
        assert!(!lower.contains(&part.to_lowercase()), "{echo}: {shown}");
    }
}

async fn session(builder: mail_operator_testbed::scripted_smtp::Builder) -> (ScriptedSmtp, Session) {
    let server = builder.login("joe@corp.test", "canary-password").start().await;
    let session = open(&plain(server.address()), Some(&password(true))).await.unwrap();
    (server, session)
}

#[tokio::test]
async fn no_reply_after_the_login_shows_it() {
    for echo in echoes() {
        for (step, code) in [
            (Step::Mail, "550 5.7.1"),
            (Step::Mail, "451 4.3.0"),
            (Step::Rcpt, "550 5.1.1"),
            (Step::Data, "554 5.6.0"),
            (Step::Body, "554 5.6.0"),
            (Step::Dot, "554 5.6.0"),
            (Step::Dot, "250 2.0.0"),
            (Step::Dot, "252 2.0.0"),
        ] {
            let reply = format!("{code} no: {echo} (sorry)");
            let (_server, mut session) =
                session(ScriptedSmtp::builder().fault(step, Fault::reply(&reply))).await;
            let shown = match session.begin(&to(&["ada@corp.test"])).await {
                Ok(opened) if opened.accepted() == 1 => {
                    let outcome = session.data(MESSAGE).await;
                    let said = match &outcome {
                        DataOutcome::Accepted(reply) => reply.to_string(),
                        DataOutcome::Refused(failure)
                        | DataOutcome::InDoubt(failure)
                        | DataOutcome::NotSent(failure) => format!("{failure} {:?}", failure.reply),
                    };
                    format!("{said} {outcome:?}")
                }
                Ok(opened) => format!("{opened:?}"),
                Err(failure) => format!("{failure} {failure:?}"),
            };
            assert!(shown.contains("no:"), "the rest is shown: {shown}");
            shows_nothing(&shown, &echo);
        }
    }
}

#[tokio::test]
async fn nor_does_the_reply_to_a_reset_or_a_goodbye() {
    let refused = || {
        ScriptedSmtp::builder()
            .fault_once(Step::Mail, Fault::reply("550 5.7.1 no"))
            .fault(Step::Reset, Fault::reply("550 5.5.1 no RSET for canary-password"))
            .fault(Step::Quit, Fault::reply("221 2.0.0 canary-password"))
    };
    let (_server, mut logged_in) = session(refused()).await;
    logged_in.begin(&to(&["ada@corp.test"])).await.unwrap_err();
    let failure = logged_in.begin(&to(&["ada@corp.test"])).await.unwrap_err();
    let shown = format!("{failure} {failure:?}");
    assert!(shown.contains("no RSET for ***"), "{shown}");
    shows_nothing(&shown, "canary");
    let (_server, logged_in) = session(refused()).await;
    logged_in.quit().await;
}

#[tokio::test]
async fn parts_in_several_lines_count_together() {
    let reply = "550-5.7.1 no: canary-\r\n550-5.7.1 pass\r\n550 5.7.1 word (sorry)";
    let (_server, mut session) =
        session(ScriptedSmtp::builder().fault(Step::Mail, Fault::reply(reply))).await;
    let failure = session.begin(&to(&["ada@corp.test"])).await.unwrap_err();
    assert_eq!(failure.reply.as_ref().map(Reply::safe_text).as_deref(), Some("no: *** (sorry)"));
}

/// The words of a refusal are judged before they are masked: a user may be called like one of them.
#[tokio::test]
async fn what_is_masked_is_judged_all_the_same() {
    let reply = "553 5.7.1 <news@corp.test>: Sender address rejected: not owned by user canary-password";
    let (_server, mut plain) = session(ScriptedSmtp::builder().fault(Step::Mail, Fault::reply(reply))).await;
    let reason = plain.begin(&to(&["ada@corp.test"])).await.unwrap_err().reason;
    assert_eq!(reason, Reason::SendAsDenied);
}

/// What a server announces may be remembered from an earlier session.
#[tokio::test]
async fn nothing_announced_shows_it() {
    let server = ScriptedSmtp::builder()
        .login("joe@corp.test", "canary-password")
        .fault(
            Step::Ehlo,
            Fault::reply("250-mail.test\r\n250-CANARY-PASSWORD\r\n250-SIZE\r\n250 AUTH PLAIN X-CANARY-PASS"),
        )
        .start()
        .await;
    let target = plain(server.address());
    let resolved = resolve(&target).await.unwrap();
    let credentials = password(true);
    let connection = connect(&target, &resolved.addresses).await.unwrap().hiding(Some(&credentials));
    let info = connection.secure().await.unwrap().info().clone();
    assert_eq!(
        (info.extensions, info.auth_mechanisms),
        (vec!["SIZE".into(), "AUTH".into()], vec!["PLAIN".into()])
    );
}
