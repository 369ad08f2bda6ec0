//! From a host name to a connection: DNS, the egress check on every address, and TCP to an address
//! that passed it, through a proxy where one is set. Never connects to anything the policy was not
//! asked about.

use super::deadlines::Deadlines;
use super::proxy::{self, Proxy};
use super::sasl::AuthHint;
use super::transport::Transport;
use crate::api::Reason;
use crate::domain::egress;
use crate::domain::failure::{Failure, Phase};
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

/// Where to connect and how. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target {
    /// IP address or DNS name, the latter as A-labels.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// When TLS starts.
    pub tls: TlsMode,
    /// From [`super::tls::client_config`]. When `tls` is `Disabled` it only serves to find out that a silent
    /// server waits for TLS.
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
    /// How this server last took AUTH, from [`super::Session::auth_hint`]; spares a round trip and a
    /// refused command.
    pub auth_hint: Option<AuthHint>,
}

/// What is known of the way to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What to connect to, in the order of the system's preference: the server, or the proxy before it.
    pub addresses: Vec<SocketAddr>,
    /// The server's addresses as seen from here, where a proxy is what we connect to. Empty if they
    /// cannot be found from here, and it is left to the proxy.
    pub behind_proxy: Vec<SocketAddr>,
}

impl Resolved {
    /// For the condition.
    pub fn in_words(&self, target: &Target) -> String {
        let host = &target.host;
        match &target.proxy {
            None => format!("{host} is {}", list(&self.addresses)),
            Some(proxy) if self.behind_proxy.is_empty() => format!(
                "{host} has no address that can be found from here: it is left to the proxy {}, which is {}",
                proxy.host,
                list(&self.addresses)
            ),
            Some(proxy) => format!(
                "{host} is {} as seen from here; the proxy {} is {}",
                list(&self.behind_proxy),
                proxy.host,
                list(&self.addresses)
            ),
        }
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = addresses.iter().take(SHOWN).map(|address| address.ip().to_string()).collect();
    shown.join(", ")
}

/// Finds the addresses that may be connected to. With a proxy those are the proxy's; the server's are
/// judged as well where they can be found from here, and all of them must be permitted, since the
/// proxy chooses. A name that cannot be found from here is the proxy's affair: often only it has the
/// DNS for it.
pub async fn resolve(target: &Target) -> Result<Resolved, Failure> {
    let limit = target.deadlines.connect;
    let Some(proxy) = &target.proxy else {
        let found = look_up(&target.host, target.port, limit).await.map_err(|error| match error {
            Unresolved::Unknown => Failure::name_not_found(&target.host),
            Unresolved::NoAnswer => Failure::name_server_unavailable(&target.host),
        })?;
        return Ok(Resolved { addresses: permitted(target, &target.host, found)?, behind_proxy: Vec::new() });
    };
    let (behind, found) = tokio::join!(
        look_up(&target.host, target.port, limit.min(PATIENCE)),
        look_up(&proxy.host, proxy.port, limit)
    );
    let behind_proxy = behind.unwrap_or_default();
    for address in &behind_proxy {
        target
            .egress
            .check(&target.host, address.ip())
            .map_err(|refusal| Failure::egress_denied(&refusal))?;
    }
    let found = found.map_err(|error| {
        let what = match error {
            Unresolved::Unknown => "DNS knows no address of it; correct proxy.url",
            Unresolved::NoAnswer => "DNS did not answer; check the cluster's DNS",
        };
        let failure = proxy::unavailable(format!("the proxy {} cannot be found: {what}", proxy.host));
        Failure { phase: Phase::Resolve, ..failure }
    })?;
    let addresses = permitted(target, &proxy.host, found)
        .map_err(|failure| Failure { detail: format!("the proxy: {}", failure.detail), ..failure })?;
    Ok(Resolved { addresses, behind_proxy })
}

/// The addresses of `host` that may be connected to; at least one.
fn permitted(target: &Target, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
    let mut refused = None;
    let mut permitted = Vec::with_capacity(found.len());
    for address in found {
        match target.egress.check(host, address.ip()) {
            Ok(()) => permitted.push(address),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    match refused {
        Some(refusal) if permitted.is_empty() => Err(Failure::egress_denied(&refusal)),
        _ if permitted.is_empty() => Err(Failure::name_not_found(host)),
        _ => Ok(permitted),
    }
}

/// How long DNS may take for a name that the proxy, too, can look up.
const PATIENCE: Duration = Duration::from_secs(3);

enum Unresolved {
    Unknown,
    NoAnswer,
}

async fn look_up(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, Unresolved> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match timeout(limit, addresses_of(host, port)).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) if !is_temporary(&error) => Err(Unresolved::Unknown),
        Ok(Err(_)) | Err(_) => Err(Unresolved::NoAnswer),
    }
}

/// The addresses of a name. One with a dot is looked up as it is first: a Pod's resolver would try the search domains of
/// its cluster first, where `smtp.corp.example.svc.cluster.local` may be a Service of anybody's.
pub(crate) async fn addresses_of(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut last = io::Error::other("there is no name");
    for name in spellings(host) {
        match lookup_host((name.as_str(), port)).await {
            Ok(addresses) => return Ok(addresses.collect()),
            // Of a name that may well exist no other is tried.
            Err(error) if is_temporary(&error) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The ways in which a name is looked up, in this order. With a dot at its end it is looked up as it is (RFC 1034, 3.1).
fn spellings(host: &str) -> Vec<String> {
    if host.contains('.') && !host.ends_with('.') {
        vec![format!("{host}."), host.to_owned()]
    } else {
        vec![host.to_owned()]
    }
}

/// `getaddrinfo`'s `EAI_AGAIN` reaches us only as the text of glibc or musl.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure", "Try again", "System error"].iter().any(|words| text.contains(words))
}

/// The way to a server, gone.
pub(super) struct Dialled {
    pub(super) transport: Transport,
    /// What a proxy sent behind its answer: the beginning of what the server says.
    pub(super) surplus: Vec<u8>,
    /// The server's, or the proxy's.
    pub(super) address: SocketAddr,
}

/// Connects to the first of `addresses` that answers, and through the proxy if there is one.
pub(super) async fn dial(target: &Target, addresses: &[SocketAddr]) -> Result<Dialled, Failure> {
    let Some(proxy) = &target.proxy else {
        let (stream, address) = connect(target, &target.host, addresses).await?;
        return Ok(Dialled { transport: Transport::Left(stream), surplus: Vec::new(), address });
    };
    if let Ok(server) = target.host.parse::<IpAddr>() {
        target.egress.check(&target.host, server).map_err(|refusal| Failure::egress_denied(&refusal))?;
    }
    let (stream, address) = connect(target, &proxy.host, addresses).await.map_err(|failure| {
        let detail = format!("the proxy: {}", failure.detail);
        match failure.reason {
            Reason::EgressDenied => Failure { detail, ..failure },
            _ => proxy::unavailable(detail),
        }
    })?;
    let server = (&*target.host, target.port);
    let (transport, surplus) = proxy::tunnel(proxy, stream, server, &target.deadlines).await?;
    Ok(Dialled { transport, surplus, address })
}

/// TCP to `host`. All addresses share one budget, each gets an even part of what is left, so that one silent
/// address does not use up another's time.
async fn connect(
    target: &Target,
    host: &str,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), Failure> {
    let deadline = Instant::now() + target.deadlines.connect;
    let mut last = None;
    for (index, &address) in addresses.iter().enumerate() {
        // Asked again, since the addresses came through the caller's hands.
        if let Err(refusal) = target.egress.check(host, address.ip()) {
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
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_with_a_dot_is_absolute_first() {
        for (host, expected) in [
            ("login.microsoftonline.com", &["login.microsoftonline.com.", "login.microsoftonline.com"][..]),
            ("smtp.corp.example.", &["smtp.corp.example."]),
            ("relay.mail", &["relay.mail.", "relay.mail"]),
            ("relay", &["relay"]),
        ] {
            assert_eq!(spellings(host), expected, "{host}");
        }
    }

    /// Names that only the machine knows are found as well, in whichever way its resolver knows them.
    #[tokio::test]
    async fn the_machines_own_names_are_found() {
        assert!(addresses_of("localhost", 25).await.unwrap().iter().all(|found| found.ip().is_loopback()));
    }
}
