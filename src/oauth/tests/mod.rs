//! Tokens against a scripted endpoint over real TLS: what is sent, what each answer means, what is
//! refused before anything leaves, and what the cache does with all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod caching;
mod grants;
mod proxies;
mod refusals;

use super::*;
use crate::api::Reason;
use crate::domain::failure::Permanence;
use crate::domain::{egress, secret::Secret};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use mail_operator_testbed::scripted_token::{Answer, Response, ThrowawayCa, TokenServer, jwt};
use serde_json::json;
use std::sync::{Arc, Once};
use std::time::Duration;
use url::Url;

const SECRET: &str = "canary~S3cret/with+signs&more=";

/// A request for the tests of what is said about it.
pub(super) fn example() -> TokenRequest {
    TokenRequest {
        token_url: Url::parse("https://login.microsoftonline.com/t/oauth2/v2.0/token").unwrap(),
        client_id: "app-1".into(),
        grant: Grant::ClientCredentials,
        proof: secret(ClientAuthentication::RequestBody),
        versions: vec![SecretVersion::default()],
        scopes: vec!["https://outlook.office365.com/.default".into()],
        parameters: [].into(),
        ca_pem: None,
        proxy: None,
    }
}

struct Setup {
    server: TokenServer,
    tokens: Tokens,
    request: TokenRequest,
}

fn loopback_permitted() -> Arc<egress::Policy> {
    Arc::new(egress::Policy {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..egress::Policy::default()
    })
}

fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

async fn setup() -> Setup {
    with(ThrowawayCa::new(&["localhost", "127.0.0.1"]).unwrap()).await
}

async fn with(ca: ThrowawayCa) -> Setup {
    install_provider();
    let server = TokenServer::start(ca.server_config().unwrap()).await.unwrap();
    let request = TokenRequest {
        token_url: server.url("/tenant/oauth2/v2.0/token").parse().unwrap(),
        client_id: "app-1".into(),
        grant: Grant::ClientCredentials,
        proof: secret(ClientAuthentication::RequestBody),
        versions: vec![SecretVersion { uid: "uid".into(), resource_version: "1".into() }],
        scopes: vec!["https://outlook.office365.com/.default".into()],
        parameters: [("resource".to_owned(), "mail".to_owned())].into(),
        ca_pem: Some(ca.ca_pem),
        proxy: None,
    };
    Setup { server, tokens: Tokens::new(loopback_permitted()), request }
}

fn secret(placement: ClientAuthentication) -> Proof {
    Proof::Secret { secret: Secret::new(SECRET), placement }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Waits until that many requests have arrived; the caller's own request ends the waiting otherwise.
async fn requests(server: &TokenServer, count: usize) {
    while server.requests().len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Setup {
    async fn get(&self, seconds: i64) -> Result<Arc<Token>, TokenFailure> {
        let result = self.tokens.get(&self.request, at(seconds)).await;
        let printed = format!("{result:?} {:?} {:?}", self.request, self.request.key());
        assert!(!printed.contains("canary"), "{printed}");
        result
    }

    async fn failure(&self, answer: Answer) -> TokenFailure {
        self.server.then(answer);
        let failure = self.get(0).await.unwrap_err();
        let all = format!("{failure} {failure:?}");
        assert!(!all.contains("canary") && !all.contains("Y2FuYX"), "{all}");
        assert!(!failure.message.contains(['\r', '\n', '\u{1b}']), "{failure}");
        assert!(failure.message.chars().count() < 700, "{failure}");
        failure
    }
}
