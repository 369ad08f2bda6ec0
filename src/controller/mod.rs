//! When we act: watches, and one reconcile per kind. A reconcile never waits for a mail server. The
//! only place with kube-runtime.
//!
//! Servers, templates and namespaces are seen before the first Notification is judged, so that none is
//! told that its template does not exist while the list of templates is still on its way.

pub mod metrics;
mod namespace;
mod notification;
mod server;
mod template;
mod waiting;
mod watches;

use crate::delivery::Delivery;
use crate::delivery::reviews::Reviews;
use crate::domain::catalog::Catalog;
use crate::domain::object::ObjectKey;
use kube::Client;
use metrics::Metrics;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use waiting::Waiting;

/// What is watched, in the words of `/readyz`.
const WATCHES: [&str; 4] = ["namespaces", "mailserverconfigs", "messagetemplates", "notifications"];

/// What all reconciles share.
pub struct Context {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) metrics: Metrics,
    /// For watches only.
    client: Client,
    /// Empty for all.
    namespaces: Vec<String>,
    waiting: Waiting,
    /// Templates whose surroundings may have changed.
    reassessments: Reviews,
    /// Templates whose status may have become untrue.
    reports: Reviews,
    /// What is known before anything was seen: the standard messages.
    blank: Catalog,
    pending: Arc<Pending>,
}

/// What has to be seen before the process is ready.
#[derive(Default)]
pub struct Pending(Mutex<BTreeSet<&'static str>>);

impl Pending {
    /// Adds something.
    pub fn add(&self, what: &'static str) {
        crate::delivery::lock(&self.0).insert(what);
    }

    /// It is there.
    pub fn done(&self, what: &'static str) {
        crate::delivery::lock(&self.0).remove(what);
    }

    /// What is still missing.
    pub fn list(&self) -> Vec<&'static str> {
        crate::delivery::lock(&self.0).iter().copied().collect()
    }
}

impl Context {
    /// Watches with `client`, in `namespaces` (all if empty). `blank` is what is known before anything was seen.
    pub fn new(
        delivery: Arc<Delivery>,
        client: Client,
        namespaces: Vec<String>,
        blank: Catalog,
        metrics: Metrics,
        pending: Arc<Pending>,
    ) -> Arc<Self> {
        Arc::new(Self {
            delivery,
            metrics,
            client,
            namespaces,
            waiting: Waiting::default(),
            reassessments: Reviews::default(),
            reports: Reviews::default(),
            blank,
            pending,
        })
    }

    /// From now on the process is not ready before everything there is has been seen.
    pub fn expect(&self) {
        for watch in WATCHES {
            self.pending.add(watch);
        }
    }

    /// Runs all controllers until `term` is cancelled.
    pub async fn run(self: Arc<Self>, term: CancellationToken) {
        // What was deleted between two terms of leadership was not seen to go.
        *self.delivery.catalog_mut() = self.blank.clone();
        let _ = tokio::join!(
            term.run_until_cancelled(namespace::run(self.clone())),
            term.run_until_cancelled(template::run(self.clone())),
            server::run(self.clone(), &term),
            term.run_until_cancelled(notification::run(self.clone())),
        );
        self.waiting.clear();
    }

    /// A process that does not lead waits for nothing.
    pub fn expect_nothing(&self) {
        for watch in WATCHES {
            self.pending.done(watch);
        }
    }

    /// Has those Notifications looked at again that wait for a server, template or namespace.
    fn review_dependents(&self, of: &waiting::Dependency) {
        for key in self.waiting.on(of) {
            self.delivery.reviews.push(key);
        }
    }

    /// Notifications queued at a server that cannot be used any more get told so.
    fn review_lane(&self, server: &ObjectKey) {
        for key in self.delivery.outbox().keys(server) {
            self.delivery.reviews.push(key);
        }
    }
}
