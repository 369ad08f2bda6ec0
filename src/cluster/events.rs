//! Events, on transitions only: nothing is said of a message that went as it should.

use crate::api::Reason;
use crate::cluster::Cluster;
use kube::Resource;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use std::time::Duration;

/// Publishes Events of one controller. One for its whole life: a new one each time would defeat the
/// aggregation of repeated Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// Whether an Event tells of something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// All is well (again).
    Normal,
    /// Somebody should look.
    Warning,
}

impl Events {
    /// For this process, `identity` being its pod.
    pub fn new(cluster: &Cluster, identity: &str) -> Self {
        let reporter = Reporter { controller: "mail-operator".into(), instance: Some(identity.into()) };
        Self { recorder: Recorder::new(cluster.client().clone(), reporter) }
    }

    /// Publishes an Event about `object`. A failure is logged and otherwise ignored: the status says the
    /// same, and says it reliably.
    pub async fn publish<K>(&self, object: &K, severity: Severity, reason: Reason, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: reason.as_str().into(),
            // Kubernetes' bound is 1,024 bytes.
            note: Some(note.chars().take(250).collect()),
            action: "Reconcile".into(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        let publishing = self.recorder.publish(&event, &reference);
        match tokio::time::timeout(Duration::from_secs(5), publishing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "event not published"),
            Err(_) => tracing::debug!("event not published in time"),
        }
    }
}
