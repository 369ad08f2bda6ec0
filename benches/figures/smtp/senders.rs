//! Who sends in the comparison: our session, Postfix's `smtp-source`, lettre with its pool, and lettre's connections one
//! by one with `TCP_NODELAY`, which lettre does not set itself. Each opens its connections first and keeps them.

use super::{FROM, Size, TO, in_parallel, target};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use mail_operator::smtp::{self, DataOutcome, Envelope, Session, Target, TlsMode};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::process::Command;

/// To whom, and how.
#[derive(Clone)]
pub struct Way {
    pub server: SocketAddr,
    /// PEM of the server's authority.
    pub ca: Arc<str>,
    pub tls: bool,
}

impl Way {
    fn target(&self) -> Target {
        let tls = if self.tls { TlsMode::StartTls } else { TlsMode::Disabled };
        Target { tls, ..target(self.server, &self.ca) }
    }

    fn lettre_tls(&self) -> TlsParameters {
        let ca = Certificate::from_pem(self.ca.as_bytes()).unwrap();
        TlsParameters::builder("127.0.0.1".into()).add_root_certificate(ca).build_rustls().unwrap()
    }
}

/// Ours. Returns messages a second without the time it took to open the connections.
pub async fn our_sessions(way: &Way, connections: usize, each: usize, message: Arc<[u8]>) -> f64 {
    let rates = Arc::new(Mutex::new(Vec::new()));
    let target = way.target();
    in_parallel(connections, |_| {
        let (target, message, rates) = (target.clone(), message.clone(), rates.clone());
        async move {
            let mut session = open(&target).await;
            let start = Instant::now();
            send(&mut session, each, &message).await;
            rates.lock().unwrap().push(each as f64 / start.elapsed().as_secs_f64());
            session.quit().await;
        }
    })
    .await;
    rates.lock().unwrap().iter().sum()
}

/// A session without login.
pub async fn open(target: &Target) -> Session {
    let addresses = smtp::resolve(target).await.unwrap().addresses;
    let connection = smtp::connect(target, &addresses).await.unwrap().secure().await.unwrap();
    connection.authenticate(None).await.unwrap()
}

/// A session over `way`.
pub async fn open_over(way: &Way) -> Session {
    open(&way.target()).await
}

/// The same message so many times.
pub async fn send(session: &mut Session, count: usize, message: &[u8]) {
    let envelope = Envelope {
        from: FROM,
        recipients: vec![TO],
        size: message.len() as u64,
        eight_bit: false,
        smtputf8: false,
    };
    for _ in 0..count {
        assert_eq!(session.begin(&envelope).await.unwrap().accepted(), 1);
        let outcome = session.data(message).await;
        assert!(matches!(outcome, DataOutcome::Accepted(_)), "{outcome:?}");
    }
}

/// `-d`: many messages on a connection, as everybody else here. `length` is without the header, which it writes itself.
pub async fn smtp_source(server: SocketAddr, connections: usize, each: usize, length: u64) {
    let mut command = Command::new("smtp-source");
    command.args(["-d", "-l", &length.to_string(), "-f", FROM, "-t", TO]);
    command.args(["-s", &connections.to_string(), "-m", &(connections * each).to_string()]);
    let status = command.arg(format!("inet:{server}")).status().await;
    let status = status.expect("smtp-source (Debian package postfix) starts");
    assert!(status.success(), "smtp-source: {status}");
}

/// lettre as its users use it.
pub async fn lettre_pool(way: &Way, connections: usize, each: usize, message: Arc<[u8]>) {
    let tls = if way.tls { Tls::Required(way.lettre_tls()) } else { Tls::None };
    let pool = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
        .port(way.server.port())
        .tls(tls)
        .pool_config(PoolConfig::new().max_size(u32::try_from(connections).unwrap()))
        .build();
    let envelope = lettre_envelope();
    in_parallel(connections, |_| {
        let (pool, envelope, message) = (pool.clone(), envelope.clone(), message.clone());
        async move {
            for _ in 0..each {
                assert!(pool.send_raw(&envelope, &message).await.unwrap().is_positive());
            }
        }
    })
    .await;
    pool.shutdown().await;
}

/// lettre's connections without its pool, on sockets that do not wait for acknowledgements.
pub async fn lettre_nodelay(way: &Way, connections: usize, each: usize, message: Arc<[u8]>) {
    in_parallel(connections, |_| {
        let (way, message) = (way.clone(), message.clone());
        async move {
            let mut connection = open_lettre(&way).await;
            send_by_lettre(&mut connection, each, &message).await;
            connection.quit().await.unwrap();
        }
    })
    .await;
}

/// One such connection.
pub async fn open_lettre(way: &Way) -> AsyncSmtpConnection {
    let stream = TcpStream::connect(way.server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ClientId::Domain("corp.example".into());
    let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &name).await.unwrap();
    if way.tls {
        connection.starttls(way.lettre_tls(), &name).await.unwrap();
    }
    connection
}

/// The same message so many times.
pub async fn send_by_lettre(connection: &mut AsyncSmtpConnection, count: usize, message: &[u8]) {
    let envelope = lettre_envelope();
    for _ in 0..count {
        assert!(connection.send(&envelope, message).await.unwrap().is_positive());
    }
}

fn lettre_envelope() -> lettre::address::Envelope {
    lettre::address::Envelope::new(Some(FROM.parse().unwrap()), vec![TO.parse().unwrap()]).unwrap()
}

/// How long `smtp-source`'s text must be for its message to be as long as ours; `header` is what it writes itself.
pub fn text_length(size: Size, header: u64) -> u64 {
    (size.bytes() as u64).saturating_sub(header)
}
