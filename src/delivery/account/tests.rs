#![allow(clippy::unwrap_used)]
use super::*;
use std::time::Duration;

fn limits(connections: usize, per_day: Option<u32>) -> Limits {
    Limits { connections, messages_per_minute: None, recipients_per_day: per_day, recipients_per_message: 1 }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

async fn waits(limiter: &Arc<Limiter>, config: &ObjectKey) -> bool {
    tokio::time::timeout(Duration::from_secs(1), limiter.connection(config)).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn the_smallest_number_counts() {
    let limiter = Arc::new(Limiter::default());
    let (a, b) = (key("a/x"), key("b/y"));
    limiter.admit(&a, limits(3, None));
    limiter.admit(&b, limits(1, None));
    let first = limiter.connection(&a).await;
    assert!(waits(&limiter, &a).await);
    assert!(!limiter.is_wanted(), "who gave up waiting is not counted");
    drop(first);
    let _second = limiter.connection(&a).await;
    limiter.admit(&b, limits(3, None));
    assert!(!waits(&limiter, &a).await);
}

/// Eight messages that the mail server never answers.
#[tokio::test(start_paused = true)]
async fn who_stalls_holds_nobody_elses_connections() {
    let limiter = Arc::new(Limiter::default());
    let (stalls, other) = (key("a/x"), key("b/y"));
    limiter.admit(&stalls, limits(4, None));
    limiter.admit(&other, limits(4, None));
    let mut stalled = Vec::new();
    for _ in 0..8 {
        if let Ok(connection) =
            tokio::time::timeout(Duration::from_secs(1), limiter.connection(&stalls)).await
        {
            stalled.push(connection);
        }
    }
    assert_eq!(stalled.len(), 3);
    assert!(!waits(&limiter, &other).await);
    assert_eq!(
        (limiter.allowed(&stalls, Timestamp::now()), limiter.allowed(&other, Timestamp::now())),
        (3, 3)
    );
}

fn account(namespace: &str, user: &str) -> Account {
    let config = serde_json::json!({
        "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
        "metadata": { "name": "x", "namespace": namespace, "uid": "1" },
        "spec": { "host": "smtp.corp.example", "sender": { "address": "it@corp.example" },
                  "auth": { "basic": { "username": user, "passwordSecretRef": { "name": "s", "key": "k" } } } }
    });
    crate::domain::server::Server::from_config(&serde_json::from_value(config).unwrap()).unwrap().account()
}

#[test]
fn a_config_has_a_say_in_one_account_and_no_longer_than_it_has_it() {
    let accounts = Accounts::default();
    let (a, b) = (key("a/x"), key("b/y"));
    let (shared, other) = (account("a", "it"), account("a", "hr"));
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    accounts.join(&a, &shared, Default::default);
    accounts.join(&b, &shared, Default::default);
    let limiter = accounts.of(&shared, Default::default);
    let used_up = || limiter.exhausted_until(now).is_some();
    assert!(!accounts.admit(&a, &shared, limits(4, None)), "no limit as before");
    limiter.reserve(&a.namespace, 3, now).unwrap().keep();
    for end in [
        (|accounts, b, _| accounts.leave(b)) as fn(&Accounts, &ObjectKey, &Account) -> bool,
        |accounts, b, _| accounts.dismiss(b),
        |accounts, b, other| accounts.join(b, other, Default::default),
    ] {
        accounts.join(&b, &shared, Default::default);
        assert!(accounts.admit(&b, &shared, limits(1, Some(1))), "a day's limit that was not there");
        assert!(used_up());
        assert!(end(&accounts, &b, &other) && !used_up(), "nobody wants that any more");
        accounts.leave(&b);
        assert!(!accounts.admit(&b, &shared, limits(1, Some(1))), "a verification that ends late");
        assert!(!used_up());
    }
    assert_eq!(limiter.used(&a, now).recipients_last_day, 3);
    assert_eq!(limiter.used(&b, now).recipients_last_day, 0, "of another namespace nothing shows");
}

/// Configs that come and go leave nothing behind, also where something is still sent by them.
#[test]
fn ten_thousand_configs_come_and_go() {
    let accounts = Accounts::default();
    let (config, old) = (key("a/kept"), account("a", "kept"));
    accounts.join(&config, &old, Default::default);
    let mut under_way = Vec::new();
    for n in 0..10_000 {
        let config = ObjectKey::new("a", &format!("c{n}"));
        let account = account("a", &format!("user{n}"));
        accounts.join(&config, &account, Default::default);
        accounts.admit(&config, &account, limits(1, Some(1)));
        if n % 1000 == 0 {
            under_way.push(accounts.of(&account, Default::default));
        }
        accounts.leave(&config);
    }
    under_way.clear();
    accounts.leave(&config);
    let registry = lock(&accounts.0);
    assert!(registry.limiters.is_empty() && registry.configs.is_empty());
}

#[test]
fn several_sessions_together_do_not_exceed_the_day() {
    let limiter = Arc::new(Limiter::default());
    limiter.admit(&ObjectKey::new("a", "x"), limits(1, Some(5)));
    let now = Timestamp::from_second(1_000_000_020).unwrap();
    let first = limiter.reserve(&key("a/x").namespace, 2, now).unwrap();
    let second = limiter.reserve(&key("a/x").namespace, 100, now).unwrap();
    assert_eq!((first.places(), second.places()), (2, 3), "as many as the day permits");
    assert!(
        limiter.reserve(&key("a/x").namespace, 1, now).is_none(),
        "nothing is sent yet, and yet it is taken"
    );
    assert_eq!(limiter.exhausted_until(now), None, "it may be free again in a moment");
    first.keep();
    drop(second);
    let mut third = limiter.reserve(&key("a/x").namespace, 3, now).unwrap();
    third.shrink(1);
    assert_eq!(third.places(), 1);
    third.keep();
    assert_eq!(limiter.exhausted_until(now), None);
    limiter.reserve(&key("a/x").namespace, 9, now).unwrap().keep();
    assert!(limiter.reserve(&key("a/x").namespace, 1, now).is_none());
    let until = limiter.exhausted_until(now).unwrap();
    let hours = until.duration_since(now).as_secs_f64() / 3600.0;
    assert!((24.0..=25.0).contains(&hours), "{hours}");
    assert_eq!(limiter.exhausted_until(until), None);
    assert_eq!(limiter.used(&key("a/x"), now).recipients_last_day, 5);
    assert!(limiter.reserve(&key("a/x").namespace, 1, until).is_some());
}

#[test]
fn the_smallest_number_of_recipients_counts() {
    let limiter = Limiter::default();
    assert_eq!(limiter.recipients_per_message(500), 500, "nobody else has a say");
    limiter.admit(&ObjectKey::new("a", "x"), Limits { recipients_per_message: 20, ..limits(1, None) });
    assert_eq!(limiter.recipients_per_message(500), 20);
    assert_eq!(limiter.recipients_per_message(5), 5);
}

#[tokio::test(start_paused = true)]
async fn a_complaint_costs_one_connection() {
    let limiter = Arc::new(Limiter::default());
    limiter.admit(&ObjectKey::new("a", "x"), limits(3, None));
    let _first = limiter.connection(&key("a/x")).await;
    let second = limiter.connection(&key("a/x")).await;
    let now = Timestamp::now();
    assert!(limiter.lower(now), "another one remains");
    assert!(limiter.is_crowded(now));
    drop(second);
    assert!(!limiter.is_crowded(now));
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(1), limiter.connection(&key("a/x")))
            .await
            .is_err()
    );
    let used = limiter.used(&key("a/x"), now);
    assert_eq!((used.connections, used.connections_allowed), (1, 1));
    assert!(!limiter.lower(now), "the last one");
}
