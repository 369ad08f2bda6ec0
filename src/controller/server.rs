//! Reconciles MailServerConfigs, one task each: check the spec, verify when it is time, show what is
//! known. A verification runs beside the task, which never waits for a mail server.

use crate::api::mail_server_config::MailServerConfigStatus;
use crate::api::{ConditionType, MailServerConfig, Reason, names};
use crate::cluster::Error;
use crate::cluster::events::Severity;
use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::controller::watches::{Seen, watch};
use crate::delivery::servers::ServerState;
use crate::domain::answers::LostAnswers;
use crate::domain::credentials::Tolerance;
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::patience::Patience;
use crate::domain::problem::Problem;
use crate::domain::quota::Excess;
use crate::domain::server::Server;
use crate::domain::status::conditions;
use crate::domain::status::server::{self as status, Findings, begun, ready_changed};
use crate::domain::verification::Verification;
use crate::domain::vitals::Loop;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;

/// Secrets are not watched; so their versions are looked at this often, which is how soon a corrected
/// or rotated one is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same while something is wrong: somebody may be waiting.
const LOOK_EVERY_WHILE_FAILING: Duration = Duration::from_secs(5);

/// Follows all servers.
pub async fn run(context: Arc<Context>, term: &CancellationToken) {
    let mut events = watch::<MailServerConfig>(&context.client, &context.namespaces, None);
    let mut tasks: HashMap<ObjectKey, channel::Sender<Arc<MailServerConfig>>> = HashMap::new();
    let pulse = context.delivery.vitals.of(Loop::MailServerConfigs);
    while let Some(Some(seen)) = pulse.waiting(term.run_until_cancelled(events.next())).await {
        match seen {
            Seen::Object(config) => {
                let Some(key) = ObjectKey::of(&*config) else { continue };
                let news = context.delivery.servers.follow(&key);
                learn(&context, &key, &config);
                let config: Arc<MailServerConfig> = Arc::from(config);
                if let Some(task) = tasks.get(&key) {
                    drop(task.send_replace(config));
                } else {
                    let (sender, receiver) = channel::channel(config);
                    tasks.insert(key.clone(), sender);
                    let task = follow(context.clone(), key, receiver, news);
                    tokio::spawn(term.clone().run_until_cancelled_owned(task));
                }
            }
            Seen::Undecodable { key, problem, .. } => {
                tracing::warn!(server = %key, problem, "mail server config cannot be decoded");
                tasks.remove(&key);
                let problems = [Problem::new("spec", format!("does not fit this version: {problem}"))];
                context.delivery.catalog_mut().servers.insert(key.clone(), Err(Arc::from(problems)));
                context.delivery.unlearn(&key);
                context.review_lane(&key);
            }
            Seen::Gone(key, _) => {
                tasks.remove(&key);
                context.delivery.catalog_mut().servers.remove(&key);
                context.delivery.forget(&key);
                context.review_lane(&key);
                context.review_dependents(&Dependency::Server(key));
            }
            Seen::Synced => context.pending.done("mailserverconfigs"),
        }
    }
    if !term.is_cancelled() {
        pulse.ended();
    }
}

/// Brings a spec into the catalog, so that Notifications are judged by it. The same spec stays the same
/// `Arc`: a worker's session lasts as long as that.
fn learn(context: &Context, key: &ObjectKey, config: &MailServerConfig) {
    let delivery = &context.delivery;
    let known = delivery.catalog().servers.get(key).cloned();
    if let Some(Ok(known)) = &known
        && Some(known.generation) == config.metadata.generation
        && Some(&known.uid) == Uid::of(config).as_ref()
    {
        return;
    }
    if let Some(Ok(known)) = &known
        && Some(&known.uid) != Uid::of(config).as_ref()
    {
        // Deleted and made again faster than was seen: nothing that was found out is about this one.
        delivery.servers.update(key, |state| *state = ServerState::default());
    }
    let tolerance = Tolerance::of(config.status.as_ref(), config.metadata.generation);
    delivery.servers.note(key, |state| {
        state.tolerance = tolerance;
        // What was lost was lost by a server that this may not be any more.
        state.lost_answers = LostAnswers::default();
    });
    let lockdown = &delivery.settings.lockdown;
    let server = Server::from_config(config).and_then(|mut server| match lockdown.objections(&server) {
        problems if problems.is_empty() => {
            server.proxy_is_known = lockdown.knows_proxy(&server);
            Ok(Arc::new(server))
        }
        problems => Err(problems),
    });
    let server = server.map_err(Arc::from);
    let usable = server.as_ref().ok().cloned();
    delivery.catalog_mut().servers.insert(key.clone(), server);
    context.review_dependents(&Dependency::Server(key.clone()));
    if let Some(server) = usable {
        delivery.learn(&server);
    } else {
        context.review_lane(key);
        delivery.unlearn(key);
    }
}

/// Looks after one server until its config is gone.
async fn follow(
    context: Arc<Context>,
    key: ObjectKey,
    mut config: channel::Receiver<Arc<MailServerConfig>>,
    news: Arc<Notify>,
) {
    let pulse = context.delivery.vitals.of(Loop::MailServerConfig);
    let mut patience = Patience::default();
    loop {
        pulse.begin();
        let latest = config.borrow_and_update().clone();
        let reconciling = AssertUnwindSafe(reconcile(&context, &key, &latest, &mut patience)).catch_unwind();
        let reconciled = context.metrics.timed("mailserverconfig", async {
            reconciling.await.unwrap_or_else(|_| Err(Error::Refused("the reconcile crashed".into())))
        });
        let again = match reconciled.await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(server = %key, %error, "reconcile failed; trying again");
                Duration::from_secs(5)
            }
        };
        pulse.rest();
        tokio::select! {
            changed = config.changed() => if changed.is_err() {
                return context.delivery.forget_if_gone(&key);
            },
            () = news.notified() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// Returns when to look again.
async fn reconcile(
    context: &Context,
    key: &ObjectKey,
    config: &MailServerConfig,
    patience: &mut Patience,
) -> Result<Duration, Error> {
    let delivery = &context.delivery;
    // (pure) What the spec says.
    let server = delivery.catalog().servers.get(key).cloned();
    let Some(server) = server else { return Ok(LOOK_EVERY) };
    let request = config.metadata.annotations.as_ref().and_then(|all| all.get(names::VERIFY_REQUESTED_AT));
    // (reads) Whether Secrets and bundles are still those that were verified.
    let excess = server.as_ref().ok().and_then(|server| delivery.excess(server));
    let fingerprint = match &server {
        Ok(server) if !server.suspended && excess.is_none() => delivery.fingerprint(server).await,
        _ => None,
    };
    // (pure) Verify? By the state after the reads: a verification may have ended meanwhile, and its request with it.
    let state = delivery.servers.state(key);
    let handled =
        state.handled_request.clone().or_else(|| config.status.as_ref()?.last_handled_verify_request.clone());
    let requested = request.is_some() && request != handled.as_ref();
    if let Ok(server) = &server
        && !server.suspended
        && excess.is_none()
        && (requested || is_due(&state, server, fingerprint.as_deref(), Timestamp::now()))
    {
        begin(context, server, request.filter(|_| requested));
    }
    // (pure) What the status should say.
    let now = Timestamp::now();
    let state = delivery.servers.state(key);
    delivery.metrics.expiry(key, state.verification.as_ref().and_then(|found| found.expires.as_ref()), now);
    let new = render(config, &server, &state, excess, now);
    // (writes) Status, and an Event if `Ready` changed.
    if config.status.as_ref() != Some(&new)
        && !verdict_stands(config, &server, &state)
        && patience.may_try(now)
    {
        match write(context, key, config, &new).await {
            Err(error @ (Error::Refused(_) | Error::TooLarge)) => {
                if patience.refused(now) {
                    tell_refused(context, key, config, &error).await;
                }
            }
            written => {
                written?;
                patience.succeeded();
            }
        }
    }
    let failing = state.verification.as_ref().is_none_or(|found| !found.succeeded());
    let look = if failing { LOOK_EVERY_WHILE_FAILING } else { LOOK_EVERY };
    let next = [state.next, state.hold.map(|hold| hold.until)]
        .into_iter()
        .flatten()
        .filter(|next| *next > now)
        .min();
    let next = next.map_or(look, |next| next.duration_since(now).unsigned_abs().min(look));
    Ok(next.max(Duration::from_millis(50)))
}

/// Whether the verdict of an earlier process is the best there is: nothing was verified since the start, and the
/// spec is still the one it speaks about. Taking it back to `Unknown` for a moment would be news of nothing.
fn verdict_stands(
    config: &MailServerConfig,
    server: &Result<Arc<Server>, Arc<[Problem]>>,
    state: &ServerState,
) -> bool {
    let Some(status) = &config.status else { return false };
    let usable = server.as_ref().is_ok_and(|server| !server.suspended);
    let known = conditions::find(&status.conditions, ConditionType::Ready)
        .is_some_and(|ready| ready.status != "Unknown" && ready.reason != Reason::Suspended.as_str());
    usable
        && known
        && !state.is_excess
        && state.verification.is_none()
        && status.observed_generation == config.metadata.generation
}

fn is_due(state: &ServerState, server: &Server, fingerprint: Option<&str>, now: Timestamp) -> bool {
    if state.verifying {
        return false;
    }
    let Some(found) = &state.verification else { return true };
    let credentials_changed = fingerprint.is_some_and(|fingerprint| fingerprint != found.fingerprint);
    found.generation != server.generation || credentials_changed || state.next.is_some_and(|next| next <= now)
}

/// Begins a verification beside this task.
fn begin(context: &Context, server: &Arc<Server>, request: Option<&String>) {
    let (delivery, server) = (context.delivery.clone(), server.clone());
    if delivery.servers.look(&server.key, |state| state.verifying) {
        return;
    }
    let request = request.cloned();
    delivery.servers.note(&server.key, |state| {
        state.verifying = true;
        if request.is_some() {
            // Somebody pressed "Test": what held the server is to be seen afresh, and each stage as it passes.
            state.hold = None;
            state.progress = Some(Arc::new(Verification::begin(server.generation, Timestamp::now())));
        }
    });
    tokio::spawn(async move {
        let verifying = AssertUnwindSafe(delivery.verify(&server)).catch_unwind().await;
        // The request is answered by the result, not by its beginning: whoever waits for the echo finds both at once.
        delivery.servers.note(&server.key, |state| state.answered_request = request);
        match verifying {
            Ok(verification) => delivery.verified(&server, verification),
            Err(_) => delivery.servers.update(&server.key, ServerState::end_verification),
        }
    });
}

fn render(
    config: &MailServerConfig,
    server: &Result<Arc<Server>, Arc<[Problem]>>,
    state: &ServerState,
    excess: Option<Excess>,
    now: Timestamp,
) -> MailServerConfigStatus {
    let generation = config.metadata.generation;
    let current = state.verification.as_deref().filter(|found| Some(found.generation) == generation);
    let hold = state.hold.as_ref().filter(|hold| hold.until > now);
    let findings = Findings {
        verification: current,
        progress: state.progress.as_deref().filter(|found| Some(found.generation) == generation),
        hold: hold.map(|hold| (&hold.failure, hold.until)),
        next: state.next,
        usage: state.usage.as_ref(),
        handled_request: state.handled_request.as_deref(),
        lost_answers: state.lost_answers.told(),
        excess,
        tolerance: Some(&state.tolerance),
    };
    let server = server.as_deref().map_err(|problems| &**problems);
    status::render(config.status.as_ref(), server, generation, findings, now)
}

/// Tells that a status is not stored, since the object itself cannot say so. All else goes on.
async fn tell_refused(context: &Context, key: &ObjectKey, config: &MailServerConfig, error: &Error) {
    tracing::error!(server = %key, %error, "status refused; tried again ever more rarely");
    let message =
        format!("the status of this object cannot be stored, so what it shows is not up to date: {error}");
    context.delivery.events.publish(config, Severity::Warning, Reason::StatusNotStored, &message).await;
}

async fn write(
    context: &Context,
    key: &ObjectKey,
    config: &MailServerConfig,
    new: &MailServerConfigStatus,
) -> Result<(), Error> {
    let version = config.metadata.resource_version.clone().unwrap_or_default();
    let old = config.status.as_ref();
    match context.delivery.cluster.write_status::<MailServerConfig, _>(key, &version, old, new).await {
        Ok(_) => {}
        // A newer version is on its way to us.
        Err(Error::Conflict | Error::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    }
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    for warning in begun(before, &new.conditions) {
        let reason = Reason::parse(&warning.reason).unwrap_or(Reason::ExpiresSoon);
        context.delivery.events.publish(config, Severity::Warning, reason, &warning.message).await;
    }
    let Some(ready) = conditions::find(&new.conditions, ConditionType::Ready) else { return Ok(()) };
    if ready_changed(before, &new.conditions) && ready.status != "Unknown" {
        tracing::info!(server = %key, ready = ready.status, reason = ready.reason, "mail server changed");
        let severity = if ready.status == "True" { Severity::Normal } else { Severity::Warning };
        let reason = Reason::parse(&ready.reason).unwrap_or(Reason::Verified);
        context.delivery.events.publish(config, severity, reason, &ready.message).await;
    }
    Ok(())
}
