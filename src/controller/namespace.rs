//! Labels of namespaces, for `access.namespaces.selector`. Without the permission to watch namespaces
//! (an operator restricted to some) no selector matches; everything else works.

use crate::controller::Context;
use crate::controller::waiting::Dependency;
use crate::domain::vitals::Loop;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event};
use std::sync::Arc;

/// Follows the labels of all namespaces.
pub async fn run(context: Arc<Context>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(context.client.clone());
    let config = watcher::Config::default().timeout(60);
    let mut events = watcher::watcher(api, config).default_backoff().boxed();
    let pulse = context.delivery.vitals.of(Loop::Namespaces);
    while let Some(event) = pulse.waiting(events.next()).await {
        match event {
            Ok(Event::Apply(namespace) | Event::InitApply(namespace)) => learn(&context, namespace),
            Ok(Event::Delete(namespace)) => {
                context
                    .delivery
                    .catalog_mut()
                    .namespaces
                    .remove(&namespace.metadata.name.unwrap_or_default());
            }
            Ok(Event::InitDone) => context.pending.done("namespaces"),
            Ok(Event::Init) => {}
            Err(error) => {
                tracing::warn!(%error, "namespaces cannot be watched; access selectors match none of those not seen");
                context.pending.done("namespaces");
            }
        }
    }
    pulse.ended();
}

fn learn(context: &Context, namespace: PartialObjectMeta<Namespace>) {
    let Some(name) = namespace.metadata.name else { return };
    let labels = namespace.metadata.labels.unwrap_or_default();
    let old = context.delivery.catalog_mut().namespaces.insert(name.clone(), labels.clone());
    if old.is_none_or(|old| old != labels) {
        // Its templates may now find, or find no more, layouts of others.
        for key in context.delivery.catalog().outward(&name) {
            context.reassessments.push(key);
        }
        context.review_dependents(&Dependency::Namespace(name));
    }
}
