//! Where a plan is played: a namespace, a mail server, a faulty way to the API server, and an operator that is started
//! again whenever it is ended.

use crate::cluster::{Cluster, NOTIFICATIONS, config};
use crate::operator::Operator;
use crate::plan::{Place, Plan};
use mail_operator_testbed::faulty_api::{Call, FaultyApi};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest wait for anything: a takeover takes 15 s, twice if the process is ended again, on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(100);

/// The version of our kinds.
pub const OURS: &str = "mail-operator.dev/v1alpha1";

pub struct Stage {
    pub cluster: Arc<Cluster>,
    pub namespace: String,
    pub smtp: ScriptedSmtp,
    pub api: FaultyApi,
    config: kube::Config,
    operator: Mutex<Option<Operator>>,
}

impl Stage {
    /// Prepares everything and starts the operator.
    pub async fn set(cluster: &Arc<Cluster>, plan: &Plan, namespace: &str) -> Arc<Self> {
        let (stops, mut stopped) = mpsc::unbounded_channel();
        let mut smtp = plan.scenario.mail_server(cluster);
        for (place, _) in &plan.faults {
            if let Place::Smtp(step) = place {
                smtp = smtp.hold(*step);
            }
        }
        let faults = plan.faults.clone();
        let decide = move |call: &Call| {
            let here = faults.iter().find(|(place, _)| matches!(place, Place::Call(there) if there == call));
            here.map(|(_, fault)| fault.clone())
        };
        let api = FaultyApi::start(cluster.behind.clone(), stops, decide).await;
        let mut config = config(&cluster.plane).await;
        config.cluster_url = api.url().parse().unwrap();
        let stage = Arc::new(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            smtp: smtp.start().await,
            api,
            config,
            operator: Mutex::default(),
        });
        stage.end_and_start_operator();
        let weak = Arc::downgrade(&stage);
        tokio::spawn(async move {
            while stopped.recv().await.is_some() {
                let Some(stage) = weak.upgrade() else { return };
                stage.end_and_start_operator();
            }
        });
        for (place, _) in &plan.faults {
            if let Place::Smtp(step) = *place {
                tokio::spawn(end_at(stage.clone(), step));
            }
        }
        stage
    }

    /// Ends the operator as if it were killed, if there is one, and starts the next.
    pub fn end_and_start_operator(&self) {
        let mut operator = self.operator.lock().unwrap();
        drop(operator.take());
        *operator = Some(Operator::start(&self.namespace, &self.namespace, self.config.clone()));
    }

    /// Ends the operator for good.
    pub fn end_operator(&self) {
        drop(self.operator.lock().unwrap().take());
    }

    /// Creates an object.
    pub async fn create(&self, object: Value) {
        self.cluster.create(&self.namespace, &object).await;
    }

    /// Creates a Notification through the server `mail`, with further members of its `delivery`.
    pub async fn notify(&self, name: &str, to: &[&str], delivery: Value) {
        let content = json!({ "content": { "subject": "Hello", "text": "Good morning." } });
        self.notify_of(name, to, content, delivery).await;
    }

    /// The same with this message.
    pub async fn notify_of(&self, name: &str, to: &[&str], message: Value, delivery: Value) {
        let to: Vec<_> = to.iter().map(|address| json!({ "address": address })).collect();
        self.create(json!({
            "apiVersion": OURS, "kind": NOTIFICATIONS, "metadata": { "name": name },
            "spec": {
                "serverRef": { "name": "mail" }, "to": to, "message": message, "delivery": delivery
            }
        }))
        .await;
    }

    /// Annotates an object of ours.
    pub async fn annotate(&self, kind: &str, name: &str, annotation: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { annotation: value } } });
        self.cluster.patch(&self.namespace, OURS, kind, name, &patch).await;
    }

    /// Waits until an object is as wanted.
    pub async fn until(
        &self,
        kind: &'static str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let look = || self.cluster.seen(&self.namespace, kind, name);
        let came = self.cluster.until(LIMIT, || wanted(&look())).await;
        came.then(look).ok_or_else(|| format!("{name} never was {what}: {}", look()["status"]))
    }

    /// Waits until a Notification is in a phase.
    pub async fn until_phase(&self, name: &str, phase: &str) -> Result<Value, String> {
        self.until(NOTIFICATIONS, name, phase, |object| object["status"]["phase"] == phase).await
    }

    /// What the journals hold that is not settled.
    pub async fn journal_entries(&self) -> Vec<Value> {
        let maps = self.cluster.list(&self.namespace, "v1", "ConfigMap").await;
        let journals = maps.iter().filter_map(|map| map["data"]["journal.json"].as_str());
        let entries = journals.map(|text| serde_json::from_str::<Value>(text).unwrap()["entries"].take());
        entries.filter(|entries| entries.as_object().is_some_and(|entries| !entries.is_empty())).collect()
    }
}

/// Ends the operator once a step of a session is reached. Of a message that the server has not read whole nothing stays.
async fn end_at(stage: Arc<Stage>, step: Step) {
    stage.smtp.reached(step).await;
    stage.end_and_start_operator();
    stage.smtp.cut(step);
    stage.smtp.release(step);
}

/// Whether a plan came to all its places.
pub fn was_hit(stage: &Stage, plan: &Plan) -> bool {
    let records = stage.api.records();
    plan.faults.iter().all(|(place, _)| match place {
        Place::Call(call) => records.iter().any(|record| record.call == *call && record.fault.is_some()),
        Place::Smtp(step) => stage.smtp.count(*step) > 0,
    })
}
