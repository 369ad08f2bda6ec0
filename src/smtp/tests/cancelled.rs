//! Futures dropped at each await: whatever was under way, the session is lost, the connection closed,
//! and the server has whole messages or none.

use super::*;
use mail_operator_testbed::scripted_smtp::Builder;
use std::future::poll_fn;
use std::task::Poll;

/// More than any of these needs; who needs more never comes to an end.
const MOST_POLLS: usize = 2_000;

/// Drops `work` as soon as it has been pending for the `polls`th time.
async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = Box::pin(work);
    let mut left = polls;
    poll_fn(move |cx| {
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn each_mode(pki: &Pki) -> [(ScriptedSmtp, Target); 3] {
    let builder = || {
        let mechanisms = "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
        ScriptedSmtp::builder().login_with(mechanisms, "joe@corp.test", "canary-password")
    };
    let start = async |builder: Builder, mode| {
        let server = builder.start().await;
        let target = pki.target(&server, mode);
        (server, target)
    };
    [
        start(builder(), TlsMode::Disabled).await,
        start(builder().starttls(pki.server()), TlsMode::StartTls).await,
        start(builder().implicit_tls(pki.server()), TlsMode::Implicit).await,
    ]
}

#[tokio::test]
async fn while_a_session_is_opened() {
    let pki = Pki::new();
    for (server, target) in each_mode(&pki).await {
        let mut drops = 0;
        for polls in 1..MOST_POLLS {
            match dropped_after(polls, open(&target, Some(&password(true)))).await {
                None => drops += 1,
                Some(session) => {
                    send_one(&mut session.unwrap(), "jane@example.org").await;
                    break;
                }
            }
            // The server notices at once that nobody is there any more.
            server.idle().await;
        }
        // Connecting, greeting, EHLO, AUTH and each challenge are awaited at least.
        assert!(drops >= 5, "{:?}: {drops}", target.tls);
        assert_eq!(server.ledger().len(), 1);
    }
}

#[tokio::test]
async fn while_a_message_is_sent() {
    let pki = Pki::new();
    let message = [vec![b'x'; 900], b"\r\n".to_vec()].concat().repeat(300);
    for (server, target) in each_mode(&pki).await {
        let mut drops = 0;
        for polls in 1..MOST_POLLS {
            let mut session = open(&target, Some(&password(true))).await.unwrap();
            let envelope =
                Envelope { size: message.len() as u64, ..to(&["jane@example.org", "joe@example.org"]) };
            let before = server.ledger().len();
            let work = async {
                session.begin(&envelope).await.unwrap();
                session.abandon().await.unwrap();
                session.begin(&envelope).await.unwrap();
                session.data(&message).await
            };
            let outcome = dropped_after(polls, work).await;
            if let Some(outcome) = outcome {
                assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
                assert!(session.usable());
                assert_eq!(server.ledger().len(), before + 1);
                break;
            }
            drops += 1;
            assert!(!session.usable() && session.has_ended(), "{:?} {polls}", target.tls);
            assert!(session.begin(&envelope).await.unwrap_err().is_end_of_session());
            assert!(matches!(session.data(&message).await, DataOutcome::NotSent(_)));
            // A QUIT now would stand in the middle of something.
            session.quit().await;
            server.idle().await;
            let ledger = server.ledger();
            // Dropped while the answer to the dot was due, the message may have been taken.
            assert!(ledger.len() <= before + 1);
            for taken in ledger {
                assert_eq!(taken.recipients, ["jane@example.org", "joe@example.org"]);
                assert!(taken.message == message, "a message of {} bytes", taken.message.len());
            }
        }
        // MAIL, RSET, MAIL, DATA and the dot are awaited at least.
        assert!(drops >= 5, "{:?}: {drops}", target.tls);
    }
}
