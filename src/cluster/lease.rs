//! The Lease of leadership: read, acquire, renew, release, each write with the resourceVersion last seen.

use crate::cluster::references::exists;
use crate::cluster::{Cluster, Result, within};
use crate::domain::lease::DURATION;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

impl Cluster {
    /// Reads the Lease; `None`: there is none.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        exists(within(self.leases().get(name)).await)
    }

    /// Writes `holder` into the Lease (`None`: lets it go). A change of holder counts as a transition.
    pub async fn put_lease(
        &self,
        name: &str,
        seen: Option<&Lease>,
        holder: Option<&str>,
        now: Timestamp,
    ) -> Result<Lease> {
        let old = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let same = old.holder_identity.as_deref() == holder;
        let object = Lease {
            metadata: ObjectMeta {
                name: Some(name.into()),
                resource_version: seen.and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.unwrap_or_default().into()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if same { old.acquire_time } else { Some(MicroTime(now)) },
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(
                    old.lease_transitions.unwrap_or_default() + i32::from(!same && holder.is_some()),
                ),
                ..LeaseSpec::default()
            }),
        };
        let parameters = PostParams::default();
        match seen {
            Some(_) => within(self.leases().replace(name, &parameters, &object)).await,
            None => within(self.leases().create(&parameters, &object)).await,
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.operator_namespace)
    }
}
