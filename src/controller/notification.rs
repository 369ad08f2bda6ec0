//! Reconciles Notifications: judge each as it is seen, report what stands in its way, or queue it. What
//! comes of it is the delivery's business. Finished ones are removed when `keepFor` has passed.

use crate::api::{ConditionType, Notification, NotificationStatus, Reason};
use crate::cluster::Error;
use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::controller::watches::{Seen, watch};
use crate::delivery::after;
use crate::delivery::evaluation::{LATER, Later};
use crate::delivery::removals::SWEEP_EVERY;
use crate::delivery::vitals::Pulse;
use crate::domain::material::{Material, Needs};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::preparation;
use crate::domain::reconciliation::{Decision, Next, examine, postponed, remove_at};
use crate::domain::status::conditions::{Conditions, State};
use crate::domain::vitals::Loop;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Those that are not finished. Objects without status match as well, and a finishing one arrives as
/// deleted, so that finished ones cost nothing.
const UNFINISHED: &str = "status.finished!=true";
/// Reviews (a fresh read each) under way at once.
const REVIEWS: usize = 16;
/// As many of them one namespace may have.
const SHARE: usize = 8;
/// How often the clock is looked at for what has run out.
const TICK: Duration = Duration::from_secs(1);
/// Before the first sweep, and up to twice as long.
const FIRST_SWEEP: Duration = Duration::from_mins(5);
/// Wait before another try of a removal or a sweep that the API server did not answer.
const AGAIN: Duration = Duration::from_mins(1);
/// Judgements that wait for an evaluation, and reports (status writes of what cannot be sent), begun at once; the
/// cluster's own limit comes on top.
const JUDGEMENTS: usize = 64;

/// Follows all Notifications that are not finished.
pub async fn run(context: Arc<Context>) {
    wait_for_the_rest(&context).await;
    tokio::join!(follow(&context), review(&context), keep_time(&context), sweep(&context));
}

/// Servers, templates and namespaces come first.
async fn wait_for_the_rest(context: &Context) {
    while context.pending.list().iter().any(|what| *what != "notifications" && *what != "leadership") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn follow(context: &Arc<Context>) {
    let mut events = watch::<Notification>(&context.client, &context.namespaces, Some(UNFINISHED));
    let judgements = Arc::new(tokio::sync::Semaphore::new(JUDGEMENTS));
    let pulse = context.delivery.vitals.of(Loop::Notifications);
    while let Some(seen) = pulse.waiting(events.next()).await {
        match seen {
            Seen::Object(notification) => {
                let Some(key) = ObjectKey::of(&*notification) else { continue };
                if !Needs::of(&notification).is_empty() {
                    // What it needs has to be read first, and nobody else waits for that.
                    context.delivery.reviews.push(key);
                    continue;
                }
                if context.delivery.evaluator.takes_long(&key.namespace) {
                    // It may take seconds, and there namespaces take turns.
                    context.delivery.reviews.push(key);
                    continue;
                }
                // Not waited for, lest one namespace's mistakes delay another's mail; but bounded.
                let turn = pulse.waiting(judgements.clone().acquire_owned()).await;
                let Ok(turn) = turn else { continue };
                let context = context.clone();
                tokio::spawn(async move {
                    let report = judge(&context, &key, &notification, &Material::default()).await;
                    if let Some(report) = report {
                        write(&context, &key, &notification, &report).await;
                    }
                    drop(turn);
                });
            }
            Seen::Undecodable { key, resource_version, created, problem } => {
                let turn = pulse.waiting(judgements.clone().acquire_owned()).await;
                let Ok(turn) = turn else { continue };
                let context = context.clone();
                tokio::spawn(async move {
                    undecodable(&context, &key, &resource_version, created, &problem).await;
                    drop(turn);
                });
            }
            Seen::Gone(key, uid) => {
                context.waiting.remove(&key);
                context.delivery.outbox().remove(&uid);
                context.delivery.evaluations.forget(&uid);
            }
            Seen::Synced => context.pending.done("notifications"),
        }
    }
    pulse.ended();
}

/// Looks again, with a fresh copy, at those that somebody asked to.
async fn review(context: &Arc<Context>) {
    let next = || context.delivery.reviews.next(SHARE);
    let reviews = futures::stream::unfold((), |()| async { Some((next().await, ())) });
    reviews
        .for_each_concurrent(REVIEWS, |review| async move {
            let key = review.key.clone();
            let pulse = context.delivery.vitals.of(Loop::Reviews);
            pulse.begin();
            match context.delivery.cluster.notification(&key).await {
                Ok(Some(notification)) => {
                    let material =
                        context.delivery.cluster.material(&key.namespace, &Needs::of(&notification)).await;
                    let Ok(material) = material else {
                        tokio::time::sleep(TICK).await;
                        return context.delivery.reviews.push(key);
                    };
                    // Evaluations have a time of their own, and wait for their turns.
                    pulse.rest();
                    let report = judge(context, &key, &notification, &material).await;
                    pulse.begin();
                    if let Some(report) = report {
                        write(context, &key, &notification, &report).await;
                    }
                }
                Ok(None) | Err(Error::Refused(_)) => context.waiting.remove(&key),
                Err(_) => {
                    tokio::time::sleep(TICK).await;
                    context.delivery.reviews.push(key);
                }
            }
        })
        .await;
}

/// Judges a Notification and puts it where it belongs; returns the status to be written, if any.
async fn judge(
    context: &Context,
    key: &ObjectKey,
    notification: &Notification,
    material: &Material,
) -> Option<NotificationStatus> {
    let uid = Uid::of(notification)?;
    let deciding = AssertUnwindSafe(decide(context, (key, &uid), notification, material)).catch_unwind();
    if context.delivery.is_quarantined(&uid) {
        return quarantine(context, &uid, notification);
    }
    let Ok(Decision { report, next }) = context.metrics.timed("notification", deciding).await else {
        if context.delivery.crashed(&uid) {
            return quarantine(context, &uid, notification);
        }
        context.delivery.reviews.push(key.clone());
        return None;
    };
    match next {
        Next::Queue(item) => {
            context.waiting.remove(key);
            context.delivery.queue(item);
        }
        Next::Wait { until, look_again } => {
            context.delivery.outbox().remove(&uid);
            let again = look_again.map(|wait| after(Timestamp::now(), context.delivery.paced(wait)));
            let next = until.into_iter().chain(again).min();
            context.waiting.add(key, dependencies(context, notification), next);
        }
        Next::Finished { .. } => {
            context.waiting.remove(key);
            context.delivery.outbox().remove(&uid);
        }
    }
    report.map(|report| *report)
}

/// What becomes of it.
async fn decide(
    context: &Context,
    (key, uid): (&ObjectKey, &Uid),
    notification: &Notification,
    material: &Material,
) -> Decision {
    let (delivery, now) = (&context.delivery, Timestamp::now());
    // (pure) By what is known.
    let examined = {
        let default = delivery.settings.default_server.as_ref();
        examine(notification, &delivery.catalog(), default, material, now)
    };
    let prepared = match examined {
        Ok(prepared) => prepared,
        Err(decision) => return *decision,
    };
    // (evaluates) By what it would say.
    match delivery.judge_messages((key, uid), notification, &prepared).await {
        Ok(decision) => decision,
        Err(Later) => postponed(notification, LATER, now),
    }
}

/// What can change the judgement of a Notification.
fn dependencies(context: &Context, notification: &Notification) -> Vec<Dependency> {
    let catalog = context.delivery.catalog();
    let default = context.delivery.settings.default_server.as_ref();
    let namespace = notification.metadata.namespace.clone().unwrap_or_default();
    let mut all = vec![Dependency::Server(preparation::server_key(notification, default, &catalog))];
    if notification.spec.server_ref.is_none() {
        all.push(Dependency::Server(ObjectKey::new(&namespace, "default")));
        all.extend(default.cloned().map(Dependency::Server));
    }
    all.extend(preparation::template_places(notification, &catalog).into_iter().map(Dependency::Template));
    all.push(Dependency::Namespace(namespace));
    all
}

/// Writes a report, and tells of a change for the worse. A conflict means that a newer version is on its way.
async fn write(context: &Context, key: &ObjectKey, notification: &Notification, report: &NotificationStatus) {
    let delivery = &context.delivery;
    let version = notification.metadata.resource_version.clone().unwrap_or_default();
    let old = notification.status.as_ref();
    match delivery.cluster.write_status::<Notification, _>(key, &version, old, report).await {
        Ok(_) => {
            delivery.announce(notification, report).await;
            delivery.removals.consider(notification, report, Timestamp::now());
        }
        Err(Error::NotFound) => {}
        Err(Error::Conflict) => delivery.reviews.push(key.clone()),
        Err(Error::Refused(why)) => tracing::error!(notification = %key, why, "status refused"),
        Err(error) => {
            tracing::debug!(notification = %key, %error, "status not stored; trying again");
            tokio::time::sleep(TICK).await;
            delivery.reviews.push(key.clone());
        }
    }
}

/// Judging or sending it crashed too often: it is left alone, and says so.
fn quarantine(context: &Context, uid: &Uid, notification: &Notification) -> Option<NotificationStatus> {
    context.delivery.outbox().remove(uid);
    let message = "handling this object crashed three times; it is left alone until the operator is restarted. Please report it";
    let old = notification.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(&old.conditions, notification.metadata.generation, Timestamp::now());
    conditions.set(ConditionType::Ready, State::False, Reason::Quarantined, message);
    conditions.set(ConditionType::Stalled, State::True, Reason::Quarantined, message);
    let status = NotificationStatus { conditions: conditions.finish(), ..old };
    (notification.status.as_ref() != Some(&status)).then_some(status)
}

/// Tells on the object itself that it cannot be read. Nothing else is known of it.
async fn undecodable(context: &Context, key: &ObjectKey, version: &str, created: Timestamp, problem: &str) {
    tracing::warn!(notification = %key, problem, "notification cannot be decoded");
    let message = format!(
        "this object does not fit the operator's version of the API: {problem}. Delete it and create it anew"
    );
    // Not the time of now: the status cannot be read here, and each look at the object would be a write.
    let mut conditions = Conditions::new(&[], None, created);
    conditions.set(ConditionType::Ready, State::False, Reason::Undecodable, &message);
    conditions.set(ConditionType::Stalled, State::True, Reason::Undecodable, &message);
    let status = serde_json::json!({ "conditions": conditions.finish() });
    let written = context
        .delivery
        .cluster
        .write_status::<kube::core::DeserializeGuard<Notification>, _>(key, version, None, &status);
    if let Err(error) = written.await {
        tracing::debug!(notification = %key, %error, "not told");
    }
}

/// What time brings: expiry of those that wait, removal of those that are finished.
async fn keep_time(context: &Context) {
    const AT_ONCE: usize = 1000;
    let delivery = &context.delivery;
    let mut tick = tokio::time::interval(TICK);
    let pulse = delivery.vitals.of(Loop::Clock);
    loop {
        pulse.waiting(tick.tick()).await;
        let now = Timestamp::now();
        let expired = delivery.outbox().expired(now, AT_ONCE);
        for key in expired.into_iter().map(|item| item.key).chain(context.waiting.expired(now)) {
            delivery.reviews.push(key);
        }
        let mut refusals = Refusals::default();
        for (key, uid) in delivery.removals.due(now) {
            pulse.begin();
            refusals.note(&key, remove(context, &key, &uid).await);
        }
        refusals.tell();
    }
}

async fn remove(context: &Context, key: &ObjectKey, uid: &Uid) -> Result<(), Error> {
    let delivery = &context.delivery;
    match delivery.cluster.remove(key, uid).await {
        Ok(()) => {
            tracing::debug!(notification = %key, "removed after keepFor");
            Ok(())
        }
        // What is refused stays so until somebody changes something: the next sweep is soon enough.
        Err(error @ (Error::Refused(_) | Error::TooLarge)) => Err(error),
        Err(error) => {
            let at = Timestamp::now().saturating_add(delivery.paced(AGAIN)).unwrap_or(Timestamp::MAX);
            delivery.removals.again(key, uid, at);
            Err(error)
        }
    }
}

/// Removals that did not succeed, to be told in one line. The next sweep, an hour later, finds the objects again.
#[derive(Default)]
struct Refusals {
    count: usize,
    first: Option<(ObjectKey, Error)>,
}

impl Refusals {
    fn note(&mut self, key: &ObjectKey, removed: Result<(), Error>) {
        if let Err(error) = removed {
            self.count += 1;
            self.first.get_or_insert_with(|| (key.clone(), error));
        }
    }

    fn tell(self) {
        if let Some((key, error)) = self.first {
            let count = self.count;
            tracing::warn!(count, first = %key, %error, "finished notifications are not removed; trying again within an hour");
        }
    }
}

/// Removes, page by page, finished Notifications whose time came while nobody watched. The first sweep
/// waits some minutes, so that a restart reads nothing but what is to be done.
async fn sweep(context: &Context) {
    let mut wait = context.delivery.paced(FIRST_SWEEP).mul_f64(1.0 + rand::random::<f64>());
    let pulse = context.delivery.vitals.of(Loop::Sweep);
    loop {
        pulse.waiting(tokio::time::sleep(wait)).await;
        wait = SWEEP_EVERY;
        let namespaces: Vec<Option<&str>> = match &*context.namespaces {
            [] => vec![None],
            some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
        };
        for namespace in namespaces {
            if let Err(error) = sweep_one(context, &pulse, namespace).await {
                tracing::warn!(%error, "sweep for finished notifications broken off");
                if !matches!(error, Error::Refused(_)) {
                    wait = context.delivery.paced(AGAIN);
                }
            }
        }
    }
}

async fn sweep_one(context: &Context, pulse: &Pulse, namespace: Option<&str>) -> Result<(), Error> {
    let mut token = None;
    let mut refusals = Refusals::default();
    loop {
        pulse.begin();
        let (page, next) = context.delivery.cluster.finished(namespace, token).await?;
        let now = Timestamp::now();
        for notification in page {
            let due = remove_at(&notification).is_some_and(|at| at <= now);
            if let (true, Some(key), Some(uid)) = (due, ObjectKey::of(&notification), Uid::of(&notification))
            {
                pulse.begin();
                refusals.note(&key, remove(context, &key, &uid).await);
            } else if let Some(status) = &notification.status {
                context.delivery.removals.consider(&notification, status, now);
            }
        }
        token = next;
        if token.is_none() {
            refusals.tell();
            return Ok(());
        }
    }
}
