//! A mail server that answers a login with whatever bytes it likes, over a real TLS connection: the
//! exchange ends, says the secret a bounded number of times, succeeds only on a 235, and never shows
//! the secret in what it makes of the answers.

use mail_operator::domain::egress::Policy;
use mail_operator::domain::failure::Failure;
use mail_operator::domain::secret::Secret;
use mail_operator::smtp::tls::{MinVersion, bundled_roots, client_config};
use mail_operator::smtp::{self, Credentials, Deadlines, PasswordMechanism, Target, TlsMode, TokenMechanism};
use mail_operator_testbed::certificates::CertificateAuthority;
use rustls::pki_types::ServerName;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

const SECRET: &str = "canary-password";

struct World {
    server: TlsAcceptor,
    client: Arc<rustls::ClientConfig>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let authority = CertificateAuthority::new("Fuzz CA").expect("an authority");
    let server = authority.server("mail.test", &[]).and_then(|server| server.server_config());
    let roots = bundled_roots(authority.pem().as_bytes()).expect("roots");
    World {
        server: TlsAcceptor::from(server.expect("a certificate")),
        client: client_config(roots, MinVersion::Tls12, None).expect("a client"),
    }
});

/// The first byte says which credentials; the rest are the server's answers to the lines of the login,
/// with 0xFF between them. After the last one it hangs up.
pub fn login(data: &[u8]) {
    let Some((choice, answers)) = data.split_first() else { return };
    let credentials = credentials(*choice);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    exchange(&runtime, &credentials, answers);
}

fn exchange(runtime: &Runtime, credentials: &Credentials, answers: &[u8]) {
    let (outcome, heard) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = target(listener.local_addr().expect("an address"));
        let server = async {
            let (stream, _) = listener.accept().await.expect("a client");
            serve(stream, answers).await
        };
        let both = async { tokio::join!(attempt(&target, credentials), server) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("a login ends")
    });
    let heard = String::from_utf8_lossy(&heard).into_owned();
    // Both SCRAMs and PLAIN, in two forms of AUTH with three challenges each, at the very most.
    assert!(heard.lines().count() <= 2 + 24, "{heard}");
    assert!(heard.lines().filter(|line| line.starts_with("AUTH ")).count() <= 6, "{heard}");
    match outcome {
        Ok(()) => {
            let welcomed = answers.windows(3).any(|window| window == b"235");
            assert!(welcomed, "a login without 235: {}", String::from_utf8_lossy(answers));
        }
        Err(failure) => {
            let printed = format!("{failure} {failure:?}");
            assert!(!printed.contains(SECRET) && !printed.chars().any(char::is_control), "{printed:?}");
            assert!(printed.chars().count() < 4_000, "{printed}");
        }
    }
}

async fn attempt(target: &Target, credentials: &Credentials) -> Result<(), Failure> {
    let addresses = smtp::resolve(target).await?.addresses;
    let connection = smtp::connect(target, &addresses).await?.secure().await?;
    connection.authenticate(Some(credentials)).await.map(drop)
}

async fn serve(stream: TcpStream, answers: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    let Ok(mut stream) = WORLD.server.accept(stream).await else { return heard };
    let offer = b"250-mail.test\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL\r\n";
    let proper = [b"220 mail.test\r\n".as_slice(), offer];
    // Behind half an answer no line comes, and both would wait.
    let mut is_line_due = false;
    for answer in proper.into_iter().chain(answers.split(|byte| *byte == 0xff)) {
        if is_line_due && !read_line(&mut stream, &mut heard).await {
            return heard;
        }
        is_line_due = is_complete(answer);
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return heard;
        }
    }
    drop(stream.shutdown().await);
    while read_line(&mut stream, &mut heard).await {}
    heard
}

fn is_complete(answer: &[u8]) -> bool {
    let lines = answer.strip_suffix(b"\n").map(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    lines.is_some_and(|last| last.is_some_and(|last| last.get(3) != Some(&b'-')))
}

/// Whether one more line came.
async fn read_line(stream: &mut (impl AsyncReadExt + Unpin), heard: &mut Vec<u8>) -> bool {
    loop {
        let mut byte = [0; 1];
        match stream.read(&mut byte).await {
            Ok(1) => heard.push(byte[0]),
            _ => return false,
        }
        if byte[0] == b'\n' {
            return true;
        }
    }
}

fn credentials(choice: u8) -> Credentials {
    let password = |mechanism| Credentials::Password {
        username: "joe@corp.test".to_owned(),
        password: Secret::new(SECRET),
        mechanism,
        allow_plaintext: false,
    };
    let token = |mechanism| Credentials::Token {
        username: "joe@corp.test".to_owned(),
        token: Secret::new(SECRET),
        mechanism,
    };
    match choice % 9 {
        0 => password(None),
        1 => password(Some(PasswordMechanism::Plain)),
        2 => password(Some(PasswordMechanism::Login)),
        3 => token(Some(TokenMechanism::XOAuth2)),
        4 => token(Some(TokenMechanism::OAuthBearer)),
        5 => token(None),
        6 => password(Some(PasswordMechanism::ScramSha256)),
        7 => password(Some(PasswordMechanism::ScramSha256Plus)),
        _ => Credentials::Certificate { username: Some("joe@corp.test".to_owned()) },
    }
}

fn target(address: std::net::SocketAddr) -> Target {
    Target {
        host: address.ip().to_string().into(),
        port: address.port(),
        tls: TlsMode::Implicit,
        tls_config: WORLD.client.clone(),
        server_name: ServerName::try_from("mail.test").expect("a name"),
        hello_name: "client.test".into(),
        proxy: None,
        egress: Arc::new(Policy {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            ..Policy::default()
        }),
        deadlines: Deadlines::all(Duration::from_secs(5)),
        auth_hint: None,
    }
}
