//! Metrics of the controllers, under the names that controller-runtime made known, so that existing
//! dashboards and alerts work.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::future::Future;
use std::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    controller: &'static str,
    result: &'static str,
}

/// The counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    total: Family<Reconciled, Counter>,
    errors: Family<Controller, Counter>,
    time: Family<Controller, Histogram>,
    active: Family<Controller, Gauge>,
}

/// controller-runtime's own buckets, the sub-second ones.
fn time_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Metrics {
    /// Registers everything under `controller_runtime_`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            errors: Family::default(),
            time: Family::new_with_constructor(time_histogram),
            active: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("controller_runtime");
        registry.register("reconcile", "Reconciles by controller and result", metrics.total.clone());
        registry.register("reconcile_errors", "Reconciles that failed", metrics.errors.clone());
        registry.register_with_unit(
            "reconcile_time",
            "Time a reconcile takes",
            Unit::Seconds,
            metrics.time.clone(),
        );
        registry.register("active_workers", "Reconciles under way", metrics.active.clone());
        metrics
    }

    /// Counts a reconcile and its time.
    pub async fn timed<T, E>(
        &self,
        controller: &'static str,
        reconcile: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let labels = Controller { controller };
        let active = self.active.get_or_create_owned(&labels);
        active.inc();
        let started = Instant::now();
        let result = reconcile.await;
        active.dec();
        self.time.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
        let word = if result.is_ok() { "success" } else { "error" };
        self.total.get_or_create(&Reconciled { controller, result: word }).inc();
        // Also where nothing has failed: a rate needs a zero to start from.
        self.errors.get_or_create(&labels).inc_by(u64::from(result.is_err()));
        result
    }
}
