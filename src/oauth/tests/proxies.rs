//! Token requests through proxies: what they are asked, what their refusals mean, whose certificate is whose, and
//! which addresses stay out of reach through them.

use super::super::proxied;
use super::*;
use crate::smtp::tls;
use mail_operator_testbed::proxy::{Asked, Builder, ScriptedProxy, Speech};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SCHEMES: [&str; 2] = ["http", "socks5h"];

fn proxy(scheme: &str, port: u16, login: Option<(&str, &str)>) -> Proxy {
    Proxy {
        url: Url::parse(&format!("{scheme}://localhost:{port}")).unwrap(),
        credentials: login.map(|(name, password)| (name.to_owned(), Secret::new(password))),
    }
}

/// A setup behind a proxy that `script` says more about.
async fn through(
    scheme: &str,
    login: Option<(&str, &str)>,
    script: impl FnOnce(Builder) -> Builder,
) -> (Setup, ScriptedProxy) {
    let mut setup = setup().await;
    let speech = if scheme == "http" { Speech::Http } else { Speech::Socks5 };
    let started = script(ScriptedProxy::builder(speech)).start(setup.server.address()).await;
    setup.request.proxy = Some(proxy(scheme, started.address().port(), login));
    (setup, started)
}

/// The answer to a SOCKS5 request.
fn socks(status: u8) -> Vec<u8> {
    vec![5, status, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_endpoint_by_name() {
    for scheme in SCHEMES {
        let (mut setup, proxy) = through(scheme, None, |builder| builder).await;
        setup.get(0).await.unwrap();
        let target = format!("localhost:{}", setup.server.address().port());
        assert_eq!(proxy.asked(), [Asked { target, login: None }]);
        let sent = setup.server.requests();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].field("client_secret"), Some(SECRET), "inside the endpoint's own TLS");

        // A name that only the proxy can resolve is no reason to give up.
        setup.request.ca_pem = None;
        setup.request.token_url =
            format!("https://login.invalid:{}/token", setup.server.address().port()).parse().unwrap();
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::CertificateUnknownIssuer, "{failure}");
        assert!(proxy.asked()[1].target.starts_with("login.invalid:"));
    }
}

#[tokio::test]
async fn a_login_for_the_proxy_with_signs_of_every_kind() {
    let (name, password) = ("corp\\ada@x", "canary:p@ss/%20w\u{f6}rd?#");
    for scheme in SCHEMES {
        let wants = |builder: Builder| builder.login(name, password);
        let (setup, proxy) = through(scheme, Some((name, password)), wants).await;
        setup.get(0).await.unwrap();
        assert_eq!(proxy.asked()[0].login, Some((name.to_owned(), password.to_owned())), "{scheme}");
        assert!(!setup.server.requests()[0].headers.contains_key("proxy-authorization"));

        for login in [None, Some((name, "canary-wrong"))] {
            let (setup, _proxy) = through(scheme, login, wants).await;
            let failure = setup.get(0).await.unwrap_err();
            assert_eq!(failure.reason, Reason::ProxyAuthenticationFailed, "{scheme} {login:?}: {failure}");
            assert_eq!(failure.permanence, Permanence::UntilChanged);
            assert!(failure.message.contains("proxy.credentialsSecretRef"), "{failure}");
            assert_eq!(setup.server.connections(), 0);
        }
    }
}

#[tokio::test]
async fn proxies_that_do_not_do_their_work() {
    let (unavailable, refused) = (Reason::ProxyUnavailable, Reason::ProxyRefused);
    let (temporary, changed) = (Permanence::Temporary, Permanence::UntilChanged);
    for (scheme, answer, reason, permanence, says) in [
        ("http", b"HTTP/1.1 403 canary\r\n\r\n".to_vec(), refused, temporary, "neither 200 nor 407"),
        ("http", b"HTTP/1.1 502 canary\r\n\r\n".to_vec(), refused, temporary, "neither 200 nor 407"),
        ("http", b"SSH-2.0-canary\r\n".to_vec(), refused, temporary, "neither 200 nor 407"),
        ("http", vec![b'x'; 1 << 20], refused, temporary, "neither 200 nor 407"),
        ("http", b"".to_vec(), unavailable, temporary, "closed the connection"),
        ("socks5h", socks(1), refused, temporary, "general server failure"),
        ("socks5h", socks(2), refused, changed, "connection not allowed"),
        ("socks5h", socks(3), refused, temporary, "network unreachable"),
        ("socks5h", socks(4), refused, temporary, "host unreachable"),
        ("socks5h", socks(5), refused, temporary, "connection refused"),
        ("socks5h", socks(6), refused, temporary, "ttl expired"),
        ("socks5h", socks(7), refused, changed, "command not supported"),
        ("socks5h", socks(8), refused, temporary, "address type not supported"),
        ("socks5h", b"HTTP/1.1 400\r\n".to_vec(), unavailable, temporary, "scheme of proxy.url"),
        ("socks5h", b"".to_vec(), unavailable, temporary, "closed the connection"),
    ] {
        let (setup, _proxy) = through(scheme, None, |builder| builder.answer(&answer)).await;
        let failure = setup.get(0).await.unwrap_err();
        let found = (failure.reason, failure.permanence);
        assert_eq!(found, (reason, permanence), "{scheme} {says}: {failure}");
        assert!(failure.message.contains(says), "{failure} should say {says}");
        assert!(failure.message.starts_with("proxy localhost:"), "{failure}");
        assert_eq!(setup.server.connections(), 0);
    }
}

#[tokio::test]
async fn proxies_that_cannot_be_reached() {
    for scheme in SCHEMES {
        let mut setup = setup().await;
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        setup.request.proxy = Some(proxy(scheme, free.port(), None));
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ProxyUnavailable, "{failure}");
        assert!(failure.message.contains("check proxy.url"), "{failure}");

        setup.request.proxy =
            Some(Proxy { url: format!("{scheme}://proxy.invalid:1").parse().unwrap(), credentials: None });
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::ProxyUnavailable, "{failure}");
        assert!(failure.message.starts_with("proxy proxy.invalid:1: its name has no address"), "{failure}");

        let (mut setup, _proxy) = through(scheme, None, Builder::silent).await;
        setup.tokens = Tokens::with_timeout(loopback_permitted(), Duration::from_secs(2));
        let failure = setup.get(0).await.unwrap_err();
        assert_eq!(failure.reason, Reason::TokenEndpointUnavailable, "{failure}");
        assert!(failure.message.contains(" through proxy localhost:"), "{failure}");
    }
}

#[tokio::test]
async fn addresses_that_are_refused_stay_so_through_a_proxy() {
    for scheme in SCHEMES {
        let (mut setup, proxy) = through(scheme, None, |builder| builder).await;
        // The proxy itself.
        setup.tokens = Tokens::new(Arc::default());
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let url = format!("{scheme}://{host}:{}", proxy.address().port());
            setup.request.proxy = Some(Proxy { url: url.parse().unwrap(), credentials: None });
            let failure = setup.get(0).await.unwrap_err();
            assert_eq!(failure.reason, Reason::EgressDenied, "{host}: {failure}");
            assert!(failure.message.starts_with("proxy "), "{failure}");
        }
        // What lies behind it.
        let denied = egress::Policy {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            deny: vec!["127.0.0.9/32".parse().unwrap(), "::1/128".parse().unwrap()],
            ..egress::Policy::default()
        };
        setup.tokens = Tokens::new(Arc::new(denied));
        let url = format!("{scheme}://127.0.0.1:{}", proxy.address().port());
        setup.request.proxy = Some(Proxy { url: url.parse().unwrap(), credentials: None });
        for host in ["127.0.0.9", "169.254.169.254", "[::1]", "[::ffff:127.0.0.9]"] {
            setup.request.token_url = format!("https://{host}/token").parse().unwrap();
            let failure = setup.get(0).await.unwrap_err();
            assert_eq!(failure.reason, Reason::EgressDenied, "{host}: {failure}");
            assert!(failure.message.starts_with("token endpoint "), "{failure}");
        }
        assert_eq!(proxy.asked(), []);
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_refused_whatever_else_it_leads_to() {
    // `localhost` is 127.0.0.1 and, on most machines, ::1.
    let (mut setup, proxy) = through("http", None, |builder| builder).await;
    setup.request.proxy.as_mut().unwrap().url.set_host(Some("127.0.0.2")).unwrap();
    let policy = egress::Policy { allow: vec!["127.0.0.2/32".parse().unwrap()], ..egress::Policy::default() };
    setup.tokens = Tokens::new(Arc::new(policy));
    let failure = setup.get(0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::EgressDenied, "{failure}");
    assert_eq!(proxy.asked(), []);
}

#[tokio::test]
async fn a_proxy_over_tls_has_to_be_known_to_the_system() {
    let mut setup = setup().await;
    // By the endpoint's own authority, which has no say about proxies.
    let authority = ThrowawayCa::new(&["localhost"]).unwrap();
    setup.request.ca_pem = Some(authority.ca_pem.clone());
    let speech = Speech::Https(Arc::new(authority.server_config().unwrap()));
    let started = ScriptedProxy::builder(speech).start(setup.server.address()).await;
    setup.request.proxy = Some(proxy("https", started.address().port(), None));
    let failure = setup.get(0).await.unwrap_err();
    assert_eq!(failure.reason, Reason::CertificateUnknownIssuer, "{failure}");
    assert!(failure.message.starts_with("proxy localhost:"), "{failure}");
    assert_eq!(started.asked(), []);

    // A proxy that speaks no TLS.
    let mail = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    setup.request.proxy = Some(proxy("https", mail.local_addr().unwrap().port(), None));
    let greeting = async {
        let (mut stream, _) = mail.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (failure, _stream) = tokio::join!(setup.get(0), greeting);
    let failure = failure.unwrap_err();
    assert_eq!(failure.reason, Reason::NotTLS, "{failure}");
    assert!(failure.message.contains("check proxy.url"), "{failure}");
}

/// Both certificates are good, each by its own authority and for no other place.
#[tokio::test]
async fn whose_certificate_is_whose() {
    install_provider();
    let of_proxy = ThrowawayCa::named("Proxy CA", &["proxy.example", "login.example"]).unwrap();
    let of_endpoint = ThrowawayCa::named("Endpoint CA", &["proxy.example", "login.example"]).unwrap();
    let roots = |ca: &ThrowawayCa| tls::bundled_roots(ca.ca_pem.as_bytes()).unwrap();
    let url = "https://proxy.example:3129".parse().unwrap();
    let settings = proxied::settings(&url, roots(&of_proxy), roots(&of_endpoint)).unwrap();
    for (name, shown, accepted) in [
        ("proxy.example", &of_proxy, true),
        ("proxy.example", &of_endpoint, false),
        ("login.example", &of_endpoint, true),
        ("login.example", &of_proxy, false),
    ] {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(shown.server_config().unwrap()));
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(b"x").await
        });
        let stream = tokio::net::TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from(name).unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&settings));
        let connected = connector.connect(name.clone(), stream).await;
        assert_eq!(connected.is_ok(), accepted, "{name:?}");
        if let Ok(mut stream) = connected {
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        assert_eq!(serving.await.unwrap().is_ok(), accepted);
    }
}
