//! The command line. Each flag of `run` is an environment variable as well: `--log-level` is
//! `MAIL_OPERATOR_LOG_LEVEL`.

mod lockdown;

use crate::delivery::ACCOUNTS_PER_NAMESPACE;
use crate::delivery::metrics::ServerNames;
use crate::domain::binding::Binding;
use crate::domain::egress::{self, Denied};
use crate::domain::object::ObjectKey;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::net::SocketAddr;

pub use lockdown::{LockdownArguments, Only};

/// The most that `--workers` takes: more only makes the API server slower.
pub const MOST_WORKERS: usize = 64;
/// The most that `--accounts-per-namespace` takes.
pub const MOST_ACCOUNTS_PER_NAMESPACE: u32 = 10_000;

/// Outgoing mail of an organisation as Kubernetes objects.
#[derive(Debug, Parser)]
#[command(name = "mail-operator", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator, in a cluster or with KUBECONFIG.
    Run(Box<RunArguments>),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// What the operator starts to evaluate templates.
    #[command(hide = true)]
    Evaluate {
        /// Anything by which people tell it from others in a list of processes.
        #[arg(last = true)]
        label: Option<String>,
    },
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Namespace to look after; may be repeated. Default: all.
    #[arg(long = "namespace", env = "MAIL_OPERATOR_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    pub namespaces: Vec<String>,
    /// Namespace for the operator's own objects: Lease and journals. Templates there are for all namespaces.
    #[arg(
        long,
        env = "MAIL_OPERATOR_OPERATOR_NAMESPACE",
        default_value = "mail-operator",
        value_name = "NAME"
    )]
    pub operator_namespace: String,
    /// MailServerConfig for Notifications without serverRef, where their namespace has none called
    /// `default`. It must admit those namespaces.
    #[arg(long, env = "MAIL_OPERATOR_DEFAULT_SERVER", value_parser = object_key, value_name = "NAMESPACE/NAME")]
    pub default_server: Option<ObjectKey>,
    /// Whether Secrets must name the hosts they may be sent to.
    #[arg(long, env = "MAIL_OPERATOR_SECRET_BINDING", value_enum, default_value_t)]
    pub secret_binding: SecretBinding,
    /// Network that may be connected to although it is loopback, link-local or the like; may be repeated.
    #[arg(long, env = "MAIL_OPERATOR_EGRESS_ALLOW", value_delimiter = ',', value_name = "CIDR")]
    pub egress_allow: Vec<IpNet>,
    /// Network that must never be connected to; may be repeated, and wins over --egress-allow. The word `cluster` refuses
    /// the networks of Pods and Services as if they were loopback: --egress-allow permits parts of them.
    #[arg(long, env = "MAIL_OPERATOR_EGRESS_DENY", value_delimiter = ',', value_name = "CIDR|cluster")]
    pub egress_deny: Vec<Denied>,
    /// Network of Pods or Services that `--egress-deny cluster` means; may be repeated. Default: all private ranges.
    #[arg(long, env = "MAIL_OPERATOR_CLUSTER_NETWORK", value_delimiter = ',', value_name = "CIDR")]
    pub cluster_network: Vec<IpNet>,
    /// For clusters whose tenants do not trust each other.
    #[command(flatten)]
    pub lockdown: LockdownArguments,
    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "MAIL_OPERATOR_ADMIN_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
    /// Who reads what at /metrics.
    #[command(flatten)]
    pub metrics: MetricsArguments,
    /// How the log is written.
    #[arg(long, env = "MAIL_OPERATOR_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// How much is logged: a level, or directives such as `info,mail_operator=debug`.
    #[arg(long, env = "MAIL_OPERATOR_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
    /// Act only while holding the Lease. Without it, journals alone keep replicas from sending twice.
    #[arg(long, env = "MAIL_OPERATOR_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub leader_election: bool,
    /// Name of the Lease.
    #[arg(long, env = "MAIL_OPERATOR_LEASE_NAME", default_value = "mail-operator", value_name = "NAME")]
    pub lease_name: String,
    /// Status writes at once. More than 16 only makes each of them slower.
    #[arg(long, env = "MAIL_OPERATOR_WORKERS", default_value = "16", value_parser = workers, value_name = "N")]
    pub workers: usize,
    /// Accounts (logins at a mail server) that the MailServerConfigs of one namespace may have together.
    #[arg(long, env = "MAIL_OPERATOR_ACCOUNTS_PER_NAMESPACE", default_value_t = ACCOUNTS_PER_NAMESPACE as u32,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ACCOUNTS_PER_NAMESPACE)), value_name = "N")]
    pub accounts_per_namespace: u32,
    /// Bring the schemas of the three CRDs up to date at the start.
    #[arg(long, env = "MAIL_OPERATOR_MANAGE_CRDS", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub manage_crds: bool,
}

impl RunArguments {
    /// Where connections may go.
    pub fn egress(&self) -> egress::Policy {
        let denied = |denied: &Denied| match denied {
            Denied::Network(network) => Some(*network),
            Denied::Cluster => None,
        };
        let cluster = match (self.egress_deny.contains(&Denied::Cluster), self.cluster_network.as_slice()) {
            (false, _) => Vec::new(),
            (true, []) => egress::CLUSTER.iter().filter_map(|network| network.parse().ok()).collect(),
            (true, networks) => networks.to_vec(),
        };
        egress::Policy {
            allow: self.egress_allow.clone(),
            deny: self.egress_deny.iter().filter_map(denied).collect(),
            cluster,
            only: self.lockdown.places(),
        }
    }
}

/// Arguments of `run` about /metrics.
#[derive(Debug, Clone, Args)]
pub struct MetricsArguments {
    /// /metrics needs a bearer token of somebody who may `get` the path /metrics: the API server is asked by TokenReview
    /// and SubjectAccessReview. /livez and /readyz stay open.
    #[arg(long, env = "MAIL_OPERATOR_METRICS_AUTHENTICATION", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub metrics_authentication: bool,
    /// Metrics name MailServerConfigs and their namespaces also without --metrics-authentication, to whoever reaches the port.
    #[arg(long, env = "MAIL_OPERATOR_METRICS_SERVER_NAMES", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub metrics_server_names: bool,
}

impl MetricsArguments {
    /// Names are for those who are permitted to read them, or for all if that is said.
    pub fn server_names(&self) -> ServerNames {
        if self.metrics_authentication || self.metrics_server_names {
            ServerNames::Shown
        } else {
            ServerNames::LeftOut
        }
    }
}

/// `--secret-binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum SecretBinding {
    /// Always.
    #[default]
    Required,
    /// Only those that carry the annotation are held to it.
    WhenAnnotated,
}

impl From<SecretBinding> for Binding {
    fn from(binding: SecretBinding) -> Self {
        match binding {
            SecretBinding::Required => Self::Required,
            SecretBinding::WhenAnnotated => Self::WhenAnnotated,
        }
    }
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn object_key(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::parse(text).ok_or_else(|| "must be NAMESPACE/NAME of a MailServerConfig".into())
}

fn workers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_WORKERS).contains(number));
    number.ok_or_else(|| format!("must be a number from 1 to {MOST_WORKERS}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
