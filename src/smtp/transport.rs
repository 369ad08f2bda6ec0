//! The bytes below SMTP and its TLS.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// What a session runs over: TCP to the server or to a proxy that is spoken to in the clear (left), or TLS to a
/// proxy (right).
pub(super) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;
