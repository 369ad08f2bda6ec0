//! How we touch Kubernetes: fresh reads, the bytes of Secrets, status writes, journals, Events, the
//! Lease. Every request has a deadline, and nothing here retries by itself: who calls knows what a
//! second try would mean.

pub mod crds;
pub mod error;
pub mod events;
pub mod journals;
pub mod lease;
pub mod notifications;
mod readers;
pub mod references;
mod service_accounts;
pub mod statuses;
pub mod templates;

pub use error::{Error, Result};

use kube::{Client, Config};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Objects that are asked for at once. A page is in memory as a whole, as text and as objects, about four times its size; an
/// object may have 1.5 MiB. So a page takes 300 MiB at most, which the chart's memory limit has room for.
pub const PAGE: u32 = 50;

/// Longest wait for an answer. The API server gives up on its own after 60 s; a mail session would not
/// wait that long for a claim.
const DEADLINE: Duration = Duration::from_secs(10);

/// The cluster, for reads and writes. Watches have a client of their own, so that neither waits for the
/// other's connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    operator_namespace: Arc<str>,
    audiences: service_accounts::HarmlessAudiences,
    /// Status writes under way: more at once only makes each of them slower.
    writes: Arc<Semaphore>,
}

/// Reads the configuration: in a cluster from the pod's ServiceAccount, else from KUBECONFIG.
pub async fn config() -> std::result::Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    Ok(patient(Config::infer().await?))
}

/// kube repeats 429, 503 and 504 by itself, any method, for minutes. We own that budget.
pub fn patient(mut config: Config) -> Config {
    config.default_retry = false;
    config
}

impl Cluster {
    /// With room for `writes` status writes at once.
    pub fn new(client: Client, operator_namespace: &str, writes: usize) -> Self {
        Self {
            client,
            operator_namespace: operator_namespace.into(),
            audiences: service_accounts::HarmlessAudiences::default(),
            writes: Arc::new(Semaphore::new(writes)),
        }
    }

    /// One that nobody answers for, for tests of what needs no answer.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, clippy::missing_panics_doc)]
    pub fn nowhere() -> Self {
        let client = Client::try_from(Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap();
        Self::new(client, "operator", 1)
    }

    /// The client for requests.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for the API server's version, to see whether it answers.
    pub async fn answers(&self) -> Result<()> {
        within(self.client.apiserver_version()).await.map(drop)
    }

    /// The namespace the operator keeps its own objects in.
    pub fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }
}

/// Waits for an answer, but not for ever.
async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::NoAnswer),
    }
}
