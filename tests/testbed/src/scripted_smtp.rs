//! An SMTP server in the test's own process that does what its script says: every step can be
//! answered wrongly, slowly or not at all, held until the test lets it go on, or cut. It keeps a
//! ledger of what it took. Listens on 127.0.0.1 only.
//!
//! ```no_run
//! # use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
//! # async fn test() {
//! let server = ScriptedSmtp::builder()
//!     .login("joe", "password")
//!     .recipient("gone@example.org", "550 5.1.1 No such user")
//!     .fault_once(Step::Mail, Fault::reply("451 4.3.0 Later"))
//!     .hold(Step::Dot)
//!     .start()
//!     .await;
//! // … send something to server.address() …
//! server.reached(Step::Dot).await; // the message is in the ledger, the answer is not out
//! server.cut(Step::Dot); // … and never will be
//! assert_eq!(server.ledger().len(), 1);
//! # }
//! ```

mod dialogue;

use crate::certificates::ServerCertificate;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where in a session something happens: each is reached just before the server answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A client has connected; its greeting, or the implicit handshake, is due.
    Greeting,
    /// EHLO or HELO, before TLS or without.
    Ehlo,
    /// The STARTTLS command.
    StartTls,
    /// The TLS handshake, implicit or after STARTTLS.
    Tls,
    /// EHLO after STARTTLS.
    EhloAfterTls,
    /// The AUTH command.
    Auth,
    /// The client's answer to a challenge.
    AuthResponse,
    /// MAIL.
    Mail,
    /// Each RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The first bytes of a message have arrived, no more are read.
    Body,
    /// The whole message has arrived and, if the answer will be 250, stands in the ledger.
    Dot,
    /// RSET.
    Reset,
    /// QUIT.
    Quit,
}

/// What the server does instead of answering properly.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers this; lines are separated by CRLF, the last CRLF is added. A 421 closes as well. A
    /// refusal at `Body` is the answer to the message: the rest is read, and not taken.
    Reply(String),
    /// Closes without an answer. At `Dot` the message is not taken.
    Eof,
    /// At `Dot`: takes the message, then closes without an answer. Elsewhere the same as `Eof`.
    TakeThenEof,
    /// Resets the connection without an answer.
    Rst,
    /// Never answers, and stays.
    Stall,
    /// Gives the proper answer one byte at a time, with this pause between bytes.
    Trickle(Duration),
    /// Answers with bytes that are no SMTP.
    Garbage,
    /// Answers with one line of this many bytes.
    LongLine(usize),
    /// Answers with this many proper lines of which none is the last.
    EndlessReply(usize),
    /// Answers with lines of different codes.
    MixedCodes,
    /// Sends these bytes behind the proper answer, in the same write.
    Followed(Vec<u8>),
    /// Gives the proper answer twice, in the same write.
    Doubled,
    /// Gives half of the proper answer, then closes. At `Dot` the message is not taken.
    Torn,
    /// Answers with these bytes as they are.
    Bytes(Vec<u8>),
    /// Answers with these bytes again and again, until the client leaves.
    Repeated(Vec<u8>),
}

impl Fault {
    /// A reply in one or more lines.
    pub fn reply(text: impl Into<String>) -> Self {
        Self::Reply(text.into())
    }
}

/// A message the server has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The address of MAIL.
    pub from: String,
    /// The parameters of MAIL, as sent.
    pub parameters: String,
    /// The accepted addresses of RCPT.
    pub recipients: Vec<String>,
    /// The message, dots unstuffed.
    pub message: Vec<u8>,
    /// The number of the connection it came on, from 0.
    pub connection: usize,
    /// The user that was logged in.
    pub user: Option<String>,
    /// Whether it came over TLS.
    pub encrypted: bool,
}

/// When the server does TLS.
#[derive(Clone)]
enum Tls {
    Never,
    Offered(Arc<rustls::ServerConfig>),
    Implicit(Arc<rustls::ServerConfig>),
}

type Recipients = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Says what a [`ScriptedSmtp`] will do.
pub struct Builder {
    tls: Tls,
    extensions: Vec<String>,
    mechanisms: String,
    passwords: HashMap<String, String>,
    challenge_form_only: bool,
    scram_rounds: u32,
    has_scram_secrets: bool,
    end_point: Option<Vec<u8>>,
    faults: HashMap<Step, Vec<(Option<usize>, Fault)>>,
    recipients: Box<Recipients>,
    held: HashMap<Step, usize>,
    takes_anyway: bool,
}

/// A running server; stops when dropped.
pub struct ScriptedSmtp {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    script: Builder,
    ledger: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
    /// By connection and by whether it was encrypted, in the order of arrival.
    heard: Mutex<BTreeMap<(usize, bool), Vec<u8>>>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Progress {
    connections: usize,
    open: usize,
    resumed: usize,
    reached: HashMap<Step, usize>,
    /// From which time on.
    held: HashMap<Step, usize>,
    cuts: HashMap<Step, usize>,
}

/// How a gate opened.
#[derive(PartialEq, Eq)]
enum Gate {
    Open,
    Cut,
}

impl ScriptedSmtp {
    /// A server that takes everything, offers PIPELINING, 8BITMIME, SMTPUTF8, SIZE and
    /// ENHANCEDSTATUSCODES, and neither TLS nor AUTH.
    pub fn builder() -> Builder {
        Builder {
            tls: Tls::Never,
            extensions: ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 10485760"]
                .map(String::from)
                .to_vec(),
            mechanisms: String::new(),
            passwords: HashMap::new(),
            challenge_form_only: false,
            scram_rounds: 4096,
            has_scram_secrets: true,
            end_point: None,
            faults: HashMap::new(),
            recipients: Box::new(|_| None),
            held: HashMap::new(),
            takes_anyway: false,
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it has taken, in order.
    pub fn ledger(&self) -> Vec<Received> {
        lock(&self.shared.ledger).clone()
    }

    /// What it has taken for `recipient`, in order.
    pub fn received_for(&self, recipient: &str) -> Vec<Received> {
        let ledger = lock(&self.shared.ledger);
        let for_it = ledger.iter().filter(|taken| taken.recipients.iter().any(|to| to == recipient));
        for_it.cloned().collect()
    }

    /// How often `recipient` was given a message.
    pub fn copies_for(&self, recipient: &str) -> usize {
        lock(&self.shared.ledger)
            .iter()
            .flat_map(|taken| &taken.recipients)
            .filter(|to| *to == recipient)
            .count()
    }

    /// Every line that came outside messages, AUTH's included: for searching.
    pub fn commands(&self) -> Vec<String> {
        lock(&self.shared.commands).clone()
    }

    /// Every byte that came on all connections, one after the other, messages included and as they
    /// were before encryption.
    pub fn heard(&self) -> Vec<u8> {
        lock(&self.shared.heard).values().flatten().copied().collect()
    }

    /// The same of what came unencrypted.
    pub fn heard_in_the_clear(&self) -> Vec<u8> {
        let heard = lock(&self.shared.heard);
        heard.iter().filter(|((_, encrypted), _)| !encrypted).flat_map(|(_, bytes)| bytes).copied().collect()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.progress.borrow().connections
    }

    /// How many TLS handshakes resumed an earlier session.
    pub fn resumptions(&self) -> usize {
        self.shared.progress.borrow().resumed
    }

    /// How often `step` has been reached.
    pub fn count(&self, step: Step) -> usize {
        self.shared.progress.borrow().reached.get(&step).copied().unwrap_or_default()
    }

    /// Waits until `step` has been reached, now or before.
    pub async fn reached(&self, step: Step) {
        self.reached_times(step, 1).await;
    }

    /// Waits until `step` has been reached `times` times since the start.
    pub async fn reached_times(&self, step: Step, times: usize) {
        self.wait_for(|progress| progress.reached.get(&step).is_some_and(|count| *count >= times)).await;
    }

    /// Waits until no client is connected.
    pub async fn idle(&self) {
        self.wait_for(|progress| progress.open == 0).await;
    }

    /// From now on sessions wait at `step` before it is answered.
    pub fn hold(&self, step: Step) {
        self.shared.progress.send_modify(|progress| {
            progress.held.insert(step, 1);
        });
    }

    /// Lets those that wait at `step` go on, and holds nobody there any more.
    pub fn release(&self, step: Step) {
        self.shared.progress.send_modify(|progress| {
            progress.held.remove(&step);
        });
    }

    /// Closes the connections that wait at `step`, unanswered. Later ones still wait there.
    pub fn cut(&self, step: Step) {
        self.shared.progress.send_modify(|progress| *progress.cuts.entry(step).or_default() += 1);
    }

    async fn wait_for(&self, condition: impl Fn(&Progress) -> bool) {
        // The sender lives as long as `self`, so the wait ends only by the condition.
        drop(self.shared.progress.subscribe().wait_for(|progress| condition(progress)).await);
    }
}

impl Drop for ScriptedSmtp {
    fn drop(&mut self) {
        self.accepting.abort();
        // Sessions end with their clients; those held at a gate are cut.
        self.shared.progress.send_modify(|progress| {
            for step in progress.held.clone().into_keys() {
                *progress.cuts.entry(step).or_default() += 1;
            }
        });
    }
}

impl Builder {
    /// Offers STARTTLS.
    #[must_use]
    pub fn starttls(self, config: Arc<rustls::ServerConfig>) -> Self {
        Self { tls: Tls::Offered(config), ..self }
    }

    /// Starts with the handshake.
    #[must_use]
    pub fn implicit_tls(self, config: Arc<rustls::ServerConfig>) -> Self {
        Self { tls: Tls::Implicit(config), ..self }
    }

    /// Offers PLAIN and LOGIN, knows this user, and takes no mail without login.
    #[must_use]
    pub fn login(self, user: &str, password: &str) -> Self {
        self.login_with("PLAIN LOGIN", user, password)
    }

    /// The same with other mechanisms: of PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, XOAUTH2,
    /// OAUTHBEARER, and EXTERNAL, which wants a client certificate. For tokens the password is the token.
    #[must_use]
    pub fn login_with(mut self, mechanisms: &str, user: &str, password: &str) -> Self {
        mechanisms.clone_into(&mut self.mechanisms);
        self.passwords.insert(user.to_owned(), password.to_owned());
        self
    }

    /// Refuses AUTH with an initial response (501), as James does.
    #[must_use]
    pub fn challenge_form_only(self) -> Self {
        Self { challenge_form_only: true, ..self }
    }

    /// The rounds of key derivation that SCRAM asks for; 4096 else.
    #[must_use]
    pub fn scram_rounds(self, scram_rounds: u32) -> Self {
        Self { scram_rounds, ..self }
    }

    /// Offers SCRAM, as far as it does, without having any user's secret for it.
    #[must_use]
    pub fn without_scram_secrets(self) -> Self {
        Self { has_scram_secrets: false, ..self }
    }

    /// Also binds SCRAM-SHA-256-PLUS to its certificate (tls-server-end-point), which is this one.
    #[must_use]
    pub fn end_point(self, certificate: &ServerCertificate) -> Self {
        Self { end_point: certificate.sha256().ok(), ..self }
    }

    /// Announces these EHLO lines instead of the usual ones; STARTTLS and AUTH are added.
    #[must_use]
    pub fn extensions(self, lines: &[&str]) -> Self {
        Self { extensions: lines.iter().map(ToString::to_string).collect(), ..self }
    }

    /// Answers RCPT for one address with `reply`.
    #[must_use]
    pub fn recipient(mut self, address: &str, reply: &str) -> Self {
        let (before, address, reply) = (self.recipients, address.to_owned(), reply.to_owned());
        self.recipients = Box::new(move |to| if to == address { Some(reply.clone()) } else { before(to) });
        self
    }

    /// Answers each RCPT with what `answer` says for the address; `None` takes it.
    #[must_use]
    pub fn recipients(self, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { recipients: Box::new(answer), ..self }
    }

    /// Does `fault` whenever `step` is reached.
    #[must_use]
    pub fn fault(mut self, step: Step, fault: Fault) -> Self {
        self.faults.entry(step).or_default().push((None, fault));
        self
    }

    /// Does `fault` only the `nth` time that `step` is reached, counting all sessions, from 1.
    #[must_use]
    pub fn fault_at(mut self, step: Step, nth: usize, fault: Fault) -> Self {
        self.faults.entry(step).or_default().insert(0, (Some(nth), fault));
        self
    }

    /// Does `fault` the first time only.
    #[must_use]
    pub fn fault_once(self, step: Step, fault: Fault) -> Self {
        self.fault_at(step, 1, fault)
    }

    /// Takes each message that has arrived, whatever is answered then.
    #[must_use]
    pub fn takes_anyway(self) -> Self {
        Self { takes_anyway: true, ..self }
    }

    /// Holds sessions at `step` from the start.
    #[must_use]
    pub fn hold(self, step: Step) -> Self {
        self.hold_from(step, 1)
    }

    /// Holds sessions at `step` from the `nth` time on, counting all sessions, from 1: between two
    /// chunks of a message's recipients, say.
    #[must_use]
    pub fn hold_from(mut self, step: Step, nth: usize) -> Self {
        self.held.insert(step, nth);
        self
    }

    /// Starts listening on a free port.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub async fn start(self) -> ScriptedSmtp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a loopback port");
        let address = listener.local_addr().expect("read the bound address");
        let progress = Progress { held: self.held.clone(), ..Progress::default() };
        let shared = Arc::new(Shared {
            script: self,
            ledger: Mutex::default(),
            commands: Mutex::default(),
            heard: Mutex::default(),
            progress: watch::Sender::new(progress),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        ScriptedSmtp { address, shared, accepting }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let mut number = 0;
        shared.progress.send_modify(|progress| {
            number = progress.connections;
            progress.connections += 1;
            progress.open += 1;
        });
        tokio::spawn(async move {
            dialogue::speak(stream, number, &shared).await;
            shared.progress.send_modify(|progress| progress.open -= 1);
        });
    }
}

impl Shared {
    /// Marks `step` as reached; returns for which time, and what is to be done about it. `first` runs before anybody who
    /// waits for the step hears of it.
    fn reach(&self, step: Step, first: impl FnOnce(Option<&Fault>)) -> (usize, Option<Fault>) {
        let (mut nth, mut fault) = (0, None);
        self.progress.send_modify(|progress| {
            let times = progress.reached.entry(step).or_default();
            *times += 1;
            nth = *times;
            let scripted = self.script.faults.get(&step).map(Vec::as_slice).unwrap_or_default();
            fault =
                scripted.iter().find(|(nth, _)| nth.is_none_or(|nth| nth == *times)).map(|(_, fault)| fault);
            first(fault);
        });
        (nth, fault.cloned())
    }

    /// Waits at `step`, reached for the `nth` time, while it is held.
    async fn pass(&self, step: Step, nth: usize) -> Gate {
        let mut progress = self.progress.subscribe();
        let cuts = |progress: &Progress| progress.cuts.get(&step).copied().unwrap_or_default();
        let before = cuts(&progress.borrow());
        let open = progress
            .wait_for(|now| cuts(now) > before || now.held.get(&step).is_none_or(|from| nth < *from))
            .await;
        match open {
            Ok(now) if cuts(&now) == before => Gate::Open,
            _ => Gate::Cut,
        }
    }
}

/// A test that panicked while it looked at the ledger must not hide what another finds there.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
