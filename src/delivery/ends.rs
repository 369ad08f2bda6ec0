//! What is kept by the name of a MailServerConfig, by its account or by its namespace ends with it: 10,000 of them come
//! and go, and nothing is left.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::credentials::Credentials;
use crate::domain::samples::server;
use crate::domain::server::Login;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;

/// How many entries each place has.
fn sizes(delivery: &Delivery) -> Vec<(&'static str, usize)> {
    let mut sizes = vec![
        ("catalog", delivery.catalog().servers.len()),
        ("outbox", delivery.outbox().waiting().len()),
        ("lanes", delivery.lanes.count()),
        ("servers", delivery.servers.count()),
        ("TLS configurations", delivery.tls_configs.count()),
        ("users of tokens", delivery.token_users.count()),
    ];
    sizes.extend(delivery.accounts.counts());
    sizes.extend(delivery.journals.counts());
    sizes.push(("quota", lock(&delivery.quota).count()));
    sizes
}

#[tokio::test]
async fn ten_thousand_configs_leave_nothing_behind() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, metrics::ServerNames::Shown);
    let vitals = Vitals::new(PATIENCE);
    let delivery = Delivery::new(Cluster::nowhere(), Settings::new("test".into()), metrics, vitals);
    delivery.lanes.open(&CancellationToken::new());
    let exported = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    };
    let (blank, before) = (sizes(&delivery), exported());
    assert!(blank.iter().all(|(_, size)| *size == 0), "{blank:?}");

    for round in 0..10 {
        let all: Vec<Server> = (0..1000)
            .map(|number| {
                let login = json!({ "oauth2": {
                    "username": format!("u{number}"), "tokenURL": "https://login.corp.example/token", "clientID": "app",
                    "clientSecretRef": { "name": "login", "key": "secret" }
                } });
                // Ten namespaces, each with as many as it may have.
                let namespace = format!("ns{}", number % 10);
                server(&namespace, &format!("mail{round}-{number}"), json!({ "auth": login })).unwrap()
            })
            .collect();
        for server in &all {
            let known = Arc::new(server.clone());
            delivery.catalog_mut().servers.insert(server.key.clone(), Ok(known.clone()));
            drop(delivery.servers.follow(&server.key));
            delivery.learn(&known);
            let credentials = Credentials::default();
            delivery.target(server, &credentials, "1").unwrap();
            let Login::OAuth2(login) = &server.login else { unreachable!() };
            delivery.use_token(server, login, &credentials);
            drop(delivery.journals.of(&server.account()));
            let ends = (Timestamp::MAX, "a password".to_owned());
            delivery.metrics.expiry(&server.key, Some(&ends), Timestamp::now());
            delivery.metrics.attempts(
                &server.key,
                metrics::Outcome::Accepted,
                crate::domain::failure::Phase::FinalDot,
                1,
            );
        }
        let full = sizes(&delivery);
        assert!(full.iter().filter(|(place, _)| *place != "outbox").all(|(_, size)| *size >= 10), "{full:?}");
        for server in &all {
            delivery.catalog_mut().servers.remove(&server.key);
            delivery.forget(&server.key);
            // A session that was being opened ends only now, and leaves what it would leave.
            delivery.target(server, &Credentials::default(), "1").unwrap();
            delivery.metrics.attempts(
                &server.key,
                metrics::Outcome::Accepted,
                crate::domain::failure::Phase::FinalDot,
                1,
            );
            delivery.forget_if_gone(&server.key);
        }
        tokio::task::yield_now().await;
    }
    // Journal tasks look around once a second.
    for _ in 0..100 {
        delivery.journals.forget_spent(Timestamp::now());
        if sizes(&delivery) == blank {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sizes(&delivery), blank);
    assert_eq!(exported(), before, "metrics");
}
