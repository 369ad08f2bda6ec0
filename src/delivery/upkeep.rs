//! What is put away from time to time while this process leads: journals that are spent, and accounts whose day has
//! passed.

use crate::delivery::{Delivery, lock};
use crate::domain::server::Account;
use crate::domain::vitals::Loop;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often. A journal is spent a day after its last message, so this adds little.
const EVERY: Duration = Duration::from_hours(1);
/// Before the first time, so that a restart reads nothing but what is to be done.
const FIRST: Duration = Duration::from_mins(2);

impl Delivery {
    /// Deletes spent journals, for as long as it is polled.
    pub async fn keep_tidy(self: &Arc<Self>) {
        let pulse = self.vitals.of(Loop::Sweep);
        // Up to twice as long, so that not all operators of a cluster do it at once.
        let mut wait = FIRST.mul_f64(1.0 + rand::random::<f64>());
        loop {
            pulse.waiting(tokio::time::sleep(self.paced(wait))).await;
            wait = EVERY;
            let now = Timestamp::now();
            let is_spent = |account: &Account| lock(&self.journals.used_of(account)).is_over(now);
            let others = lock(&self.quota).forget_spent(is_spent);
            self.reassign(&others);
            match self.journals.tidy(now, &pulse).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "spent journals deleted"),
                Err(error) => tracing::warn!(%error, "spent journals are not deleted; trying again later"),
            }
        }
    }
}
