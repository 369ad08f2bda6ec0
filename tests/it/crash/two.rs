//! Two operators at once without leader election: only the journal stands between them.

use crate::cluster::apart;
use crate::crash::{Scene, TAKEOVER};
use crate::notifications::notification;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_without_leader_election_send_everything_once() {
    const COUNT: usize = 50;
    let scene = Scene::new(apart().await, "two").await;
    let smtp = ScriptedSmtp::builder().start().await;
    scene.server("default", smtp.address()).await;
    let operators = [(); 2].map(|()| scene.operator(&["--leader-election", "false"]));
    for operator in &operators {
        operator.until_ready(TAKEOVER).await.unwrap();
    }

    let to = |n: usize| format!("r{n}@corp.example");
    let items: Vec<_> = (0..COUNT).map(|n| notification(&format!("n{n}"), &[&to(n)], json!({}))).collect();
    scene.space.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()).await;

    for n in 0..COUNT {
        scene.until_phase(&format!("n{n}"), "Sent").await;
    }
    let copies: Vec<_> = (0..COUNT).map(|n| smtp.copies_for(&to(n))).collect();
    assert_eq!(copies, [1; COUNT]);
}
