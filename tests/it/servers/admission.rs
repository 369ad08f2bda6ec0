//! What the API server refuses before anything is stored: each refusal has to name the field and say what would
//! be right, to somebody who has never read a schema.

use super::manifest;
use crate::objects::Space;

const EXCHANGE: &str =
    "tenantID: corp.example, clientID: app, username: it@corp.example, clientSecretRef: { name: s, key: k }";
const OAUTH2: &str = "username: it, tokenURL: \"https://a.example/token\", clientID: app, clientSecretRef: { name: s, key: k }";
const BASIC: &str = "username: it, passwordSecretRef: { name: s, key: k }";

#[tokio::test(flavor = "multi_thread")]
async fn what_would_never_work_is_refused_in_plain_words() {
    let space = Space::new("servers-admission").await;
    let host = |more: &str| format!("host: smtp.corp.example\n{more}");
    let exchange = |more: &str| format!("auth: {{ exchangeOnline: {{ {EXCHANGE} }} }}\n{more}");
    let cases: Vec<(String, &[&str])> = vec![
        (
            "port: 25".into(),
            &[
                "host is required: the DNS name or IP address of the mail server (only auth.exchangeOnline sets it by itself)",
            ],
        ),
        (
            "host: smtp corp".into(),
            &["spec.host", "must be a DNS name such as smtp.corp.example, or an IP address"],
        ),
        (
            "host: smtp.corp.example/x".into(),
            &["spec.host", "must be a DNS name such as smtp.corp.example, or an IP address"],
        ),
        (host("port: 0"), &["spec.port", "greater than or equal to 1"]),
        (host("port: 65536"), &["spec.port", "less than or equal to 65535"]),
        (
            host("tls: { mode: starttls }"),
            &["spec.tls.mode", "Unsupported value: \"starttls\"", "\"StartTLS\", \"Implicit\", \"Disabled\""],
        ),
        (host("tls: { minVersion: \"1.1\" }"), &["spec.tls.minVersion", "\"1.2\", \"1.3\""]),
        (host("tls: { insecureSkipVerify: true }"), &["unknown field \"spec.tls.insecureSkipVerify\""]),
        (
            host("tls: { caRef: { kind: Pod, name: x } }"),
            &["spec.tls.caRef.kind", "\"ConfigMap\", \"Secret\""],
        ),
        (
            host("replyTo: nobody"),
            &["spec.replyTo", "must be one e-mail address such as it@corp.example, without a name"],
        ),
        (host("helloName: -x"), &["spec.helloName", "must be a DNS name such as mail.corp.example"]),
        (
            host("auth: {}"),
            &[
                "spec.auth",
                "set exactly one of basic, exchangeOnline, oauth2, clientCertificate (no auth at all means: no login)",
            ],
        ),
        (
            host(&format!("auth: {{ basic: {{ {BASIC} }}, oauth2: {{ {OAUTH2} }} }}")),
            &["set exactly one of basic, exchangeOnline, oauth2"],
        ),
        (host("auth: { basic: { username: it } }"), &["spec.auth.basic.passwordSecretRef: Required value"]),
        (
            host("auth: { basic: { username: it, passwordSecretRef: { name: s } } }"),
            &["spec.auth.basic.passwordSecretRef.key: Required value"],
        ),
        (
            host("auth: { basic: { username: it, password: canary } }"),
            &["unknown field \"spec.auth.basic.password\""],
        ),
        (
            exchange("host: smtp.corp.example"),
            &[
                "auth.exchangeOnline sets host and port by its cloud: remove host and port (auth.exchangeOnline.endpoints overrides them)",
            ],
        ),
        (exchange("port: 25"), &["remove host and port"]),
        (
            exchange("tls: { mode: Disabled }"),
            &["OAuth2 logins need TLS: set tls.mode to StartTLS or Implicit"],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {OAUTH2} }} }}\ntls: {{ mode: Disabled }}")),
            &["OAuth2 logins need TLS: set tls.mode to StartTLS or Implicit"],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {} }} }}", OAUTH2.replace("https", "http"))),
            &[
                "spec.auth.oauth2.tokenURL",
                "must be an https URL such as https://login.corp.example/oauth2/token",
            ],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {OAUTH2}, grant: RefreshToken }} }}")),
            &["the grant RefreshToken needs refreshTokenSecretRef"],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {OAUTH2}, grant: Password }} }}")),
            &["spec.auth.oauth2.grant", "\"ClientCredentials\", \"RefreshToken\", \"JWTBearer\""],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {OAUTH2}, mechanism: PLAIN }} }}")),
            &["spec.auth.oauth2.mechanism", "\"Auto\", \"XOAUTH2\", \"OAuthBearer\""],
        ),
        (
            format!("auth: {{ exchangeOnline: {{ {EXCHANGE}, cloud: Germany }} }}"),
            &[
                "spec.auth.exchangeOnline.cloud",
                "\"Public\", \"USGovernmentHigh\", \"USGovernmentDoD\", \"China\"",
            ],
        ),
        (
            "auth: { exchangeOnline: { clientID: app, username: it, clientSecretRef: { name: s, key: k } } }"
                .into(),
            &["spec.auth.exchangeOnline.tenantID: Required value"],
        ),
        (
            host("auth: { clientCertificate: {} }"),
            &[
                "auth.clientCertificate logs in with the certificate of tls.clientCertificateSecretRef: set that",
            ],
        ),
        (
            host(&format!(
                "tls: {{ mode: Disabled }}\nauth: {{ basic: {{ {BASIC}, mechanism: ScramSHA256Plus }} }}"
            )),
            &["ScramSHA256Plus is bound to a TLS connection"],
        ),
        (
            host(&format!("auth: {{ basic: {{ {BASIC}, mechanism: CRAM-MD5 }} }}")),
            &["\"Auto\", \"ScramSHA256Plus\", \"ScramSHA256\", \"Plain\", \"Login\""],
        ),
        (
            format!(
                "auth: {{ exchangeOnline: {{ {EXCHANGE}, clientCertificateSecretRef: {{ name: c }} }} }}"
            ),
            &["set exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken"],
        ),
        (
            "auth: { exchangeOnline: { tenantID: corp.example, clientID: app, username: it } }".into(),
            &["set exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken"],
        ),
        (
            host("auth: { oauth2: { username: it, tokenURL: \"https://a.example/token\", clientID: app } }"),
            &[
                "ClientCredentials needs exactly one of clientSecretRef, clientCertificateSecretRef, federatedToken",
            ],
        ),
        (
            host(
                "auth: { oauth2: { username: it, tokenURL: \"https://a.example/token\", clientSecretRef: { name: s, key: k } } }",
            ),
            &["clientID is required: the client's ID at the provider"],
        ),
        (
            host(&format!(
                "auth: {{ oauth2: {{ {OAUTH2}, grant: JWTBearer, serviceAccountKeySecretRef: {{ name: s, key: k }} }} }}"
            )),
            &["JWTBearer needs serviceAccountKeySecretRef, and none of clientSecretRef"],
        ),
        (
            host(&format!("auth: {{ oauth2: {{ {OAUTH2}, subject: it }} }}")),
            &["serviceAccountKeySecretRef and subject belong to the grant JWTBearer"],
        ),
        (
            host(&format!(
                "auth: {{ oauth2: {{ {OAUTH2}, refreshTokenSecretRef: {{ name: s, key: k }} }} }}"
            )),
            &["refreshTokenSecretRef belongs to the grant RefreshToken"],
        ),
        (
            host(
                "auth: { oauth2: { username: it, tokenURL: \"https://a.example/token\", clientID: app, federatedToken: { serviceAccountName: mailer } } }",
            ),
            &["federatedToken.audience is required here"],
        ),
        (
            host(
                "auth: { oauth2: { username: it, tokenURL: \"https://a.example/token\", clientID: app, federatedToken: { serviceAccountName: Mailer, audience: a } } }",
            ),
            &["serviceAccountName must be the name of a ServiceAccount in this namespace"],
        ),
        (
            host("proxy: { url: \"http://user:canary@proxy.example:3128\" }"),
            &[
                "url must be socks5://host:port, http://host:port or https://host:port, without user name or path",
            ],
        ),
        (host("proxy: { url: \"socks4://proxy.example:1080\" }"), &["url must be socks5://host:port"]),
        (
            host("proxy: { url: \"http://proxy.example:3128\", traffic: None }"),
            &["spec.proxy.traffic", "\"All\", \"Mail\", \"Tokens\""],
        ),
        (host("limits: { connections: 0 }"), &["spec.limits.connections", "greater than or equal to 1"]),
        (
            host("limits: { recipientsPerMessage: 1001 }"),
            &["spec.limits.recipientsPerMessage", "less than or equal to 1000"],
        ),
        (
            host("access: { namespaces: { from: Selector } }"),
            &["selector belongs to from: Selector; set both or neither"],
        ),
        (
            host("access: { namespaces: { selector: { matchLabels: { a: b } } } }"),
            &["selector belongs to from: Selector"],
        ),
        (
            host("access: { senders: [\"corp.example\"] }"),
            &["spec.access.senders", "such as hr@corp.example, or all of a domain: *@corp.example"],
        ),
        (
            host("verification: { interval: 5s }"),
            &[
                "spec.verification.interval",
                "interval must be a duration such as 10m or 90s: at least 10s, or 0s to verify only when something changes",
            ],
        ),
        (
            host("verification: { interval: 10 minutes }"),
            &["spec.verification.interval", "a duration such as 10m or 90s"],
        ),
        (host("suspend: maybe"), &["spec.suspend"]),
    ];
    let checks = cases.iter().enumerate().map(|(index, (spec, words))| {
        let space = &space;
        async move {
            let answer = space.refused(&manifest(&format!("bad-{index}"), spec)).await;
            println!("{spec}\n    {answer}");
            words
                .iter()
                .filter(|word| !answer.contains(**word))
                .map(|word| format!("`{word}` is missing in: {answer}"))
                .collect::<Vec<_>>()
        }
    });
    let missing: Vec<_> = futures::future::join_all(checks).await.concat();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    for sender in ["sender: {}", "sender: { address: nobody }", "sender: { address: \"a@b\\nBcc: c@d\" }"] {
        let spec = format!(
            "apiVersion: mail-operator.dev/v1alpha1\nkind: MailServerConfig\nmetadata: {{ name: bad }}\nspec:\n  host: a.example\n  {sender}\n"
        );
        let answer = space.refused(&spec).await;
        let words = "must be one e-mail address such as it@corp.example";
        let missing = sender.contains("{}");
        assert!(answer.contains("spec.sender.address") && (missing || answer.contains(words)), "{answer}");
    }
}
