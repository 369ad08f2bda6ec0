//! Exchange Online with what an administrator has at hand, and OAuth2 at any other provider: a real token server
//! over https, Dovecot, and an inbox behind it.

use super::{Mends, SERVERS, annotate, fails, server, shows_no_secret, verified};
use crate::objects::{Space, condition};
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::dovecot::DovecotOptions;
use mail_operator_testbed::mailpit::MailpitOptions;
use mail_operator_testbed::oidc::OidcOptions;
use mail_operator_testbed::{Dovecot, Mailpit, Oidc};
use std::time::Duration;

const CLIENT_SECRET: &str = "canary~8Q~client-secret";

/// A token server, a mail server that takes its tokens, and the inbox behind that one.
pub struct Microsoft {
    pub oidc: Oidc,
    pub dovecot: Dovecot,
    pub inbox: Mailpit,
}

impl Microsoft {
    /// Starts all three; `space` gets their authority and the client secret, which may go to them.
    async fn start(space: &Space) -> Self {
        Self::with(space, OidcOptions::default()).await
    }

    /// The same with more that the token server knows.
    pub async fn with(space: &Space, options: OidcOptions) -> Self {
        let authority = CertificateAuthority::new("Corp CA").unwrap();
        let options = OidcOptions { client_secret: CLIENT_SECRET.into(), ..options };
        let (inbox, oidc) =
            tokio::try_join!(Mailpit::start(MailpitOptions::default()), Oidc::start(&authority, options))
                .unwrap();
        let options = DovecotOptions {
            certificate: authority.server("localhost", &["127.0.0.1"]).unwrap(),
            users: Vec::new(),
            tokens: Some(oidc.trust()),
            sink: inbox.smtp_address(),
        };
        let dovecot = Dovecot::start(options).await.unwrap();
        space.ca("ca", authority.pem()).await;
        space.password("exchange", CLIENT_SECRET, "localhost").await;
        Self { oidc, dovecot, inbox }
    }

    /// The five things: From address, tenant ID, client ID, user name, client secret. The rest says where this
    /// test keeps what is Microsoft's.
    fn exchange_online(&self, user: &str) -> String {
        let options = self.oidc.options();
        format!(
            "
auth:
  exchangeOnline:
    tenantID: {}
    clientID: {}
    username: {user}
    clientSecretRef: {{ name: exchange, key: password }}
    endpoints: {{ host: localhost, port: {}, tokenURL: \"{}\", caRef: {{ name: ca }} }}
tls: {{ caRef: {{ name: ca }} }}",
            options.tenant_id,
            options.client_id,
            self.dovecot.starttls_port(),
            self.oidc.token_url(),
        )
    }

    fn oauth2(&self, mechanism: &str) -> String {
        let options = self.oidc.options();
        format!(
            "
host: localhost
port: {}
auth:
  oauth2:
    username: {}
    tokenURL: \"{}\"
    clientID: {}
    clientSecretRef: {{ name: exchange, key: password }}
    scopes: [\"{}\"]
    mechanism: {mechanism}
    caRef: {{ name: ca }}
tls: {{ caRef: {{ name: ca }} }}",
            self.dovecot.starttls_port(),
            options.email,
            self.oidc.token_url(),
            options.client_id,
            options.scope,
        )
    }
}

/// A mail through a server.
pub fn notification(name: &str, through: &str) -> String {
    format!(
        "apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: {{ name: {name} }}\nspec:\n  serverRef: {{ name: {through} }}\n  \
         to: [{{ address: {name}@corp.example }}]\n  message: {{ content: {{ subject: \"To {name}\", text: Hello }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn exchange_online_needs_five_things_and_the_mail_arrives() {
    let space = Space::new("servers-exchange-online").await;
    let microsoft = Microsoft::start(&space).await;
    let options = microsoft.oidc.options();
    server(&space, "default", &microsoft.exchange_online(&options.email)).await;
    space.apply(&notification("ada", "default")).await;

    let found = verified(&space, "default").await;
    let status = &found["status"];
    assert_eq!(status["auth"], "ExchangeOnline");
    assert_eq!(status["server"]["host"], format!("localhost:{}", microsoft.dovecot.starttls_port()));
    assert!(status["server"]["authMechanisms"].to_string().contains("XOAUTH2"), "{status}");
    assert_eq!(status["token"]["audience"], options.audience);
    assert_eq!(status["token"]["roles"], serde_json::json!(["SMTP.SendAsApp"]));
    assert!(status["token"]["expiresAt"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
    assert_eq!(condition(&found, "TokenAcquired")["status"], "True");
    assert_eq!(condition(&found, "Authenticated")["message"], format!("logged in as {}", options.email));

    let sent = space.until_phase("ada", "Sent").await;
    shows_no_secret(&sent);
    let messages = microsoft.inbox.wait_for(1, Duration::from_secs(10)).await.unwrap();
    assert_eq!((messages.len(), messages[0].subject.as_str()), (1, "To ada"));
    assert_eq!(messages[0].from.as_ref().unwrap().address, super::USER);
    // An unsigned part of a token is enough to tell that there is one.
    let everything = space.kubectl(&["get", "msc,notif,events", "-o", "yaml"]).await;
    assert!(!everything.contains("eyJ") && !everything.contains("canary"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_provider_by_oauthbearer_and_by_xoauth2() {
    let space = Space::new("servers-oauth2").await;
    let microsoft = Microsoft::start(&space).await;
    for (name, mechanism) in [("bearer", "OAuthBearer"), ("xoauth2", "XOAUTH2")] {
        server(&space, name, &microsoft.oauth2(mechanism)).await;
        space.apply(&notification(name, name)).await;
    }
    for name in ["bearer", "xoauth2"] {
        let found = verified(&space, name).await;
        assert_eq!(found["status"]["auth"], "OAuth2");
        space.until_phase(name, "Sent").await;
    }
    assert_eq!(microsoft.inbox.wait_for(2, Duration::from_secs(10)).await.unwrap().len(), 2);

    // The token is Ada's, the mailbox Bob's.
    server(&space, "other", &microsoft.exchange_online("bob@corp.example")).await;
    let words = [
        "535",
        "(1) Exchange Online does not know",
        "New-ServicePrincipal -AppId 2b9d8c57-",
        "(2) the application may not open",
        "SMTP AUTH is off",
    ];
    fails(&space, "other", "Authenticated", "AuthenticationFailed", Mends::AChange, &words).await;

    // A wrong client secret is seen at once by who asks, the right one by itself.
    space.password("exchange", "canary-wrong", "localhost").await;
    for name in ["bearer", "other"] {
        annotate(&space, "msc", name, "mail-operator.dev/verify-requested-at=wrong").await;
        let words = ["localhost", "compare clientID and the Secret with what the provider shows"];
        fails(&space, name, "TokenAcquired", "InvalidClientSecret", Mends::AChange, &words).await;
    }
    let log = space.get(SERVERS, "bearer").await;
    assert_eq!(log["status"]["token"], serde_json::Value::Null, "what no longer holds is not shown: {log}");
    space.password("exchange", CLIENT_SECRET, "localhost").await;
    verified(&space, "bearer").await;
}
