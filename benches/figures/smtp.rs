//! The SMTP session alone, against Postfix's `smtp-source` and lettre, all at the same mail server: with TLS and without
//! (`smtp-source` knows none), with short and longer messages, on loopback and over a line of 20 ms a round trip.

mod costs;
mod far_end;
mod senders;

pub use far_end::{SERVE, serve};

use crate::report::{CONNECTIONS, Report};
use crate::sample::{Scale, median, ms};
use costs::{children_cpu_us, own_cpu_us};
use far_end::{FarEnd, ROUND_TRIP};
use mail_operator::domain::egress;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{Deadlines, Target, TlsMode};
use rustls::pki_types::ServerName;
use senders::Way;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FROM: &str = "sender@corp.example";
const TO: &str = "recipient@corp.example";
const NEAR_ROUNDS: usize = 5;
const FAR_ROUNDS: usize = 3;
/// Messages a round on loopback, half of it of 10 KiB. The same number for all but the pool: on a busy machine who needs
/// the CPU for long gets less of it than who is soon done.
const MESSAGES: usize = 5000;
/// For each of its pool's connections, since each message waits 40 ms.
const POOL_MESSAGES: usize = 12;
/// On each connection over the line, for everybody.
const FAR_MESSAGES: usize = 20;
/// MAIL with RCPT, DATA, message with dot: nothing may follow the dot in the same write (`smtp::transaction`).
const ROUND_TRIPS: u32 = 3;

/// How long a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    K1,
    K10,
}

impl Size {
    /// Both.
    pub const ALL: [Self; 2] = [Self::K1, Self::K10];

    /// In bytes, with the header.
    pub const fn bytes(self) -> usize {
        match self {
            Self::K1 => 1024,
            Self::K10 => 10 * 1024,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::K1 { "1k" } else { "10k" })
    }
}

/// Measures everything: some three minutes.
pub async fn measure(scale: Scale, report: &mut Report) {
    println!("SMTP: rate with {CONNECTIONS:?} connections, over smtp-source and lettre");
    let mut server = FarEnd::start();
    let header = smtp_source_header(&mut server).await;
    for size in Size::ALL {
        let text = senders::text_length(size, header);
        for connections in CONNECTIONS {
            near(&mut server, scale, (size, text), connections, report).await;
        }
    }
    report.set("round_trip_ms", round_trip(&server).await);
    for size in Size::ALL {
        let text = senders::text_length(size, header);
        for connections in CONNECTIONS {
            far(&mut server, scale, (size, text), connections, report).await;
        }
    }
    println!("SMTP: what a message and a connection cost");
    costs::allocations(&server, report);
    costs::handshakes(&server, scale, report).await;
}

/// Messages a second of each sender, one value a round.
type Rates = BTreeMap<&'static str, Vec<f64>>;

/// In turn on loopback, where everybody wants all of the CPU.
async fn near(
    server: &mut FarEnd,
    scale: Scale,
    (size, text): (Size, u64),
    connections: usize,
    report: &mut Report,
) {
    let message: Arc<[u8]> = message(size.bytes()).into();
    let many = scale.of(if size == Size::K1 { MESSAGES } else { MESSAGES / 2 }) / connections;
    let near = server.offer.near;
    let [plain, tls] = ways(near, &server.offer.ca);
    let (mut rates, mut cpu) = (Rates::new(), Rates::new());
    for _ in 0..NEAR_ROUNDS {
        for (name, way) in [("tls", &tls), ("plain", &plain)] {
            let before = own_cpu_us();
            let rate = rate(server, connections * many, async {
                senders::our_sessions(way, connections, many, message.clone()).await;
            });
            rates.entry(name).or_default().push(rate.await);
            cpu.entry(name).or_default().push((own_cpu_us() - before) / (connections * many) as f64);
        }
        let before = children_cpu_us();
        let rate_of_postfix =
            rate(server, connections * many, senders::smtp_source(near, connections, many, text));
        rates.entry("smtp_source").or_default().push(rate_of_postfix.await);
        let used = children_cpu_us() - before;
        cpu.entry("smtp_source").or_default().push(used / (connections * many) as f64);
        for (nodelay, pool, way) in
            [("tls_nodelay", "tls_pool", &tls), ("plain_nodelay", "plain_pool", &plain)]
        {
            let before = own_cpu_us();
            let sending = senders::lettre_nodelay(way, connections, many, message.clone());
            rates.entry(nodelay).or_default().push(rate(server, connections * many, sending).await);
            cpu.entry(nodelay).or_default().push((own_cpu_us() - before) / (connections * many) as f64);
            let sending = senders::lettre_pool(way, connections, POOL_MESSAGES, message.clone());
            rates.entry(pool).or_default().push(rate(server, connections * POOL_MESSAGES, sending).await);
        }
    }
    set_ratios(&rates, &format!("{size}_lan"), connections, report);
    if connections == CPU_CONNECTIONS {
        for (name, key) in [
            ("tls", "smtp_cpu_us_per_message_tls"),
            ("plain", "smtp_cpu_us_per_message_plain"),
            ("smtp_source", "smtp_source_cpu_us_per_message_plain"),
            ("tls_nodelay", "lettre_cpu_us_per_message_tls"),
            ("plain_nodelay", "lettre_cpu_us_per_message_plain"),
        ] {
            report.set(&format!("{key}_{size}"), median(&cpu[name]));
        }
    }
}

/// Of the measurements whose CPU time is told.
const CPU_CONNECTIONS: usize = 4;

/// All at the same time over the line, where everybody only waits: so a busy moment of the machine meets all alike.
async fn far(
    server: &mut FarEnd,
    scale: Scale,
    (size, text): (Size, u64),
    connections: usize,
    report: &mut Report,
) {
    let message: Arc<[u8]> = message(size.bytes()).into();
    let far = server.offer.far;
    let [plain, tls] = ways(far, &server.offer.ca);
    // At fewer the opening of connections would be most of it.
    let each = scale.of(FAR_MESSAGES);
    let (mut rates, mut of_limit) = (Rates::new(), Rates::new());
    let limit = connections as f64 / (ROUND_TRIP * ROUND_TRIPS).as_secs_f64();
    for _ in 0..FAR_ROUNDS {
        let before = server.arrived().messages;
        let count = connections * each;
        let (tls_end, plain_end, smtp_source, tls_nodelay, plain_nodelay, tls_pool, plain_pool) = tokio::join!(
            timed(count, senders::our_sessions(&tls, connections, each, message.clone())),
            timed(count, senders::our_sessions(&plain, connections, each, message.clone())),
            timed(count, senders::smtp_source(far, connections, each, text)),
            timed(count, senders::lettre_nodelay(&tls, connections, each, message.clone())),
            timed(count, senders::lettre_nodelay(&plain, connections, each, message.clone())),
            timed(count, senders::lettre_pool(&tls, connections, each, message.clone())),
            timed(count, senders::lettre_pool(&plain, connections, each, message.clone())),
        );
        assert_eq!(server.arrived().messages - before, 7 * count as u64, "messages at the server");
        for (name, (rate, of_messages)) in [("tls", tls_end), ("plain", plain_end)] {
            rates.entry(name).or_default().push(rate);
            of_limit.entry(name).or_default().push(of_messages / limit);
        }
        for (name, (rate, ())) in [
            ("smtp_source", smtp_source),
            ("tls_nodelay", tls_nodelay),
            ("plain_nodelay", plain_nodelay),
            ("tls_pool", tls_pool),
            ("plain_pool", plain_pool),
        ] {
            rates.entry(name).or_default().push(rate);
        }
    }
    set_ratios(&rates, &format!("{size}_20ms"), connections, report);
    for (name, shares) in of_limit {
        let key = format!("smtp_{name}_{size}_20ms_of_round_trip_limit_{connections}");
        report.set(&key, median(&shares));
    }
}

fn set_ratios(rates: &Rates, point: &str, connections: usize, report: &mut Report) {
    for kind in ["tls", "plain"] {
        for (peer, name) in [
            ("smtp_source", "smtp_source".to_owned()),
            ("lettre_pool", format!("{kind}_pool")),
            ("lettre_nodelay", format!("{kind}_nodelay")),
        ] {
            let pairs = rates[kind].iter().zip(&rates[name.as_str()]);
            let ratios: Vec<_> = pairs.map(|(ours, theirs)| ours / theirs).collect();
            report.set(&format!("smtp_{kind}_{point}_over_{peer}_{connections}"), median(&ratios));
            if peer != "smtp_source" {
                let key = format!("{peer}_{kind}_{point}_per_second_{connections}");
                report.set(&key, median(&rates[name.as_str()]));
            }
        }
        report.set(&format!("smtp_{kind}_{point}_per_second_{connections}"), median(&rates[kind]));
    }
    report.set(&format!("smtp_source_plain_{point}_per_second_{connections}"), median(&rates["smtp_source"]));
}

/// Messages a second; each must have arrived.
async fn rate(server: &mut FarEnd, count: usize, sending: impl Future<Output = ()>) -> f64 {
    let before = server.arrived().messages;
    let (rate, ()) = timed(count, sending).await;
    assert_eq!(server.arrived().messages - before, count as u64, "messages at the server");
    rate
}

async fn timed<T>(count: usize, sending: impl Future<Output = T>) -> (f64, T) {
    let start = Instant::now();
    let result = sending.await;
    (count as f64 / start.elapsed().as_secs_f64(), result)
}

/// Without TLS and with it.
fn ways(server: SocketAddr, ca: &str) -> [Way; 2] {
    [false, true].map(|tls| Way { server, ca: ca.into(), tls })
}

/// How much `smtp-source` writes around the text it was asked for.
async fn smtp_source_header(server: &mut FarEnd) -> u64 {
    const TEXT: u64 = 512;
    let before = server.arrived().bytes;
    senders::smtp_source(server.offer.near, 1, 1, TEXT).await;
    server.arrived().bytes - before - TEXT - b".\r\n".len() as u64
}

/// What a command and its answer take over the line, in milliseconds.
async fn round_trip(server: &FarEnd) -> f64 {
    let mut stream = TcpStream::connect(server.offer.far).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 512];
    let _greeting = stream.read(&mut buffer).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        stream.write_all(b"NOOP\r\n").await.unwrap();
        let _answer = stream.read(&mut buffer).await.unwrap();
        times.push(ms(start.elapsed()));
    }
    median(&times)
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
        egress: Arc::new(egress::Policy {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            ..egress::Policy::default()
        }),
        deadlines: Deadlines::default(),
        auth_hint: None,
    }
}

/// A message of so many bytes.
pub fn message(bytes: usize) -> Vec<u8> {
    let mut message =
        format!("From: {FROM}\r\nTo: {TO}\r\nSubject: figures\r\nMIME-Version: 1.0\r\n\r\n").into_bytes();
    while message.len() < bytes {
        let line = 76.min(bytes - message.len()).saturating_sub(2);
        message.extend(std::iter::repeat_n(b'x', line));
        message.extend(b"\r\n");
    }
    message
}
