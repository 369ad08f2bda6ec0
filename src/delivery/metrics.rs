//! What is counted about mail. Labels come from closed enums and, where they are to be shown, from the names of
//! MailServerConfigs, of which there are few; never from addresses or texts.

use crate::api::Reason;
use crate::api::status::Phase as NotificationPhase;
use crate::delivery::lock;
use crate::domain::failure::{Failure, Permanence, Phase};
use crate::domain::object::ObjectKey;
use crate::domain::verification::Verification;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What became of one attempt at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(missing_docs, reason = "the names are the outcomes of `domain::outcome`")]
pub enum Outcome {
    Accepted,
    Refused,
    Deferred,
    InDoubt,
}

impl Outcome {
    /// Of a failure.
    pub fn of(failure: &Failure) -> Self {
        match failure.permanence {
            Permanence::Permanent => Self::Refused,
            Permanence::Temporary | Permanence::UntilChanged => Self::Deferred,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    #[prometheus(flatten)]
    server: ServerLabel,
    outcome: Outcome,
    phase: &'static str,
}

/// Whether metrics name MailServerConfigs. Whoever may read metrics would learn of all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerNames {
    /// In the label `server`.
    Shown,
    /// What is measured is said of all of them together.
    LeftOut,
}

/// The label `server`, or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerLabel(Option<String>);

impl ServerNames {
    /// The label of one server.
    pub fn label(self, server: &ObjectKey) -> ServerLabel {
        ServerLabel((self == Self::Shown).then(|| server.to_string()))
    }
}

impl EncodeLabelSet for ServerLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        match &self.0 {
            Some(server) => ("server", server.as_str()).encode(encoder.encode_label()),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    attempts: Family<AttemptLabels, Counter>,
    phases: Family<PhaseLabels, Counter>,
    steps: Family<StepLabels, Histogram>,
    verifications: Family<ReasonLabels, Counter>,
    in_doubt: Counter,
    dropped: Counter,
    refused: Counter,
    evaluations: Family<ReasonLabels, Counter>,
    expiry: Family<ServerLabel, Gauge>,
    expiries: Arc<Mutex<HashMap<ServerLabel, BTreeMap<ObjectKey, i64>>>>,
    /// The series of `attempts` that a server has, which end with it.
    series: Arc<Mutex<HashMap<ObjectKey, HashSet<AttemptLabels>>>>,
    names: ServerNames,
}

/// 1 ms to about 30 s.
fn step_histogram() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}

impl Metrics {
    /// Registers everything under `mail_operator_`.
    pub fn new(registry: &mut Registry, names: ServerNames) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            phases: Family::default(),
            steps: Family::new_with_constructor(step_histogram),
            verifications: Family::default(),
            in_doubt: Counter::default(),
            dropped: Counter::default(),
            refused: Counter::default(),
            evaluations: Family::default(),
            expiry: Family::default(),
            expiries: Arc::default(),
            series: Arc::default(),
            names,
        };
        let registry = registry.sub_registry_with_prefix("mail_operator");
        registry.register(
            "attempts",
            "Attempts at one recipient by MailServerConfig, outcome and phase of the SMTP session",
            metrics.attempts.clone(),
        );
        registry.register("notifications", "Notifications that reached a phase", metrics.phases.clone());
        registry.register_with_unit(
            "step",
            "Time that the steps of a delivery take: open (a session), claim (in the journal), data (DATA to the answer), status (the result's write)",
            Unit::Seconds,
            metrics.steps.clone(),
        );
        registry.register(
            "verifications",
            "Ways through the stages of a mail server by the reason they ended with",
            metrics.verifications.clone(),
        );
        registry.register(
            "in_doubt",
            "Recipients of which it is not known whether the mail server took the message: the answer was lost, or the operator ended before it",
            metrics.in_doubt.clone(),
        );
        registry.register(
            "outcomes_dropped",
            "Outcomes of Notifications that were deleted while they were sent",
            metrics.dropped.clone(),
        );
        registry.register(
            "statuses_refused",
            "Notifications whose outcome the API server refused to store, as an admission policy can have it",
            metrics.refused.clone(),
        );
        registry.register(
            "evaluations_ended",
            "Checks and renderings of templates that were ended because they used more than they may, by reason",
            metrics.evaluations.clone(),
        );
        registry.register_with_unit(
            "credential_expiry",
            "Time left until the first credential of a MailServerConfig ends, as of the last look at it (every 30 seconds); negative once it has",
            Unit::Seconds,
            metrics.expiry.clone(),
        );
        metrics
    }

    /// Tells how long the first credential of a server to end is good yet; `None`: nothing is known of its end. Of servers
    /// with the same label the first to end counts.
    pub fn expiry(&self, server: &ObjectKey, ends: Option<&(Timestamp, String)>, now: Timestamp) {
        let label = self.names.label(server);
        let mut expiries = lock(&self.expiries);
        let alike = expiries.entry(label.clone()).or_default();
        match ends {
            Some((ends, _)) => drop(alike.insert(server.clone(), ends.as_second() - now.as_second())),
            None => drop(alike.remove(server)),
        }
        if let Some(first) = alike.values().min() {
            self.expiry.get_or_create(&label).set(*first);
        } else {
            expiries.remove(&label);
            self.expiry.remove(&label);
        }
    }

    /// Counts an evaluation that was ended; other reasons why a template cannot be used are not counted.
    pub(crate) fn evaluation_ended(&self, reason: Reason) {
        if matches!(reason, Reason::TimeLimitExceeded | Reason::MemoryLimitExceeded | Reason::Quarantined) {
            self.evaluations.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
        }
    }

    pub(super) fn attempts(&self, server: &ObjectKey, outcome: Outcome, phase: Phase, recipients: usize) {
        let labels = AttemptLabels { server: self.names.label(server), outcome, phase: phase.as_str() };
        self.attempts.get_or_create(&labels).inc_by(recipients as u64);
        if self.names == ServerNames::Shown {
            let mut series = lock(&self.series);
            // Nothing is allocated for what is known.
            match series.get_mut(server) {
                Some(known) if known.contains(&labels) => {}
                Some(known) => drop(known.insert(labels)),
                None => drop(series.insert(server.clone(), HashSet::from([labels]))),
            }
        }
    }

    /// Ends what is exported under the name of a server whose config is gone.
    pub(super) fn forget(&self, server: &ObjectKey) {
        self.expiry(server, None, Timestamp::now());
        for labels in lock(&self.series).remove(server).into_iter().flatten() {
            self.attempts.remove(&labels);
        }
    }

    pub(super) fn phase(&self, phase: NotificationPhase) {
        self.phases.get_or_create(&PhaseLabels { phase: phase.as_str() }).inc();
    }

    pub(super) fn step(&self, step: &'static str, took: Duration) {
        self.steps.get_or_create(&StepLabels { step }).observe(took.as_secs_f64());
    }

    pub(super) fn opened(&self, verification: &Verification, took: Duration) {
        let reason =
            verification.failed.as_ref().map_or(crate::api::Reason::Verified, |(_, failure)| failure.reason);
        self.verifications.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
        self.step("open", took);
    }

    pub(super) fn doubts(&self, count: usize) {
        self.in_doubt.inc_by(count as u64);
    }

    pub(super) fn status_refused(&self) {
        self.refused.inc();
    }

    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use prometheus_client::encoding::text::encode;

    /// What is exported of two servers, of which `a/one` ends first and then is gone.
    fn exported(names: ServerNames) -> (String, String) {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, names);
        let now = Timestamp::UNIX_EPOCH;
        for (server, seconds) in [("a/one", 100), ("b/two", 200)] {
            let server = ObjectKey::parse(server).unwrap();
            metrics.attempts(&server, Outcome::Accepted, Phase::FinalDot, 2);
            let ends = (Timestamp::from_second(seconds).unwrap(), String::new());
            metrics.expiry(&server, Some(&ends), now);
        }
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let before = text();
        metrics.forget(&ObjectKey::parse("a/one").unwrap());
        (before, text())
    }

    #[test]
    fn names_of_servers_are_shown_or_left_out_everywhere() {
        let (before, after) = exported(ServerNames::Shown);
        assert!(before.contains("attempts_total{server=\"a/one\",outcome=\"Accepted\""), "{before}");
        assert!(before.contains("credential_expiry_seconds{server=\"a/one\"} 100"), "{before}");
        assert!(!after.contains("a/one"), "what is exported of a server ends with it: {after}");
        assert!(after.contains("attempts_total{server=\"b/two\""), "{after}");

        let (before, after) = exported(ServerNames::LeftOut);
        for text in [&before, &after] {
            assert!(
                !text.contains("server=") && !text.contains("a/one") && !text.contains("b/two"),
                "{text}"
            );
            let attempts =
                text.lines().find(|line| line.starts_with("mail_operator_attempts_total{outcome=")).unwrap();
            assert!(attempts.ends_with(" 4"), "{attempts}");
        }
        assert!(before.contains("credential_expiry_seconds{} 100"), "the first to end: {before}");
        assert!(after.contains("credential_expiry_seconds{} 200"), "{after}");
    }
}
