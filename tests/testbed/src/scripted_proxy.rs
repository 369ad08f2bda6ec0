//! A proxy on loopback that forwards what it is asked to, by HTTP CONNECT or SOCKS5 as the client begins, or answers
//! what a test tells it to. Whom it was asked for and with which login is kept, so that a test can say what was *not* sent.

use base64::{Engine, engine::general_purpose::STANDARD};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Connects everybody to everything; every name leads to loopback.
    Forwards,
    /// The same for those who know user name and password.
    WantsLogin(String, String),
    /// Answers with this status of HTTP or SOCKS5 and closes.
    Refuses(u16),
    /// Reads the first bytes and closes.
    Closes,
    /// Reads and says nothing.
    IsSilent,
    /// Answers with this, whatever it was asked.
    Answers(Vec<u8>),
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `host:port`, the host as the client wrote it.
    pub target: String,
    /// User name and password, if it sent some.
    pub login: Option<(String, String)>,
}

/// The proxy. Ends when dropped.
pub struct ScriptedProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Behaviour,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
}

impl ScriptedProxy {
    /// Listens on a free loopback port; with `tls`, is spoken to over TLS.
    pub async fn start(behaviour: Behaviour, tls: Option<rustls::ServerConfig>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { behaviour, asked: Mutex::default(), connections: AtomicUsize::new(0) });
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// TCP connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this task, which ends every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // A client that breaks off is part of the game.
            let _ = match tls {
                None => serve(stream, &shared).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &shared).await,
                    Err(error) => Err(error),
                },
            };
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let first = stream.read_u8().await?;
    match &shared.behaviour {
        Behaviour::Closes => return Ok(()),
        Behaviour::IsSilent => return drain(&mut stream).await,
        Behaviour::Answers(bytes) => {
            stream.write_all(bytes).await?;
            return drain(&mut stream).await;
        }
        Behaviour::Forwards | Behaviour::WantsLogin(..) | Behaviour::Refuses(_) => {}
    }
    let target =
        if first == 5 { socks(&mut stream, shared).await? } else { connect(&mut stream, shared).await? };
    let Some(port) = target else { return stream.shutdown().await };
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    copy_bidirectional(&mut stream, &mut server).await.map(drop)
}

async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

impl Shared {
    /// Notes what was asked, and says whether the login will do.
    fn note(&self, target: String, login: Option<(String, String)>) -> bool {
        let will_do = match &self.behaviour {
            Behaviour::WantsLogin(name, password) => {
                login.as_ref().is_some_and(|(user, word)| user == name && word == password)
            }
            _ => true,
        };
        lock(&self.asked).push(Asked { target, login });
        will_do
    }
}

/// RFC 9110, section 9.3.6. Returns the port to connect to.
async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<Option<u16>> {
    let mut head = vec![b'C'];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let login = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": Basic ")?;
        let decoded =
            STANDARD.decode(value).ok().filter(|_| name.eq_ignore_ascii_case("proxy-authorization"))?;
        let (user, word) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some((user.to_owned(), word.to_owned()))
    });
    let port = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let status = match (shared.note(target, login), &shared.behaviour) {
        (_, Behaviour::Refuses(status)) => *status,
        (false, _) => 407,
        (true, _) => 200,
    };
    stream.write_all(format!("HTTP/1.1 {status} Scripted\r\n\r\n").as_bytes()).await?;
    Ok(port.filter(|_| status == 200))
}

/// RFC 1928 and RFC 1929. Returns the port to connect to.
async fn socks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<Option<u16>> {
    let methods = bytes(stream).await?;
    let by_password = methods.contains(&2);
    let wants = matches!(shared.behaviour, Behaviour::WantsLogin(..));
    if wants && !by_password {
        stream.write_all(&[5, 0xff]).await?;
        return Ok(None);
    }
    stream.write_all(&[5, if by_password { 2 } else { 0 }]).await?;
    let mut login = None;
    if by_password {
        stream.read_u8().await?;
        let (user, word) = (bytes(stream).await?, bytes(stream).await?);
        login = Some((text(&user), text(&word)));
        if let Behaviour::WantsLogin(name, password) = &shared.behaviour
            && login != Some((name.clone(), password.clone()))
        {
            shared.note(String::new(), login);
            stream.write_all(&[1, 1]).await?;
            return Ok(None);
        }
        stream.write_all(&[1, 0]).await?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(stream.read_u128().await?)),
        _ => text(&bytes(stream).await?),
    };
    let port = stream.read_u16().await?;
    shared.note(format!("{host}:{port}"), login);
    let status = match shared.behaviour {
        Behaviour::Refuses(status) => u8::try_from(status).unwrap_or(1),
        _ => 0,
    };
    stream.write_all(&[5, status, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    Ok((status == 0).then_some(port))
}

/// A length, and so many bytes.
async fn bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
