//! Servers that are slow, silent or gone while we idle, and awaits that are cancelled.

use super::*;
use crate::api::Reason;
use crate::domain::failure::Phase;
use mail_operator_testbed::scripted_smtp::{Fault, Step};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn every_step_has_a_deadline() {
    let pki = Pki::new();
    for (step, phase) in [
        (Step::Greeting, Phase::Greeting),
        (Step::Ehlo, Phase::Ehlo),
        (Step::StartTls, Phase::StartTls),
        (Step::Tls, Phase::Tls),
        (Step::EhloAfterTls, Phase::Ehlo),
        (Step::Auth, Phase::Auth),
        (Step::Mail, Phase::MailFrom),
        (Step::Rcpt, Phase::RcptTo),
        (Step::Data, Phase::Data),
        (Step::Dot, Phase::FinalDot),
    ] {
        // One that answers a byte at a time is met like one that does not answer.
        let trickles = matches!(step, Step::Greeting | Step::Mail | Step::Dot);
        for fault in [Some(Fault::Stall), trickles.then_some(Fault::Trickle(SHORT / 4))].into_iter().flatten()
        {
            let server = ScriptedSmtp::builder()
                .starttls(pki.server())
                .login("joe@corp.test", "canary-password")
                .fault(step, fault)
                .start()
                .await;
            let mut target = pki.target(&server, TlsMode::StartTls);
            target.deadlines = Deadlines::all(SHORT);
            let failure = match open(&target, Some(&password(false))).await {
                Err(failure) => failure,
                Ok(mut session) => match session.begin(&to(&["jane@example.org"])).await {
                    Err(failure) => failure,
                    Ok(_) => match session.data(MESSAGE).await {
                        DataOutcome::NotSent(failure) if step == Step::Data => failure,
                        DataOutcome::InDoubt(failure) if step == Step::Dot => failure,
                        other => panic!("{step:?}: {other:?}"),
                    },
                },
            };
            assert_eq!((failure.reason, failure.phase), (Reason::ReplyTimeout, phase), "{step:?}");
            server.idle().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_reads_no_more_is_left() {
    let builder = ScriptedSmtp::builder().extensions(&["PIPELINING"]).hold(Step::Body);
    let server = builder.start().await;
    let mut target = plain(server.address());
    target.deadlines.block = SHORT;
    let mut session = open(&target, None).await.unwrap();
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    let outcome = session.data(&big_message()).await;
    let DataOutcome::NotSent(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.reason, failure.phase), (Reason::ReplyTimeout, Phase::Body));
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_in_doubt() {
    let server = ScriptedSmtp::builder().hold(Step::Dot).start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    let cut = async {
        server.reached(Step::Dot).await;
        assert_eq!(server.copies_for("jane@example.org"), 1);
        server.cut(Step::Dot);
    };
    let (outcome, ()) = tokio::join!(session.data(MESSAGE), cut);
    let DataOutcome::InDoubt(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.reason, failure.phase), (Reason::ConnectionClosed, Phase::FinalDot));
}

#[tokio::test]
async fn a_held_answer_comes_when_released() {
    let server = ScriptedSmtp::builder().hold(Step::Dot).start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    let release = async {
        server.reached(Step::Dot).await;
        server.release(Step::Dot);
    };
    let (outcome, ()) = tokio::join!(session.data(MESSAGE), release);
    assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_session_can_be_held_between_two_messages() {
    let server = ScriptedSmtp::builder().hold_from(Step::Mail, 2).start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    send_one(&mut session, "jane@example.org").await;
    let cut = async {
        server.reached_times(Step::Mail, 2).await;
        server.cut(Step::Mail);
    };
    let envelope = to(&["joe@example.org"]);
    let (opened, ()) = tokio::join!(session.begin(&envelope), cut);
    assert!(opened.unwrap_err().is_end_of_session());
    assert_eq!((server.copies_for("jane@example.org"), server.copies_for("joe@example.org")), (1, 0));
}

#[tokio::test]
async fn a_cancelled_await_ends_the_session() {
    for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Dot, Step::Reset] {
        let server = ScriptedSmtp::builder().hold(step).start().await;
        let mut session = open(&plain(server.address()), None).await.unwrap();
        let work = async {
            session.begin(&to(&["jane@example.org"])).await.unwrap();
            if step == Step::Reset {
                session.abandon().await.unwrap();
            }
            session.data(MESSAGE).await
        };
        tokio::select! {
            outcome = work => panic!("{step:?}: {outcome:?}"),
            () = server.reached(step) => {}
        }
        assert!(!session.usable(), "{step:?}");
        // A late answer is for nobody.
        server.release(step);
        assert!(session.begin(&to(&["joe@example.org"])).await.unwrap_err().is_end_of_session());
        assert_eq!(server.copies_for("joe@example.org"), 0);
        drop(session);
        server.idle().await;
    }
}

#[tokio::test]
async fn a_server_that_hung_up_while_we_idled_is_noticed_before_mail_is_said() {
    // It says goodbye behind its last answer, as servers do after a minute.
    let goodbye = b"421 4.4.2 Idle\r\n".to_vec();
    let server = ScriptedSmtp::builder().fault(Step::Dot, Fault::Followed(goodbye)).start().await;
    let mut session = open(&plain(server.address()), None).await.unwrap();
    send_one(&mut session, "jane@example.org").await;
    assert!(session.has_ended() && !session.is_fresh());
    let failure = session.begin(&to(&["joe@example.org"])).await.unwrap_err();
    assert!(failure.is_end_of_session() && failure.phase == Phase::MailFrom);
    assert_eq!(server.count(Step::Mail), 1);
}

#[tokio::test]
async fn quit_waits_for_nobody() {
    let server = ScriptedSmtp::builder().fault(Step::Quit, Fault::Stall).start().await;
    let mut target = plain(server.address());
    target.deadlines.quit = SHORT;
    let session = open(&target, None).await.unwrap();
    session.quit().await;
    server.idle().await;
}
