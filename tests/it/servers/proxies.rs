//! Mail through proxies, as a config names them: each kind, with a login, and what is told where one does not lead to the
//! mail server. Mail goes to a name that only the proxy knows.

use super::{Mends, PASSWORD, USER, basic, fails, server, verified};
use crate::objects::Space;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::proxy::{ScriptedProxy, Speech};
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::json;

const PROXY_PASSWORD: &str = "canary-proxy-password";
/// Resolved by the proxy alone.
const HOST: &str = "smtp.corp.invalid";

fn spec(proxy: &str) -> String {
    format!(
        "host: {HOST}\nport: 587\ntls: {{ caRef: {{ name: ca }} }}\n{}\nproxy: {{ {proxy}, credentialsSecretRef: {{ name: proxy }} }}",
        basic()
    )
}

async fn secret(space: &Space, name: &str, hosts: &str, data: serde_json::Value) {
    let annotations = space.consent(hosts).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "annotations": annotations },
        "stringData": data
    });
    space.apply(&secret.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_a_proxy_of_each_kind() {
    let space = Space::new("servers-proxies").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let tls = authority.server(HOST, &[]).unwrap().server_config().unwrap();
    let smtp = ScriptedSmtp::builder().starttls(tls).login(USER, PASSWORD).start().await;
    space.ca("ca", authority.pem()).await;
    secret(&space, "login", &format!("{HOST},127.0.0.1"), json!({ "password": PASSWORD })).await;
    secret(&space, "proxy", "127.0.0.1", json!({ "username": "it", "password": PROXY_PASSWORD })).await;
    let own_tls = authority.server("localhost", &["127.0.0.1"]).unwrap().server_config().unwrap();
    for (scheme, speech) in
        [("socks5", Speech::Socks5), ("http", Speech::Http), ("https", Speech::Https(own_tls))]
    {
        let proxy = ScriptedProxy::builder(speech).login("it", PROXY_PASSWORD).start(smtp.address()).await;
        let at = format!("url: \"{scheme}://{}\", caRef: {{ name: ca }}", proxy.address());
        server(&space, scheme, &spec(&at)).await;
        verified(&space, scheme).await;
        let to = format!("{scheme}@corp.example");
        space
            .apply(&format!(
                "apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: {{ name: {scheme} }}\nspec: {{ serverRef: {{ name: {scheme} }}, \
                 to: [{{ address: {to} }}], message: {{ content: {{ subject: Hello, text: Hello }} }} }}\n"
            ))
            .await;
        space.until_phase(scheme, "Sent").await;
        assert_eq!(smtp.copies_for(&to), 1);
        assert!(
            proxy.asked().iter().all(|asked| asked.target == format!("{HOST}:587")),
            "{:?}",
            proxy.asked()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_leads_nowhere_is_named() {
    let space = Space::new("servers-proxies-bad").await;
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let smtp = ScriptedSmtp::builder().start().await;
    space.ca("ca", authority.pem()).await;
    secret(&space, "login", &format!("{HOST},127.0.0.1"), json!({ "password": PASSWORD })).await;
    secret(&space, "proxy", "127.0.0.1", json!({ "username": "it", "password": "canary-wrong" })).await;
    let strict =
        ScriptedProxy::builder(Speech::Socks5).login("it", PROXY_PASSWORD).start(smtp.address()).await;
    let forbids = ScriptedProxy::builder(Speech::Http)
        .answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        .start(smtp.address())
        .await;
    for (name, proxy, reason, mends) in [
        (
            "login",
            format!("url: \"socks5://{}\"", strict.address()),
            "ProxyAuthenticationFailed",
            Mends::AChange,
        ),
        ("forbids", format!("url: \"http://{}\"", forbids.address()), "ProxyRefused", Mends::AChange),
        ("down", "url: \"http://127.0.0.1:1\"".into(), "ProxyUnavailable", Mends::Itself),
    ] {
        server(&space, name, &spec(&proxy)).await;
        let words = if name == "forbids" { &["403"][..] } else { &[] };
        fails(&space, name, "Connected", reason, mends, words).await;
    }
    assert_eq!(smtp.connections(), 0);

    // The password would go wherever the proxy leads, so its Secret has to name the proxy.
    secret(&space, "login", HOST, json!({ "password": PASSWORD })).await;
    server(&space, "unnamed", &spec(&format!("url: \"socks5://{}\"", strict.address()))).await;
    let words = ["Secret login does not permit its contents to be sent to 127.0.0.1"];
    fails(&space, "unnamed", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
}
