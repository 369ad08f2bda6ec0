//! kill -9 at every step of a delivery, and a new operator.

use crate::cluster::apart;
use crate::crash::step::{Held, hold_everywhere};
use crate::crash::{Scene, healthy};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_nothing_is_lost_and_only_what_is_in_doubt_is_sent_again() {
    let scene = Scene::new(apart().await, "killed").await;
    let operator = scene.operator(&[]);
    let held = hold_everywhere(&scene, &[1, 3]).await;

    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    held.iter().for_each(Held::abandon);
    let _next = scene.operator(&[]);

    let bystander = healthy().await;
    scene.server("bystander", bystander.address()).await;
    scene.notify("bystander", "bystander", &["bob@corp.example"], "Resend").await;
    for held in &held {
        held.is_settled_after_a_crash(&scene).await;
    }
    scene.until_phase("bystander", "Sent").await;
    assert_eq!(bystander.copies_for("bob@corp.example"), 1);
}
