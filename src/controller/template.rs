//! Reconciles MessageTemplates: compile, tell, and have those looked at again whom it concerns: templates that it wraps
//! or whose name it shares, and Notifications that use any of these. Templates are compiled one after the other and away
//! from the event loop; statuses of others than the one that was seen are written beside it.

use crate::api::{ConditionType, MessageTemplate, Reason};
use crate::cluster::Error;
use crate::cluster::events::Severity;
use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::controller::watches::{Seen, watch};
use crate::delivery::vitals::Pulse;
use crate::domain::catalog::{Draft, KnownTemplate};
use crate::domain::lookup::Source;
use crate::domain::object::ObjectKey;
use crate::domain::status::server::ready_changed;
use crate::domain::status::{conditions, template as status};
use crate::domain::vitals::Loop;
use futures::StreamExt;
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Statuses (a fresh read each) under way at once, of templates that another one concerned.
const REPORTS: usize = 8;

/// Follows all templates.
pub async fn run(context: Arc<Context>) {
    tokio::join!(follow(&context), report(&context));
}

async fn follow(context: &Context) {
    let mut events = watch::<MessageTemplate>(&context.client, &namespaces(context), None);
    let mut early = Some(HashMap::new());
    let pulse = context.delivery.vitals.of(Loop::MessageTemplates);
    loop {
        pulse.rest();
        let seen = tokio::select! {
            seen = events.next() => seen,
            key = context.reassessments.next() => {
                reassess(context, &pulse, vec![Source::Object(key)]).await;
                continue;
            }
        };
        pulse.begin();
        match seen {
            None => return pulse.ended(),
            Some(Seen::Object(template)) => {
                let Some(key) = ObjectKey::of(&*template) else { continue };
                if let Some(early) = &mut early {
                    early.insert(key, template);
                } else {
                    learn(context, &pulse, &key, &template).await;
                    pulse.begin();
                    tell(context, &key, &template).await;
                }
            }
            Some(Seen::Undecodable { key, problem, .. }) => {
                tracing::warn!(template = %key, problem, "template cannot be decoded");
                if let Some(early) = &mut early {
                    early.remove(&key);
                }
                let source = Source::Object(key);
                context.delivery.catalog_mut().store(source.clone(), KnownTemplate::undecodable(&problem));
                changed(context, &pulse, source).await;
            }
            Some(Seen::Gone(key, _)) => {
                if let Some(early) = &mut early {
                    early.remove(&key);
                }
                let source = Source::Object(key);
                context.delivery.catalog_mut().forget(&source);
                changed(context, &pulse, source).await;
            }
            Some(Seen::Synced) => begin(context, &pulse, early.take().unwrap_or_default()).await,
        }
    }
}

/// The namespaces looked after, and the operator's own: what stands there is for all.
fn namespaces(context: &Context) -> Vec<String> {
    let mut namespaces = context.namespaces.clone();
    let own = context.delivery.cluster.operator_namespace();
    if !namespaces.is_empty() && !namespaces.iter().any(|namespace| namespace == own) {
        namespaces.push(own.to_owned());
    }
    namespaces
}

/// Takes in what existed at the start. Nothing is told before all of it is known: a template whose layout is still on its
/// way would be called invalid for a moment, with two writes at each start.
async fn begin(context: &Context, pulse: &Pulse, mut early: HashMap<ObjectKey, Box<MessageTemplate>>) {
    pulse.rest();
    while context.pending.list().contains(&"namespaces") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut all: Vec<_> = early.drain().collect();
    all.sort_by_key(|(_, template)| template.spec.layout.is_some());
    for (key, template) in &all {
        learn(context, pulse, key, template).await;
    }
    context.pending.done("messagetemplates");
    for (key, template) in &all {
        pulse.begin();
        tell(context, key, template).await;
    }
}

/// Brings a template into the catalog, unless it is known already: then this is the echo of our own status.
async fn learn(context: &Context, pulse: &Pulse, key: &ObjectKey, template: &MessageTemplate) {
    let source = Source::Object(key.clone());
    let metadata = &template.metadata;
    let draft = {
        let catalog = context.delivery.catalog();
        let is_echo = catalog
            .template(&source)
            .is_some_and(|known| known.generation == metadata.generation && known.uid == metadata.uid);
        if is_echo {
            return;
        }
        let spec = Arc::new(template.spec.clone());
        catalog.draft(source.clone(), metadata.uid.clone(), metadata.generation, spec)
    };
    compile(context, pulse, draft).await;
    changed(context, pulse, source).await;
}

/// A template came, changed or went: whom does it concern?
async fn changed(context: &Context, pulse: &Pulse, source: Source) {
    let concerned = context.delivery.catalog().concerned(&source);
    context.review_dependents(&Dependency::Template(source));
    reassess(context, pulse, concerned).await;
}

/// Makes those anew whose layouts, or what they override, are not what they were; and then those whom these concern.
async fn reassess(context: &Context, pulse: &Pulse, concerned: Vec<Source>) {
    let mut concerned = VecDeque::from(concerned);
    while let Some(source) = concerned.pop_front() {
        let Some(draft) = context.delivery.catalog().redraft(&source) else { continue };
        compile(context, pulse, draft).await;
        concerned.extend(context.delivery.catalog().concerned(&source));
        if let Source::Object(key) = &source {
            context.reports.push(key.clone());
        }
        context.review_dependents(&Dependency::Template(source));
    }
}

/// Compiles away from the event loop: a hostile template may take a tenth of a second.
async fn compile(context: &Context, pulse: &Pulse, draft: Draft) {
    pulse.begin();
    let source = draft.source.clone();
    let spare = draft.clone();
    let known = tokio::task::spawn_blocking(move || draft.compile()).await;
    let known = known.unwrap_or_else(|_| spare.crashed());
    context.delivery.catalog_mut().store(source, known);
}

/// Writes the statuses of those that another template concerned, if it makes a difference to them.
async fn report(context: &Context) {
    let keys = futures::stream::unfold((), |()| async { Some((context.reports.next().await, ())) });
    keys.for_each_concurrent(REPORTS, |key| async move {
        let pulse = context.delivery.vitals.of(Loop::TemplateReports);
        pulse.begin();
        match context.delivery.cluster.message_template(&key).await {
            Ok(Some(template)) => tell(context, &key, &template).await,
            Ok(None) | Err(Error::Refused(_)) => {}
            Err(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                context.reports.push(key);
            }
        }
    })
    .await;
}

/// Tells on the object what is known of it.
async fn tell(context: &Context, key: &ObjectKey, template: &MessageTemplate) {
    let told = context.metrics.timed("messagetemplate", reconcile(context, key, template)).await;
    if let Err(error) = told {
        tracing::warn!(template = %key, %error, "status not stored");
    }
}

async fn reconcile(context: &Context, key: &ObjectKey, template: &MessageTemplate) -> Result<(), Error> {
    // (pure) What the status should say. Of another version than is known, that one is on its way to us.
    let known = context.delivery.catalog().template(&Source::Object(key.clone())).cloned();
    let metadata = &template.metadata;
    let current = known.filter(|known| known.generation == metadata.generation && known.uid == metadata.uid);
    let Some(known) = current else { return Ok(()) };
    let new = status::render(template.status.as_ref(), &known, Timestamp::now());
    if template.status.as_ref() == Some(&new) {
        return Ok(());
    }
    // (writes) Status, and an Event if it changed sides.
    let version = metadata.resource_version.clone().unwrap_or_default();
    let old = template.status.as_ref();
    for attempt in 0..3 {
        match context.delivery.cluster.write_status::<MessageTemplate, _>(key, &version, old, &new).await {
            Ok(_) => break,
            // A newer version is on its way to us.
            Err(Error::Conflict | Error::NotFound) => return Ok(()),
            Err(error) if attempt == 2 => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    if ready_changed(before, &new.conditions) && (known.template.is_err() || !before.is_empty()) {
        let severity = if known.template.is_ok() { Severity::Normal } else { Severity::Warning };
        if let Some(ready) = conditions::find(&new.conditions, ConditionType::Ready) {
            let reason = Reason::parse(&ready.reason).unwrap_or(Reason::Valid);
            context.delivery.events.publish(template, severity, reason, &ready.message).await;
        }
    }
    Ok(())
}
