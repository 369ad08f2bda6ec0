//! What many Notifications cost while they wait behind a dead server, and once they are finished: resident memory and
//! writes; and what a restart does with the finished ones.

use crate::counters::Request;
use crate::report::Report;
use crate::sample::Scale;
use crate::stage::{Stage, waiting};
use mail_operator_testbed::{Operator, free_port};
use serde_json::json;
use std::time::{Duration, Instant};

const NOTIFICATIONS: usize = 20_000;
/// Sent beforehand, so that what the operator needs once (connections, buffers, TLS) is not counted.
const WARM_UP: usize = 300;
/// The allocator gives memory back within about 10 s; nothing may be written meanwhile.
const SETTLE: Duration = Duration::from_secs(15);
const NAMESPACE: &str = "figures-memory";

/// Measures waiting, finished, and a restart.
pub async fn measure(stage: &Stage, scale: Scale, report: &mut Report) {
    let (count, warm_up) = (scale.of(NOTIFICATIONS), scale.of(WARM_UP));
    println!("Memory: {count} Notifications behind a dead server, then finished");
    stage.namespace(NAMESPACE, 16).await;
    let operator = stage.operator(NAMESPACE, 16).await;
    stage.until_server(NAMESPACE, "Verified").await;
    let messages = stage.sink.messages();
    stage.create(NAMESPACE, "warm-up", warm_up).await;
    stage.until_sent(&operator, messages + warm_up as u64, warm_up).await;

    stage.change_server(NAMESPACE, &json!({ "port": free_port().unwrap() })).await;
    stage.until_server(NAMESPACE, "ConnectionRefused").await;
    // Its holder renews the journal for half a minute after the last message, which is not these Notifications' doing.
    stage.until("the journal is let go", async || operator.log().contains("journal let go")).await;
    let empty = settled(&operator).await;
    let counters = stage.counters().await;
    stage.create(NAMESPACE, "n", count).await;
    stage.until("all wait", async || waiting(&operator.metrics().await.unwrap()) >= count).await;
    let full = settled(&operator).await;
    let added = stage.counters().await.since(&counters);
    let each = |bytes: u64| (bytes as f64 - empty as f64) / count as f64;
    added.show_writes(is_mail);
    report.set("bytes_per_waiting_notification", each(full));
    report.set(
        "writes_while_waiting",
        added.writes(|request| is_mail(request) && !is_creation(request)) as f64,
    );
    report.set("operator_megabytes_empty", empty as f64 / 1e6);
    report.set("operator_megabytes_waiting", full as f64 / 1e6);

    let start = Instant::now();
    stage.change_server(NAMESPACE, &json!({ "port": stage.sink.address().port() })).await;
    let messages = messages + (warm_up + count) as u64;
    stage.until_sent(&operator, messages, warm_up + count).await;
    report.set("backlog_per_second", count as f64 / start.elapsed().as_secs_f64());
    let finished = settled(&operator).await;
    stage.check_sent(NAMESPACE, messages).await;
    report.set("bytes_per_finished_notification", each(finished));
    report.set("operator_megabytes_finished", finished as f64 / 1e6);
    stage.stop(operator).await;

    stage.quiet().await;
    let counters = stage.counters().await;
    let operator = stage.operator(NAMESPACE, 16).await;
    stage.until_server(NAMESPACE, "Verified").await;
    let restarted = settled(&operator).await;
    let added = stage.counters().await.since(&counters);
    added.show_writes(|_| true);
    report.set("listed_at_restart", added.listed("notifications") as f64);
    report.set("writes_at_restart", added.writes(is_mail) as f64);
    report.set("operator_megabytes_restarted", restarted as f64 / 1e6);
    stage.stop(operator).await;
}

/// What is written for the sake of Notifications: themselves and journals. Not the Lease; nor the server's state and its
/// Events, which change while it is dead and when a restarted operator verifies it. A Notification's own Event never comes
/// without a write of its status.
fn is_mail(request: &Request) -> bool {
    matches!(request.resource.as_str(), "notifications" | "configmaps")
}

fn is_creation(request: &Request) -> bool {
    request.resource == "notifications" && request.verb == "POST"
}

/// Resident bytes once they no longer fall.
async fn settled(operator: &Operator) -> u64 {
    tokio::time::sleep(SETTLE).await;
    operator.resident_bytes()
}
