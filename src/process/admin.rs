//! `/livez`, `/readyz` and `/metrics`, from the first second on, and on a thread of their own: whoever asks gets an
//! answer also while nothing else in the process goes on.

mod format;
mod gate;

use crate::cluster::Cluster;
use crate::controller::Pending;
use crate::delivery::metrics::{ServerLabel, ServerNames};
use crate::delivery::vitals::Vitals;
use crate::delivery::{Delivery, lock};
use crate::process::Fatal;
use crate::process::arguments::RunArguments;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use format::Format;
use gate::Gate;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The server's state. Cheap to clone.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    registry: Registry,
    pending: Arc<Pending>,
    vitals: Vitals,
    delivery: Mutex<Option<Arc<Delivery>>>,
    leader: Gauge,
    waiting: Family<ServerLabel, Gauge>,
    oldest: Family<ServerLabel, Gauge>,
    reviews: Gauge,
    names: ServerNames,
    gate: Option<Gate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

impl Admin {
    /// Adds to `registry` what is measured when somebody asks. To be made on the runtime that the cluster is asked on.
    pub fn new(
        mut registry: Registry,
        pending: Arc<Pending>,
        vitals: Vitals,
        arguments: &RunArguments,
    ) -> Self {
        let masters: Family<Name, Gauge> = Family::default();
        registry.register("leader_election_master_status", "1 while this process leads", masters.clone());
        let queues: Family<Name, Gauge> = Family::default();
        registry.register("workqueue_depth", "Objects that wait to be looked at again", queues.clone());
        let (waiting, oldest) = (Family::default(), Family::default());
        let mail = registry.sub_registry_with_prefix("mail_operator");
        mail.register("waiting", "Notifications that wait, by MailServerConfig", waiting.clone());
        mail.register(
            "oldest_waiting_seconds",
            "How long the longest-waiting Notification has been due, by MailServerConfig",
            oldest.clone(),
        );
        let leader = masters.get_or_create_owned(&Name { name: arguments.lease_name.clone() });
        let reviews = queues.get_or_create_owned(&Name { name: "notification".into() });
        Self(Arc::new(Inner {
            registry,
            pending,
            vitals,
            delivery: Mutex::default(),
            leader,
            waiting,
            oldest,
            reviews,
            names: arguments.metrics.server_names(),
            gate: arguments.metrics.metrics_authentication.then(Gate::new),
        }))
    }

    /// From now on this cluster says who may read the metrics.
    pub fn ask(&self, cluster: &Cluster) {
        if let Some(gate) = &self.0.gate {
            gate.ask(cluster.clone());
        }
    }

    /// From now on queues are measured.
    pub fn measure(&self, delivery: Arc<Delivery>) {
        *lock(&self.0.delivery) = Some(delivery);
    }

    /// Says whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// Serves until the guard is dropped.
    pub fn serve(self, address: SocketAddr) -> Result<DropGuard, Fatal> {
        let cannot = |error| format!("--admin-address {address} cannot be listened on: {error}");
        let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
        listener.set_nonblocking(true)?;
        let router = Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        // Of what blocks (see `metrics`) one at a time.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(1).build()?;
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                let serving = async { axum::serve(TcpListener::from_std(listener)?, router).await };
                if let Some(Err(error)) = stopping.run_until_cancelled(serving).await {
                    tracing::error!(%error, "admin server ended");
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(stop.drop_guard())
    }

    fn measure_queues(&self) {
        let Some(delivery) = lock(&self.0.delivery).clone() else { return };
        let now = Timestamp::now();
        self.0.reviews.set(i64::try_from(delivery.reviews.len()).unwrap_or(i64::MAX));
        self.0.waiting.clear();
        self.0.oldest.clear();
        // A server that nothing waits for has 0, and one that is gone has no series.
        for server in delivery.catalog().servers.keys() {
            let label = self.0.names.label(server);
            drop((self.0.waiting.get_or_create(&label), self.0.oldest.get_or_create(&label)));
        }
        for (lane, (count, due)) in delivery.outbox().waiting() {
            let label = self.0.names.label(lane);
            self.0.waiting.get_or_create(&label).inc_by(i64::try_from(count).unwrap_or(i64::MAX));
            let seconds = due.map_or(0, |due| now.duration_since(due).as_secs().max(0));
            let oldest = self.0.oldest.get_or_create(&label);
            oldest.set(oldest.get().max(seconds));
        }
    }
}

/// Live means that everything goes on that has to. The kubelet shows nobody the answer, so the log has it as well.
async fn live(State(admin): State<Admin>) -> (StatusCode, String) {
    let Err(stuck) = admin.0.vitals.verdict() else { return (StatusCode::OK, "ok\n".to_owned()) };
    for stuck in &stuck {
        tracing::error!(%stuck, "/livez fails: only a restart helps");
    }
    let lines = stuck.iter().map(|stuck| format!("{stuck}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

/// Ready means: everything there is has been seen, or another replica does the work.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.0.pending.list().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        pending => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join(", "))),
    }
}

/// Asked for away from this thread, since queues are measured under their locks: were one never let go, `/livez` would
/// not answer either.
async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Result<impl IntoResponse, Response> {
    if let Some(gate) = &admin.0.gate {
        gate.admits(&headers).await?;
    }
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::preferred(accept);
    let measured = tokio::task::spawn_blocking(move || measured(&admin, format)).await;
    measured.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn measured(admin: &Admin, format: Format) -> impl IntoResponse + use<> {
    admin.measure_queues();
    let mut text = String::new();
    match encode(&mut text, &admin.0.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, format.content_type())], format.of(text)),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}
