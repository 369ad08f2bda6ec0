//! The flags that kubectl has, with the meaning they have there, and those of every command.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Where and as whom: as for kubectl.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterFlags {
    /// Path of the kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// User of the kubeconfig to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Namespace. Default: that of the context.
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Act as this user.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of this group; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// How long one answer of the API server may take: 10s, 1m. 0: for ever. Default: 30s.
    #[arg(long, global = true, value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// Namespace that the operator runs in.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "mail-operator",
        env = "MAIL_OPERATOR_OPERATOR_NAMESPACE"
    )]
    pub operator_namespace: String,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `kind/name` only.
    Name,
    /// SARIF 2.1.0, for code scanning: `lint` only.
    #[value(hide = true)]
    Sarif,
    /// Annotations in a GitHub workflow: `lint` only.
    #[value(hide = true)]
    Github,
}

impl Format {
    /// The word behind `-o`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Name => "name",
            Self::Sarif => "sarif",
            Self::Github => "github",
        }
    }
}

/// Every command has these.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Where and as whom.
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Output for machines.
    #[arg(long, short = 'o', global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Reads a length of time as Go writes it.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed = crate::api::shared::DurationText(text.into()).parse();
    parsed.ok_or_else(|| "must be a length of time such as 30s, 5m or 1h".into())
}
