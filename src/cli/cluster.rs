//! The way to the cluster, as kubectl finds it: kubeconfig, context, namespace, and as whom. Errors that people meet
//! first are named as what they are, with the next command.

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::ClusterFlags;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A way to the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Speaks to the API server.
    pub client: Client,
    /// The namespace that is meant: `--namespace`, else that of the context.
    pub namespace: String,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig and prepares a client. The API server is not asked anything yet.
    pub async fn open(flags: &ClusterFlags) -> Result<Self, Failure> {
        let mut config = config(flags).await?;
        if let Some(user) = &flags.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !flags.as_group.is_empty() {
            config.auth_info.impersonate_groups = Some(flags.as_group.clone());
        }
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Failure::new(Exit::Cluster, format!("the kubeconfig cannot be used: {error}"))
        })?;
        Ok(Self { client, namespace, operator_namespace: flags.operator_namespace.clone() })
    }
}

async fn config(flags: &ClusterFlags) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let explicit = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Cluster, format!("no way to a cluster: {error}"))
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
