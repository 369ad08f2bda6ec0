//! Through SOCKS5 and HTTP CONNECT, and what is said where a proxy does not lead to the server.

use super::*;
use crate::api::Reason;
use crate::domain::failure::{Permanence, Phase};
use mail_operator_testbed::proxy::{Asked, RealProxy, ScriptedProxy, Speech};
use mail_operator_testbed::scripted_smtp::{Fault, Step};

/// A name that nothing here resolves.
const UNKNOWN: &str = "mail..test";

fn proxy(pki: &Pki, speech: &Speech, at: SocketAddr) -> Proxy {
    Proxy {
        scheme: match speech {
            Speech::Socks5 => ProxyScheme::Socks5,
            Speech::Http => ProxyScheme::Http,
            Speech::Https(_) => ProxyScheme::Https,
        },
        host: at.ip().to_string().into(),
        port: at.port(),
        credentials: None,
        tls_config: pki.client.clone(),
    }
}

fn every_speech(pki: &Pki) -> [Speech; 3] {
    let certificate = pki.authority.server("127.0.0.1", &[]).unwrap();
    [Speech::Socks5, Speech::Http, Speech::Https(certificate.server_config().unwrap())]
}

async fn failure(target: &Target) -> Failure {
    let Err(failure) = open(target, None).await else { panic!("must fail") };
    failure
}

#[tokio::test]
async fn mail_goes_through_each_kind_in_each_tls_mode() {
    let pki = Pki::new();
    for speech in every_speech(&pki) {
        for (mode, server) in [
            (TlsMode::Disabled, ScriptedSmtp::builder()),
            (TlsMode::StartTls, ScriptedSmtp::builder().starttls(pki.server())),
            (TlsMode::Implicit, ScriptedSmtp::builder().implicit_tls(pki.server())),
        ] {
            let server = server.login("joe@corp.test", "canary-password").start().await;
            let proxy_server = ScriptedProxy::builder(speech.clone())
                .login("proxyuser", "canary-proxy")
                .start(server.address())
                .await;
            let mut proxy = proxy(&pki, &speech, proxy_server.address());
            proxy.credentials = Some(("proxyuser".into(), Secret::new("canary-proxy")));
            let target = Target { host: UNKNOWN.into(), proxy: Some(proxy), ..pki.target(&server, mode) };
            let mut session = open(&target, Some(&password(true))).await.unwrap();
            send_one(&mut session, "jane@example.org").await;
            assert_eq!(session.info().address, proxy_server.address());
            session.quit().await;
            server.idle().await;
            assert_eq!((server.copies_for("jane@example.org"), server.count(Step::Quit)), (1, 1));
            let login = Some(("proxyuser".to_owned(), "canary-proxy".to_owned()));
            let target = format!("{UNKNOWN}:{}", target.port);
            assert_eq!(proxy_server.asked(), [Asked { target, login }]);
        }
    }
}

#[tokio::test]
async fn a_greeting_that_comes_with_the_answer_is_the_servers() {
    let pki = Pki::new();
    for speech in every_speech(&pki) {
        for (mode, builder) in [
            (TlsMode::Disabled, ScriptedSmtp::builder()),
            (TlsMode::StartTls, ScriptedSmtp::builder().starttls(pki.server())),
        ] {
            let server = builder.start().await;
            let together =
                ScriptedProxy::builder(speech.clone()).waits_for_server().start(server.address()).await;
            let proxy = Some(proxy(&pki, &speech, together.address()));
            let mut session =
                open(&Target { proxy: proxy.clone(), ..pki.target(&server, mode) }, None).await.unwrap();
            send_one(&mut session, "jane@example.org").await;
            // Who speaks first does not speak TLS; nothing of it gets into the TLS session.
            let failure = failure(&Target { proxy, ..pki.target(&server, TlsMode::Implicit) }).await;
            assert_eq!((failure.reason, failure.phase), (Reason::NotTLS, Phase::Tls));
        }
        // Nor anything that somebody slips in before the handshake.
        let server = ScriptedSmtp::builder()
            .starttls(pki.server())
            .fault(Step::StartTls, Fault::Followed(b"250 AUTH PLAIN\r\n".to_vec()))
            .start()
            .await;
        let through = ScriptedProxy::builder(speech.clone()).start(server.address()).await;
        let proxy = Some(proxy(&pki, &speech, through.address()));
        let failure = failure(&Target { proxy, ..pki.target(&server, TlsMode::StartTls) }).await;
        assert_eq!((failure.reason, failure.phase), (Reason::ProtocolViolation, Phase::StartTls));
    }
}

#[tokio::test]
async fn what_proxies_answer() {
    use Permanence::{Temporary, UntilChanged};
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    let long = [b"HTTP/1.1 200 ok\r\nX: ".as_slice(), &vec![b'x'; 20 << 10]].concat();
    let many = [b"HTTP/1.1 200 ok\r\n".as_slice(), &b"a: b\r\n".repeat(65), b"\r\n"].concat();
    let socks = |code| [5, code, 0, 1, 0, 0, 0, 0, 0, 0].to_vec();
    let http = |line: &str| format!("HTTP/1.1 {line} canary\r\ncanary: x\r\n\r\ncanary").into_bytes();
    let (unavailable, refused) = (Reason::ProxyUnavailable, Reason::ProxyRefused);
    for (speech, answer, reason, permanence, words) in [
        (Speech::Http, http("403"), refused, UntilChanged, "HTTP status 403"),
        (Speech::Http, http("405"), refused, UntilChanged, "HTTP status 405"),
        (Speech::Http, http("401"), Reason::ProxyAuthenticationFailed, UntilChanged, "HTTP status 401"),
        (Speech::Http, http("407"), Reason::ProxyAuthenticationFailed, UntilChanged, "credentialsSecretRef"),
        (Speech::Http, http("502"), refused, Temporary, "HTTP status 502"),
        (Speech::Http, http("503"), refused, Temporary, "HTTP status 503"),
        (Speech::Http, http("302"), refused, Temporary, "HTTP status 302"),
        (Speech::Http, b"220 mail.test ESMTP\r\n".to_vec(), unavailable, Temporary, "no HTTP proxy"),
        (Speech::Http, long, unavailable, Temporary, "no HTTP proxy"),
        (Speech::Http, many, unavailable, Temporary, "no HTTP proxy"),
        (Speech::Http, b"HTTP/1.1 200 ok\r\n".to_vec(), unavailable, Temporary, "closed the connection"),
        (Speech::Socks5, socks(1), refused, Temporary, "SOCKS5 reply 1"),
        (Speech::Socks5, socks(2), refused, UntilChanged, "SOCKS5 reply 2"),
        (Speech::Socks5, socks(4), refused, Temporary, "SOCKS5 reply 4"),
        (Speech::Socks5, socks(5), refused, Temporary, "SOCKS5 reply 5"),
        (Speech::Socks5, socks(77), unavailable, Temporary, "no SOCKS5 proxy"),
        (Speech::Socks5, b"HTTP/1.1 400 canary".to_vec(), unavailable, Temporary, "no SOCKS5 proxy"),
        (Speech::Socks5, vec![5], unavailable, Temporary, "closed the connection"),
    ] {
        let lying = ScriptedProxy::builder(speech.clone()).answer(&answer).start(server.address()).await;
        let proxy = Some(proxy(&pki, &speech, lying.address()));
        let failure = failure(&Target { proxy, ..plain(server.address()) }).await;
        assert_eq!(
            (failure.reason, failure.permanence, failure.phase),
            (reason, permanence, Phase::Connect),
            "{words}: {}",
            failure.detail
        );
        assert!(failure.detail.contains(words), "{words}: {}", failure.detail);
        assert!(!failure.detail.contains("canary"), "{}", failure.detail);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_comes_before_the_answer_of_a_proxy_is_skipped() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    let answer = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 200\r\n\r\n554 no\r\n";
    let early = ScriptedProxy::builder(Speech::Http).answer(answer).start(server.address()).await;
    let proxy = Some(proxy(&pki, &Speech::Http, early.address()));
    let failure = failure(&Target { proxy, ..plain(server.address()) }).await;
    assert_eq!((failure.reason, failure.phase), (Reason::ServiceUnavailable, Phase::Greeting));
}

#[tokio::test]
async fn logins_that_a_proxy_does_not_take() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    for speech in every_speech(&pki) {
        let strict =
            ScriptedProxy::builder(speech.clone()).login("proxyuser", "right").start(server.address()).await;
        for (credentials, words) in [
            (None, "name a Secret"),
            (Some(("proxyuser".into(), Secret::new("canary-proxy"))), "correct the Secret"),
        ] {
            let proxy = Proxy { credentials, ..proxy(&pki, &speech, strict.address()) };
            let failure = failure(&Target { proxy: Some(proxy), ..plain(server.address()) }).await;
            assert_eq!(
                (failure.reason, failure.permanence),
                (Reason::ProxyAuthenticationFailed, Permanence::UntilChanged)
            );
            assert!(failure.detail.contains(words), "{}", failure.detail);
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn proxies_that_cannot_be_reached() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    for speech in every_speech(&pki) {
        let through = |proxy| Target { proxy: Some(proxy), ..plain(server.address()) };
        let absent = failure(&through(proxy(&pki, &speech, nobody))).await;
        assert_eq!((absent.reason, absent.phase), (Reason::ProxyUnavailable, Phase::Connect));
        let unknown = Proxy { host: UNKNOWN.into(), ..proxy(&pki, &speech, nobody) };
        let unknown = failure(&through(unknown)).await;
        assert_eq!((unknown.reason, unknown.phase), (Reason::ProxyUnavailable, Phase::Resolve));
        assert!(unknown.detail.contains(UNKNOWN), "{}", unknown.detail);
        // One that does not answer.
        let silent = ScriptedProxy::builder(speech.clone()).silent().start(server.address()).await;
        let mut waiting = through(proxy(&pki, &speech, silent.address()));
        waiting.deadlines.connect = Duration::from_millis(200);
        let failure = failure(&waiting).await;
        assert_eq!((failure.reason, failure.permanence), (Reason::ProxyRefused, Permanence::Temporary));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_certificate_of_a_proxy_is_verified() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    let stranger = CertificateAuthority::new("Another CA").unwrap();
    for (certificate, words) in [
        (stranger.server("127.0.0.1", &[]).unwrap(), "CertificateUnknownIssuer"),
        (pki.authority.server("other.test", &[]).unwrap(), "CertificateNameMismatch"),
    ] {
        let speech = Speech::Https(certificate.server_config().unwrap());
        let other = ScriptedProxy::builder(speech.clone()).start(server.address()).await;
        let proxy = Proxy {
            credentials: Some(("proxyuser".into(), Secret::new("canary-proxy"))),
            ..proxy(&pki, &speech, other.address())
        };
        let failure = failure(&Target { proxy: Some(proxy), ..plain(server.address()) }).await;
        assert_eq!(failure.reason, Reason::ProxyUnavailable);
        assert!(failure.detail.contains(words), "{}", failure.detail);
        assert!(other.asked().is_empty());
    }
    // One that speaks no TLS at all.
    let speech = Speech::Https(pki.server());
    let in_the_clear = ScriptedProxy::builder(Speech::Http).start(server.address()).await;
    let proxy = proxy(&pki, &speech, in_the_clear.address());
    let mut target = Target { proxy: Some(proxy), ..plain(server.address()) };
    target.deadlines.tls = Duration::from_millis(200);
    let failure = failure(&target).await;
    assert_eq!(failure.reason, Reason::ProxyUnavailable);
    assert!(failure.detail.contains("http://"), "{}", failure.detail);
}

#[tokio::test]
async fn egress_rules_hold_for_the_proxy_and_for_what_is_known_of_the_target() {
    let pki = Pki::new();
    let server = ScriptedSmtp::builder().start().await;
    let through = ScriptedProxy::builder(Speech::Http).start(server.address()).await;
    let through_it = Some(proxy(&pki, &Speech::Http, through.address()));
    let allowing = |net: &str| Arc::new(Policy { allow: vec![net.parse().unwrap()], ..Policy::default() });
    let base = Target { proxy: through_it, ..plain(server.address()) };
    let other_than_proxy = allowing("127.9.9.9/32");
    let only_proxy = allowing("127.0.0.1/32");
    for (host, egress, is_permitted) in [
        ("127.9.9.9", &other_than_proxy, false),
        ("127.9.9.9", &only_proxy, false),
        ("169.254.169.254", &only_proxy, false),
        ("::ffff:169.254.169.254", &only_proxy, false),
        ("198.51.100.7", &only_proxy, true),
        ("localhost", &other_than_proxy, false),
        (UNKNOWN, &only_proxy, true),
    ] {
        let target = Target { host: host.into(), egress: egress.clone(), ..base.clone() };
        let before = through.asked().len();
        let outcome = open(&target, None).await.map(drop);
        match outcome {
            Ok(()) => assert!(is_permitted, "{host}"),
            Err(failure) => {
                assert!(!is_permitted, "{host}: {failure}");
                assert_eq!(
                    (failure.reason, failure.permanence),
                    (Reason::EgressDenied, Permanence::UntilChanged)
                );
            }
        }
        assert_eq!(through.asked().len() - before, usize::from(is_permitted), "{host}");
        // Also when the addresses did not come from `resolve`.
        let addresses = [through.address()];
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        if !is_permitted && is_address {
            let Err(failure) = connect(&target, &addresses).await else { panic!("{host}") };
            assert_eq!(failure.reason, Reason::EgressDenied, "{host}");
        }
    }
    // A name that resolves here to what is refused is not left to the proxy.
    let elsewhere = ScriptedProxy::builder(Speech::Http).at([127, 0, 0, 2].into());
    let elsewhere = elsewhere.start(server.address()).await;
    let target = Target {
        host: "localhost".into(),
        proxy: Some(proxy(&pki, &Speech::Http, elsewhere.address())),
        egress: allowing("127.0.0.2/32"),
        ..base.clone()
    };
    assert_eq!(failure(&target).await.reason, Reason::EgressDenied);
    assert!(elsewhere.asked().is_empty());
    open(&Target { host: UNKNOWN.into(), ..target }, None).await.unwrap();
    // What the condition says.
    let words = |resolved: Resolved, target: &Target| resolved.in_words(target);
    let known = Target { host: "198.51.100.7".into(), ..base.clone() };
    let said = words(resolve(&known).await.unwrap(), &known);
    assert_eq!(said, "198.51.100.7 is 198.51.100.7 as seen from here; the proxy 127.0.0.1 is 127.0.0.1");
    let unknown = Target { host: UNKNOWN.into(), ..base };
    let said = words(resolve(&unknown).await.unwrap(), &unknown);
    assert!(said.starts_with("mail..test has no address that can be found from here"), "{said}");
    assert!(said.contains("left to the proxy"), "{said}");
    // IPv6 addresses stand in brackets.
    let v6 = Target { host: "2001:db8::1".into(), ..unknown };
    open(&v6, None).await.unwrap();
    assert_eq!(through.asked().last().unwrap().target, format!("[2001:db8::1]:{}", v6.port));
}

#[tokio::test]
async fn through_proxies_that_people_run() {
    let pki = Pki::new();
    let (user, secret) = ("proxyuser", "canary-proxy");
    for (mode, builder) in [
        (TlsMode::Disabled, ScriptedSmtp::builder()),
        (TlsMode::StartTls, ScriptedSmtp::builder().starttls(pki.server())),
        (TlsMode::Implicit, ScriptedSmtp::builder().implicit_tls(pki.server())),
    ] {
        let server = builder.start().await;
        let socks = RealProxy::microsocks(user, secret).await.unwrap();
        let http = RealProxy::tinyproxy(user, secret, server.address().port()).await.unwrap();
        for (speech, real) in [(Speech::Socks5, &socks), (Speech::Http, &http)] {
            let proxy = Proxy {
                credentials: Some((user.into(), Secret::new(secret))),
                ..proxy(&pki, &speech, real.address())
            };
            let target = Target { proxy: Some(proxy.clone()), ..pki.target(&server, mode) };
            let mut session = open(&target, None).await.unwrap();
            send_one(&mut session, "jane@example.org").await;
            session.quit().await;
            let denied = |credentials| Target {
                proxy: Some(Proxy { credentials, ..proxy.clone() }),
                ..target.clone()
            };
            for credentials in [None, Some((user.into(), Secret::new("wrong")))] {
                let failure = failure(&denied(credentials)).await;
                assert_eq!(failure.reason, Reason::ProxyAuthenticationFailed, "{}", failure.detail);
            }
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let nobody = listener.local_addr().unwrap();
            drop(listener);
            let failure = failure(&Target { port: nobody.port(), ..target.clone() }).await;
            assert_eq!(failure.reason, Reason::ProxyRefused, "{}", failure.detail);
        }
        assert_eq!(server.copies_for("jane@example.org"), 2);
    }
}
