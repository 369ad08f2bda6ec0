//! One plan from its beginning to its end.

use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::stage::{LIMIT, Stage, was_hit};
use crate::{end, log};
use mail_operator_testbed::faulty_api::{Call, Record};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For so long nothing may be written once everything is over …
const SILENCE: Duration = Duration::from_secs(2);
/// … and so many calls of other kinds may be made meanwhile: renewals, watches, a look at a Secret.
const CALLS_IN_SILENCE: usize = 12;

/// A plan that was played.
#[derive(Default)]
pub struct Ran {
    /// What is not as it has to be.
    pub failures: Vec<String>,
    /// All calls.
    pub calls: Vec<Call>,
    /// The process came to everything that was to go wrong.
    pub hit: bool,
    pub state: Value,
    pub copies: BTreeMap<String, usize>,
    /// Writes that users see.
    pub writes: usize,
    pub log: String,
}

/// Plays a plan, and looks whether its end is that of the run without faults.
pub async fn play(cluster: &Arc<Cluster>, plan: &Plan, clean: Option<&Ran>) -> Ran {
    let namespace = cluster.namespace(plan.scenario.name()).await;
    log::begin(&namespace);
    let stage = Stage::set(cluster, plan, &namespace).await;
    let mut ran = Ran::default();
    if let Err(problem) = plan.scenario.play(&stage).await {
        ran.failures.push(problem);
    } else {
        if let Some(clean) = clean {
            cluster.until(LIMIT, || end::state(&stage) == clean.state).await;
        }
        ran.failures.extend(silence(&stage).await);
    }
    ran.hit = was_hit(&stage, plan);
    stage.end_operator();
    let records = stage.api.records();
    ran.calls = records.iter().map(|record| record.call.clone()).collect();
    ran.state = end::state(&stage);
    ran.copies = end::copies(&stage);
    ran.writes = end::writes(&records);
    ran.log = log::end(&namespace);
    ran.failures.extend(end::leaks(&ran.log, &stage.api.said()));
    if let Some(clean) = clean {
        ran.failures.extend(end::failures(&stage, plan, &ran, clean));
    }
    ran
}

/// Waits until nothing is written any more, and the journals hold nothing; tells what did not come to rest.
async fn silence(stage: &Stage) -> Option<String> {
    let deadline = Instant::now() + LIMIT;
    let last_write =
        |records: &[Record]| records.iter().rev().find(|record| end::is_seen(record)).map(|last| last.at);
    loop {
        let since = last_write(&stage.api.records()).unwrap_or_else(Instant::now);
        tokio::time::sleep(SILENCE.saturating_sub(since.elapsed()).max(Duration::from_millis(100))).await;
        let records = stage.api.records();
        let is_quiet =
            stage.api.is_idle() && last_write(&records).is_none_or(|last| last.elapsed() >= SILENCE);
        let entries = if is_quiet { stage.journal_entries().await } else { Vec::new() };
        let recent = records.iter().filter(|record| record.at.elapsed() < SILENCE).count();
        if is_quiet && entries.is_empty() && recent <= CALLS_IN_SILENCE {
            return None;
        }
        if Instant::now() > deadline {
            let last: Vec<_> = records.iter().rev().take(8).map(|record| record.call.to_string()).collect();
            return Some(format!("never at rest; journals hold {entries:?}, last calls {last:?}"));
        }
    }
}
