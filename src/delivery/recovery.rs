//! Settling what a journal held when it was taken over: outcomes that were noted go into the status,
//! and what nobody knows is in doubt. Until an entry is settled nothing is sent for its account, unless the API server
//! refuses to take it: then it is set aside, and only its own Notification waits.

use crate::cluster::Error;
use crate::delivery::Delivery;
use crate::delivery::journal::JournalHandle;
use crate::delivery::results::{Refused, Report, Stored};
use crate::domain::journal::{Entry, Found, Recovery, recover};
use crate::domain::ledger;
use crate::domain::object::ObjectKey;
use crate::domain::outcome::Outcome;
use crate::domain::vitals::Loop;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Entries settled at once.
const AT_ONCE: usize = 16;

impl Delivery {
    /// Settles inherited entries for as long as the process lives.
    pub async fn settle_inherited(self: Arc<Self>) {
        let Some(mut inherited) = self.journals.inherited() else { return };
        let pulse = self.vitals.of(Loop::Recovery);
        while let Some((journal, entries)) = inherited.recv().await {
            let places = Arc::new(Semaphore::new(AT_ONCE));
            for (id, entry) in entries {
                let (delivery, journal, places) = (self.clone(), journal.clone(), places.clone());
                self.unfinished.spawn(async move {
                    let place = places.acquire_owned().await.ok();
                    delivery.settle(&journal, place, id, entry).await;
                });
            }
        }
        pulse.ended();
    }

    /// `place` is let go with the entry, or when that is set aside.
    async fn settle(
        &self,
        journal: &JournalHandle,
        mut place: Option<OwnedSemaphorePermit>,
        id: String,
        entry: Entry,
    ) {
        let key = ObjectKey::new(&entry.namespace, &entry.name);
        let mut backoff = Duration::from_secs(1);
        let notification = loop {
            match self.cluster.notification(&key).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(notification = %key, %error, "not readable while settling the journal; trying again");
                    if matches!(error, Error::Refused(_)) {
                        // It does not fit our types, or may not be read: others need not wait until somebody mends that.
                        journal.set_aside(id.clone());
                        drop(place.take());
                        backoff = (backoff * 2).min(Duration::from_mins(1));
                    }
                    tokio::time::sleep(self.paced(backoff)).await;
                }
            }
        };
        let found = notification.as_ref().and_then(Found::of);
        if let (Recovery::Store { done, in_doubt }, Some(notification)) =
            (recover(&entry, found.as_ref()), notification)
        {
            tracing::warn!(notification = %key, noted = done.len(), in_doubt = in_doubt.len(), "settling what the journal holds");
            let now = Timestamp::now();
            let why = "the operator ended between the message and the mail server's answer: it may or may not have been taken";
            let status = notification.status.as_ref();
            let doubt = |address: &String| Outcome {
                doubts: ledger::doubts(status, address),
                ..Outcome::in_doubt(address, None, why, now)
            };
            let outcomes = done.into_iter().chain(in_doubt.iter().map(doubt)).collect();
            self.metrics.doubts(in_doubt.len());
            let report = Report {
                key,
                uid: entry.uid.clone(),
                notification,
                outcomes,
                used: None,
                began: now,
                retry_after: None,
                counts: false,
            };
            let refused = || {
                journal.set_aside(id.clone());
                drop(place.take());
                Refused::KeepTrying
            };
            if matches!(self.store(report, refused).await, Stored::NotNow) {
                return;
            }
        }
        journal.remove(id);
    }
}
