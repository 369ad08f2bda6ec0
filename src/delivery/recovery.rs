//! Settling what a journal held when it was taken over: outcomes that were noted go into the status,
//! and what nobody knows is in doubt. Until an entry is settled nothing is sent for its account.

use crate::delivery::Delivery;
use crate::delivery::journal::JournalHandle;
use crate::delivery::results::Report;
use crate::domain::journal::{Entry, Found, Recovery, recover};
use crate::domain::object::ObjectKey;
use crate::domain::outcome::Outcome;
use crate::domain::vitals::Loop;
use futures::StreamExt;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Entries settled at once.
const AT_ONCE: usize = 16;

impl Delivery {
    /// Settles inherited entries for as long as the process lives.
    pub async fn settle_inherited(self: Arc<Self>) {
        let Some(mut inherited) = self.journals.inherited() else { return };
        let pulse = self.vitals.of(Loop::Recovery);
        while let Some((journal, entries)) = inherited.recv().await {
            let delivery = self.clone();
            self.unfinished.spawn(async move {
                futures::stream::iter(entries)
                    .for_each_concurrent(AT_ONCE, |(id, entry)| delivery.settle(&journal, id, entry))
                    .await;
            });
        }
        pulse.ended();
    }

    async fn settle(&self, journal: &JournalHandle, id: String, entry: Entry) {
        let key = ObjectKey::new(&entry.namespace, &entry.name);
        let notification = loop {
            match self.cluster.notification(&key).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(notification = %key, %error, "not readable while settling the journal; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
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
            let doubts = in_doubt.iter().map(|address| Outcome::in_doubt(address, None, why, now));
            self.metrics.doubts(in_doubt.len());
            let report = Report {
                key,
                uid: entry.uid.clone(),
                notification,
                outcomes: done.into_iter().chain(doubts).collect(),
                used: None,
                began: now,
                retry_after: None,
                counts: false,
            };
            self.store(report).await;
        }
        journal.remove(id);
    }
}
