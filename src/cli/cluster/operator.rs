//! The operator as seen from outside. What it was told stands in its Deployment. Whether it is at work shows in the Lease
//! of its namespace, which somebody renews every two seconds; no clock is compared with the cluster's: what counts is
//! whether the Lease changes while we look.

use crate::cli::cluster::{Cluster, Request};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::lease::RENEW_EVERY;
use crate::domain::object::ObjectKey;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Container;
use kube::Api;
use kube::api::ListParams;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// So long nobody is suspected: what goes well is over by then.
const TRUST: Duration = Duration::from_secs(4);

/// A Lease that has not changed for this long has no holder that is alive and well.
const SILENCE: Duration = RENEW_EVERY.saturating_mul(3);

/// The container of the operator's Pods, as the chart calls it.
const CONTAINER: &str = "mail-operator";

/// The operator's Deployment, as far as it matters here.
pub struct Installed {
    /// The container that it runs in.
    pub container: Container,
    /// The version that the chart was made for.
    pub version: Option<String>,
}

impl Cluster {
    /// What the operator was installed as; `None`: there is no Deployment of it in its namespace.
    pub async fn installed(&self) -> Result<Option<Installed>, Failure> {
        let found: Vec<Deployment> = self.list(Some(&self.operator_namespace), "").await?;
        Ok(found.into_iter().find_map(|deployment| {
            let pod = deployment.spec?.template.spec?;
            let container = pod.containers.into_iter().find(|container| container.name == CONTAINER)?;
            let version =
                deployment.metadata.labels.and_then(|mut labels| labels.remove("app.kubernetes.io/version"));
            Some(Installed { container, version })
        }))
    }
}

impl Installed {
    /// `--default-server`: the server of Notifications that name none, in namespaces that have none called `default`.
    pub fn default_server(&self) -> Option<ObjectKey> {
        let given = argument(&self.container, "--default-server", "MAIL_OPERATOR_DEFAULT_SERVER")?;
        ObjectKey::parse(given)
    }
}

/// The value of a flag of the operator: an argument, else an environment variable.
fn argument<'a>(container: &'a Container, flag: &str, variable: &str) -> Option<&'a str> {
    let mut words = container.command.iter().chain(&container.args).flatten().map(String::as_str);
    while let Some(word) = words.next() {
        match word.strip_prefix(flag) {
            Some("") => return words.next(),
            Some(rest) => {
                if let Some(value) = rest.strip_prefix('=') {
                    return Some(value);
                }
            }
            None => {}
        }
    }
    let set = container.env.iter().flatten().find(|set| set.name == variable)?;
    set.value.as_deref()
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_default_server_as_the_operator_reads_it() {
        let variable = json!([{ "name": "MAIL_OPERATOR_DEFAULT_SERVER", "value": "office/other" }]);
        for (args, env, expected) in [
            (json!(["run", "--default-server=office/relay"]), json!([]), Some("office/relay")),
            (json!(["run", "--default-server", "office/relay"]), variable.clone(), Some("office/relay")),
            (json!(["run"]), variable, Some("office/other")),
            (json!(["run", "--default-servers=office/relay"]), json!([]), None),
            (json!(["run", "--default-server=relay"]), json!([]), None),
            (json!(null), json!(null), None),
        ] {
            let container = json!({ "name": CONTAINER, "args": args, "env": env });
            let container = serde_json::from_value(container).unwrap();
            let found = Installed { container, version: None }.default_server();
            assert_eq!(found.map(|key| key.to_string()).as_deref(), expected, "{args} {env}");
        }
    }
}
