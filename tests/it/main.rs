//! Integration tests against real parts: one binary, one control plane for the whole run.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod accounts;
mod architecture;
mod canary;
mod cluster;
mod crash;
mod docs;
mod evaluation;
mod first_mail;
mod fuzz;
mod generated;
mod hostile_templates;
mod install;
mod kubectl_mail;
mod leadership;
mod leftovers;
mod lint;
mod lint_anything;
mod mail_servers;
mod metrics;
mod mime;
mod notifications;
mod objects;
mod operator;
mod outcomes;
mod probes;
mod servers;
mod standard;
mod templates;

use std::time::Duration;

/// Waits until `holds`, looking often.
///
/// # Panics
/// After `limit`, with what was waited for.
pub async fn eventually(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + limit;
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
