//! An SMTP server that takes everything as fast as it can: the other end of benchmarks, and a ledger
//! of who got what. Offers PIPELINING, 8BITMIME, SMTPUTF8, SIZE, and on request STARTTLS, implicit TLS
//! and an AUTH that accepts anybody. Checks nothing; [`crate::scripted_smtp`] is for faults. Listens on
//! 127.0.0.1 only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How a [`Sink`] behaves.
#[derive(Clone, Default)]
pub struct Options {
    /// Offers STARTTLS, or starts with the handshake if `implicit_tls`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// Offers AUTH PLAIN, LOGIN and XOAUTH2 with an initial response, and accepts anybody.
    pub auth: bool,
    /// Waits so long before each batch of replies: a far-away server.
    pub delay: Duration,
    /// Keeps count of messages by Message-ID and recipient, which costs a benchmark some speed.
    pub ledger: bool,
}

/// A running sink; stops taking connections when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Message-ID and recipient.
type Key = (String, String);

struct Shared {
    options: Options,
    messages: watch::Sender<u64>,
    recipients: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
    ledger: Mutex<HashMap<Key, u64>>,
}

impl Sink {
    /// Starts listening on a free port.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(options: Options) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), options).await
    }

    /// Starts listening where nobody listened before: a server that comes back.
    ///
    /// # Panics
    /// If the address is taken.
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub async fn start_at(address: SocketAddr, options: Options) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind a loopback port");
        let address = listener.local_addr().expect("read the bound address");
        let shared = Arc::new(Shared {
            options,
            messages: watch::Sender::new(0),
            recipients: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            ledger: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages it has taken.
    pub fn messages(&self) -> u64 {
        *self.shared.messages.borrow()
    }

    /// How many recipients they had together.
    pub fn recipients(&self) -> u64 {
        self.shared.recipients.load(Ordering::Relaxed)
    }

    /// How many bytes they had together, dots stuffed.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until it has taken `count` messages since the start.
    pub async fn taken(&self, count: u64) {
        // The sender lives as long as `self`, so the wait ends only by the condition.
        drop(self.shared.messages.subscribe().wait_for(|messages| *messages >= count).await);
    }

    /// How often each recipient got each message, by Message-ID (without brackets) and address.
    pub fn ledger(&self) -> HashMap<(String, String), u64> {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        tokio::spawn(async move {
            drop(stream.set_nodelay(true));
            // A session ends when the client goes, in whatever way.
            drop(serve(stream, &shared).await);
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(config) = &shared.options.tls else {
        return Dialogue::new(shared, false).run(&mut stream, true).await.map(|_| ());
    };
    if shared.options.implicit_tls
        || Dialogue::new(shared, false).run(&mut stream, true).await? == Ended::StartTls
    {
        let mut stream = TlsAcceptor::from(config.clone()).accept(stream).await?;
        Dialogue::new(shared, true).run(&mut stream, shared.options.implicit_tls).await?;
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Ended {
    Closed,
    StartTls,
}

struct Dialogue<'a> {
    shared: &'a Shared,
    is_encrypted: bool,
    output: Vec<u8>,
    recipients: u64,
    addresses: Vec<String>,
    message: Option<Message>,
}

/// A message on its way in.
#[derive(Default)]
struct Message {
    bytes: u64,
    /// Its beginning, for the Message-ID; stays empty without ledger.
    head: Vec<u8>,
}

/// No header of ours is longer.
const LONGEST_HEAD: usize = 16 * 1024;

impl<'a> Dialogue<'a> {
    fn new(shared: &'a Shared, is_encrypted: bool) -> Self {
        let output = Vec::with_capacity(4096);
        Self { shared, is_encrypted, output, recipients: 0, addresses: Vec::new(), message: None }
    }

    async fn run(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        greet: bool,
    ) -> std::io::Result<Ended> {
        if greet {
            self.output.extend_from_slice(b"220 sink.test ESMTP\r\n");
        }
        let mut input = Vec::with_capacity(128 * 1024);
        loop {
            if !self.output.is_empty() {
                if !self.shared.options.delay.is_zero() {
                    tokio::time::sleep(self.shared.options.delay).await;
                }
                stream.write_all(&self.output).await?;
                stream.flush().await?;
                self.output.clear();
            }
            input.reserve(64 * 1024);
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(Ended::Closed);
            }
            if let Some(ended) = self.digest(&mut input) {
                stream.write_all(&self.output).await?;
                stream.flush().await?;
                return Ok(ended);
            }
        }
    }

    /// Consumes what is complete in `input` and collects the replies.
    fn digest(&mut self, input: &mut Vec<u8>) -> Option<Ended> {
        let mut done = 0;
        while let Some(rest) = input.get(done..).filter(|rest| !rest.is_empty()) {
            if let Some(message) = &mut self.message {
                let (used, is_complete) = message.take(rest, self.shared.options.ledger);
                done += used;
                if !is_complete {
                    break;
                }
                self.store();
            } else {
                let Some(end) = memchr::memchr(b'\n', rest) else { break };
                done += end + 1;
                if let Some(ended) = self.command(rest.get(..end).unwrap_or_default().trim_ascii()) {
                    return Some(ended);
                }
            }
        }
        input.drain(..done);
        None
    }

    fn command(&mut self, line: &[u8]) -> Option<Ended> {
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" | b"HELO" => {
                self.hello();
                return None;
            }
            b"STAR" if self.shared.options.tls.is_some() && !self.is_encrypted => {
                self.output.extend_from_slice(b"220 Ready\r\n");
                return Some(Ended::StartTls);
            }
            b"AUTH" if self.shared.options.auth => b"235 2.7.0 Welcome\r\n",
            b"MAIL" => b"250 2.1.0 Ok\r\n",
            b"RCPT" => {
                self.recipients += 1;
                if self.shared.options.ledger {
                    self.addresses.push(address(line));
                }
                b"250 2.1.5 Ok\r\n"
            }
            b"DATA" => {
                self.message = Some(Message::default());
                b"354 Go ahead\r\n"
            }
            b"RSET" => {
                self.recipients = 0;
                self.addresses.clear();
                b"250 2.0.0 Ok\r\n"
            }
            b"NOOP" => b"250 2.0.0 Ok\r\n",
            b"QUIT" => {
                self.output.extend_from_slice(b"221 2.0.0 Bye\r\n");
                return Some(Ended::Closed);
            }
            _ => b"500 5.5.1 Unknown\r\n",
        };
        self.output.extend_from_slice(reply);
        None
    }

    fn hello(&mut self) {
        self.output.extend_from_slice(b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n");
        let options = &self.shared.options;
        if options.tls.is_some() && !self.is_encrypted {
            self.output.extend_from_slice(b"250-STARTTLS\r\n");
        }
        if options.auth {
            self.output.extend_from_slice(b"250-AUTH PLAIN LOGIN XOAUTH2\r\n");
        }
        self.output.extend_from_slice(b"250 SIZE 104857600\r\n");
    }

    /// Counts a complete message and answers it.
    fn store(&mut self) {
        let message = self.message.take().unwrap_or_default();
        self.shared.recipients.fetch_add(std::mem::take(&mut self.recipients), Ordering::Relaxed);
        self.shared.bytes.fetch_add(message.bytes, Ordering::Relaxed);
        if self.shared.options.ledger {
            let id = message_id(&message.head).unwrap_or_default();
            let mut ledger = self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            for to in self.addresses.drain(..) {
                *ledger.entry((id.clone(), to)).or_default() += 1;
            }
        }
        self.shared.messages.send_modify(|messages| *messages += 1);
        self.output.extend_from_slice(b"250 2.0.0 Taken\r\n");
    }
}

impl Message {
    /// Takes what it can of `input`; returns how much that is, and whether the message is complete.
    fn take(&mut self, input: &[u8], keep_head: bool) -> (usize, bool) {
        const END: &[u8] = b"\r\n.\r\n";
        let (used, is_complete) = if self.bytes == 0 && input.starts_with(b".\r\n") {
            (3, true)
        } else if let Some(at) = memchr::memmem::find(input, END) {
            (at + END.len(), true)
        } else {
            // What could be the beginning of the end stays for the next time.
            (input.len().saturating_sub(END.len() - 1), false)
        };
        if keep_head && self.head.len() < LONGEST_HEAD {
            self.head.extend_from_slice(input.get(..used.min(LONGEST_HEAD)).unwrap_or_default());
        }
        self.bytes += used as u64;
        (used, is_complete)
    }
}

fn address(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

/// The Message-ID in the header, without brackets.
fn message_id(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let field = head.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("message-id").then(|| value.trim().to_owned())
    })?;
    Some(field.trim_start_matches('<').trim_end_matches('>').to_owned())
}
