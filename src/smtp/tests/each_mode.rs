//! What a session does with a server's extensions, once in each TLS mode: nothing of it may hang on
//! how the connection is protected, or on what was said before it was.

use super::*;
use crate::api::Reason;
use crate::domain::failure::Scope;
use mail_operator_testbed::scripted_smtp::{Builder, Fault, Step};

const MODES: [TlsMode; 3] = [TlsMode::Disabled, TlsMode::StartTls, TlsMode::Implicit];

async fn session(pki: &Pki, mode: TlsMode, builder: Builder) -> (ScriptedSmtp, Session) {
    let builder = match mode {
        TlsMode::Disabled => builder,
        TlsMode::StartTls => builder.starttls(pki.server()),
        TlsMode::Implicit => builder.implicit_tls(pki.server()),
    };
    let server = builder.start().await;
    let session = open(&pki.target(&server, mode), None).await.unwrap();
    (server, session)
}

fn sizes(recipients: &[&'static str]) -> Envelope<'static> {
    Envelope { eight_bit: true, ..to(recipients) }
}

#[tokio::test]
async fn declarations() {
    let pki = Pki::new();
    for mode in MODES {
        let builder = ScriptedSmtp::builder().extensions(&["size 21", "8BitMime", "SMTPUTF8"]);
        let (server, mut session) = session(&pki, mode, builder).await;
        session.begin(&sizes(&["grüße@example.org"])).await.unwrap();
        assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
        assert_eq!(server.ledger()[0].parameters, "SIZE=21 BODY=8BITMIME SMTPUTF8", "{mode:?}");
        let large = Envelope { size: 22, ..sizes(&["jane@example.org"]) };
        let failure = session.begin(&large).await.unwrap_err();
        assert_eq!((failure.reason, failure.scope), (Reason::MessageTooLarge, Scope::Message));
        assert!(session.usable());
        send_one(&mut session, "jane@example.org").await;
        session.quit().await;
        server.idle().await;
        assert_eq!((server.count(Step::Mail), server.count(Step::Quit), server.connections()), (2, 1, 1));
    }
}

#[tokio::test]
async fn nothing_undeclared_where_nothing_is_offered() {
    let pki = Pki::new();
    for mode in MODES {
        let (server, mut session) = session(&pki, mode, ScriptedSmtp::builder().extensions(&[])).await;
        let failure = session.begin(&sizes(&["jane@example.org"])).await.unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidMessage);
        let failure =
            session.begin(&Envelope { smtputf8: true, ..to(&["jane@example.org"]) }).await.unwrap_err();
        assert_eq!(failure.reason, Reason::SMTPUTF8NotOffered);
        assert_eq!(server.count(Step::Mail), 0);
        send_one(&mut session, "jane@example.org").await;
        assert_eq!(server.ledger()[0].parameters, "");
    }
}

#[tokio::test]
async fn limits_and_452_split() {
    let pki = Pki::new();
    let all = ["a@example.org", "b@example.org", "c@example.org", "d@example.org", "e@example.org"];
    for mode in MODES {
        for (builder, transactions) in [
            (ScriptedSmtp::builder().extensions(&["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=9"]), 3),
            (ScriptedSmtp::builder().fault_at(Step::Rcpt, 4, Fault::reply("452 4.5.3 Too many")), 2),
            (ScriptedSmtp::builder().fault_at(Step::Rcpt, 4, Fault::reply("552 5.5.3 Too many")), 2),
        ] {
            let (server, mut session) = session(&pki, mode, builder).await;
            let mut left = all.to_vec();
            while !left.is_empty() {
                let opened = session.begin(&to(&left)).await.unwrap();
                assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
                let answered = left.iter().zip(&opened.recipients);
                left = answered
                    .filter(|(_, answer)| **answer == Answer::Unanswered)
                    .map(|(recipient, _)| *recipient)
                    .collect();
            }
            assert_eq!((server.ledger().len(), server.connections()), (transactions, 1), "{mode:?}");
            for recipient in all {
                assert_eq!(server.copies_for(recipient), 1, "{mode:?} {recipient}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_transaction_is_reset_and_the_next_one_goes() {
    let pki = Pki::new();
    for mode in MODES {
        for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Dot] {
            let builder = ScriptedSmtp::builder().fault_once(step, Fault::reply("451 4.3.0 later"));
            let (server, mut session) = session(&pki, mode, builder).await;
            if session.begin(&to(&["jane@example.org"])).await.is_ok_and(|opened| opened.accepted() > 0) {
                assert!(matches!(session.data(MESSAGE).await, DataOutcome::Refused(_)), "{mode:?} {step:?}");
            }
            assert!(server.ledger().is_empty() && session.usable());
            send_one(&mut session, "jane@example.org").await;
            assert_eq!((server.count(Step::Reset), server.connections()), (1, 1), "{mode:?} {step:?}");
        }
    }
}

/// Whoever sits before TLS can say anything; none of it counts behind it.
#[tokio::test]
async fn what_was_said_before_tls_is_forgotten() {
    let pki = Pki::new();
    let forged = "250-mail.test\r\n250-SIZE 1\r\n250-LIMITS RCPTMAX=1 MAILMAX=1\r\n250-SMTPUTF8\r\n\
                  250-AUTH XOAUTH2\r\n250 STARTTLS";
    let builder = ScriptedSmtp::builder()
        .extensions(&["PIPELINING"])
        .login("joe@corp.test", "canary-password")
        .fault(Step::Ehlo, Fault::reply(forged));
    let server = builder.starttls(pki.server()).start().await;
    let target = pki.target(&server, TlsMode::StartTls);
    let mut session = open(&target, Some(&password(false))).await.unwrap();
    assert_eq!(session.info().extensions, ["PIPELINING", "AUTH"]);
    assert_eq!(session.info().auth_mechanisms, ["PLAIN", "LOGIN"]);
    assert_eq!(session.begin(&to(&["a@example.org", "b@example.org"])).await.unwrap().accepted(), 2);
    assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
    assert!(session.usable());
    assert_eq!(server.ledger()[0].parameters, "");
}
