//! `/livez`, `/readyz` and `/metrics`, from the first second on.

use crate::controller::Pending;
use crate::delivery::{Delivery, lock};
use crate::process::Fatal;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The server's state. Cheap to clone.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    registry: Registry,
    pending: Arc<Pending>,
    delivery: Mutex<Option<Arc<Delivery>>>,
    leader: Gauge,
    waiting: Family<Lane, Gauge>,
    oldest: Family<Lane, Gauge>,
    reviews: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lane {
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    name: String,
}

impl Admin {
    /// Adds to `registry` what is measured when somebody asks.
    pub fn new(mut registry: Registry, pending: Arc<Pending>, lease: &str) -> Self {
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
        let leader = masters.get_or_create_owned(&Name { name: lease.into() });
        let reviews = queues.get_or_create_owned(&Name { name: "notification".into() });
        Self(Arc::new(Inner {
            registry,
            pending,
            delivery: Mutex::default(),
            leader,
            waiting,
            oldest,
            reviews,
        }))
    }

    /// From now on queues are measured.
    pub fn measure(&self, delivery: Arc<Delivery>) {
        *lock(&self.0.delivery) = Some(delivery);
    }

    /// Says whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// Serves until aborted.
    pub async fn serve(self, address: SocketAddr) -> Result<JoinHandle<()>, Fatal> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("--admin-address {address} cannot be listened on: {error}"))?;
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        Ok(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "admin server ended");
            }
        }))
    }

    fn measure_queues(&self) {
        let Some(delivery) = lock(&self.0.delivery).clone() else { return };
        let now = Timestamp::now();
        self.0.reviews.set(i64::try_from(delivery.reviews.len()).unwrap_or(i64::MAX));
        self.0.waiting.clear();
        self.0.oldest.clear();
        for (lane, (count, due)) in delivery.outbox().waiting() {
            let labels = Lane { server: lane.to_string() };
            self.0.waiting.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            let seconds = due.map_or(0, |due| now.duration_since(due).as_secs().max(0));
            self.0.oldest.get_or_create(&labels).set(seconds);
        }
    }
}

/// Ready means: everything there is has been seen, or another replica does the work.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.0.pending.list().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        pending => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join(", "))),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.measure_queues();
    let mut text = String::new();
    match encode(&mut text, &admin.0.registry) {
        Ok(()) => {
            let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, openmetrics)], text)
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}
