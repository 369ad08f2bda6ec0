//! The SMTP session alone: ours and lettre's pool over TLS, Postfix's smtp-source in the clear, against the same sink.
//! Everyone opens connections in his own time and keeps them.

use crate::report::Report;
use crate::sample::{Scale, median};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use mail_operator::domain::egress;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{self, DataOutcome, Deadlines, Envelope, Target, TlsMode};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::sink::{Options, Sink};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::process::Command;
use tokio::runtime::Runtime;

const FROM: &str = "sender@corp.example";
const TO: &str = "recipient@corp.example";
const ROUNDS: usize = 5;
/// Messages a round for us and smtp-source; lettre gets a number for each of its connections, since it takes 40 ms each.
const MESSAGES: usize = 8000;
const LETTRE_MESSAGES: usize = 25;

/// Measures with 1, 4 and 10 connections.
pub async fn measure(servers: &Runtime, authority: &CertificateAuthority, scale: Scale, report: &mut Report) {
    println!("SMTP: {ROUNDS} rounds with 1, 4 and 10 connections");
    let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    let sink = servers.spawn(Sink::start(Options { tls: Some(tls), ..Options::default() })).await.unwrap();
    let message: Arc<[u8]> = message().into();
    let target = target(sink.address(), authority.pem());
    for connections in [1, 4, 10] {
        let count = scale.of(MESSAGES) / connections * connections;
        let few = LETTRE_MESSAGES * connections;
        let (mut ours, mut postfix, mut lettre) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(rate(&sink, count, our_session(&target, connections, count, &message)).await);
            postfix.push(rate(&sink, count, smtp_source(sink.address(), connections, count)).await);
            let pool = lettre_pool(sink.address(), authority.pem(), connections);
            lettre.push(rate(&sink, few, send_by_lettre(pool, connections, few, &message)).await);
        }
        let over = |others: &[f64]| median(&ours.iter().zip(others).map(|(a, b)| a / b).collect::<Vec<_>>());
        report.set(&format!("smtp_tls_over_smtp_source_{connections}"), over(&postfix));
        report.set(&format!("smtp_tls_over_lettre_pool_{connections}"), over(&lettre));
        report.set(&format!("smtp_tls_per_second_{connections}"), median(&ours));
        report.set(&format!("smtp_source_per_second_{connections}"), median(&postfix));
        report.set(&format!("lettre_pool_per_second_{connections}"), median(&lettre));
    }
}

/// Messages a second; each must have arrived.
async fn rate(sink: &Sink, count: usize, sending: impl Future<Output = ()>) -> f64 {
    let before = sink.messages();
    let start = Instant::now();
    sending.await;
    let took = start.elapsed();
    assert_eq!(sink.messages() - before, count as u64, "messages at the sink");
    count as f64 / took.as_secs_f64()
}

async fn our_session(target: &Target, connections: usize, count: usize, message: &Arc<[u8]>) {
    in_parallel(connections, |_| {
        let (target, message) = (target.clone(), message.clone());
        async move {
            let addresses = smtp::resolve(&target).await.unwrap();
            let connection = smtp::connect(&target, &addresses).await.unwrap().secure().await.unwrap();
            let mut session = connection.authenticate(None).await.unwrap();
            for _ in 0..count / connections {
                let envelope = Envelope {
                    from: FROM,
                    recipients: vec![TO],
                    size: message.len() as u64,
                    eight_bit: false,
                    smtputf8: false,
                };
                assert_eq!(session.begin(&envelope).await.unwrap().accepted(), 1);
                let outcome = session.data(&message).await;
                assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
            }
            session.quit().await;
        }
    })
    .await;
}

/// `-d`: many messages on a connection, as everybody else here.
async fn smtp_source(sink: SocketAddr, connections: usize, count: usize) {
    let mut command = Command::new("smtp-source");
    command.args(["-d", "-l", "1024", "-f", FROM, "-t", TO]);
    command.args(["-s", &connections.to_string(), "-m", &count.to_string(), &format!("inet:{sink}")]);
    let status = command.status().await.expect("smtp-source (Debian package postfix) starts");
    assert!(status.success(), "smtp-source: {status}");
}

fn lettre_pool(sink: SocketAddr, ca: &str, connections: usize) -> AsyncSmtpTransport<Tokio1Executor> {
    let ca = Certificate::from_pem(ca.as_bytes()).unwrap();
    let tls = TlsParameters::builder("127.0.0.1".into()).add_root_certificate(ca).build_rustls().unwrap();
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(sink.port())
        .tls(Tls::Required(tls))
        .pool_config(PoolConfig::new().max_size(u32::try_from(connections).unwrap()))
        .build()
}

async fn send_by_lettre(
    pool: AsyncSmtpTransport<Tokio1Executor>,
    connections: usize,
    count: usize,
    message: &Arc<[u8]>,
) {
    let envelope =
        lettre::address::Envelope::new(Some(FROM.parse().unwrap()), vec![TO.parse().unwrap()]).unwrap();
    in_parallel(connections, |_| {
        let (pool, envelope, message) = (pool.clone(), envelope.clone(), message.clone());
        async move {
            for _ in 0..count / connections {
                assert!(pool.send_raw(&envelope, &message).await.unwrap().is_positive());
            }
        }
    })
    .await;
    pool.shutdown().await;
}

/// Runs `count` tasks on the runtime's threads and waits for all of them.
pub async fn in_parallel<F>(count: usize, task: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(task(number))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A session's way to a sink of ours.
pub fn target(sink: SocketAddr, ca: &str) -> Target {
    Target {
        host: "127.0.0.1".into(),
        port: sink.port(),
        tls: TlsMode::StartTls,
        tls_config: client_config(bundled_roots(ca.as_bytes()).unwrap(), MinVersion::Tls12, None).unwrap(),
        server_name: ServerName::try_from("127.0.0.1").unwrap(),
        hello_name: "corp.example".into(),
        proxy: None,
        egress: Arc::new(egress::Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], deny: Vec::new() }),
        deadlines: Deadlines::default(),
        auth_form: None,
    }
}

/// 1 KiB.
pub fn message() -> Vec<u8> {
    let mut message =
        format!("From: {FROM}\r\nTo: {TO}\r\nSubject: figures\r\nMIME-Version: 1.0\r\n\r\n").into_bytes();
    while message.len() < 1024 {
        let line = 76.min(1024 - message.len()).saturating_sub(2);
        message.extend(std::iter::repeat_n(b'x', line));
        message.extend(b"\r\n");
    }
    message
}
