//! Lets those read the metrics whom the API server lets `get` `/metrics`. The API server is asked on the runtime that
//! everything else runs on, since its connections belong there; the admin server's own thread waits, but not for long.

use crate::cluster::Cluster;
use crate::delivery::lock;
use crate::domain::readers::{self, Remembered, Verdict};
use crate::domain::secret::Secret;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for the API server's verdict, all in all. Prometheus itself waits ten seconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// Questions at once: tokens that somebody makes up must not keep the API server busy.
const QUESTIONS: usize = 4;

/// Who may read the metrics.
pub struct Gate {
    /// Where the cluster's connections live.
    runtime: Handle,
    cluster: Mutex<Option<Cluster>>,
    remembered: Mutex<Remembered>,
    questions: Arc<Semaphore>,
}

impl Gate {
    /// Permits nobody before [`Gate::ask`]. To be made on the runtime of the cluster's client.
    pub fn new() -> Self {
        Self {
            runtime: Handle::current(),
            cluster: Mutex::default(),
            remembered: Mutex::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// From now on this cluster is asked.
    pub fn ask(&self, cluster: Cluster) {
        *lock(&self.cluster) = Some(cluster);
    }

    /// Whether a request may be answered; otherwise what it is answered.
    pub async fn admits(&self, headers: &HeaderMap) -> Result<(), Response> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| readers::bearer(value.as_bytes()));
        let verdict = match token {
            Some(token) => self.verdict(token).await?,
            None => Verdict::Unknown,
        };
        match verdict {
            Verdict::Permitted => Ok(()),
            Verdict::Unknown => Err((
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer")],
                "metrics need the header `Authorization: Bearer TOKEN`, with a token that this cluster's API server accepts\n",
            )
                .into_response()),
            Verdict::Forbidden => Err((
                StatusCode::FORBIDDEN,
                "whose token this is may not read metrics: that takes a ClusterRole with nonResourceURLs [/metrics] and \
                 verbs [get]\n",
            )
                .into_response()),
        }
    }

    async fn verdict(&self, token: Secret) -> Result<Verdict, Response> {
        let fingerprint = readers::fingerprint(&token);
        if let Some(verdict) = lock(&self.remembered).verdict(&fingerprint, Instant::now()) {
            return Ok(verdict);
        }
        let Some(cluster) = lock(&self.cluster).clone() else { return Err(unknown("not reached yet")) };
        let questions = self.questions.clone();
        let asking = self.runtime.spawn(async move {
            let _turn = questions.acquire_owned().await;
            cluster.may_read_metrics(&token).await
        });
        let asking = AbortOnDropHandle::new(asking);
        let verdict = match tokio::time::timeout(DEADLINE, asking).await {
            Ok(Ok(Ok(verdict))) => verdict,
            Ok(Ok(Err(error))) => return Err(unknown(&error.to_string())),
            Ok(Err(_)) => return Err(unknown("the question was ended")),
            Err(_) => return Err(unknown("no answer in time")),
        };
        lock(&self.remembered).note(fingerprint, verdict, Instant::now());
        Ok(verdict)
    }
}

/// Why is for the log: who asks is a stranger still.
fn unknown(why: &str) -> Response {
    tracing::warn!(why, "not known who may read the metrics");
    let words = "the API server does not say whose token this is, so metrics are not shown; the operator's log says why\n";
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}
