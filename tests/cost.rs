//! What a hostile mail server costs: at most 1 MiB of memory and one session, which is over within its
//! deadlines. Counts every allocation of this process, the scripted server's included, so nothing else
//! may run in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use mail_operator::domain::egress::Policy;
use mail_operator::domain::failure::Failure;
use mail_operator::domain::secret::Secret;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{
    self, Credentials, DataOutcome, Deadlines, Envelope, PasswordMechanism, Target, TlsMode,
};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use peak_alloc::PeakAlloc;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATIONS: PeakAlloc = PeakAlloc;

const MOST_BYTES: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(1);
/// The step that uses up its deadline is the last one. Then a reason may be asked for and listened for, 2 seconds each;
/// the rest is for a busy machine.
const MOST_TIME: Duration = Duration::from_secs(6);

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nHello\r\n";

struct World {
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
}

#[tokio::test]
async fn a_hostile_server_costs_little() {
    let authority = CertificateAuthority::new("Test CA").unwrap();
    let roots = bundled_roots(authority.pem().as_bytes()).unwrap();
    let world = World {
        client: client_config(roots, MinVersion::Tls12, None).unwrap(),
        server: authority.server("mail.test", &[]).unwrap().server_config().unwrap(),
    };
    // What is set up once, with the first connection, is no server's cost.
    let honest = run(&world, TlsMode::StartTls, Step::Quit, Fault::Eof, 30 * DEADLINE).await;
    assert!(honest.is_ok(), "{honest:?}");

    let mut most = (0, String::new());
    for mode in [TlsMode::Disabled, TlsMode::StartTls, TlsMode::Implicit] {
        for (step, fault) in hostilities() {
            if matches!(step, Step::Tls) && mode == TlsMode::Disabled
                || matches!(step, Step::StartTls | Step::EhloAfterTls) && mode != TlsMode::StartTls
            {
                continue;
            }
            let name =
                format!("{mode:?} {step:?} {}", format!("{fault:?}").chars().take(60).collect::<String>());
            let before = ALLOCATIONS.current_usage();
            ALLOCATIONS.reset_peak_usage();
            let started = Instant::now();
            let outcome = run(&world, mode, step, fault, DEADLINE).await;
            let took = started.elapsed();
            let cost = ALLOCATIONS.peak_usage().saturating_sub(before);
            assert!(outcome.is_err(), "{name}: succeeds");
            assert!(took < MOST_TIME, "{name}: took {took:?}");
            assert!(cost < MOST_BYTES, "{name}: {cost} bytes");
            most = most.max((cost, name));
        }
    }
    println!("the dearest: {} KiB at {}", most.0 / 1024, most.1);
}

fn hostilities() -> Vec<(Step, Fault)> {
    let mut all = Vec::new();
    for step in [
        Step::Greeting,
        Step::Ehlo,
        Step::StartTls,
        Step::EhloAfterTls,
        Step::Auth,
        Step::AuthResponse,
        Step::Mail,
        Step::Rcpt,
        Step::Data,
        Step::Dot,
    ] {
        all.extend([
            (step, Fault::LongLine(10 << 20)),
            (step, Fault::EndlessReply(usize::MAX)),
            (step, Fault::Repeated(b"x".repeat(16 * 1024))),
            (step, Fault::Repeated(b"250-\r\n".repeat(1024))),
            // Complete answers without end: all but one are too many.
            (step, Fault::Repeated(b"250 2.0.0 Ok\r\n".repeat(1024))),
        ]);
    }
    for challenge in [&b"334 \r\n"[..], b"334 VXNlcm5hbWU6\r\n", b"334 x\r\n"] {
        all.push((Step::Auth, Fault::Repeated(challenge.repeat(512))));
        all.push((Step::AuthResponse, Fault::Repeated(challenge.repeat(512))));
    }
    // A challenge at a time, for ever.
    all.push((Step::AuthResponse, Fault::reply("334 VXNlcm5hbWU6")));
    for records in [
        // Handshake messages: one of 16 MiB in full records, empty ones, hellos without end.
        record(22, &[&[2, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat()),
        record(22, &[0; 16_000]),
        record(22, &[]),
        record(22, &[0, 0, 0, 0]),
        // Alerts that end nothing, and changes of cipher.
        record(21, &[1, 90]),
        record(20, &[1]),
        record(23, &[0; 16_000]),
        // A record that is announced and does not come.
        vec![22, 3, 3, 0x40, 0x00],
    ] {
        all.push((Step::Tls, Fault::Repeated(records)));
    }
    all.push((Step::Tls, Fault::Trickle(Duration::from_millis(50))));
    all.push((Step::Tls, Fault::Stall));
    all
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

/// Everything from the connection to QUIT; the server must be rid of us at the end.
async fn run(
    world: &World,
    mode: TlsMode,
    step: Step,
    fault: Fault,
    deadline: Duration,
) -> Result<(), Failure> {
    let builder = ScriptedSmtp::builder().login_with("LOGIN", "joe", "secret").fault(step, fault);
    let server = match mode {
        TlsMode::StartTls => builder.starttls(world.server.clone()),
        TlsMode::Implicit => builder.implicit_tls(world.server.clone()),
        TlsMode::Disabled => builder,
    };
    let server = server.start().await;
    let address = server.address();
    let target = Target {
        host: address.ip().to_string().into(),
        port: address.port(),
        tls: mode,
        tls_config: world.client.clone(),
        server_name: ServerName::try_from("mail.test").unwrap(),
        hello_name: "client.test".into(),
        proxy: None,
        egress: Arc::new(Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Policy::default() }),
        deadlines: Deadlines::all(deadline),
        auth_hint: None,
    };
    let outcome = send(&target).await;
    tokio::time::timeout(MOST_TIME, server.idle()).await.expect("the connection is closed");
    assert_eq!(server.connections(), 1);
    outcome
}

async fn send(target: &Target) -> Result<(), Failure> {
    let credentials = Credentials::Password {
        username: "joe".to_owned(),
        password: Secret::new("secret"),
        mechanism: Some(PasswordMechanism::Login),
        allow_plaintext: true,
    };
    let addresses = smtp::resolve(target).await?.addresses;
    let connection = smtp::connect(target, &addresses).await?.secure().await?;
    let mut session = connection.authenticate(Some(&credentials)).await?;
    let envelope = Envelope {
        from: "news@corp.test",
        recipients: vec!["jane@example.org"],
        size: MESSAGE.len() as u64,
        eight_bit: false,
        smtputf8: false,
    };
    session.begin(&envelope).await?;
    let outcome = session.data(MESSAGE).await;
    // What may lie behind an answer to the message is for the next one to find.
    let next = session.begin(&envelope).await;
    session.quit().await;
    match outcome {
        DataOutcome::Accepted(_) => next.map(drop),
        DataOutcome::Refused(failure) | DataOutcome::NotSent(failure) | DataOutcome::InDoubt(failure) => {
            Err(failure)
        }
    }
}
