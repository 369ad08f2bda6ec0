//! A proxy in the test's own process, SOCKS5 or HTTP CONNECT, that does what its script says and
//! remembers who asked for what. Listens on loopback only, and connects to nothing but the one
//! server it was given. Those that people run are in `real`.

mod real;

pub use real::RealProxy;

use crate::scripted_smtp::lock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a [`ScriptedProxy`] speaks.
#[derive(Clone)]
pub enum Speech {
    /// RFC 1928, RFC 1929.
    Socks5,
    /// CONNECT.
    Http,
    /// CONNECT over TLS.
    Https(Arc<rustls::ServerConfig>),
}

/// A proxy that is running; stops when dropped.
pub struct ScriptedProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    accepting: JoinHandle<()>,
}

/// What a client wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `host:port` as the client named it.
    pub target: String,
    /// User name and password, where it gave some.
    pub login: Option<(String, String)>,
}

/// Says what a [`ScriptedProxy`] will do.
#[derive(Clone)]
pub struct Builder {
    speech: Speech,
    login: Option<(String, String)>,
    answer: Option<Vec<u8>>,
    is_silent: bool,
    waits_for_server: bool,
    address: Ipv4Addr,
}

impl ScriptedProxy {
    /// A proxy that lets everybody through.
    pub const fn builder(speech: Speech) -> Builder {
        Builder {
            speech,
            login: None,
            answer: None,
            is_silent: false,
            waits_for_server: false,
            address: Ipv4Addr::LOCALHOST,
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked of it, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

impl Drop for ScriptedProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Builder {
    /// Wants this user name and password.
    #[must_use]
    pub fn login(self, user: &str, password: &str) -> Self {
        Self { login: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// Answers the request with these bytes and hangs up.
    #[must_use]
    pub fn answer(self, answer: &[u8]) -> Self {
        Self { answer: Some(answer.to_vec()), ..self }
    }

    /// Never answers, and stays.
    #[must_use]
    pub fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// Waits until the server has said something, and sends that along with its own answer.
    #[must_use]
    pub fn waits_for_server(self) -> Self {
        Self { waits_for_server: true, ..self }
    }

    /// Listens on another address of 127.0.0.0/8 than 127.0.0.1.
    #[must_use]
    pub fn at(self, address: Ipv4Addr) -> Self {
        Self { address, ..self }
    }

    /// Starts listening on a free port; leads to `server`, whatever is asked for.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without its proxy cannot go on")]
    pub async fn start(self, server: SocketAddr) -> ScriptedProxy {
        let listener = TcpListener::bind((self.address, 0)).await.expect("bind a loopback port");
        let address = listener.local_addr().expect("read the bound address");
        let asked = Arc::new(Mutex::default());
        let session = Session { script: Arc::new(self), server, asked: asked.clone() };
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whatever ends a session is the client's to find out.
                tokio::spawn(session.clone().serve(stream));
            }
        });
        ScriptedProxy { address, asked, accepting }
    }
}

#[derive(Clone)]
struct Session {
    script: Arc<Builder>,
    server: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Session {
    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        drop(stream.set_nodelay(true));
        match self.script.speech.clone() {
            Speech::Socks5 => self.socks5(stream).await,
            Speech::Http => self.http(stream).await,
            Speech::Https(config) => self.http(TlsAcceptor::from(config).accept(stream).await?).await,
        }
    }

    async fn socks5(&self, mut client: TcpStream) -> std::io::Result<()> {
        self.keep_silent(&mut client).await?;
        let [_, count] = read(&mut client).await?;
        let mut methods = vec![0; count.into()];
        client.read_exact(&mut methods).await?;
        let wanted = if self.script.login.is_some() { 2 } else { 0 };
        if !methods.contains(&wanted) {
            return client.write_all(&[5, 0xff]).await;
        }
        client.write_all(&[5, wanted]).await?;
        let mut login = None;
        if wanted == 2 {
            let [_] = read(&mut client).await?;
            let given = (read_text(&mut client).await?, read_text(&mut client).await?);
            let is_right = self.script.login.as_ref() == Some(&given);
            client.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(());
            }
            login = Some(given);
        }
        let [_, _, _, kind] = read(&mut client).await?;
        let host = match kind {
            1 => Ipv4Addr::from(read::<4>(&mut client).await?).to_string(),
            4 => Ipv6Addr::from(read::<16>(&mut client).await?).to_string(),
            _ => read_text(&mut client).await?,
        };
        let port = u16::from_be_bytes(read(&mut client).await?);
        self.lead(client, format!("{host}:{port}"), login, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await
    }

    async fn http(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        self.keep_silent(&mut client).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let login = head.lines().find_map(|line| {
            let (name, login) = line.split_once(": Basic ")?;
            let login =
                BASE64.decode(login).ok().filter(|_| name.eq_ignore_ascii_case("Proxy-Authorization"))?;
            let login = String::from_utf8(login).ok()?;
            let (user, password) = login.split_once(':')?;
            Some((user.to_owned(), password.to_owned()))
        });
        if self.script.login.is_some() && login != self.script.login {
            return client.write_all(b"HTTP/1.1 407 canary\r\nProxy-Authenticate: Basic\r\n\r\n").await;
        }
        self.lead(client, target, login, b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await
    }

    async fn keep_silent(&self, client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
        if self.script.is_silent {
            loop {
                client.read_u8().await?;
            }
        }
        Ok(())
    }

    async fn lead(
        &self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        target: String,
        login: Option<(String, String)>,
        granted: &[u8],
    ) -> std::io::Result<()> {
        lock(&self.asked).push(Asked { target, login });
        if let Some(answer) = &self.script.answer {
            client.write_all(answer).await?;
            client.flush().await?;
            return client.shutdown().await;
        }
        let mut server = TcpStream::connect(self.server).await?;
        server.set_nodelay(true)?;
        let mut answer = granted.to_vec();
        if self.script.waits_for_server {
            server.read_buf(&mut answer).await?;
        }
        client.write_all(&answer).await?;
        client.flush().await?;
        copy_bidirectional(&mut client, &mut server).await.map(|_| ())
    }
}

async fn read<const N: usize>(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// One byte of length, then the text.
async fn read_text(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut text = vec![0; from.read_u8().await?.into()];
    from.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
