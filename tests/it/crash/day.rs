//! The day's recipients outlive the process that sent to them.

use super::{Scene, TAKEOVER, healthy};
use crate::cluster::apart;
use crate::eventually;
use crate::objects::condition;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_days_limit_survives_a_crash() {
    let scene = Scene::new(apart().await, "crash-day").await;
    let smtp = healthy().await;
    scene.server_with("default", smtp.address(), json!({ "limits": { "recipientsPerDay": 2 } })).await;
    let first = scene.operator(&[]);
    for name in ["one", "two"] {
        scene.notify(name, "default", &[&format!("{name}@corp.example")], "Resend").await;
        scene.until_phase(name, "Sent").await;
    }
    first.kill9().unwrap();

    let second = scene.operator(&[]);
    scene.notify("three", "default", &["three@corp.example"], "Resend").await;
    eventually("the limit is told", TAKEOVER, async || {
        let server = scene.space.get("mailserverconfigs", "default").await;
        condition(&server, "Ready")["reason"] == "LimitReached"
            // One more where the second's claim still stood in the journal: rather too many than too few.
            && server["status"]["usage"]["recipientsLastDay"].as_u64().is_some_and(|count| (2..=3).contains(&count))
    })
    .await;
    assert_eq!(smtp.ledger().len(), 2);
    drop(second);
}
