//! More waits than the Pods' memory holds: Notifications with the longest text there can be, while their server is suspended.
//! Who leads has to read them all, and is killed by the kernel, again and again, until it gets the memory of the values.

use crate::{
    Failure, Outcome, inbox, kernel,
    kill::two_are_ready,
    load::{notification, notifications},
    scene::{OPERATOR, Scene, until},
};
use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, ListParams, PostParams};
use std::{collections::HashSet, time::Duration};

/// Together a quarter of a gigabyte: in memory at once they would take more than the values' limit.
const FLOOD: usize = 500;
/// So many of them are sent in the end; with all, one would wait for the mail server.
const SENT: usize = 20;
/// The longest text and HTML that the schema admits.
const LONGEST: usize = 262_144;
/// Enough to start and to wait, and less than reading them takes.
const TOO_LITTLE: [&str; 4] =
    ["--set", "resources.limits.memory=64Mi", "--set", "resources.requests.memory=32Mi"];

pub async fn run(scene: &Scene) -> Outcome {
    scene.suspend("mail", "default", true).await?;
    flood(scene).await?;
    // It may never become ready.
    scene.install("one", &[&TOO_LITTLE[..], &["--wait=hookOnly"]].concat()).await?;
    until("the kernel kills a container for its memory", Duration::from_mins(2), async || {
        let ended = "{.items[*].status.containerStatuses[0].lastState.terminated.reason}";
        Ok(scene.field(&["pods", "-n", OPERATOR], ended).await?.contains("OOMKilled"))
    })
    .await?;
    scene.install("one", &[]).await?;
    two_are_ready(scene).await?;
    scene.node.apply_yaml(BESIDE).await?;
    // What goes to another server.
    scene.until_phase("mail", "beside", "Sent", Duration::from_mins(2)).await?;
    let mut peak = 0;
    for process in kernel::processes(OPERATOR)? {
        peak = peak.max(process.memory_peak()?);
    }

    let api = notifications(scene).await?;
    for number in SENT..FLOOD {
        api.delete(&format!("flood-{number}"), &DeleteParams::default()).await?;
    }
    scene.suspend("mail", "default", false).await?;
    let unfinished = ListParams::default().labels("load=flood").fields("status.finished!=true").limit(1);
    until("the flood is over", Duration::from_mins(2), async || {
        Ok(api.list(&unfinished).await?.items.is_empty())
    })
    .await?;
    let arrived = inbox::arrivals("flood").await?;
    let addresses: HashSet<_> = arrived.iter().map(|(address, _)| address).collect();
    if addresses.len() != SENT || arrived.len() != SENT {
        return Err(format!("of {SENT} {} arrived, {} messages", addresses.len(), arrived.len()).into());
    }
    Ok(format!("killed at 64 MiB, nothing lost; with the values' limit it took {} MiB", peak >> 20))
}

async fn flood(scene: &Scene) -> Result<(), Failure> {
    let api = notifications(scene).await?;
    let text = "Nothing but words. ".repeat(LONGEST / 19);
    let create = futures::stream::iter(0..FLOOD).map(|number| {
        let (api, text) = (&api, &text);
        async move {
            let recipient = [format!("flood-{number}-0@corp.example")];
            let mut object = notification("flood", number, &recipient, text)?;
            object.data["spec"]["message"]["content"]["html"] = text.as_str().into();
            api.create(&PostParams::default(), &object).await?;
            Ok::<_, Failure>(())
        }
    });
    create.buffer_unordered(8).try_collect::<Vec<_>>().await?;
    Ok(())
}

/// The same inbox by its address, which is another server and has nothing to do with the flood. It is sent to by who has read everything.
const BESIDE: &str = "
apiVersion: mail-operator.dev/v1alpha1
kind: MailServerConfig
metadata: {name: beside, namespace: mail}
spec:
  host: 10.96.0.25
  port: 25
  tls: {mode: Disabled}
  sender: {address: noreply@corp.example}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: beside, namespace: mail}
spec:
  serverRef: {name: beside}
  to: [{address: beside@corp.example}]
  message: {content: {subject: Beside, text: Not part of the flood.}}
";
