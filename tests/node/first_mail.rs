//! From a Pod that may do nothing it need not, by a name and a Service, to an inbox in another one.

use crate::{
    Outcome, inbox,
    kernel::{self, Restrictions},
    scene::{OPERATOR, Scene, until},
};
use std::time::Duration;

const OBJECTS: &str = "
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: first, namespace: mail}
spec:
  to: [{address: you@corp.example}]
  message: {content: {subject: Works, text: From a Pod.}}
";

pub async fn run(scene: &Scene) -> Outcome {
    scene.node.apply_yaml(OBJECTS).await?;
    let sent = ["notification/first", "-n", "mail"];
    until("the Notification is finished", Duration::from_mins(1), async || {
        Ok(scene.field(&sent, "{.status.finished}").await? == "true")
    })
    .await?;
    let arrived = inbox::messages().await?;
    let [message] = arrived.as_slice() else { return Err(format!("{arrived:?} in the inbox").into()) };
    if message.subject != "Works" || message.to[0].address != "you@corp.example" {
        return Err(format!("{message:?} arrived").into());
    }
    restricted(scene).await
}

/// What the node holds the operator's processes to, read from the kernel and not from the objects.
async fn restricted(scene: &Scene) -> Outcome {
    let restarts = "{.items[*].status.containerStatuses[0].restartCount}";
    let restarts = scene.field(&["pods", "-n", OPERATOR], restarts).await?;
    if restarts != "0 0" {
        return Err(format!("the Pods were restarted: {restarts}").into());
    }
    let processes = kernel::processes(OPERATOR)?;
    if processes.len() != 2 {
        return Err(format!("two Pods have {} processes", processes.len()).into());
    }
    for process in processes {
        let seen = process.restrictions()?;
        if seen != AS_IN_THE_VALUES {
            return Err(format!("the operator runs with {seen:?} instead of {AS_IN_THE_VALUES:?}").into());
        }
    }
    Ok("from Pod to Pod; the kernel knows user, limits and a read-only file system".to_owned())
}

const AS_IN_THE_VALUES: Restrictions = Restrictions {
    user: 65532,
    capabilities: 0,
    no_new_privileges: true,
    filters_system_calls: true,
    root_is_read_only: true,
    memory_limit: 768 << 20,
};
