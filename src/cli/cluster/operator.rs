//! Whether the operator is at work, as seen from outside: somebody renews the Lease in its namespace every two seconds.
//! No clock is compared with the cluster's: what counts is whether the Lease changes while we look.

use crate::cli::cluster::{Cluster, Request};
use crate::cli::output;
use crate::domain::lease::RENEW_EVERY;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// So long nobody is suspected: what goes well is over by then.
const TRUST: Duration = Duration::from_secs(4);

/// A Lease that has not changed for this long has no holder that is alive and well.
const SILENCE: Duration = RENEW_EVERY.saturating_mul(3);

/// Watches over a wait: says, once, that the operator does not run.
pub struct Vigil {
    next: Instant,
    seen: Option<BTreeMap<String, String>>,
    told: bool,
}

impl Vigil {
    /// Begins now.
    pub fn begin() -> Self {
        Self { next: Instant::now() + TRUST, seen: None, told: false }
    }

    /// Something happened: begins anew.
    pub fn comfort(&mut self) {
        *self = Self { told: self.told, ..Self::begin() };
    }

    /// Looks after the operator, for ever. May be cancelled and gone on with.
    pub async fn keep(&mut self, cluster: &Cluster) {
        loop {
            if self.told {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(self.next).await;
            let leases = leases(cluster).await;
            self.next = Instant::now() + SILENCE;
            let suspicion = match (&leases, &self.seen) {
                (None, _) => Some(format!(
                    "nothing has happened yet, and whether the operator runs cannot be seen (it takes the right to list \
                     leases in namespace {})",
                    cluster.operator_namespace
                )),
                (Some(now), _) if now.is_empty() => Some(format!(
                    "the operator does not run: there is no Lease in namespace {} (--operator-namespace names another)",
                    cluster.operator_namespace
                )),
                (Some(now), Some(before)) if now == before => Some(format!(
                    "the operator does not run: nobody renews its Lease in namespace {}",
                    cluster.operator_namespace
                )),
                _ => None,
            };
            self.seen = leases;
            if let Some(suspicion) = suspicion {
                self.told = true;
                output::note(&format!(
                    "{suspicion}; kubectl -n {} get deploy,pods",
                    cluster.operator_namespace
                ));
            }
        }
    }
}

/// The versions of the operator's Leases by name; `None`: they may not be seen.
async fn leases(cluster: &Cluster) -> Option<BTreeMap<String, String>> {
    let api: Api<Lease> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
    let request = Request::new::<Lease>("list").namespace(Some(&cluster.operator_namespace));
    let found = cluster.ask(&request, api.list(&ListParams::default())).await.ok()?;
    let held = found.items.into_iter().filter(|lease| {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder.is_some_and(|holder| !holder.is_empty())
    });
    Some(
        held.map(|lease| {
            let metadata = lease.metadata;
            (metadata.name.unwrap_or_default(), metadata.resource_version.unwrap_or_default())
        })
        .collect(),
    )
}
