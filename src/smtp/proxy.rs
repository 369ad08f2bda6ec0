//! From a connection to a proxy to one with the mail server behind it: SOCKS5 (RFC 1928, RFC 1929) or
//! HTTP CONNECT (RFC 9110, section 9.3.6). The proxy gets the server's name, not an address, since
//! that is what its rules are written for. Of what it says only codes are shown.

use super::deadlines::Deadlines;
use super::tls;
use super::transport::Transport;
use crate::api::Reason;
use crate::domain::failure::{Failure, Permanence, Phase, Scope};
use crate::domain::secret::Secret;
use base64::Engine as _;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_socks::tcp::Socks5Stream;
use zeroize::Zeroizing;

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

/// The longest head of a proxy's answer. Real ones have a few hundred bytes.
const LONGEST_HEAD: usize = 8 * 1024;
const MOST_HEADERS: usize = 64;

/// Has `proxy`, which `stream` is connected to, connect us to `host`. Returns the bytes that came
/// behind its answer as well: a mail server speaks first, and its greeting may travel with it. They
/// are part of the stream, as little believed as everything before TLS, and never carried into TLS.
pub(super) async fn tunnel(
    proxy: &Proxy,
    stream: TcpStream,
    (host, port): (&str, u16),
    deadlines: &Deadlines,
) -> Result<(Transport, Vec<u8>), Failure> {
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)) {
        let what = "host cannot be named to a proxy; use a DNS name or an IP address";
        return Err(failure(Reason::InvalidSpec, Permanence::UntilChanged, what.to_owned()));
    }
    let mut transport = match proxy.scheme {
        ProxyScheme::Socks5 | ProxyScheme::Http => Transport::Left(stream),
        ProxyScheme::Https => Transport::Right(Box::new(secure(proxy, stream, deadlines.tls).await?)),
    };
    let limit = deadlines.connect;
    let asking = async {
        match proxy.scheme {
            ProxyScheme::Socks5 => ask_socks5(proxy, &mut transport, host, port).await.map(|()| Vec::new()),
            ProxyScheme::Http | ProxyScheme::Https => ask_http(proxy, &mut transport, host, port).await,
        }
    };
    match timeout(limit, asking).await {
        Ok(surplus) => surplus.map(|surplus| (transport, surplus)),
        Err(_) => Err(refused(
            Permanence::Temporary,
            format!(
                "the proxy did not connect us to {host}:{port} within {} s; check that it can reach the server, and \
                 scheme and port of proxy.url",
                limit.as_secs_f32()
            ),
        )),
    }
}

async fn secure(
    proxy: &Proxy,
    stream: TcpStream,
    limit: Duration,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(proxy.host.to_string()).map_err(|_| {
        let what = "proxy.url: the host is no name that a certificate could have";
        failure(Reason::InvalidSpec, Permanence::UntilChanged, what.to_owned())
    })?;
    match timeout(limit, TlsConnector::from(proxy.tls_config.clone()).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let reason =
                tls::failure(&error, None).map_or(Reason::ConnectionClosed, |failure| failure.reason);
            Err(unavailable(format!(
                "TLS with the proxy failed ({reason}); its certificate must be for {} and by an authority of the \
                 system; if it speaks no TLS, begin proxy.url with http://",
                proxy.host
            )))
        }
        Err(_) => Err(unavailable(
            "the proxy did not answer the TLS handshake; if it speaks no TLS, begin proxy.url with http://"
                .to_owned(),
        )),
    }
}

async fn ask_socks5(proxy: &Proxy, stream: &mut Transport, host: &str, port: u16) -> Result<(), Failure> {
    use tokio_socks::Error;
    let target = (host, port);
    let asked = match &proxy.credentials {
        Some((username, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, target, username, password.expose()).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    let Err(error) = asked else { return Ok(()) };
    let to = format!("{host}:{port}");
    Err(match error {
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => {
            not_authenticated(proxy, "it accepts neither nobody nor user name and password")
        }
        Error::PasswordAuthFailure(code) => not_authenticated(proxy, &format!("SOCKS5 status {code}")),
        Error::InvalidAuthValues(_) => not_authenticated(proxy, "SOCKS5 permits 1 to 255 bytes for each"),
        Error::ConnectionNotAllowedByRuleset => not_permitted(&to, "SOCKS5 reply 2"),
        Error::CommandNotSupported => not_permitted(&to, "SOCKS5 reply 7"),
        Error::GeneralSocksServerFailure => not_reached(&to, "SOCKS5 reply 1"),
        Error::NetworkUnreachable => not_reached(&to, "SOCKS5 reply 3, network unreachable"),
        Error::HostUnreachable => not_reached(&to, "SOCKS5 reply 4, host unreachable"),
        Error::ConnectionRefused => not_reached(&to, "SOCKS5 reply 5, connection refused"),
        Error::TtlExpired => not_reached(&to, "SOCKS5 reply 6, time to live expired"),
        Error::AddressTypeNotSupported => not_reached(&to, "SOCKS5 reply 8, address type not supported"),
        Error::Io(error) => closed(&error),
        _ => not_a_proxy("SOCKS5"),
    })
}

async fn ask_http(
    proxy: &Proxy,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    port: u16,
) -> Result<Vec<u8>, Failure> {
    let to = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"));
    if let Some((username, password)) = &proxy.credentials {
        let login = Zeroizing::new(format!("{username}:{}", password.expose()));
        let login = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*login));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&login);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| closed(&error))?;
    stream.flush().await.map_err(|error| closed(&error))?;
    let mut input = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        match head(&input) {
            // RFC 9110 section 15.2: more may come before the answer.
            Ok(Some((100..=199, length))) => drop(input.drain(..length)),
            Ok(Some((200..=299, length))) => return Ok(input.split_off(length)),
            // tinyproxy answers 401 to a wrong password.
            Ok(Some((code @ (401 | 407), _))) => {
                return Err(not_authenticated(proxy, &format!("HTTP status {code}")));
            }
            Ok(Some((code @ 400..=499, _))) => {
                return Err(not_permitted(&to, &format!("HTTP status {code}")));
            }
            Ok(Some((code, _))) => return Err(not_reached(&to, &format!("HTTP status {code}"))),
            Ok(None) if input.len() < LONGEST_HEAD => {
                match stream.read(&mut chunk).await.map_err(|error| closed(&error))? {
                    0 => return Err(closed(&io::ErrorKind::UnexpectedEof.into())),
                    count => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                }
            }
            Ok(None) | Err(_) => return Err(not_a_proxy("HTTP")),
        }
    }
}

/// Code and length of a complete head.
fn head(input: &[u8]) -> Result<Option<(u16, usize)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    Ok(match response.parse(input)? {
        httparse::Status::Complete(length) => response.code.map(|code| (code, length)),
        httparse::Status::Partial => None,
    })
}

fn failure(reason: Reason, permanence: Permanence, detail: String) -> Failure {
    Failure::new(Scope::Server, permanence, reason, Phase::Connect, detail)
}

/// Something on the way to the proxy went wrong.
pub(super) fn unavailable(detail: String) -> Failure {
    failure(Reason::ProxyUnavailable, Permanence::Temporary, detail)
}

fn closed(error: &io::Error) -> Failure {
    // The kind is ours; the text could be the other side's.
    unavailable(format!(
        "the proxy closed the connection instead of answering ({}); check scheme and port of proxy.url",
        error.kind()
    ))
}

fn not_a_proxy(kind: &str) -> Failure {
    unavailable(format!("what answers is no {kind} proxy; check scheme and port of proxy.url"))
}

fn not_authenticated(proxy: &Proxy, said: &str) -> Failure {
    let advice = match proxy.credentials {
        None => {
            "the proxy wants user name and password; name a Secret with them in proxy.credentialsSecretRef"
        }
        Some(_) => {
            "the proxy does not accept user name and password; correct the Secret of proxy.credentialsSecretRef (with \
             HTTP only Basic is spoken)"
        }
    };
    failure(Reason::ProxyAuthenticationFailed, Permanence::UntilChanged, format!("{advice} (proxy: {said})"))
}

fn refused(permanence: Permanence, detail: String) -> Failure {
    failure(Reason::ProxyRefused, permanence, detail)
}

fn not_permitted(to: &str, said: &str) -> Failure {
    let what = format!(
        "the proxy does not permit connections to {to}; have them added to its rules (proxy: {said})"
    );
    refused(Permanence::UntilChanged, what)
}

fn not_reached(to: &str, said: &str) -> Failure {
    let what = format!(
        "the proxy could not connect us to {to}; check host and port, and whether the proxy can reach and resolve \
         them (proxy: {said})"
    );
    refused(Permanence::Temporary, what)
}
