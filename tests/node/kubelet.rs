//! A node without its kubelet: containers go on and nobody restarts them. The Pod that sends dies in that time.

use crate::{
    Outcome, kernel,
    kill::{PAUSE, another_leads, leader, two_are_ready},
    load::Load,
    scene::{OPERATOR, Scene},
};
use std::time::{Duration, Instant};

/// Longer than the 50 s after which a node that says nothing is taken for dead and its Pods leave their Services.
const STOPPED: Duration = Duration::from_mins(1);

pub async fn run(scene: &Scene) -> Outcome {
    let load = Load::begin(scene, "kubelet").await?;
    scene.node.stop_kubelet().await?;
    let since = Instant::now();
    let leader = leader(scene).await?;
    kernel::process_of_pod(OPERATOR, &leader)?.kill()?;
    another_leads(scene, &leader).await?;
    let verdict = load.end().await?;
    verdict.at_most(PAUSE)?;

    tokio::time::sleep(STOPPED.saturating_sub(since.elapsed())).await;
    scene.node.start_kubelet()?;
    scene.node.kubectl(&["wait", "--for=condition=Ready", "node/node", "--timeout=60s"]).await?.success()?;
    two_are_ready(scene).await?;
    let after = Load::begin(scene, "kubelet-back").await?.end().await?;
    Ok(format!("{}; afterwards {}", verdict.shown(), after.shown()))
}
