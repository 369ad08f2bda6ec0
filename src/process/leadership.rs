//! One replica leads: it holds the Lease, runs the controllers and sends. Others wait, ready, and watch how
//! long Lease and journals have been silent, so that they know at once when they may take over.

use crate::cluster::{Cluster, Error};
use crate::controller::Context;
use crate::delivery::Delivery;
use crate::domain::lease::{RENEW_DEADLINE, RENEW_EVERY, Step, judge};
use crate::domain::vitals::Loop;
use crate::process::admin::Admin;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Wait between looks of a standby: a second replica takes over within [`crate::domain::lease::DURATION`] and this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What leading takes.
pub struct Leadership {
    /// For the Lease.
    pub cluster: Cluster,
    /// For journals, and to begin and end sending.
    pub delivery: Arc<Delivery>,
    /// The controllers.
    pub context: Arc<Context>,
    /// To show whether we lead.
    pub admin: Admin,
    /// Name of the Lease; `None`: lead always.
    pub lease: Option<String>,
}

impl Leadership {
    /// Leads whenever that is possible, until `stop`; then drains, and lets the Lease go.
    pub async fn run(self, stop: CancellationToken, drain: Duration) {
        while !stop.is_cancelled() {
            let Some(lease) = stop.run_until_cancelled(self.acquire()).await else { break };
            let term = stop.child_token();
            tokio::join!(self.lead(&term, drain), self.keep(lease, &term, &stop));
        }
    }

    /// Waits for the Lease. Meanwhile looks at the journals as well.
    async fn acquire(&self) -> Option<Lease> {
        let name = self.lease.as_deref()?;
        let mut seen: Option<(Option<String>, Instant)> = None;
        let pulse = self.delivery.vitals.of(Loop::Lease);
        loop {
            pulse.begin();
            match self.cluster.lease(name).await {
                Ok(lease) => {
                    let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
                    let since = match &seen {
                        Some((known, since)) if *known == version => *since,
                        _ => Instant::now(),
                    };
                    seen = Some((version, since));
                    let holder =
                        lease.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
                    let me = &self.delivery.settings.identity;
                    if judge(holder.as_deref(), me, since.elapsed()) != Step::Wait {
                        let now = Timestamp::now();
                        match self.cluster.put_lease(name, lease.as_ref(), Some(me), now).await {
                            Ok(lease) => return Some(lease),
                            Err(error) => tracing::debug!(%error, "lease not acquired"),
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "lease not readable"),
            }
            if let Err(error) = self.delivery.journals.observe().await {
                tracing::debug!(%error, "journals not readable");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One term: settle what journals hold, run the controllers, send; at its end finish what is under way.
    async fn lead(&self, term: &CancellationToken, drain: Duration) {
        tracing::info!("leading");
        self.context.expect();
        self.admin.leads(true);
        term.run_until_cancelled(async {
            while let Err(error) = self.delivery.journals.adopt(term).await {
                tracing::warn!(%error, "journals not readable; nothing is sent before they are");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.delivery.lead(term);
            tokio::join!(self.context.clone().run(term.clone()), self.delivery.keep_tidy());
        })
        .await;
        self.context.expect_nothing();
        self.admin.leads(false);
        if self.delivery.drain(drain).await {
            tracing::info!("drained: every message under way is answered and stored");
        } else {
            tracing::warn!("not drained in time; the next holder of the journal settles the rest");
        }
    }

    /// Renews the Lease. Ends the term when that fails for too long or somebody else has it; lets it go
    /// after the drain when the process stops.
    async fn keep(&self, lease: Option<Lease>, term: &CancellationToken, stop: &CancellationToken) {
        let (Some(name), Some(mut lease)) = (self.lease.as_deref(), lease) else { return };
        let me = self.delivery.settings.identity.clone();
        let mut renewed = Instant::now();
        let pulse = self.delivery.vitals.of(Loop::Lease);
        while term.run_until_cancelled(tokio::time::sleep(RENEW_EVERY)).await.is_some() {
            pulse.begin();
            let now = Timestamp::now();
            match self.cluster.put_lease(name, Some(&lease), Some(&me), now).await {
                Ok(newer) => {
                    lease = newer;
                    renewed = Instant::now();
                }
                Err(Error::Conflict | Error::NotFound) => match self.cluster.lease(name).await {
                    Ok(Some(newer)) => {
                        let holder = newer.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
                        if holder.as_deref() != Some(&me) {
                            tracing::warn!(holder, "another process leads");
                            break;
                        }
                        lease = newer;
                    }
                    // Somebody deleted it: written anew, unless another was faster.
                    Ok(None) => match self.cluster.put_lease(name, None, Some(&me), now).await {
                        Ok(newer) => lease = newer,
                        Err(error) => tracing::debug!(%error, "lease not written anew"),
                    },
                    Err(error) => tracing::debug!(%error, "lease not readable"),
                },
                Err(error) => tracing::debug!(%error, "lease not renewed"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                tracing::warn!("lease not renewed in time; leading no more");
                break;
            }
        }
        term.cancel();
        drop(pulse);
        if stop.is_cancelled() {
            self.release(name, &lease).await;
        }
    }

    /// Lets the Lease go at once when the process stops: the journals guard what is still under way, and
    /// the next leader waits for those only.
    async fn release(&self, name: &str, lease: &Lease) {
        if let Err(error) = self.cluster.put_lease(name, Some(lease), None, Timestamp::now()).await {
            tracing::debug!(%error, "lease not let go");
        }
    }
}
