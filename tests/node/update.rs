//! A rolling update and the way back, while mail is sent.

use crate::{
    Outcome,
    kill::{another_leads, leader},
    load::Load,
    scene::{OPERATOR, Scene},
};
use std::time::Duration;

/// At the end of a Pod in good order the next one goes on at once. The goal is 3 s, and with cores to spare it takes one; when they
/// are busy it takes longer. An end that is not in good order would take 15 s.
const PAUSE: Duration = Duration::from_secs(10);

pub async fn run(scene: &Scene) -> Outcome {
    let load = Load::begin(scene, "update").await?;
    let before = leader(scene).await?;
    scene.install("two", &[]).await?;
    another_leads(scene, &before).await?;
    let update = load.end().await?;
    running(scene, "two").await?;

    let load = Load::begin(scene, "rollback").await?;
    let before = leader(scene).await?;
    let back = ["rollback", OPERATOR, "1", "--namespace", OPERATOR, "--wait", "--timeout", "120s"];
    scene.node.helm(&back).await?.success()?;
    another_leads(scene, &before).await?;
    let rollback = load.end().await?;
    running(scene, "one").await?;

    update.at_most(PAUSE)?;
    rollback.at_most(PAUSE)?;
    Ok(format!("update: {}; rollback: {}", update.shown(), rollback.shown()))
}

/// All Pods that are there run this image.
async fn running(scene: &Scene, tag: &str) -> Outcome {
    let images = scene
        .field(
            &["deployment", OPERATOR, "-n", OPERATOR],
            "{.spec.template.spec.containers[0].image} {.status.updatedReplicas} {.status.availableReplicas}",
        )
        .await?;
    if images.ends_with(&format!(":{tag} 2 2")) { Ok(images) } else { Err(images.into()) }
}
