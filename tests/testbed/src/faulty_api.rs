//! A way to the API server on which requests go wrong as they do on real ones: refused, lost before or after they were
//! carried out, late, answered with old news; watches that end or expire. Which request is told by what it asks for and
//! how often that was asked before, so that a plan made from one run fits another. It keeps a record of all calls and
//! of every byte that was sent in them. Speaks plain HTTP, passes the client's credentials on, listens on 127.0.0.1 only.

mod call;
mod fault;

pub use call::{Call, Kind, What};
pub use fault::Fault;

use crate::ControlPlane;
use crate::error::Result;
use crate::http;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The API server behind the faults; shared by all [`FaultyApi`]s, so that they share connections.
#[derive(Clone)]
pub struct Behind {
    url: String,
    client: reqwest::Client,
}

impl Behind {
    /// The API server of a control plane. Connections belong to the runtime that is running now.
    pub fn new(plane: &ControlPlane) -> Result<Self> {
        Ok(Self { url: plane.url(), client: http::passing_on(plane.ca_pem())? })
    }
}

/// A running way; ends when dropped.
pub struct FaultyApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A call as it went.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which.
    pub call: Call,
    /// What was done to it.
    pub fault: Option<Fault>,
    /// What the API server said, if it was asked and has answered.
    pub status: Option<u16>,
    /// When it came.
    pub at: Instant,
}

/// What is to be done to a call.
type Decide = Box<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

struct Shared {
    behind: Behind,
    decide: Decide,
    /// Told of each [`Fault::Stop`].
    stops: mpsc::UnboundedSender<()>,
    counts: Mutex<HashMap<What, usize>>,
    records: Mutex<Vec<Record>>,
    said: Mutex<Vec<u8>>,
    /// The first answer to each list.
    first: Mutex<HashMap<String, Kept>>,
    /// Requests under way to the API server, watches not counted.
    under_way: AtomicUsize,
}

/// An answer, kept to be given again.
#[derive(Clone)]
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

type Body = BoxBody<Bytes, io::Error>;
type Answer = io::Result<Response<Body>>;

impl FaultyApi {
    /// Starts one; `stops` hears of each call at which the client is to be ended.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its API server cannot go on")]
    pub async fn start(
        behind: Behind,
        stops: mpsc::UnboundedSender<()>,
        decide: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a loopback port");
        let address = listener.local_addr().expect("read the bound address");
        let shared = Arc::new(Shared {
            behind,
            decide: Box::new(decide),
            stops,
            counts: Mutex::default(),
            records: Mutex::default(),
            said: Mutex::default(),
            first: Mutex::default(),
            under_way: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All calls so far, in the order in which they came.
    pub fn records(&self) -> Vec<Record> {
        lock(&self.shared.records).clone()
    }

    /// Every byte that was sent in requests, and their addresses.
    pub fn said(&self) -> Vec<u8> {
        lock(&self.shared.said).clone()
    }

    /// Whether everything that was passed on is answered, watches aside.
    pub fn is_idle(&self) -> bool {
        self.shared.under_way.load(Ordering::SeqCst) == 0
    }
}

impl Drop for FaultyApi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        drop(stream.set_nodelay(true));
        let shared = shared.clone();
        tokio::spawn(async move {
            let serve = service_fn(move |request| answer(shared.clone(), request));
            // An error of ours is how a connection is lost without an answer.
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(TokioIo::new(stream), serve).await);
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let what = What::of(request.method(), request.uri());
    let (parts, body) = request.into_parts();
    let target = parts.uri.to_string();
    let (number, call) = shared.note(what, &target);
    let fault = (shared.decide)(&call);
    if let Some(record) = lock(&shared.records).get_mut(number) {
        record.fault.clone_from(&fault);
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    lock(&shared.said).extend_from_slice(&body);
    let mut sent = reqwest::Request::new(
        parts.method,
        format!("{}{target}", shared.behind.url).parse().map_err(io::Error::other)?,
    );
    *sent.headers_mut() = passed_on(parts.headers);
    *sent.body_mut() = Some(body.into());
    let kind = call.what.kind;
    let passed = Passed { shared, number, kind, target };
    match fault {
        None => passed.on(sent).await,
        Some(Fault::Answers(status)) => Ok(refusal(status)),
        Some(Fault::LostBefore) => Err(lost()),
        Some(Fault::LostAfter) => passed.carried_out(sent).await.and(Err(lost())),
        Some(Fault::AnswersAfter(status)) => passed.carried_out(sent).await.map(|_| refusal(status)),
        Some(Fault::Late(wait)) => {
            // Whoever asked may have gone by then, and his request is carried out all the same.
            let waiting = UnderWay::new(&passed.shared);
            let late = tokio::spawn(async move {
                let _waiting = waiting;
                tokio::time::sleep(wait).await;
                passed.on(sent).await
            });
            late.await.map_err(io::Error::other)?
        }
        Some(Fault::Stale) => match passed.first() {
            Some(kept) => Ok(kept.into_response()),
            None => passed.on(sent).await,
        },
        Some(Fault::Ends) => Ok(watch_of("")),
        Some(Fault::Expires) => Ok(watch_of(fault::EXPIRED)),
        Some(Fault::Torn) => passed.carried_out(sent).await.map(Kept::torn),
        Some(Fault::Stop { after }) => {
            if after {
                passed.carried_out(sent).await?;
            }
            let _ = passed.shared.stops.send(());
            std::future::pending().await
        }
    }
}

impl Shared {
    /// Notes a call; returns the number of its record.
    fn note(&self, what: What, target: &str) -> (usize, Call) {
        lock(&self.said).extend_from_slice(target.as_bytes());
        let nth = {
            let mut counts = lock(&self.counts);
            let count = counts.entry(what.clone()).or_default();
            *count += 1;
            *count
        };
        let call = Call { what, nth };
        let mut records = lock(&self.records);
        records.push(Record { call: call.clone(), fault: None, status: None, at: Instant::now() });
        (records.len() - 1, call)
    }
}

/// Counts as under way for as long as it lives.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, Ordering::SeqCst);
        Self(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request on its way to the API server.
struct Passed {
    shared: Arc<Shared>,
    number: usize,
    kind: Kind,
    target: String,
}

impl Passed {
    /// Passes a request on, and its answer back.
    async fn on(self, request: reqwest::Request) -> Answer {
        if self.kind != Kind::Watch {
            return self.carried_out(request).await.map(Kept::into_response);
        }
        let mut answer = self.shared.behind.client.execute(request).await.map_err(io::Error::other)?;
        self.noted(answer.status());
        let (status, headers) = (answer.status(), passed_on(answer.headers().clone()));
        let (mut sender, body) = Channel::new(16);
        tokio::spawn(async move {
            loop {
                match answer.chunk().await {
                    Ok(Some(chunk)) => {
                        if sender.send_data(chunk).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => return sender.abort(io::Error::other(error)),
                }
            }
        });
        Ok(response(status, headers, body.boxed()))
    }

    /// Passes a request on and keeps its answer, whatever becomes of who asked.
    async fn carried_out(&self, request: reqwest::Request) -> io::Result<Kept> {
        let under_way = UnderWay::new(&self.shared);
        let kept = tokio::spawn(async move { keep(&under_way.0.behind.client, request).await });
        let kept = kept.await.map_err(io::Error::other)??;
        self.noted(kept.status);
        if self.kind == Kind::List {
            lock(&self.shared.first).entry(self.target.clone()).or_insert_with(|| kept.clone());
        }
        Ok(kept)
    }

    fn first(&self) -> Option<Kept> {
        lock(&self.shared.first).get(&self.target).cloned()
    }

    fn noted(&self, status: StatusCode) {
        if let Some(record) = lock(&self.shared.records).get_mut(self.number) {
            record.status = Some(status.as_u16());
        }
    }
}

async fn keep(client: &reqwest::Client, request: reqwest::Request) -> io::Result<Kept> {
    let answer = client.execute(request).await.map_err(io::Error::other)?;
    let (status, headers) = (answer.status(), passed_on(answer.headers().clone()));
    Ok(Kept { status, headers, body: answer.bytes().await.map_err(io::Error::other)? })
}

impl Kept {
    fn into_response(self) -> Response<Body> {
        response(self.status, self.headers, whole(self.body))
    }

    /// The first half of it, then the connection breaks.
    fn torn(self) -> Response<Body> {
        let half = self.body.slice(..self.body.len() / 2);
        let (mut sender, body) = Channel::new(1);
        tokio::spawn(async move {
            if sender.send_data(half).await.is_ok() {
                // Else it would overtake what it is to follow.
                tokio::time::sleep(Duration::from_millis(20)).await;
                sender.abort(lost());
            }
        });
        response(self.status, self.headers, body.boxed())
    }
}

fn lost() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    response(status, headers, whole(text))
}

/// An answer in the API server's form.
fn refusal(status: u16) -> Response<Body> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault of the test", "reason": fault::reason(status), "code": status
    });
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, body.to_string());
    if status == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A watch that tells this and ends.
fn watch_of(events: &'static str) -> Response<Body> {
    json(StatusCode::OK, events)
}

/// What is about the message and not about this connection.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
