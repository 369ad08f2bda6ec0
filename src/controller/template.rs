//! Reconciles MessageTemplates: compile, tell, and have those Notifications looked at again that use it.

use crate::api::{MessageTemplate, Reason};
use crate::cluster::Error;
use crate::cluster::events::Severity;
use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::controller::watches::{Seen, watch};
use crate::domain::catalog::KnownTemplate;
use crate::domain::object::ObjectKey;
use crate::domain::status::server::ready_changed;
use crate::domain::status::{conditions, template as status};
use crate::domain::template::Template;
use futures::StreamExt;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Follows all templates.
pub async fn run(context: Arc<Context>) {
    let mut events = watch::<MessageTemplate>(&context.client, &context.namespaces, None);
    while let Some(seen) = events.next().await {
        match seen {
            Seen::Object(template) => {
                let Some(key) = ObjectKey::of(&*template) else { continue };
                let reconciled =
                    context.metrics.timed("messagetemplate", reconcile(&context, &key, *template)).await;
                if let Err(error) = reconciled {
                    tracing::warn!(template = %key, %error, "status not stored");
                }
            }
            Seen::Undecodable { key, problem, .. } => {
                tracing::warn!(template = %key, problem, "template cannot be decoded");
                context.delivery.catalog_mut().templates.remove(&key);
                context.review_dependents(&Dependency::Template(key));
            }
            Seen::Gone(key, _) => {
                context.delivery.catalog_mut().templates.remove(&key);
                context.review_dependents(&Dependency::Template(key));
            }
            Seen::Synced => context.pending.done("messagetemplates"),
        }
    }
}

async fn reconcile(context: &Context, key: &ObjectKey, template: MessageTemplate) -> Result<(), Error> {
    let generation = template.metadata.generation;
    // (pure) Known already? Then this is the echo of our own status.
    let known = context.delivery.catalog().templates.get(key).cloned();
    let is_echo = known
        .as_ref()
        .is_some_and(|known| known.generation == generation && known.uid == template.metadata.uid);
    let compiled = match known.filter(|_| is_echo) {
        Some(known) => known.template.clone(),
        None => compile(&template).await,
    };
    if !is_echo {
        let known = KnownTemplate {
            uid: template.metadata.uid.clone(),
            generation,
            spec: template.spec.clone(),
            template: compiled.clone(),
        };
        context.delivery.catalog_mut().templates.insert(key.clone(), Arc::new(known));
        context.review_dependents(&Dependency::Template(key.clone()));
    }
    // (pure) What the status should say.
    let new = status::render(template.status.as_ref(), &compiled, generation, Timestamp::now());
    if template.status.as_ref() == Some(&new) {
        return Ok(());
    }
    // (writes) Status, and an Event if it changed sides.
    let version = template.metadata.resource_version.clone().unwrap_or_default();
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
    if ready_changed(before, &new.conditions) && (compiled.is_err() || !before.is_empty()) {
        let severity = if compiled.is_ok() { Severity::Normal } else { Severity::Warning };
        if let Some(ready) = conditions::find(&new.conditions, crate::api::ConditionType::Ready) {
            let reason = Reason::parse(&ready.reason).unwrap_or(Reason::Valid);
            context.delivery.events.publish(&template, severity, reason, &ready.message).await;
        }
    }
    Ok(())
}

/// Compiles away from the event loop: a hostile template may take a tenth of a second.
async fn compile(
    template: &MessageTemplate,
) -> Result<Template, Vec<crate::domain::template::TemplateProblem>> {
    let spec = template.spec.clone();
    match tokio::task::spawn_blocking(move || Template::compile(&spec, &[])).await {
        Ok(compiled) => compiled,
        Err(_) => Err(vec![crate::domain::template::TemplateProblem::crashed()]),
    }
}
