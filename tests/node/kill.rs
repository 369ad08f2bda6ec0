//! The Pod that sends is gone without having ended anything.

use crate::{
    Failure, Outcome, kernel,
    load::Load,
    scene::{OPERATOR, Scene, until},
};
use std::time::Duration;

/// Claims of a holder that says nothing are left alone for 15 s. The goal is 20 s; busy cores add to it.
pub const PAUSE: Duration = Duration::from_secs(30);

/// `kubectl delete --force`: the API server forgets the Pod at once, while its process may still run.
pub async fn run(scene: &Scene) -> Outcome {
    let load = Load::begin(scene, "forced").await?;
    let leader = leader(scene).await?;
    let delete = ["delete", "pod", &leader, "-n", OPERATOR, "--force", "--grace-period=0"];
    scene.node.kubectl(&delete).await?.success()?;
    another_leads(scene, &leader).await?;
    let verdict = load.end().await?;
    two_are_ready(scene).await?;
    verdict.at_most(PAUSE)?;
    Ok(verdict.shown())
}

/// SIGKILL, as the kernel does it when memory is short; the kubelet starts the container again.
pub async fn restart(scene: &Scene) -> Outcome {
    let load = Load::begin(scene, "killed").await?;
    let leader = leader(scene).await?;
    let holder = holder(scene).await?;
    kernel::process_of_pod(OPERATOR, &leader)?.kill()?;
    until("another process leads", Duration::from_mins(1), async || Ok(self::holder(scene).await? != holder))
        .await?;
    let verdict = load.end().await?;
    two_are_ready(scene).await?;
    verdict.at_most(PAUSE)?;
    Ok(verdict.shown())
}

/// Who leads: the Pod's name, an underscore and a random part.
pub async fn holder(scene: &Scene) -> Result<String, Failure> {
    scene.field(&["lease", OPERATOR, "-n", OPERATOR], "{.spec.holderIdentity}").await
}

/// The Pod that leads.
pub async fn leader(scene: &Scene) -> Result<String, Failure> {
    let holder = holder(scene).await?;
    let pod = holder.rsplit_once('_').ok_or_else(|| format!("the Lease is held by {holder:?}"))?.0;
    Ok(pod.to_owned())
}

/// Waits until the Lease has another holder than a Pod.
pub async fn another_leads(scene: &Scene, pod: &str) -> Result<(), Failure> {
    until("another Pod leads", Duration::from_mins(1), async || {
        let holder = holder(scene).await?;
        Ok(!holder.is_empty() && !holder.starts_with(&format!("{pod}_")))
    })
    .await
}

/// Waits until the Deployment is as it should be.
pub async fn two_are_ready(scene: &Scene) -> Result<(), Failure> {
    let wait = ["rollout", "status", "deployment", OPERATOR, "--namespace", OPERATOR, "--timeout=120s"];
    scene.node.kubectl(&wait).await?.success()?;
    Ok(())
}
