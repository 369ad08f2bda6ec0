//! Mail that keeps coming while something happens to the operator, and what became of each of it.

use crate::{
    Failure, inbox,
    scene::{Scene, until},
};
use jiff::Timestamp;
use kube::{
    Client, Config,
    api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// Between two Notifications.
const PACE: Duration = Duration::from_millis(50);
/// Every so manieth has several recipients, so that there are claims of more than one.
const WITH_MANY: usize = 10;
const MANY: usize = 8;
/// After the last Notification: a take-over, and then everything that waited.
const SETTLED: Duration = Duration::from_mins(2);

/// Notifications that are created one after the other until [`end`](Self::end).
pub struct Load {
    name: &'static str,
    stop: Arc<AtomicBool>,
    creating: JoinHandle<Result<HashMap<String, Timestamp>, Failure>>,
    api: Api<DynamicObject>,
}

/// How it went.
pub struct Verdict {
    /// Recipients, each of whom has got the message.
    pub recipients: usize,
    /// Copies beyond the first, each told in its Notification's status.
    pub copies: usize,
    /// The longest time in which nothing arrived although something was waiting.
    pub pause: Duration,
}

impl Verdict {
    /// For the line that a person reads.
    pub fn shown(&self) -> String {
        let Self { recipients, copies, pause } = self;
        format!(
            "{recipients} recipients, none lost, {copies} told copies, {:.1} s without sending",
            pause.as_secs_f64()
        )
    }

    /// Fails when sending paused for longer than this.
    pub fn at_most(&self, limit: Duration) -> Result<(), Failure> {
        if self.pause <= limit {
            return Ok(());
        }
        Err(format!("nothing was sent for {:?}, which may be {limit:?}", self.pause).into())
    }
}

impl Load {
    /// Begins. `name` is in the addresses and has to be another one each time.
    pub async fn begin(scene: &Scene, name: &'static str) -> Result<Self, Failure> {
        let api = notifications(scene).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let creating = tokio::spawn(create(api.clone(), name, stop.clone()));
        let load = Self { name, stop, creating, api };
        // What follows happens to an operator that is at work.
        until("the load's first mail arrives", Duration::from_mins(1), async || {
            Ok(!inbox::arrivals(name).await?.is_empty())
        })
        .await?;
        Ok(load)
    }

    /// Creates no more, waits until everything is settled, and compares what arrived with what is told.
    pub async fn end(self) -> Result<Verdict, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let created = self.creating.await??;
        let label = ListParams::default().labels(&format!("load={}", self.name));
        until("every Notification of the load is finished", SETTLED, async || {
            let unfinished = label.clone().fields("status.finished!=true").limit(1);
            Ok(self.api.list(&unfinished).await?.items.is_empty())
        })
        .await?;
        let told = self.api.list(&label).await?.items;
        judge(&created, &told, &inbox::arrivals(self.name).await?)
    }
}

/// The API of Notifications in the load's namespace.
pub async fn notifications(scene: &Scene) -> Result<Api<DynamicObject>, Failure> {
    let config = Kubeconfig::read_from(scene.node.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let kind = GroupVersionKind::gvk("mail-operator.dev", "v1alpha1", "Notification");
    Ok(Api::namespaced_with(Client::try_from(config)?, "mail", &ApiResource::from_gvk(&kind)))
}

/// A Notification of the load.
pub fn notification(
    load: &str,
    number: usize,
    recipients: &[String],
    text: &str,
) -> Result<DynamicObject, Failure> {
    let to: Vec<Value> = recipients.iter().map(|address| json!({ "address": address })).collect();
    Ok(serde_json::from_value(json!({
        "apiVersion": "mail-operator.dev/v1alpha1",
        "kind": "Notification",
        "metadata": { "name": format!("{load}-{number}"), "labels": { "load": load } },
        "spec": { "to": to, "message": { "content": { "subject": "Load", "text": text } } },
    }))?)
}

/// Returns when each recipient's Notification was there.
async fn create(
    api: Api<DynamicObject>,
    load: &'static str,
    stop: Arc<AtomicBool>,
) -> Result<HashMap<String, Timestamp>, Failure> {
    let mut created = HashMap::new();
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        ticks.tick().await;
        let count = if number % WITH_MANY == 0 { MANY } else { 1 };
        let recipients: Vec<_> =
            (0..count).map(|which| format!("{load}-{number}-{which}@corp.example")).collect();
        let object = notification(load, number, &recipients, "Comes again and again.")?;
        api.create(&PostParams::default(), &object).await?;
        let now = Timestamp::now();
        created.extend(recipients.into_iter().map(|address| (address, now)));
    }
    Ok(created)
}

/// Each recipient has the message, and more than one copy only if the status tells it.
fn judge(
    created: &HashMap<String, Timestamp>,
    told: &[DynamicObject],
    arrived: &[(String, Timestamp)],
) -> Result<Verdict, Failure> {
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for (address, _) in arrived {
        *copies.entry(address).or_default() += 1;
    }
    let mut reasons: HashMap<&str, &str> = HashMap::new();
    for recipient in told.iter().filter_map(|object| object.data["status"]["recipients"].as_array()).flatten()
    {
        let text = |name: &str| recipient[name].as_str().unwrap_or_default();
        reasons.insert(text("address"), text("reason"));
    }
    let lost: Vec<_> = created.keys().filter(|address| !copies.contains_key(address.as_str())).collect();
    if !lost.is_empty() {
        return Err(format!("{} of {} recipients got nothing: {lost:?}", lost.len(), created.len()).into());
    }
    let twice = || copies.iter().filter(|(_, count)| **count > 1);
    let untold: Vec<_> =
        twice().filter(|(address, _)| reasons.get(*address) != Some(&"AnswerLost")).collect();
    if !untold.is_empty() {
        return Err(format!("copies that no status tells: {untold:?}").into());
    }
    let more = twice().map(|(_, count)| count - 1).sum();
    Ok(Verdict { recipients: created.len(), copies: more, pause: pause(created, arrived) })
}

/// The longest time between two arrivals, counted from the creation of what was waiting where that is later.
fn pause(created: &HashMap<String, Timestamp>, arrived: &[(String, Timestamp)]) -> Duration {
    let mut first: HashMap<&str, Timestamp> = HashMap::new();
    for (address, time) in arrived {
        let known = first.entry(address).or_insert(*time);
        *known = (*known).min(*time);
    }
    let mut times: Vec<_> = first.iter().map(|(address, time)| (*time, created.get(*address))).collect();
    times.sort_unstable();
    let mut longest = Duration::ZERO;
    for pair in times.windows(2) {
        let [(before, _), (after, Some(asked))] = pair else { continue };
        longest = longest.max(after.duration_since((*before).max(**asked)).try_into().unwrap_or_default());
    }
    longest
}
