//! The mail server that everybody sends to, as a process of its own: this program started anew, so that what the server
//! costs is never counted as the client's. It offers the sink as it is and behind a line of 20 ms a round trip, and
//! tells on request what has arrived. It ends with whoever started it.

use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::delay;
use mail_operator_testbed::sink::{Options, Sink};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The argument that makes this program the mail server.
pub const SERVE: &str = "serve-mail";
/// In one direction.
const ONE_WAY: Duration = Duration::from_millis(10);
/// There and back again.
pub const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Where the server listens, and the authority that vouches for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    /// On loopback.
    pub near: SocketAddr,
    /// The same behind the line.
    pub far: SocketAddr,
    /// PEM.
    pub ca: String,
}

/// What has arrived since the start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Arrived {
    pub messages: u64,
    pub bytes: u64,
}

/// The server seen from outside.
pub struct FarEnd {
    pub offer: Offer,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    process: Child,
}

/// Is the server: one line of standard input is a question, its end the end.
pub fn serve() {
    let runtime = Runtime::new().unwrap();
    let authority = CertificateAuthority::new("Throw-away CA of the figures").unwrap();
    let tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    let sink = runtime.block_on(Sink::start(Options { tls: Some(tls), ..Options::default() }));
    let far = delay::line_to(sink.address(), ONE_WAY);
    say(&Offer { near: sink.address(), far, ca: authority.pem().to_owned() });
    for _question in std::io::stdin().lines().map_while(Result::ok) {
        say(&Arrived { messages: sink.messages(), bytes: sink.bytes() });
    }
    runtime.shutdown_background();
}

fn say(what: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what).unwrap()).unwrap();
    out.flush().unwrap();
}

impl FarEnd {
    /// Starts the server.
    pub fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        Self { offer: serde_json::from_str(&line).unwrap(), questions, answers, process }
    }

    /// Asks what has arrived; the server answers at once, so nothing is lost by waiting for it.
    pub fn arrived(&mut self) -> Arrived {
        self.questions.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
