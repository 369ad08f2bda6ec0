//! The server's side of one SMTP session, as the script says.

mod auth;

use super::{Fault, Gate, Received, Shared, Step, Tls, lock};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The session is over.
struct Closed;

impl From<std::io::Error> for Closed {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

struct Dialogue<'a> {
    stream: Stream,
    input: Vec<u8>,
    shared: &'a Shared,
    number: usize,
    user: Option<String>,
    from: Option<(String, String)>,
    recipients: Vec<String>,
}

/// Speaks until one side closes.
pub(super) async fn speak(stream: TcpStream, number: usize, shared: &Shared) {
    drop(stream.set_nodelay(true));
    let dialogue = Dialogue {
        stream: Stream::Plain(stream),
        input: Vec::new(),
        shared,
        number,
        user: None,
        from: None,
        recipients: Vec::new(),
    };
    // Every session ends here, whoever ends it.
    let (Ok(()) | Err(Closed)) = dialogue.run().await;
}

impl Dialogue<'_> {
    async fn run(mut self) -> Result<(), Closed> {
        if let Tls::Implicit(config) = &self.shared.script.tls {
            self = self.handshake(config.clone()).await?;
        }
        self.answer(Step::Greeting, "220 scripted.test ESMTP").await?;
        loop {
            let line = self.read_line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.hello().await?,
                "STARTTLS" => {
                    let Tls::Offered(config) = &self.shared.script.tls else {
                        self.write(b"502 5.5.1 No TLS\r\n").await?;
                        continue;
                    };
                    if self.answer(Step::StartTls, "220 2.0.0 Ready").await? == 220 {
                        self = self.handshake(config.clone()).await?;
                    }
                }
                "AUTH" => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget();
                    self.answer(Step::Reset, "250 2.0.0 Reset").await?;
                }
                "QUIT" => {
                    self.answer(Step::Quit, "221 2.0.0 Bye").await?;
                    return Ok(());
                }
                _ => self.write(b"500 5.5.1 Unknown command\r\n").await?,
            }
        }
    }

    async fn handshake(mut self, config: Arc<rustls::ServerConfig>) -> Result<Self, Closed> {
        let (nth, fault) = self.shared.reach(Step::Tls, |_| {});
        if self.shared.pass(Step::Tls, nth).await == Gate::Cut {
            return Err(Closed);
        }
        if let Some(fault) = fault {
            // Not before the client has begun: what came earlier would belong to the step before.
            self.tcp().peek(&mut [0]).await?;
            self.misbehave(fault, "").await?;
        }
        let Stream::Plain(stream) = self.stream else { return Err(Closed) };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.shared.progress.send_modify(|progress| progress.resumed += 1);
        }
        Ok(Self { stream: Stream::Tls(Box::new(stream)), input: Vec::new(), ..self })
    }

    async fn hello(&mut self) -> Result<(), Closed> {
        self.forget();
        let script = &self.shared.script;
        let is_encrypted = matches!(self.stream, Stream::Tls(_));
        let mut lines = vec!["scripted.test".to_owned()];
        lines.extend(script.extensions.iter().cloned());
        if matches!(script.tls, Tls::Offered(_)) && !is_encrypted {
            lines.push("STARTTLS".to_owned());
        }
        if !script.mechanisms.is_empty() {
            lines.push(format!("AUTH {}", script.mechanisms));
        }
        let last = lines.len() - 1;
        let reply: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        let is_second = is_encrypted && matches!(script.tls, Tls::Offered(_));
        let step = if is_second { Step::EhloAfterTls } else { Step::Ehlo };
        self.answer(step, &reply.join("\r\n")).await?;
        Ok(())
    }

    async fn mail(&mut self, rest: &str) -> Result<(), Closed> {
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.write(b"501 5.5.4 Syntax\r\n").await;
        };
        if self.from.is_some() {
            return self.write(b"503 5.5.1 Nested MAIL\r\n").await;
        }
        let needs_login = !self.shared.script.passwords.is_empty() && self.user.is_none();
        let proper = if needs_login { "530 5.7.0 Authentication required" } else { "250 2.1.0 Sender ok" };
        if self.answer(Step::Mail, proper).await? == 250 {
            self.from = Some((from, parameters));
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), Closed> {
        let Some((to, _)) = path(rest, "TO:") else {
            return self.write(b"501 5.5.4 Syntax\r\n").await;
        };
        if self.from.is_none() {
            return self.write(b"503 5.5.1 MAIL first\r\n").await;
        }
        let proper =
            (self.shared.script.recipients)(&to).unwrap_or_else(|| "250 2.1.5 Recipient ok".to_owned());
        if matches!(self.answer(Step::Rcpt, &proper).await?, 250 | 251) {
            self.recipients.push(to);
        }
        Ok(())
    }

    async fn data(&mut self) -> Result<(), Closed> {
        let proper =
            if self.recipients.is_empty() { "554 5.5.1 No valid recipients" } else { "354 Go ahead" };
        if self.answer(Step::Data, proper).await? != 354 {
            return Ok(());
        }
        if self.input.is_empty() {
            self.fill().await?;
        }
        let (nth, fault) = self.shared.reach(Step::Body, |_| {});
        if self.shared.pass(Step::Body, nth).await == Gate::Cut {
            return Err(Closed);
        }
        let is_refused = match fault {
            Some(fault) => self.misbehave(fault, "").await? >= 400,
            None => false,
        };
        let message = self.read_message().await?;
        if is_refused {
            self.forget();
            return Ok(());
        }
        let (from, parameters) = self.from.take().unwrap_or_default();
        let received = Received {
            from,
            parameters,
            recipients: std::mem::take(&mut self.recipients),
            message,
            connection: self.number,
            user: self.user.clone(),
            encrypted: matches!(self.stream, Stream::Tls(_)),
        };
        let shared = self.shared;
        let (nth, fault) = shared.reach(Step::Dot, |fault| {
            if shared.script.takes_anyway || takes_message(fault) {
                lock(&shared.ledger).push(received);
            }
        });
        self.finish(Step::Dot, nth, "250 2.0.0 Taken", fault).await?;
        Ok(())
    }

    /// Reads up to the lone dot, and unstuffs.
    async fn read_message(&mut self) -> Result<Vec<u8>, Closed> {
        let mut message = Vec::new();
        loop {
            let line = self.read_raw_line().await?;
            match line.as_slice() {
                b".\r\n" => return Ok(message),
                [b'.', rest @ ..] => message.extend_from_slice(rest),
                whole => message.extend_from_slice(whole),
            }
        }
    }

    /// Reaches `step`, passes its gate, and answers properly or as the script says. Returns the code
    /// that was sent, 0 for what has none.
    async fn answer(&mut self, step: Step, proper: &str) -> Result<u16, Closed> {
        let (nth, fault) = self.shared.reach(step, |_| {});
        self.finish(step, nth, proper, fault).await
    }

    async fn finish(
        &mut self,
        step: Step,
        nth: usize,
        proper: &str,
        fault: Option<Fault>,
    ) -> Result<u16, Closed> {
        if self.shared.pass(step, nth).await == Gate::Cut {
            return Err(Closed);
        }
        let Some(fault) = fault else {
            self.write(format!("{proper}\r\n").as_bytes()).await?;
            return Self::after(proper);
        };
        self.misbehave(fault, proper).await
    }

    async fn misbehave(&mut self, fault: Fault, proper: &str) -> Result<u16, Closed> {
        match fault {
            Fault::Reply(text) => {
                self.write(format!("{text}\r\n").as_bytes()).await?;
                return Self::after(&text);
            }
            Fault::Eof | Fault::TakeThenEof => return Err(Closed),
            Fault::Rst => {
                self.tcp().set_zero_linger()?;
                return Err(Closed);
            }
            Fault::Stall => loop {
                self.input.clear();
                self.fill().await?;
            },
            Fault::Trickle(pause) => return self.trickle(proper, pause).await,
            Fault::Garbage => self.write(b"\x00\xff\xfe garbage \x80\r\n\x01\x02\r\n").await?,
            Fault::LongLine(length) => {
                self.write(b"250 ").await?;
                for _ in 0..length / 1024 {
                    self.write(&[b'x'; 1024]).await?;
                }
                self.write(b"\r\n").await?;
            }
            Fault::EndlessReply(lines) => {
                for _ in 0..lines {
                    self.write(b"250-and one more line of a reply that does not come to an end\r\n").await?;
                }
            }
            Fault::MixedCodes => self.write(b"250-yes\r\n550 no\r\n").await?,
            Fault::Followed(extra) => {
                let both = [proper.as_bytes(), b"\r\n", &extra].concat();
                self.write(&both).await?;
                return Self::after(proper);
            }
            Fault::Doubled => {
                self.write(format!("{proper}\r\n{proper}\r\n").as_bytes()).await?;
                return Self::after(proper);
            }
            Fault::Torn => {
                self.write(proper.get(..proper.len() / 2).unwrap_or_default().as_bytes()).await?;
                return Err(Closed);
            }
            Fault::Bytes(bytes) => self.write(&bytes).await?,
            Fault::Repeated(bytes) => loop {
                self.write(&bytes).await?;
            },
        }
        Ok(0)
    }

    async fn trickle(&mut self, proper: &str, pause: Duration) -> Result<u16, Closed> {
        for byte in format!("{proper}\r\n").bytes() {
            self.write(&[byte]).await?;
            tokio::time::sleep(pause).await;
        }
        Self::after(proper)
    }

    /// The code of a reply; a server that says 421 hangs up.
    fn after(reply: &str) -> Result<u16, Closed> {
        let code = reply.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
        if code == 421 { Err(Closed) } else { Ok(code) }
    }

    fn forget(&mut self) {
        self.from = None;
        self.recipients.clear();
    }

    async fn read_line(&mut self) -> Result<String, Closed> {
        let line = self.read_raw_line().await?;
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        lock(&self.shared.commands).push(line.clone());
        Ok(line)
    }

    async fn read_raw_line(&mut self) -> Result<Vec<u8>, Closed> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.input.iter().skip(searched).position(|byte| *byte == b'\n') {
                return Ok(self.input.drain(..=searched + at).collect());
            }
            searched = self.input.len();
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Closed> {
        let before = self.input.len();
        let (read, encrypted) = match &mut self.stream {
            Stream::Plain(stream) => (read_some(stream, &mut self.input).await?, false),
            Stream::Tls(stream) => (read_some(stream, &mut self.input).await?, true),
        };
        let heard = self.input.get(before..).unwrap_or_default();
        lock(&self.shared.heard).entry((self.number, encrypted)).or_default().extend_from_slice(heard);
        if read == 0 { Err(Closed) } else { Ok(()) }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        match &mut self.stream {
            Stream::Plain(stream) => write_all(stream, bytes).await,
            Stream::Tls(stream) => write_all(stream, bytes).await,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

fn takes_message(fault: Option<&Fault>) -> bool {
    match fault {
        None | Some(Fault::TakeThenEof | Fault::Trickle(_) | Fault::Followed(_) | Fault::Doubled) => true,
        Some(Fault::Reply(text)) => text.starts_with('2'),
        Some(_) => false,
    }
}

/// `FROM:<a@b> SIZE=1` into address and parameters.
fn path(rest: &str, keyword: &str) -> Option<(String, String)> {
    let rest = rest.get(keyword.len()..).filter(|_| rest.to_ascii_uppercase().starts_with(keyword))?;
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    Some((address.to_owned(), parameters.trim().to_owned()))
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) -> std::io::Result<usize> {
    input.reserve(16 * 1024);
    stream.read_buf(input).await
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Closed> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    Ok(())
}
