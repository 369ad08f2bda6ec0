//! The end of a run, and what has to be true of it.

use crate::cluster::{NOTIFICATIONS, SERVERS, TEMPLATES};
use crate::plan::Plan;
use crate::run::Ran;
use crate::scenario::{SECRETS, condition};
use crate::stage::Stage;
use base64::Engine;
use mail_operator_testbed::faulty_api::{Kind, Record};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Writes beyond those of the run without faults, for each fault: what was lost is written again, and what users are told
/// meanwhile is written and taken back.
const WRITES_PER_FAULT: usize = 6;
/// The same if the process is ended: the next one looks at everything.
const WRITES_PER_STOP: usize = 10;

/// What became of all objects. What differs from run to run is left out: times, messages, Message-IDs.
pub fn state(stage: &Stage) -> Value {
    let mut all = BTreeMap::new();
    let all_objects =
        [(NOTIFICATIONS, "one"), (NOTIFICATIONS, "two"), (SERVERS, "mail"), (TEMPLATES, "greeting")];
    for (kind, name) in all_objects {
        let object = stage.cluster.seen(&stage.namespace, kind, name);
        if object.is_null() {
            continue;
        }
        let recipients = object["status"]["recipients"].as_array();
        let recipients: Vec<_> = recipients
            .into_iter()
            .flatten()
            .map(|recipient| json!([recipient["address"], recipient["state"]]))
            .collect();
        let ready = condition(&object, "Ready");
        let status = &object["status"];
        let told = json!([status["phase"], status["finished"], recipients, ready["status"], ready["reason"]]);
        all.insert(format!("{kind} {name}"), told);
    }
    json!(all)
}

/// How many copies each recipient got.
pub fn copies(stage: &Stage) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for address in stage.smtp.ledger().into_iter().flat_map(|taken| taken.recipients) {
        *copies.entry(address).or_default() += 1;
    }
    copies
}

/// Whether this changed something that users see: all but the Lease and journals, which are written as long as a process
/// lives.
pub fn is_seen(record: &Record) -> bool {
    let text = &record.call.what.text;
    record.call.what.kind == Kind::Write && !text.contains(" leases") && !text.contains(" configmaps")
}

/// How many such writes were stored.
pub fn writes(records: &[Record]) -> usize {
    let stored = |record: &&Record| is_seen(record) && record.status.is_some_and(|status| status < 300);
    records.iter().filter(stored).count()
}

/// Everything that is not as it has to be.
pub fn failures(stage: &Stage, plan: &Plan, ran: &Ran, clean: &Ran) -> Vec<String> {
    let mut failures = Vec::new();
    if ran.state != clean.state {
        failures.push(format!("the end is {} instead of {}", ran.state, clean.state));
    }
    let stops = plan.stops();
    for (address, expected) in &clean.copies {
        let copies = ran.copies.get(address).copied().unwrap_or_default();
        if copies < *expected.min(&1) || copies > expected + stops || stops == 0 && copies != *expected {
            failures.push(format!("{copies} copies for {address} instead of {expected}"));
        }
        if copies > 1 && !says_twice(stage, address) && !ran.state[format!("{NOTIFICATIONS} one")].is_null() {
            failures.push(format!("{copies} copies for {address}, and nothing says so"));
        }
    }
    let most = clean.writes + (plan.faults.len() - stops) * WRITES_PER_FAULT + stops * WRITES_PER_STOP;
    if ran.writes > most {
        failures.push(format!("{} writes instead of {}", ran.writes, clean.writes));
    }
    failures
}

fn says_twice(stage: &Stage, address: &str) -> bool {
    ["one", "two"].iter().any(|name| {
        let object = stage.cluster.seen(&stage.namespace, NOTIFICATIONS, name);
        let recipients = object["status"]["recipients"].as_array();
        recipients.into_iter().flatten().any(|recipient| {
            recipient["address"] == address
                && recipient["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("it may have arrived "))
        })
    })
}

/// Where a secret shows: in what was logged or sent to the API server.
pub fn leaks(log: &str, said: &[u8]) -> Vec<String> {
    let said = String::from_utf8_lossy(said);
    let encoded = SECRETS.map(|secret| base64::engine::general_purpose::STANDARD.encode(secret));
    let forms = SECRETS.iter().map(ToString::to_string).chain(encoded);
    forms
        .flat_map(|secret| {
            let places = [("log", log.contains(&secret)), ("requests", said.contains(&secret))];
            places
                .into_iter()
                .filter(|(_, shows)| *shows)
                .map(move |(place, _)| format!("{secret} in the {place}"))
        })
        .collect()
}
