//! Servers that have had enough of a session: nobody is lost, and nobody gets a message twice.

use super::{accepted, envelope, message, with_each_server};
use mail_operator::smtp::Answer;

/// Postfix hangs up at the 21st refusal; others have other limits or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_among_the_recipients_gets_the_rest_on_a_new_session() {
    const COUNT: usize = 60;
    with_each_server(async |server| {
        let body = message("Hello\r\n");
        // Every other one is refused.
        let name = |number: usize| {
            format!("{}{number}-hang-up", if number.is_multiple_of(2) { "fine" } else { "gone" })
        };
        let addresses: Vec<_> = (0..COUNT).map(|number| server.address(&name(number))).collect();
        let mut left: Vec<_> = addresses.iter().map(String::as_str).collect();
        let (mut refused, mut sessions) = (0, 0);
        while !left.is_empty() {
            sessions += 1;
            assert!(sessions <= COUNT, "{}: {} are still left", server.name, left.len());
            let mut session = server.session().await;
            let opened = session.begin(&envelope(&left, &body)).await;
            let opened = opened.unwrap_or_else(|failure| panic!("{}: {failure:?}", server.name));
            if opened.accepted() > 0 {
                accepted(&session.data(&body).await);
            }
            refused += opened.recipients.iter().filter(|answer| matches!(answer, Answer::Refused(_))).count();
            let answers = left.iter().zip(&opened.recipients);
            left = answers.filter(|(_, answer)| **answer == Answer::Unanswered).map(|(to, _)| *to).collect();
            session.quit().await;
        }
        assert_eq!(sessions > 1, server.hangs_up, "{}: {sessions} sessions", server.name);
        assert_eq!(refused, COUNT / 2, "{}", server.name);
        for (number, address) in addresses.iter().enumerate() {
            server.handed_on(address, (number + 1) % 2).await;
        }
    })
    .await;
}
