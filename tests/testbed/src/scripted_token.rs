//! An OAuth token endpoint over TLS on loopback that answers what a test tells it to, also what no sane
//! server would: redirects, pages of HTML, endless bodies, silence. Every request is kept with its form
//! fields, and every connection counted, so that a test can say what was *not* sent. It judges no
//! credentials: where those matter, a real provider is used.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// One answer of the script.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A whole answer.
    Full(Response),
    /// The answer in pieces of one byte, a pause after each.
    Slow(Response, Duration),
    /// The head and half of the body, then the connection ends.
    CutShort(Response),
    /// Reads the request and says nothing until the client gives up.
    Stall,
    /// Reads the request and closes the connection.
    Close,
}

/// Status, headers and body; length and connection headers are added.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// In the order they are sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// An answer of any type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".into(), content_type.into())], body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Answer {
    /// A bearer token.
    pub fn token(access_token: &str, expires_in: u64) -> Self {
        Self::json(
            200,
            &json!({ "token_type": "Bearer", "expires_in": expires_in, "ext_expires_in": expires_in, "access_token": access_token }),
        )
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Full(Response::json(status, body))
    }

    /// An OAuth error (RFC 6749, section 5.2).
    pub fn error(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, &json!({ "error": error, "error_description": description }))
    }

    /// An error as Entra ID words it.
    pub fn entra_error(status: u16, error: &str, number: u64, text: &str) -> Self {
        const CORRELATION: &str = "4c1e7a52-7d0c-4f0e-9a56-0f9c1a6b2d11";
        const TRACE: &str = "7f1dbe4a-31c4-4b2b-8d2e-5a0c6b5f2e00";
        let time = "2026-11-24 06:00:00Z";
        Self::json(
            status,
            &json!({
                "error": error,
                "error_description":
                    format!("AADSTS{number}: {text} Trace ID: {TRACE} Correlation ID: {CORRELATION} Timestamp: {time}"),
                "error_codes": [number],
                "timestamp": time,
                "trace_id": TRACE,
                "correlation_id": CORRELATION,
                "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
            }),
        )
    }

    /// A redirect to another place.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Full(Response::new(status, "text/plain", "").header("Location", location))
    }

    /// A page, as portals and maintenance windows show it.
    pub fn html() -> Self {
        Self::Full(Response::new(200, "text/html", "<!doctype html><title>Sign in</title>"))
    }
}

/// A JWT with these claims and a signature nobody can verify.
pub fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(&json!({ "typ": "JWT", "alg": "RS256", "kid": "test" })),
        part(claims),
        URL_SAFE_NO_PAD.encode([0x5a; 256])
    )
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`, in general.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The form's fields, decoded, in the order they were sent: a field sent twice is here twice.
    pub form: Vec<(String, String)>,
}

impl Request {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The server. Ends when dropped.
pub struct TokenServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

impl TokenServer {
    /// Listens on a free loopback port with this TLS configuration (no ALPN or `http/1.1`). Until told
    /// otherwise it answers with an opaque token good for an hour.
    pub async fn start(tls: rustls::ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            otherwise: Mutex::new(Answer::token("opaque-token", 3600)),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:port` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Appends to the script: each request takes the next answer.
    pub fn then(&self, answer: Answer) -> &Self {
        lock(&self.shared.script).push_back(answer);
        self
    }

    /// What is answered when the script is at its end.
    pub fn otherwise(&self, answer: Answer) -> &Self {
        *lock(&self.shared.otherwise) = answer;
        self
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// TCP connections so far, with or without a TLS handshake.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A certificate authority made for one test, and a server certificate it signed.
pub struct ThrowawayCa {
    /// The authority's certificate, for `caRef`.
    pub ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ThrowawayCa {
    /// Signs for these names and addresses. Every authority made so has the same name and another key,
    /// as when somebody creates his private CA anew.
    pub fn new(names: &[&str]) -> Result<Self, rcgen::Error> {
        Self::named("Throwaway CA", names)
    }

    /// Likewise, by an authority of this name.
    pub fn named(authority: &str, names: &[&str]) -> Result<Self, rcgen::Error> {
        Self::sign(authority, &parameters(names)?)
    }

    /// Signs a certificate that ended long ago.
    pub fn expired(names: &[&str]) -> Result<Self, rcgen::Error> {
        let mut params = parameters(names)?;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 12, 31);
        Self::sign("Throwaway CA", &params)
    }

    fn sign(authority: &str, params: &CertificateParams) -> Result<Self, rcgen::Error> {
        let mut own = parameters(&[])?;
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        own.distinguished_name.push(DnType::CommonName, authority);
        let authority = CertifiedIssuer::self_signed(own, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Self {
            ca_pem: authority.pem(),
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// For [`TokenServer::start`].
    pub fn server_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
    }
}

fn parameters(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    // Dropped with this task, which ends every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // A client that breaks off is part of the game; what it did is in the records.
            let _ = serve(stream, &tls, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: &TlsAcceptor, shared: &Shared) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let request = read_request(&mut stream).await?;
    lock(&shared.requests).push(request);
    let next = lock(&shared.script).pop_front();
    let answer = next.unwrap_or_else(|| lock(&shared.otherwise).clone());
    match answer {
        Answer::Full(response) => stream.write_all(&bytes(&response)).await?,
        Answer::Slow(response, pause) => {
            for byte in bytes(&response) {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        Answer::CutShort(response) => {
            let bytes = bytes(&response);
            let end = bytes.len() - response.body.len() / 2;
            stream.write_all(bytes.get(..end).unwrap_or_default()).await?;
        }
        Answer::Stall => wait_for_end(&mut stream).await?,
        Answer::Close => {}
    }
    stream.shutdown().await
}

async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

fn bytes(response: &Response) -> Vec<u8> {
    let headers: String =
        response.headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
    let (status, length) = (response.status, response.body.len());
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), &response.body].concat()
}

/// Reads one HTTP/1.1 request with a `Content-Length`, of at most 64 KiB.
async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Request> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= 64 * 1024 {
            return Err(bad("the request's head is too large"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).map_err(|_| bad("the request's head is not UTF-8"))?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = first.next().zip(first.next()).ok_or_else(|| bad("no request line"))?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse::<usize>());
    let length =
        length.ok().filter(|length| *length <= 64 * 1024).ok_or_else(|| bad("no usable Content-Length"))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let form = reqwest::Url::parse(&format!("https://form/?{}", String::from_utf8_lossy(&body)))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    Ok(Request { method, target, headers, form })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
