//! Notifications under load, against what every other operator does at least: two status writes an object. Both on the
//! same API server with the same number of writers, turn and turn about.

use crate::counters::{Counters, Request};
use crate::report::Report;
use crate::sample::{Scale, median};
use crate::smtp::in_parallel;
use crate::stage::{Stage, notification};
use kube::api::{Patch, PatchParams, PostParams};
use mail_operator_testbed::Operator;
use serde_json::{Value, json};
use std::time::Instant;

const ROUNDS: usize = 3;
/// Notifications a round; the bare loop gets as many.
const MESSAGES: usize = 1000;
/// Where the operator works, and where the bare loop does: the operator does not look there.
const OURS: &str = "figures-delivery";
const BARE: &str = "figures-two-writes";

/// What rounds add up to.
#[derive(Default)]
struct Totals {
    messages: usize,
    operator_cpu_ms: u64,
    api_server_cpu_ms: u64,
    api_server_cpu_ms_of_loop: u64,
    status_writes: u64,
    other_writes: u64,
}

/// Measures with 8 and 16 writers.
pub async fn measure(stage: &Stage, scale: Scale, report: &mut Report) {
    let count = scale.of(MESSAGES);
    println!("Delivery: {ROUNDS} rounds of {count} Notifications with 8 and 16 writers");
    stage.namespace(BARE, 1).await;
    let mut totals = Totals::default();
    for writers in [8, 16] {
        stage.namespace(OURS, writers).await;
        let operator = stage.operator(OURS, writers).await;
        stage.until_server(OURS, "Verified").await;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let prefix = format!("w{writers}-r{round}");
            ours.push(deliver(stage, &operator, &prefix, count, round * count, &mut totals).await);
            let sent = stage.notifications(OURS).get(&format!("{prefix}-0")).await.unwrap();
            let status = serde_json::to_value(sent.status).unwrap();
            bare.push(write_twice(stage, &prefix, count, writers, &status, &mut totals).await);
        }
        let ratios: Vec<_> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        report.set(&format!("delivery_over_two_writes_{writers}"), median(&ratios));
        report.set(&format!("delivery_per_second_{writers}"), median(&ours));
        report.set(&format!("two_writes_per_second_{writers}"), median(&bare));
        if writers == 16 {
            many_recipients(stage, &operator, ROUNDS * count, report).await;
        }
        stage.stop(operator).await;
    }
    totals.report(report);
}

impl Totals {
    fn report(&self, report: &mut Report) {
        let each = |total: u64| total as f64 / self.messages as f64;
        report.set("status_writes_per_message", each(self.status_writes));
        report.set("other_writes_per_message", each(self.other_writes));
        let (ours, bare) = (each(self.api_server_cpu_ms), each(self.api_server_cpu_ms_of_loop));
        report.set("api_server_cpu_over_two_writes", ours / bare);
        report.set("api_server_cpu_ms_per_message", ours);
        report.set("api_server_cpu_ms_per_two_writes", bare);
        report.set("operator_cpu_ms_per_message", each(self.operator_cpu_ms));
    }
}

/// One round of ours: everything is created while the server is suspended; the clock runs from its release until the
/// last result is stored, so it includes the verification and the opening of sessions. Returns messages a second.
async fn deliver(
    stage: &Stage,
    operator: &Operator,
    prefix: &str,
    count: usize,
    stored_before: usize,
    totals: &mut Totals,
) -> f64 {
    let messages = stage.sink.messages() + count as u64;
    stage.change_server(OURS, &json!({ "suspend": true })).await;
    stage.until_server(OURS, "Suspended").await;
    stage.create(OURS, prefix, count).await;
    stage.quiet().await;

    let counters = stage.counters().await;
    let (operator_cpu, api_server_cpu) = (operator.cpu_ms(), stage.plane.api_server_cpu_ms());
    let start = Instant::now();
    stage.change_server(OURS, &json!({ "suspend": false })).await;
    stage.until_sent(operator, messages, stored_before + count).await;
    let took = start.elapsed();
    totals.messages += count;
    totals.operator_cpu_ms += operator.cpu_ms() - operator_cpu;
    totals.api_server_cpu_ms += stage.plane.api_server_cpu_ms() - api_server_cpu;
    let added = stage.counters().await.since(&counters);
    added.show_writes(|_| true);
    totals.status_writes += added.writes(Request::is_notification_status);
    totals.other_writes +=
        added.writes(|request| !request.is_notification_status() && !is_our_switch(request));
    stage.check_sent(OURS, messages).await;
    count as f64 / took.as_secs_f64()
}

/// The operator never writes a MailServerConfig's spec; the release of the suspended server is ours.
fn is_our_switch(request: &Request) -> bool {
    request.resource == "mailserverconfigs" && request.subresource.is_empty()
}

/// One round of the bare loop: each writer takes the next object, says that it is being sent, and then what became of it,
/// in the words of `last`. No reads, no mail. Returns objects a second.
async fn write_twice(
    stage: &Stage,
    prefix: &str,
    count: usize,
    writers: usize,
    last: &Value,
    totals: &mut Totals,
) -> f64 {
    stage.create(BARE, prefix, count).await;
    stage.quiet().await;
    let first = json!({ "phase": "Pending", "attempts": 1, "startTime": last["startTime"] });
    let api_server_cpu = stage.plane.api_server_cpu_ms();
    let start = Instant::now();
    in_parallel(writers, |writer| {
        let (api, prefix) = (stage.notifications(BARE), prefix.to_owned());
        let statuses = [first.clone(), last.clone()];
        async move {
            for number in (writer..count).step_by(writers) {
                for status in &statuses {
                    let patch = Patch::Merge(json!({ "status": status }));
                    let name = format!("{prefix}-{number}");
                    api.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
                }
            }
        }
    })
    .await;
    let took = start.elapsed();
    totals.api_server_cpu_ms_of_loop += stage.plane.api_server_cpu_ms() - api_server_cpu;
    count as f64 / took.as_secs_f64()
}

/// One Notification with 1,000 recipients on an idle operator: all writes until its entry has left the journal.
async fn many_recipients(stage: &Stage, operator: &Operator, stored_before: usize, report: &mut Report) {
    const RECIPIENTS: usize = 1000;
    let messages = stage.sink.messages() + RECIPIENTS as u64;
    stage.quiet().await;
    let before = stage.counters().await;
    let start = Instant::now();
    let created = notification("many", RECIPIENTS);
    stage.notifications(OURS).create(&PostParams::default(), &created).await.unwrap();
    stage.until_sent(operator, messages, stored_before + 1).await;
    let took = start.elapsed();
    // The entry goes with a later write; renewals of idle holders are not its doing, but counted if they fall in here.
    let added: Counters = stage.counters().await.since(&before);
    stage.check_sent(OURS, messages).await;
    added.show_writes(|_| true);
    let its_own = |request: &Request| {
        let is_creation = request.resource == "notifications" && request.verb == "POST";
        !is_creation && request.resource != "leases"
    };
    report.set("api_writes_per_1000_recipients", added.writes(its_own) as f64);
    report.set("seconds_per_1000_recipients", took.as_secs_f64());
}
