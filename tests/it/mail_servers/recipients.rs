//! Recipients in one transaction: refused, greylisted and accepted ones, more than a server takes at once, and addresses
//! beyond ASCII.

use super::servers::RECIPIENT_LIMIT;
use super::{accepted, envelope, message, refusal, send, with_each_server};
use mail_operator::api::Reason;
use mail_operator::domain::failure::{Permanence, Scope};
use mail_operator::smtp::{Answer, Envelope, Session};

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_is_judged_by_itself() {
    with_each_server(async |server| {
        let body = message("Hello\r\n");
        let [ada, gone, grey, bob] = ["ada", "gone", "grey", "bob"].map(|name| server.address(name));
        let to = [&*ada, &*gone, &*grey, &*bob];
        let mut session = server.session().await;
        let opened = session.begin(&envelope(&to, &body)).await.unwrap();
        assert_eq!(opened.accepted(), 2, "{}: {opened:?}", server.name);
        let refused = refusal(&opened, 1);
        assert_eq!(refused.reason, Reason::RecipientRefused, "{}: {refused:?}", server.name);
        assert_eq!((refused.scope, refused.permanence), (Scope::Recipient, Permanence::Permanent));
        let greylisted = refusal(&opened, 2);
        assert_eq!(greylisted.reason, Reason::Greylisted, "{}: {greylisted:?}", server.name);
        assert_eq!((greylisted.scope, greylisted.permanence), (Scope::Recipient, Permanence::Temporary));
        accepted(&session.data(&body).await);

        // Later, on the same session.
        send(&mut session, &[&grey], &body).await;
        session.quit().await;
        for address in [&ada, &grey, &bob] {
            server.handed_on(address, 1).await;
        }
        assert_eq!(server.sink.copies_for(&gone), 0, "{}", server.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_a_transaction_without_any_recipient() {
    with_each_server(async |server| {
        let body = message("Hello\r\n");
        let (gone, eve) = (server.address("gone-alone"), server.address("eve"));
        let mut session = server.session().await;
        let opened = session.begin(&envelope(&[&gone], &body)).await.unwrap();
        assert_eq!(opened.accepted(), 0, "{}", server.name);
        send(&mut session, &[&eve], &body).await;
        session.quit().await;
        server.handed_on(&eve, 1).await;
    })
    .await;
}

/// Sends to all of `to`, in as many transactions as the server wants; returns how many those were.
async fn send_to_all(session: &mut Session, to: &[&str], body: &[u8]) -> usize {
    let mut left = to.to_vec();
    for transactions in 1..=to.len() {
        let opened = session.begin(&envelope(&left, body)).await.unwrap();
        accepted(&session.data(body).await);
        let answers = left.iter().zip(&opened.recipients);
        left = answers.filter(|(_, answer)| **answer == Answer::Unanswered).map(|(to, _)| *to).collect();
        let refused = opened.recipients.iter().find(|answer| matches!(answer, Answer::Refused(_)));
        assert_eq!(refused, None, "with {} left", left.len());
        if left.is_empty() {
            return transactions;
        }
    }
    panic!("{} recipients are left", left.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_recipients_get_it_whatever_the_server_takes_at_once() {
    const COUNT: u32 = 2 * RECIPIENT_LIMIT;
    with_each_server(async |server| {
        let addresses: Vec<_> = (0..COUNT).map(|number| server.address(&format!("many{number}"))).collect();
        let to: Vec<_> = addresses.iter().map(String::as_str).collect();
        let mut session = server.session().await;
        let transactions = send_to_all(&mut session, &to, &message("To all\r\n")).await;
        assert!(transactions <= 2, "{}: {transactions} transactions", server.name);
        session.quit().await;
        for address in to {
            server.handed_on(address, 1).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_beyond_ascii_goes_where_smtputf8_is_offered() {
    with_each_server(async |server| {
        let body = message("Hello\r\n");
        let (plain, beyond) = (server.address("juergen"), server.address("jürgen"));
        let mut session = server.session().await;
        let offered = session.info().extensions.iter().any(|extension| extension == "SMTPUTF8");
        assert_eq!(offered, server.smtputf8, "{}", server.name);
        let opened = session.begin(&envelope(&[&plain, &beyond], &body)).await.unwrap();
        if offered {
            assert_eq!(opened.accepted(), 2, "{}: {opened:?}", server.name);
        } else {
            let refused = refusal(&opened, 1);
            assert_eq!(refused.reason, Reason::SMTPUTF8NotOffered, "{}", server.name);
            assert_eq!(opened.accepted(), 1, "{}: {opened:?}", server.name);
        }
        accepted(&session.data(&body).await);
        session.quit().await;
        server.handed_on(&plain, 1).await;
        server.handed_on(&beyond, usize::from(offered)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_not_the_login_is_no_recipients_fault() {
    with_each_server(async |server| {
        let body = message("Hello\r\n");
        let to = [server.address("sent-as-1"), server.address("sent-as-2")];
        let to = to.each_ref().map(String::as_str);
        let mut session = server.session().await;
        let foreign = Envelope { from: "ceo@corp.example", ..envelope(&to, &body) };
        match session.begin(&foreign).await {
            Err(failure) if server.judges_sender => {
                assert_eq!(failure.reason, Reason::SendAsDenied, "{}: {failure:?}", server.name);
                assert_eq!((failure.scope, failure.permanence), (Scope::Sender, Permanence::Permanent));
                send(&mut session, &to, &body).await;
            }
            Ok(opened) if !server.judges_sender => {
                assert_eq!(opened.accepted(), 2, "{}: {opened:?}", server.name);
                accepted(&session.data(&body).await);
            }
            other => panic!("{}: {other:?}", server.name),
        }
        session.quit().await;
        for address in to {
            server.handed_on(address, 1).await;
        }
    })
    .await;
}
