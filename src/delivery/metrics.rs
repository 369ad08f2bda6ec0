//! What is counted about mail. Labels come from closed enums and from the names of MailServerConfigs,
//! of which there are few; never from addresses or texts.

use crate::api::Reason;
use crate::api::status::Phase as NotificationPhase;
use crate::domain::failure::{Failure, Permanence, Phase};
use crate::domain::object::ObjectKey;
use crate::domain::verification::Verification;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
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
    server: String,
    outcome: Outcome,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
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
    expiry: Family<ServerLabels, Gauge>,
}

/// 1 ms to about 30 s.
fn step_histogram() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}

impl Metrics {
    /// Registers everything under `mail_operator_`.
    pub fn new(registry: &mut Registry) -> Self {
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

    /// Tells how long the first credential of a server to end is good yet; `None`: nothing is known of its end.
    pub fn expiry(&self, server: &ObjectKey, ends: Option<&(Timestamp, String)>, now: Timestamp) {
        let labels = ServerLabels { server: server.to_string() };
        match ends {
            Some((ends, _)) => {
                self.expiry.get_or_create(&labels).set(ends.as_second() - now.as_second());
            }
            None => drop(self.expiry.remove(&labels)),
        }
    }

    /// Counts an evaluation that was ended; other reasons why a template cannot be used are not counted.
    pub(crate) fn evaluation_ended(&self, reason: Reason) {
        if matches!(reason, Reason::TimeLimitExceeded | Reason::MemoryLimitExceeded | Reason::Quarantined) {
            self.evaluations.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
        }
    }

    pub(super) fn attempts(&self, server: &ObjectKey, outcome: Outcome, phase: Phase, recipients: usize) {
        let labels = AttemptLabels { server: server.to_string(), outcome, phase: phase.as_str() };
        self.attempts.get_or_create(&labels).inc_by(recipients as u64);
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
