//! Transactions: who gets what, and whether a message can have left.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Permanence, Phase, Scope};
use mail_operator_testbed::scripted_smtp::{Builder, Fault, Step};
use mail_operator_testbed::sink::{Options, Sink};

const WITHOUT_PIPELINING: &[&str] = &["8BITMIME", "SIZE 1000"];

async fn session_with(builder: Builder) -> (ScriptedSmtp, Session) {
    let server = builder.start().await;
    let session = open(&plain(server.address()), None).await.unwrap();
    (server, session)
}

fn reasons(opened: &Opened) -> Vec<Option<Reason>> {
    opened
        .recipients
        .iter()
        .map(|answer| match answer {
            Answer::Accepted => None,
            Answer::Refused(failure) => Some(failure.reason),
            Answer::Unanswered => Some(Reason::Pending),
        })
        .collect()
}

#[tokio::test]
async fn many_messages_on_one_session() {
    for extensions in [&["PIPELINING"][..], WITHOUT_PIPELINING] {
        let (server, mut session) = session_with(ScriptedSmtp::builder().extensions(extensions)).await;
        assert!(session.is_fresh());
        for number in 1..=20 {
            send_one(&mut session, "jane@example.org").await;
            assert_eq!((session.messages(), session.is_fresh()), (number, false));
        }
        assert_eq!((server.copies_for("jane@example.org"), server.connections()), (20, 1));
        // Nothing needless was said.
        let verbs: Vec<_> = server.commands().iter().map(|line| line[..4].to_owned()).collect();
        assert_eq!(verbs[..4], ["EHLO", "MAIL", "RCPT", "DATA"]);
        assert_eq!(verbs.len(), 1 + 20 * 3);
    }
}

#[tokio::test]
async fn recipients_are_judged_one_by_one() {
    for extensions in [&["PIPELINING"][..], WITHOUT_PIPELINING] {
        let builder = ScriptedSmtp::builder()
            .extensions(extensions)
            .recipient("gone@example.org", "550 5.1.1 No such user")
            .recipient("new@example.org", "451 4.7.1 Greylisted")
            .recipient("moved@example.org", "251 2.1.5 Will forward");
        let (server, mut session) = session_with(builder).await;
        let all =
            ["a@example.org", "gone@example.org", "new@example.org", "moved@example.org", "b c@example.org"];
        let opened = session.begin(&to(&all)).await.unwrap();
        let expected = [
            None,
            Some(Reason::RecipientRefused),
            Some(Reason::Greylisted),
            None,
            Some(Reason::RecipientRefused),
        ];
        assert_eq!((reasons(&opened), opened.accepted()), (expected.to_vec(), 2));
        assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
        assert_eq!(server.ledger()[0].recipients, ["a@example.org", "moved@example.org"]);
        assert!(!server.commands().iter().any(|line| line.contains("b c@")));
    }
}

#[tokio::test]
async fn all_refused_leaves_the_session_usable() {
    let builder = ScriptedSmtp::builder()
        .recipients(|address| address.starts_with("gone").then(|| "550 5.1.1 No such user".to_owned()));
    let (server, mut session) = session_with(builder).await;
    let opened = session.begin(&to(&["gone1@example.org", "gone2@example.org"])).await.unwrap();
    assert_eq!(opened.accepted(), 0);
    assert!(matches!(session.data(MESSAGE).await, DataOutcome::NotSent(_)));
    assert_eq!(server.count(Step::Data), 0);
    assert!(session.usable());
    send_one(&mut session, "jane@example.org").await;
    assert_eq!((server.count(Step::Reset), server.connections(), server.ledger().len()), (1, 1, 1));
}

#[tokio::test]
async fn one_code_for_all_about_the_sender() {
    let line = "553 5.7.1 <news@corp.test>: Sender address rejected: not owned by user joe";
    let builder = ScriptedSmtp::builder().recipients(move |_| Some(line.to_owned()));
    let (_server, mut session) = session_with(builder).await;
    let failure = session.begin(&to(&["a@example.org", "b@example.org"])).await.unwrap_err();
    assert_eq!(
        (failure.scope, failure.permanence, failure.reason),
        (Scope::Sender, Permanence::Permanent, Reason::SendAsDenied)
    );
    assert!(session.usable() && !failure.detail.contains("news@corp.test"));
    // With different codes it is about the recipients.
    let builder = ScriptedSmtp::builder()
        .recipients(move |_| Some(line.to_owned()))
        .recipient("gone@example.org", "550 5.1.1 No such user");
    let (_server, mut session) = session_with(builder).await;
    let opened = session.begin(&to(&["a@example.org", "gone@example.org"])).await.unwrap();
    assert_eq!(reasons(&opened), [Some(Reason::RecipientRefused); 2]);
}

#[tokio::test]
async fn refused_sender_message_and_server() {
    for (step, line, scope, reason, usable) in [
        (Step::Mail, "550 5.7.60 SendAs", Scope::Sender, Reason::SendAsDenied, true),
        (Step::Mail, "552 5.3.4 too big", Scope::Message, Reason::MessageTooLarge, true),
        (Step::Mail, "451 4.3.0 later", Scope::Message, Reason::MessageDeferred, true),
        (Step::Mail, "451 4.7.500 busy", Scope::Server, Reason::Throttled, true),
        (Step::Mail, "421 4.3.2 closing", Scope::Server, Reason::Throttled, false),
        (Step::Mail, "452 4.5.3 Too many messages", Scope::Server, Reason::ConnectionClosed, false),
        (Step::Rcpt, "550 5.7.705 tenant", Scope::Server, Reason::SenderBlocked, true),
        (Step::Rcpt, "421 4.7.0 Too many errors", Scope::Server, Reason::Throttled, false),
        (Step::Rcpt, "252 2.1.5 maybe", Scope::Server, Reason::ProtocolViolation, false),
    ] {
        for extensions in [&["PIPELINING"][..], WITHOUT_PIPELINING] {
            let builder = ScriptedSmtp::builder().extensions(extensions).fault_once(step, Fault::reply(line));
            let (server, mut session) = session_with(builder).await;
            let failure = session.begin(&to(&["jane@example.org"])).await.unwrap_err();
            assert_eq!((failure.scope, failure.reason, session.usable()), (scope, reason, usable), "{line}");
            if usable {
                send_one(&mut session, "jane@example.org").await;
                assert_eq!(server.count(Step::Reset), 1);
            }
        }
    }
}

#[tokio::test]
async fn refused_at_data_and_at_the_dot() {
    for (step, fault, reason, phase, usable) in [
        (Step::Data, Fault::reply("451 4.3.0 later"), Reason::MessageDeferred, Phase::Data, true),
        (Step::Data, Fault::reply("421 4.3.2 closing"), Reason::Throttled, Phase::Data, false),
        (Step::Dot, Fault::reply("554 5.7.1 Spam"), Reason::MessageRefused, Phase::FinalDot, true),
        (Step::Dot, Fault::reply("550 5.7.60 SendAs"), Reason::SendAsDenied, Phase::FinalDot, true),
        (Step::Dot, Fault::reply("451 4.3.0 later"), Reason::MessageDeferred, Phase::FinalDot, true),
        (Step::Dot, Fault::reply("421 4.3.2 closing"), Reason::Throttled, Phase::FinalDot, false),
    ] {
        let (server, mut session) = session_with(ScriptedSmtp::builder().fault_once(step, fault)).await;
        session.begin(&to(&["jane@example.org"])).await.unwrap();
        let DataOutcome::Refused(failure) = session.data(MESSAGE).await else { panic!("must be refused") };
        assert_eq!((failure.reason, failure.phase, session.usable()), (reason, phase, usable));
        assert!(server.ledger().is_empty());
        if usable {
            send_one(&mut session, "jane@example.org").await;
        }
    }
}

#[tokio::test]
async fn what_is_in_doubt_and_what_is_not() {
    let big = big_message();
    let mixed = Fault::MixedCodes;
    for (step, fault, message, in_doubt, taken) in [
        (Step::Data, Fault::Eof, MESSAGE, false, false),
        (Step::Data, Fault::Rst, MESSAGE, false, false),
        (Step::Data, Fault::Garbage, MESSAGE, false, false),
        (Step::Data, Fault::reply("250 what"), MESSAGE, false, false),
        (Step::Body, Fault::Eof, big.as_slice(), false, false),
        (Step::Body, Fault::Rst, big.as_slice(), false, false),
        (Step::Dot, Fault::Eof, MESSAGE, true, false),
        (Step::Dot, Fault::Rst, MESSAGE, true, false),
        (Step::Dot, Fault::TakeThenEof, MESSAGE, true, true),
        (Step::Dot, Fault::TakeThenEof, big.as_slice(), true, true),
        (Step::Dot, Fault::Garbage, MESSAGE, true, false),
        (Step::Dot, mixed, MESSAGE, true, false),
        (Step::Dot, Fault::reply("299 odd"), MESSAGE, true, true),
        (Step::Dot, Fault::reply("354 odd"), MESSAGE, true, false),
    ] {
        let name = format!("{step:?} {fault:?}");
        let builder = ScriptedSmtp::builder().extensions(&["PIPELINING"]).fault(step, fault);
        let (server, mut session) = session_with(builder).await;
        session.begin(&to(&["jane@example.org"])).await.unwrap();
        let outcome = session.data(message).await;
        match outcome {
            DataOutcome::InDoubt(_) => assert!(in_doubt, "{name}"),
            DataOutcome::NotSent(_) => assert!(!in_doubt, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(!session.usable(), "{name}");
        assert_eq!(server.ledger().len(), usize::from(taken), "{name}");
        assert!(session.begin(&to(&["jane@example.org"])).await.unwrap_err().is_end_of_session());
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_message_is_heard() {
    let builder = ScriptedSmtp::builder()
        .extensions(&["PIPELINING"])
        .fault(Step::Body, Fault::reply("421 4.3.0 Disk full"));
    let (_server, mut session) = session_with(builder).await;
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    let DataOutcome::NotSent(failure) = session.data(&big_message()).await else {
        panic!("must not be sent")
    };
    // A reset may overtake the words; both are the truth.
    assert!(matches!(failure.reason, Reason::Throttled | Reason::ConnectionClosed), "{failure:?}");
    assert_eq!(failure.phase, Phase::Body);
}

#[tokio::test]
async fn a_server_that_hangs_up_among_the_recipients() {
    let all = ["a@example.org", "gone@example.org", "b@example.org", "c@example.org"];
    for fault in [Fault::Eof, Fault::Rst, Fault::reply("421 4.7.0 Too many errors")] {
        for extensions in [&["PIPELINING"][..], WITHOUT_PIPELINING] {
            let refusing = || {
                ScriptedSmtp::builder()
                    .extensions(extensions)
                    .recipient("gone@example.org", "550 5.1.1 No such user")
            };
            let (server, mut session) = session_with(refusing().fault_at(Step::Rcpt, 3, fault.clone())).await;
            match session.begin(&to(&all)).await {
                // The refused one is not asked again, all others are.
                Ok(opened) => {
                    let again = Some(Reason::Pending);
                    assert_eq!(reasons(&opened), [again, Some(Reason::RecipientRefused), again, again]);
                }
                // A reset can take the earlier replies with it: nothing learnt, nothing lost.
                Err(failure) => {
                    assert!(matches!(fault, Fault::Rst) && failure.is_end_of_session(), "{failure:?}");
                }
            }
            assert!(!session.usable() && server.ledger().is_empty());
            // Nobody refused yet: coming again at once could go on for ever.
            let (_server, mut session) =
                session_with(refusing().fault_at(Step::Rcpt, 2, fault.clone())).await;
            assert_eq!(session.begin(&to(&all)).await.unwrap_err().phase, Phase::RcptTo);
        }
    }
}

#[tokio::test]
async fn limits_split_the_recipients() {
    let all = ["a@example.org", "b@example.org", "c@example.org"];
    let announced = ScriptedSmtp::builder().extensions(&["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"]);
    let (server, mut session) = session_with(announced).await;
    let opened = session.begin(&to(&all)).await.unwrap();
    assert_eq!(reasons(&opened), [None, None, Some(Reason::Pending)]);
    assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
    assert!(session.usable());
    send_one(&mut session, all[2]).await;
    assert!(!session.usable(), "the server takes two transactions");
    assert_eq!(server.count(Step::Rcpt), 3);

    // Exim's reply has no enhanced code.
    for full in ["452 4.5.3 Too many recipients", "452 too many recipients"] {
        let once = ScriptedSmtp::builder().fault_at(Step::Rcpt, 3, Fault::reply(full));
        let (server, mut session) = session_with(once).await;
        let opened = session.begin(&to(&all)).await.unwrap();
        assert_eq!(reasons(&opened), [None, None, Some(Reason::Pending)], "{full}");
        assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
        send_one(&mut session, all[2]).await;
        assert_eq!(server.ledger().len(), 2);

        // One that takes none at all is deferred, not asked without end.
        let always = ScriptedSmtp::builder().fault(Step::Rcpt, Fault::reply(full));
        let (_server, mut session) = session_with(always).await;
        let opened = session.begin(&to(&all)).await.unwrap();
        assert_eq!(reasons(&opened), [Some(Reason::RecipientDeferred); 3], "{full}");
    }
}

#[tokio::test]
async fn declared_only_where_offered() {
    for (extensions, eight_bit, smtputf8, expected) in [
        (&["SIZE"][..], false, false, Ok("SIZE=21")),
        (&["SIZE 0"], false, false, Ok("SIZE=21")),
        (&["SIZE 21"], false, false, Ok("SIZE=21")),
        (&["SIZE 20"], false, false, Err(Reason::MessageTooLarge)),
        (&[], false, false, Ok("")),
        (&["8BITMIME"], true, false, Ok("BODY=8BITMIME")),
        (&["8BITMIME", "SMTPUTF8"], true, true, Ok("BODY=8BITMIME SMTPUTF8")),
        (&["8BITMIME"], false, false, Ok("")),
        (&[], true, false, Err(Reason::InvalidMessage)),
        (&[], false, true, Err(Reason::SMTPUTF8NotOffered)),
    ] {
        let (server, mut session) = session_with(ScriptedSmtp::builder().extensions(extensions)).await;
        let envelope = Envelope { eight_bit, smtputf8, ..to(&["jane@example.org"]) };
        let outcome = session.begin(&envelope).await;
        assert!(session.usable());
        match expected {
            Ok(parameters) => {
                outcome.unwrap();
                assert!(matches!(session.data(MESSAGE).await, DataOutcome::Accepted(_)));
                assert_eq!(server.ledger()[0].parameters, parameters);
            }
            Err(reason) => {
                let failure = outcome.unwrap_err();
                assert_eq!((failure.reason, failure.scope), (reason, Scope::Message));
                assert_eq!(server.count(Step::Mail), 0);
            }
        }
    }
}

#[tokio::test]
async fn international_addresses() {
    let all = ["grüße@example.org", "jane@example.org"];
    let (server, mut session) = session_with(ScriptedSmtp::builder().extensions(&["SMTPUTF8"])).await;
    assert_eq!(session.begin(&to(&all)).await.unwrap().accepted(), 2);
    session.data(MESSAGE).await;
    assert_eq!(server.ledger()[0].parameters, "SMTPUTF8");
    // Without the extension only the one that needs it suffers.
    let (_server, mut session) = session_with(ScriptedSmtp::builder().extensions(&["PIPELINING"])).await;
    let opened = session.begin(&to(&all)).await.unwrap();
    assert_eq!(reasons(&opened), [Some(Reason::SMTPUTF8NotOffered), None]);
}

#[tokio::test]
async fn no_smuggling() {
    for message in [
        "Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@example.org>\r\n",
        "Subject: x\r\n\r\na\r.\rMAIL FROM:<evil@example.org>\r\n",
        "Subject: x\r\n\r\na\n.\r\nMAIL FROM:<evil@example.org>\r\n",
        "Subject: x\r\n\r\na\r\n.\nMAIL FROM:<evil@example.org>\r\n",
        "",
    ] {
        let (server, mut session) = session_with(ScriptedSmtp::builder()).await;
        session.begin(&to(&["jane@example.org"])).await.unwrap();
        let DataOutcome::NotSent(failure) = session.data(message.as_bytes()).await else {
            panic!("must not be sent")
        };
        assert_eq!((failure.reason, failure.scope), (Reason::InvalidMessage, Scope::Message));
        assert_eq!(server.count(Step::Data), 0);
        send_one(&mut session, "jane@example.org").await;
    }
    // A lone dot between proper line ends is text.
    let (server, mut session) = session_with(ScriptedSmtp::builder()).await;
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    let text = b"Subject: x\r\n\r\n.\r\nMAIL FROM:<evil@example.org>\r\n..\r\n";
    assert!(matches!(session.data(text).await, DataOutcome::Accepted(_)));
    assert_eq!(server.ledger()[0].message, text);
    assert_eq!(server.count(Step::Mail), 1);
    // Nor through an address.
    for from in ["a@b>\r\nRCPT TO:<evil@example.org", "a@b> SIZE=1"] {
        let envelope = Envelope { from, ..to(&["jane@example.org"]) };
        assert_eq!(session.begin(&envelope).await.unwrap_err().reason, Reason::InvalidMessage);
    }
}

#[tokio::test]
async fn large_messages_arrive_whole() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().extensions(&["PIPELINING"]).starttls(pki.server()).start().await;
    let mut session = open(&pki.target(&server, TlsMode::StartTls), None).await.unwrap();
    let message: Vec<u8> = (0..200_000_u32).flat_map(|n| format!(".{n}\r\n").into_bytes()).collect();
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    assert!(matches!(session.data(&message).await, DataOutcome::Accepted(_)));
    assert!(server.ledger()[0].message == message);
}

#[tokio::test]
async fn a_thousand_recipients() {
    let sink = Sink::start(Options { ledger: true, ..Options::default() }).await;
    let mut session = open(&plain(sink.address()), None).await.unwrap();
    let addresses: Vec<String> =
        (0..1000).map(|n| format!("someone.with.a.long.name.{n}@example.org")).collect();
    let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
    assert_eq!(session.begin(&to(&all)).await.unwrap().accepted(), 1000);
    let message = b"Message-ID: <1@corp.test>\r\n\r\nHello\r\n";
    assert!(matches!(session.data(message).await, DataOutcome::Accepted(_)));
    sink.taken(1).await;
    let ledger = sink.ledger();
    assert_eq!((sink.messages(), sink.recipients(), ledger.len()), (1, 1000, 1000));
    assert!(ledger.iter().all(|((id, _), copies)| id == "1@corp.test" && *copies == 1));
}

#[tokio::test]
async fn the_sink_over_tls_with_login() {
    let pki = Pki::new();
    for (mode, implicit_tls) in [(TlsMode::StartTls, false), (TlsMode::Implicit, true)] {
        let options =
            Options { tls: Some(pki.server()), implicit_tls, auth: true, ledger: true, ..Options::default() };
        let sink = Sink::start(options).await;
        let target = Target { tls: mode, tls_config: pki.client.clone(), ..plain(sink.address()) };
        let mut session = open(&target, Some(&password(false))).await.unwrap();
        for _ in 0..100 {
            send_one(&mut session, "jane@example.org").await;
        }
        session.quit().await;
        assert_eq!((sink.messages(), sink.connections()), (100, 1));
    }
}

#[tokio::test]
async fn an_opened_transaction_can_be_given_up() {
    let (server, mut session) = session_with(ScriptedSmtp::builder()).await;
    session.begin(&to(&["jane@example.org"])).await.unwrap();
    session.abandon().await.unwrap();
    session.abandon().await.unwrap();
    assert_eq!((server.count(Step::Reset), session.is_fresh()), (1, false));
    send_one(&mut session, "joe@example.org").await;
    assert_eq!(server.ledger()[0].recipients, ["joe@example.org"]);
    session.quit().await;
    server.idle().await;
}

/// What a server says of a message counts however much it says: a long text is no reason to send it again.
#[tokio::test]
async fn an_answer_counts_whatever_its_length() {
    let long = |start: &str, length: usize| format!("{start} {}", "x".repeat(length));
    let lines = |start: &str| format!("{}250 2.0.0 Ok", format!("250-{start}\r\n").repeat(100));
    for answer in [long("250 2.0.0", 3_000), long("250", 60_000), lines(&"x".repeat(500))] {
        let builder = ScriptedSmtp::builder().fault_once(Step::Dot, Fault::Reply(answer));
        let (_server, mut session) = session_with(builder).await;
        session.begin(&to(&["jane@example.org"])).await.unwrap();
        let outcome = session.data(MESSAGE).await;
        assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
        // Nothing of it is left over for the next message.
        send_one(&mut session, "jane@example.org").await;
    }
    for (answer, permanence) in [
        (long("554 5.7.1", 3_000), Permanence::Permanent),
        (long("451 4.3.0", 60_000), Permanence::Temporary),
    ] {
        let builder = ScriptedSmtp::builder().fault_once(Step::Dot, Fault::Reply(answer));
        let (_server, mut session) = session_with(builder).await;
        session.begin(&to(&["jane@example.org"])).await.unwrap();
        match session.data(MESSAGE).await {
            DataOutcome::Refused(failure) => assert_eq!(failure.permanence, permanence),
            other => panic!("{other:?}"),
        }
        send_one(&mut session, "jane@example.org").await;
    }
}
