//! What leaves us arrives, byte for byte: behind each server stands one that keeps what it gets.

use super::servers::SIZE_LIMIT;
use super::{envelope, log_in, message, send, target, with_each_server};
use mail_operator::api::Reason;
use mail_operator::domain::failure::{Permanence, Scope};
use mail_operator::smtp::TlsMode;
use std::fmt::Write;

/// The message as it was handed on begins with what the servers on its way say of themselves.
#[track_caller]
fn arrived(received: &[u8], sent: &[u8], who: &str) {
    if received.ends_with(sent) {
        return;
    }
    let start = received.windows(8).position(|window| *window == sent[..8]).unwrap_or_default();
    let received = &received[start..];
    let same = received.iter().zip(sent).take_while(|(a, b)| a == b).count();
    let show =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[same..(same + 300).min(bytes.len())]).into_owned();
    panic!("{who}: from byte {same} on sent\n{}\nand received\n{}", show(sent), show(received));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_byte_for_byte() {
    let long = "x".repeat(998);
    let bodies = [
        ("dots", ".\r\n..\r\n.a\r\n\r\n.\r\nMAIL FROM:<x@corp.example>\r\n.\r\n".to_owned()),
        ("ends-in-dot", "The end\r\n.\r\n".to_owned()),
        ("long-lines", format!("{long}\r\n.{}\r\n{long}\r\n", &long[1..])),
        ("eight-bit", "Grüße aus Zürich, 你好, 🙂\r\n".to_owned()),
        ("blank", "\r\n\r\n\r\n".to_owned()),
        ("from", "From the start\r\n>From here\r\n".to_owned()),
        ("spaces", "trailing \t \r\n\t\r\n \r\n".to_owned()),
    ];
    with_each_server(async move |server| {
        // All on one session.
        let mut session = server.session().await;
        for (name, body) in &bodies {
            send(&mut session, &[&server.address(name)], &message(body)).await;
        }
        session.quit().await;
        for (name, body) in &bodies {
            let received = server.handed_on(&server.address(name), 1).await;
            arrived(&received[0].message, &message(body), &format!("{name} at {}", server.name));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_of_ours_arrive_too() {
    with_each_server(async |server| {
        let mut sent = message("");
        sent.extend(b"Gr\xfc\xdfe in Latin-1: \xe9\xff\x80\r\n");
        let to = server.address("latin");
        let mut session = server.session().await;
        send(&mut session, &[&to], &sent).await;
        session.quit().await;
        arrived(&server.handed_on(&to, 1).await[0].message, &sent, server.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_megabytes_arrive_and_more_than_the_server_takes_is_not_offered() {
    with_each_server(async |server| {
        let mut body = String::new();
        while body.len() < 5_000_000 {
            write!(body, "{:06} {}\r\n", body.len(), ".".repeat(body.len() % 70)).unwrap();
        }
        let sent = message(&body);
        let to = server.address("five-megabytes");
        let mut session = server.session().await;
        send(&mut session, &[&to], &sent).await;
        arrived(&server.handed_on(&to, 1).await[0].message, &sent, server.name);

        let Some(limit) = session.info().max_message_bytes else { return session.quit().await };
        let too_large = message(&"0123456789\r\n".repeat(usize::try_from(limit).unwrap() / 12 + 1));
        let failure = session.begin(&envelope(&[&to], &too_large)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::MessageTooLarge, "{}: {failure:?}", server.name);
        assert_eq!((failure.scope, failure.permanence), (Scope::Message, Permanence::Permanent));
        assert!(limit >= u64::from(SIZE_LIMIT), "{}: {limit}", server.name);
        send(&mut session, &[&to], &message("Small\r\n")).await;
        session.quit().await;
        server.handed_on(&to, 2).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_carries_many_messages() {
    const COUNT: usize = 30;
    with_each_server(async |server| {
        let mut session = server.session().await;
        let to = server.address("again");
        for number in 0..COUNT {
            send(&mut session, &[&to], &message(&format!("Message {number}\r\n"))).await;
        }
        session.quit().await;
        server.handed_on(&to, COUNT).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_takes_mail_without_tls_and_login() {
    with_each_server(async |server| {
        if server.relay_port.is_none() {
            return;
        }
        let to = server.address("relayed");
        let mut session = log_in(&target(server, TlsMode::Disabled), None).await.unwrap();
        send(&mut session, &[&to], &message("Hello\r\n")).await;
        session.quit().await;
        server.handed_on(&to, 1).await;
    })
    .await;
}
