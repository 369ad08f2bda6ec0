//! A fault at every call. Each scenario is played once without faults, and what it asked of the API server is noted;
//! then again and again, each time with something going wrong at one of these calls, at two of them, or with the
//! process ended there or at a step of an SMTP session. Whatever it was, the end is that of the run without faults.
//!
//! `FAULT_PLANS=5000` plays so many plans (those with one fault, and pairs; `FAULT_SEED` draws them), and
//! `FAULT_PLAN='send: PATCH notifications/one/status #1 lost-after'`, as a failure prints it, plays one alone and
//! shows what the operator logged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod cluster;
mod end;
mod log;
mod operator;
mod plan;
mod run;
mod scenario;
mod stage;

use cluster::Cluster;
use plan::Plan;
use run::{Ran, play};
use scenario::Scenario;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Plans of a run, unless `FAULT_PLANS` says otherwise.
const PLANS: usize = 600;
/// Plans that are played at once: most of their time is waiting.
const AT_ONCE: usize = 96;

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_call_fails_the_end_is_the_same() {
    log::keep();
    let began = Instant::now();
    let cluster = Arc::new(Cluster::start().await);
    let clean = clean_runs(&cluster).await;
    if let Ok(text) = std::env::var("FAULT_PLAN") {
        let plan: Plan = text.parse().unwrap();
        let ran = play(&cluster, &plan, clean.get(&plan.scenario)).await;
        let calls: Vec<_> = ran.calls.iter().map(ToString::to_string).collect();
        println!("{}\n{}", ran.log, calls.join("\n"));
        return assert_eq!(ran.failures, [""; 0], "{plan}");
    }
    let seed = number("FAULT_SEED", 1) as u64;
    let plans = plan::all(&clean, seed, number("FAULT_PLANS", PLANS));
    println!("{} plans with seed {seed}, ready after {:?}", plans.len(), began.elapsed());
    let turns = Arc::new(Semaphore::new(number("FAULTS_AT_ONCE", AT_ONCE)));
    let clean = Arc::new(clean);
    let mut playing = tokio::task::JoinSet::new();
    for plan in plans {
        let (cluster, clean, turns) = (cluster.clone(), clean.clone(), turns.clone());
        playing.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let ran = play(&cluster, &plan, clean.get(&plan.scenario)).await;
            (plan, ran)
        });
    }
    let (mut failed, mut missed, mut count) = (Vec::new(), 0, 0);
    while let Some(played) = playing.join_next().await {
        let (plan, ran) = played.unwrap();
        count += 1;
        missed += usize::from(!ran.hit);
        if !ran.failures.is_empty() {
            println!("FAULT_PLAN='{plan}': {}", ran.failures.join("; "));
            failed.push(plan.to_string());
        }
    }
    println!("{count} plans in {:?}, {missed} of them never came to their call", began.elapsed());
    assert!(failed.is_empty(), "{} plans of seed {seed} failed: {failed:#?}", failed.len());
    assert!(missed * 10 <= count, "plans that never came to their call prove nothing: {missed} of {count}");
}

/// Each scenario without faults.
async fn clean_runs(cluster: &Arc<Cluster>) -> BTreeMap<Scenario, Ran> {
    let mut playing = tokio::task::JoinSet::new();
    for scenario in Scenario::ALL {
        let cluster = cluster.clone();
        playing.spawn(async move { (scenario, play(&cluster, &Plan::clean(scenario), None).await) });
    }
    let runs: BTreeMap<_, _> = playing.join_all().await.into_iter().collect();
    for (scenario, ran) in &runs {
        assert_eq!(ran.failures, [""; 0], "{scenario:?} without any fault:\n{}", ran.log);
    }
    runs
}
