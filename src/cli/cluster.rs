//! The way to the cluster, as kubectl finds it: kubeconfig, context, namespace, and as whom. Errors that people meet
//! first are named as what they are, with the next command.

mod follow;
mod objects;
mod operator;
mod refusal;

pub use follow::Follow;
pub use objects::{Kind, Spelling};
pub use operator::Vigil;
pub use refusal::Request;

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::ClusterFlags;
use crate::cli::output;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::time::Duration;

/// How long one answer may take, unless `--request-timeout` says otherwise.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a connection may take: an address that swallows packets is noticed by this.
const CONNECT: Duration = Duration::from_secs(10);

/// From here on somebody in front of a terminal wonders.
const PATIENCE: Duration = Duration::from_secs(2);

/// A way to the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Speaks to the API server.
    pub client: Client,
    /// The namespace that is meant: `--namespace`, else that of the context.
    pub namespace: String,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
    url: String,
    deadline: Option<Duration>,
}

impl Cluster {
    /// Reads the kubeconfig and prepares a client. The API server is not asked anything yet.
    pub async fn open(flags: &ClusterFlags) -> Result<Self, Failure> {
        let deadline = deadline(flags.request_timeout.as_deref())?;
        let mut config = config(flags).await?;
        if let Some(user) = &flags.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !flags.as_group.is_empty() {
            config.auth_info.impersonate_groups = Some(flags.as_group.clone());
        }
        config.connect_timeout = Some(deadline.map_or(CONNECT, |deadline| deadline.min(CONNECT)));
        // It would repeat for minutes; who waits in front of a terminal decides himself.
        config.default_retry = false;
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| {
            Failure::new(Exit::Cluster, format!("the kubeconfig cannot be used: {}", refusal::chain(&error)))
        })?;
        Ok(Self { client, namespace, operator_namespace: flags.operator_namespace.clone(), url, deadline })
    }

    /// The same, for another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.into(), ..self.clone() }
    }

    /// Waits for an answer of the API server, but not for ever; explains a refusal.
    pub async fn ask<T>(
        &self,
        request: &Request<'_>,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        self.answer(answer).await?.map_err(|error| refusal::explain(&error, request, &self.url))
    }

    /// The same, without an explanation: for who asks whether something is there.
    pub async fn answer<T>(
        &self,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<kube::Result<T>, Failure> {
        let mut answer = std::pin::pin!(answer);
        let deadline = self.deadline.unwrap_or(Duration::MAX);
        if let Ok(answer) = tokio::time::timeout(PATIENCE.min(deadline), &mut answer).await {
            return Ok(answer);
        }
        output::note(&format!("waiting for the API server {}", self.url));
        tokio::time::timeout(deadline.saturating_sub(PATIENCE), answer).await.map_err(|_| {
            Failure::new(
                Exit::Cluster,
                format!("the API server {} did not answer within {deadline:?}", self.url),
            )
            .next("see whether it answers at all: kubectl cluster-info; --request-timeout 5m waits longer")
        })
    }
}

/// `--request-timeout` as kubectl reads it: a duration, or a number of seconds; 0 is for ever.
fn deadline(text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(Some(ANSWER)) };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let parsed = seconds.or_else(|| crate::api::shared::DurationText(text.into()).parse());
    match parsed {
        Some(Duration::ZERO) => Ok(None),
        Some(deadline) => Ok(Some(deadline)),
        None => Err(Failure::new(
            Exit::Usage,
            format!("--request-timeout {text} is not a length of time: write it like 10s or 1m"),
        )),
    }
}

async fn config(flags: &ClusterFlags) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let explicit = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
    let unusable = |error: &dyn std::error::Error| {
        Failure::new(Exit::Cluster, format!("no way to a cluster: {}", refusal::chain(error)))
            .next("name one: --kubeconfig FILE, KUBECONFIG=FILE, or --context NAME (kubectl config get-contexts lists them)")
    };
    if let Some(path) = &flags.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error));
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) if explicit => Err(unusable(&error)),
        // In a pod there is no file, but a ServiceAccount.
        Err(error) => Config::incluster().map_err(|_| unusable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_timeouts_are_read_as_kubectl_does() {
        for (text, expected) in [
            (None, Ok(Some(ANSWER))),
            (Some("0"), Ok(None)),
            (Some("0s"), Ok(None)),
            (Some("5"), Ok(Some(Duration::from_secs(5)))),
            (Some("1m30s"), Ok(Some(Duration::from_secs(90)))),
            (Some("soon"), Err(Exit::Usage)),
            (Some("-1s"), Err(Exit::Usage)),
        ] {
            assert_eq!(deadline(text).map_err(|failure| failure.exit), expected, "{text:?}");
        }
    }
}
