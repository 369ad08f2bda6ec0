//! From a host name to a TCP connection: DNS, the egress check on every address, and a connection
//! to an address that passed it. Never connects to anything the policy was not asked about.

use super::deadlines::Deadlines;
use super::sasl::AuthForm;
use crate::domain::egress;
use crate::domain::failure::{Failure, Phase};
use crate::domain::secret::Secret;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

/// When TLS starts, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// After EHLO, by STARTTLS (RFC 3207). Not offered is an error, never a reason to go on without.
    StartTls,
    /// From the first byte (RFC 8314).
    Implicit,
    /// Never.
    Disabled,
}

/// A proxy on the way.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// What it speaks.
    pub scheme: ProxyScheme,
    /// IP address or DNS name.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// User name and password, if it wants some.
    pub credentials: Option<(Arc<str>, Secret)>,
    /// For [`ProxyScheme::Https`].
    pub tls_config: Arc<rustls::ClientConfig>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// RFC 1928, with user name and password of RFC 1929.
    Socks5,
    /// CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// CONNECT over TLS.
    Https,
}

/// Where to connect and how. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target {
    /// IP address or DNS name, the latter as A-labels.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// When TLS starts.
    pub tls: TlsMode,
    /// From [`super::tls::client_config`]; unused when `tls` is `Disabled`.
    pub tls_config: Arc<rustls::ClientConfig>,
    /// The name the certificate must have, also sent as SNI.
    pub server_name: ServerName<'static>,
    /// What we call ourselves in EHLO.
    pub hello_name: Arc<str>,
    /// What the connection goes through; `None`: nothing.
    pub proxy: Option<Proxy>,
    /// Asked about each address before it is connected to.
    pub egress: Arc<egress::Policy>,
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// How this server last took AUTH, from [`super::Session::auth_form`]; spares a round trip and a
    /// refused command.
    pub auth_form: Option<AuthForm>,
}

/// Finds the addresses of the host that may be connected to, in the order of the system's preference.
pub async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    let found = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, target.port)],
        Err(_) => look_up(target).await?,
    };
    let mut refused = None;
    let mut permitted = Vec::with_capacity(found.len());
    for address in found {
        match target.egress.check(address.ip()) {
            Ok(()) => permitted.push(address),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    match refused {
        Some(refusal) if permitted.is_empty() => Err(Failure::egress_denied(&refusal)),
        _ if permitted.is_empty() => Err(Failure::name_not_found(&target.host)),
        _ => Ok(permitted),
    }
}

async fn look_up(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    match timeout(target.deadlines.connect, lookup_host((&*target.host, target.port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) if is_temporary(&error) => Err(Failure::name_server_unavailable(&target.host)),
        Ok(Err(_)) => Err(Failure::name_not_found(&target.host)),
        Err(_) => Err(Failure::name_server_unavailable(&target.host)),
    }
}

/// `getaddrinfo`'s `EAI_AGAIN` reaches us only as the text of glibc or musl.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure", "Try again", "System error"].iter().any(|words| text.contains(words))
}

/// Connects to the first of `addresses` that answers. All of them share one budget, each gets an
/// even part of what is left, so that one silent address does not use up another's time.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), Failure> {
    let deadline = Instant::now() + target.deadlines.connect;
    let mut last = None;
    for (index, &address) in addresses.iter().enumerate() {
        // Asked again, since the addresses came through the caller's hands.
        if let Err(refusal) = target.egress.check(address.ip()) {
            last = Some(Failure::egress_denied(&refusal));
            continue;
        }
        let started = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(started) / left;
        match timeout_at(started + share, TcpStream::connect(address)).await {
            // Without it each small write would wait for the acknowledgement of the one before it.
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                Ok(()) => return Ok((stream, address)),
                Err(error) => last = Some(judge(address, &error, share)),
            },
            Ok(Err(error)) => last = Some(judge(address, &error, share)),
            Err(_) => last = Some(Failure::connect_timeout(address, share)),
        }
    }
    Err(last.unwrap_or_else(|| Failure::name_not_found(&target.host)))
}

fn judge(address: SocketAddr, error: &io::Error, waited: Duration) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::connection_refused(address),
        // It was accepted, and closed before we knew.
        io::ErrorKind::ConnectionReset => Failure::closed(Phase::Connect),
        io::ErrorKind::TimedOut => Failure::connect_timeout(address, waited),
        _ => Failure::unreachable(address, error),
    }
}
