//! One Notification at a time on an idle system, from the create call until a watch shows `Sent`; and the parts of that
//! way, each alone, in turn with it.

use crate::report::Report;
use crate::sample::{Scale, median, ms, percentile};
use crate::smtp::{Size, message, target};
use crate::stage::{Stage, notification};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use mail_operator::api::Notification;
use mail_operator::domain::secret::Secret;
use mail_operator::smtp::{self, Credentials, DataOutcome, Envelope, Session};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const TIMES: usize = 150;
/// Longest wait for an event.
const LIMIT: Duration = Duration::from_secs(30);
const WHOLE: &str = "figures-latency";
const PARTS: &str = "figures-parts";

/// Measures the whole and its parts.
pub async fn measure(stage: &Stage, scale: Scale, report: &mut Report) {
    let times = scale.of(TIMES);
    println!("Idle latency: {times} Notifications, one at a time");
    stage.namespace(WHOLE, 4).await;
    stage.namespace(PARTS, 4).await;
    let operator = stage.operator(WHOLE, 16).await;
    stage.until_server(WHOLE, "Verified").await;
    let mut whole = Watched::start(stage, WHOLE).await;
    let mut parts = Parts::start(stage).await;
    // Opens the session and takes the journal; both are kept from then on.
    let first = create(&whole.api, "first");
    whole.until("first", is_sent, first).await;
    let status = serde_json::to_value(whole.api.get("first").await.unwrap().status).unwrap();
    stage.quiet().await;

    let mut took = Vec::new();
    for number in 0..times {
        let name = format!("n{number}");
        let start = create(&whole.api, &name);
        took.push(whole.until(&name, is_sent, start).await);
        parts.measure(&name, &status).await;
    }
    stage.stop(operator).await;

    let (p50, sum) = (median(&took), parts.report(report));
    report.set("idle_latency_ms_p50", p50);
    report.set("idle_latency_ms_p99", percentile(&took, 99));
    report.set("idle_latency_parts_ms_p50", sum);
    report.set("idle_latency_over_parts_p50", p50 / sum);
}

fn is_sent(notification: &Notification) -> bool {
    serde_json::to_value(&notification.status).is_ok_and(|status| status["phase"] == "Sent")
}

/// Creates a Notification in the background, as its event may precede the answer; returns when the call began.
fn create(api: &Api<Notification>, name: &str) -> Instant {
    let (api, notification) = (api.clone(), notification(name, 1));
    let start = Instant::now();
    tokio::spawn(async move { api.create(&PostParams::default(), &notification).await.unwrap() });
    start
}

/// A namespace with a watch on its Notifications.
struct Watched {
    api: Api<Notification>,
    events: mpsc::UnboundedReceiver<(Notification, Instant)>,
}

impl Watched {
    async fn start(stage: &Stage, namespace: &str) -> Self {
        let api = stage.notifications(namespace);
        let version =
            api.list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let watching = api.clone();
        tokio::spawn(async move {
            let parameters = WatchParams::default().timeout(290);
            let mut stream = watching.watch(&parameters, &version).await.unwrap().boxed();
            while let Some(event) = stream.next().await {
                if let Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) = event {
                    let _ = sender.send((object, Instant::now()));
                }
            }
        });
        Self { api, events }
    }

    /// Milliseconds from `start` until the watch shows the object so.
    async fn until(&mut self, name: &str, is_so: impl Fn(&Notification) -> bool, start: Instant) -> f64 {
        let seen = async {
            loop {
                let (object, at) = self.events.recv().await.expect("the watch goes on");
                if object.metadata.name.as_deref() == Some(name) && is_so(&object) {
                    return at;
                }
            }
        };
        ms(tokio::time::timeout(LIMIT, seen).await.expect("the event arrives") - start)
    }
}

/// What the way of a Notification is made of, done by hand where no operator looks.
struct Parts {
    watched: Watched,
    journals: Api<ConfigMap>,
    journal: ConfigMap,
    session: Session,
    event: Vec<f64>,
    get: Vec<f64>,
    claim: Vec<f64>,
    status: Vec<f64>,
    mail: Vec<f64>,
}

impl Parts {
    async fn start(stage: &Stage) -> Self {
        let journals: Api<ConfigMap> = Api::namespaced(stage.client.clone(), PARTS);
        // About what a journal with one entry holds.
        let data = json!({ "metadata": { "name": "journal" }, "data": { "journal.json": "x".repeat(400) } });
        let journal =
            journals.create(&PostParams::default(), &serde_json::from_value(data).unwrap()).await.unwrap();
        let target = target(stage.sink.address(), stage.authority.pem());
        let addresses = smtp::resolve(&target).await.unwrap().addresses;
        let connection = smtp::connect(&target, &addresses).await.unwrap().secure().await.unwrap();
        let credentials = Credentials::Password {
            username: "it@corp.example".into(),
            password: Secret::new("canary-figures"),
            mechanism: None,
            allow_plaintext: false,
        };
        let session = connection.authenticate(Some(&credentials)).await.unwrap();
        Self {
            watched: Watched::start(stage, PARTS).await,
            journals,
            journal,
            session,
            event: Vec::new(),
            get: Vec::new(),
            claim: Vec::new(),
            status: Vec::new(),
            mail: Vec::new(),
        }
    }

    /// Each part once, one after the other.
    async fn measure(&mut self, name: &str, status: &Value) {
        let start = create(&self.watched.api, name);
        self.event.push(self.watched.until(name, |_| true, start).await);

        let start = Instant::now();
        self.watched.api.get(name).await.unwrap();
        self.get.push(ms(start.elapsed()));

        let start = Instant::now();
        let parameters = PostParams::default();
        self.journal = self.journals.replace("journal", &parameters, &self.journal).await.unwrap();
        self.claim.push(ms(start.elapsed()));

        let start = Instant::now();
        send(&mut self.session).await;
        self.mail.push(ms(start.elapsed()));

        let start = Instant::now();
        let patch = Patch::Merge(json!({ "status": status }));
        self.watched.api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        self.status.push(ms(start.elapsed()));
    }

    /// The medians, and their sum.
    fn report(&self, report: &mut Report) -> f64 {
        let parts = [
            ("watch_event", &self.event),
            ("get", &self.get),
            ("journal_write", &self.claim),
            ("smtp", &self.mail),
            ("status_write", &self.status),
        ];
        for (part, times) in parts {
            report.set(&format!("idle_{part}_ms_p50"), median(times));
        }
        parts.iter().map(|(_, times)| median(times)).sum()
    }
}

async fn send(session: &mut Session) {
    let message = message(Size::K1.bytes());
    let envelope = Envelope {
        from: "it@corp.example",
        recipients: vec!["r0@corp.example"],
        size: message.len() as u64,
        eight_bit: false,
        smtputf8: false,
    };
    assert_eq!(session.begin(&envelope).await.unwrap().accepted(), 1);
    assert!(matches!(session.data(&message).await, DataOutcome::Accepted(_)));
}
