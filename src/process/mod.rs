//! How the process lives: probes are served before anything can fail, then the cluster is reached, CRDs
//! are brought up to date, and leadership decides when to act. The first SIGTERM drains, the second
//! aborts.

mod admin;
pub mod arguments;
mod leadership;
mod telemetry;

use crate::cluster::{self, Cluster};
use crate::controller::{self, Context, Pending};
use crate::delivery::vitals::Vitals;
use crate::delivery::{self, Delivery, Settings};
use crate::domain::catalog::Catalog;
use admin::Admin;
use arguments::RunArguments;
use kube::Client;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What ends the process with a message.
pub type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// Longest time given to messages past DATA and to results that are not stored, after SIGTERM.
const DRAIN: Duration = Duration::from_mins(1);

/// Stack of each thread of the runtime, in bytes. The watches' futures pass whole objects around by value,
/// which takes an unoptimised build more than the usual 2 MiB. Untouched pages cost nothing.
pub const STACK: usize = 16 << 20;

/// `mail-operator run`.
pub async fn run(arguments: RunArguments) -> Result<(), Fatal> {
    telemetry::start(arguments.log_format, &arguments.log_level)?;
    let stop = CancellationToken::new();
    spawn_signals(stop.clone())?;
    operate(arguments, |_| {}, None, stop).await
}

/// Everything but what there is once a process: signals, logs and the environment. `adjust` changes
/// settings that have no flag; `config` leads to the cluster, else it is found as `run` finds it. Returns once
/// `stop` is cancelled and everything under way is finished.
pub async fn operate(
    arguments: RunArguments,
    adjust: impl FnOnce(&mut Settings),
    config: Option<kube::Config>,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let identity = identity();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity, "starting");
    let mut settings = settings(&arguments, identity);
    adjust(&mut settings);
    let own = &arguments.operator_namespace;
    let mut blank =
        if settings.standard_messages { Catalog::new(own) } else { Catalog::default().in_namespace(own) };
    blank.own_namespace_only = arguments.lockdown.no_cross_namespace_refs;
    let vitals = Vitals::new(settings.patience);
    let _ticking = AbortOnDropHandle::new(tokio::spawn(vitals.clone().tick()));
    let pending = Arc::new(Pending::default());
    pending.add("kubernetes");
    let mut registry = Registry::default();
    let mail_metrics = delivery::metrics::Metrics::new(&mut registry, arguments.metrics.server_names());
    let controller_metrics = controller::metrics::Metrics::new(&mut registry);
    let admin = Admin::new(registry, pending.clone(), vitals.clone(), &arguments);
    let serving = admin.clone().serve(arguments.admin_address)?;

    let config = match config {
        Some(config) => cluster::patient(config),
        None => cluster::config().await.map_err(|error| {
            format!(
                "no way to Kubernetes: neither a pod's ServiceAccount nor KUBECONFIG can be used: {error}"
            )
        })?,
    };
    let client = Client::try_from(config.clone())?;
    let watches = Client::try_from(config)?;
    let cluster = Cluster::new(client, &arguments.operator_namespace, arguments.workers);
    admin.ask(&cluster);
    if let Some(()) = stop.run_until_cancelled(reach(&cluster, arguments.manage_crds)).await {
        pending.done("kubernetes");
        let delivery = Delivery::new(cluster.clone(), settings, mail_metrics, vitals);
        admin.measure(delivery.clone());
        tokio::spawn(delivery.clone().settle_inherited());
        let namespaces = arguments.namespaces;
        let context = Context::new(delivery.clone(), watches, namespaces, blank, controller_metrics, pending);
        let leadership = leadership::Leadership {
            cluster,
            delivery,
            context,
            admin,
            lease: arguments.leader_election.then_some(arguments.lease_name),
        };
        leadership.run(stop, DRAIN).await;
    }
    drop(serving);
    tracing::info!("stopped");
    Ok(())
}

/// Waits until Kubernetes answers, and brings our CRDs up to date.
async fn reach(cluster: &Cluster, manage_crds: bool) {
    let mut backoff = Duration::from_millis(250);
    loop {
        let reached = if manage_crds {
            cluster.upgrade_crds().await
        } else {
            cluster.answers().await.map(|()| Vec::new())
        };
        match reached {
            Ok(upgraded) => {
                for name in upgraded {
                    tracing::info!(crd = name, "schema brought up to date");
                }
                return;
            }
            Err(cluster::Error::Refused(why)) => {
                tracing::warn!(
                    why,
                    "CRDs not brought up to date; --manage-crds=false where they are managed otherwise"
                );
                return;
            }
            Err(error) => tracing::warn!(%error, "Kubernetes not reached; trying again"),
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(Duration::from_secs(10));
    }
}

fn settings(arguments: &RunArguments, identity: String) -> Settings {
    Settings {
        default_server: arguments.default_server.clone(),
        binding: arguments.secret_binding.into(),
        accounts_per_namespace: arguments.accounts_per_namespace as usize,
        egress: Arc::new(arguments.egress()),
        lockdown: arguments.lockdown.rules(),
        ..Settings::new(identity)
    }
}

/// The pod's name and something that no other process has: a restarted container must not take itself for
/// its predecessor.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    format!("{}_{:08x}", host.as_deref().unwrap_or("mail-operator"), rand::random::<u32>())
}

/// The first SIGTERM or SIGINT asks to stop, the second ends the process.
fn spawn_signals(stop: CancellationToken) -> Result<(), Fatal> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!(
                    "second signal: ending at once; what is in flight will be settled by the next holder of its journal"
                );
                std::process::exit(1);
            }
            tracing::info!("stopping: no further message is begun, those under way are finished");
            stop.cancel();
        }
    });
    Ok(())
}
