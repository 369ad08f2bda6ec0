//! What a verification of a mail server found, stage by stage. A session that a worker opens goes
//! through the same stages and leaves the same record, so there is one truth about a server.

use crate::api::mail_server_config::{ServerFacts, TlsFacts, TokenFacts};
use crate::api::{ConditionType, Reason};
use crate::domain::failure::{Failure, Permanence, Phase, Reply, Scope};
use jiff::Timestamp;
use std::time::Duration;

/// The stages in their order. `TokenAcquired` is left out for servers without OAuth2; it comes before the mail
/// server is contacted, because a token often shows by itself that it would be refused.
pub const STAGES: [ConditionType; 6] = [
    ConditionType::CredentialsResolved,
    ConditionType::TokenAcquired,
    ConditionType::NameResolved,
    ConditionType::Connected,
    ConditionType::Secured,
    ConditionType::Authenticated,
];

/// The record of one way through the stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// When it ended.
    pub at: Timestamp,
    /// Generation of the spec it speaks about.
    pub generation: i64,
    /// Versions of the Secrets and bundles it used.
    pub fingerprint: String,
    /// Stages passed, with a sentence each.
    pub passed: Vec<(ConditionType, Reason, String)>,
    /// The stage that failed, if one did.
    pub failed: Option<(ConditionType, StageFailure)>,
    /// What the server said of itself.
    pub server: Option<ServerFacts>,
    /// The encrypted connection.
    pub tls: Option<TlsFacts>,
    /// The token.
    pub token: Option<TokenFacts>,
    /// The provider has replaced the stored refresh token.
    pub refresh_token_replaced: bool,
    /// When a credential ends, and which.
    pub expires: Option<(Timestamp, String)>,
    /// What is wrong with the annotation that says when a credential ends.
    pub expiry_unreadable: Option<String>,
    /// What a Secret's owner has not permitted and an earlier version did not ask for; with the command.
    pub consent_missing: Option<String>,
}

/// Why a stage failed, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StageFailure {
    /// The word for the condition.
    pub reason: Reason,
    /// A sentence for an administrator.
    pub message: String,
    /// Whether trying again can help.
    pub permanence: Permanence,
    /// Not before this has passed.
    pub retry_after: Option<Duration>,
    /// The step of the session.
    pub phase: Phase,
    /// The server's answer, if it was one.
    pub reply: Option<Reply>,
}

impl StageFailure {
    /// One that only a change of spec or Secret can mend.
    pub fn until_changed(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            permanence: Permanence::UntilChanged,
            retry_after: None,
            phase: Phase::Resolve,
            reply: None,
        }
    }

    /// One that may pass by itself.
    pub fn temporary(reason: Reason, message: impl Into<String>) -> Self {
        Self { permanence: Permanence::Temporary, ..Self::until_changed(reason, message) }
    }
}

impl From<Failure> for StageFailure {
    fn from(failure: Failure) -> Self {
        let Failure { scope: _, permanence, reason, phase, reply, detail, retry_after } = failure;
        Self { reason, message: detail, permanence, retry_after, phase, reply }
    }
}

impl From<StageFailure> for Failure {
    fn from(failure: StageFailure) -> Self {
        let StageFailure { reason, message, permanence, retry_after, phase, reply } = failure;
        Self { scope: Scope::Server, permanence, reason, phase, reply, detail: message, retry_after }
    }
}

impl Verification {
    /// An empty record.
    pub fn begin(generation: i64, now: Timestamp) -> Self {
        Self {
            at: now,
            generation,
            fingerprint: String::new(),
            passed: Vec::new(),
            failed: None,
            server: None,
            tls: None,
            token: None,
            refresh_token_replaced: false,
            expires: None,
            expiry_unreadable: None,
            consent_missing: None,
        }
    }

    /// Notes a stage as passed.
    pub fn pass(&mut self, stage: ConditionType, reason: Reason, message: impl Into<String>) {
        self.passed.push((stage, reason, message.into()));
    }

    /// Notes a stage as failed; nothing after it was tried.
    pub fn fail(&mut self, stage: ConditionType, failure: impl Into<StageFailure>) {
        self.failed = Some((stage, failure.into()));
    }

    /// The same as somebody may see it who must not find out what there is in the network: whatever kept us from a
    /// server that has proved who it is, is one word, at one stage, and what was found on the way is left out.
    #[must_use]
    pub fn veiled(mut self) -> Self {
        let Some((stage, failure)) = &self.failed else { return self };
        let stage = match stage {
            ConditionType::NameResolved | ConditionType::Connected | ConditionType::Secured => {
                ConditionType::NameResolved
            }
            ConditionType::TokenAcquired if failure.reason.is_about_the_network() => {
                ConditionType::TokenAcquired
            }
            _ => return self,
        };
        let what = "the server was not reached over a connection that can be relied on; this operator tells tenants no \
                    more (--one-network-error), and its log does. Check host, port and tls.mode, and that the operator may \
                    connect there";
        let mut veil = StageFailure::temporary(Reason::Unreachable, what);
        veil.phase = Phase::Connect;
        self.passed.retain(|(passed, ..)| {
            STAGES.iter().position(|s| s == passed) < STAGES.iter().position(|s| *s == stage)
        });
        self.failed = Some((stage, veil));
        self
    }

    /// Whether the server takes mail from us.
    pub fn succeeded(&self) -> bool {
        self.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stage: ConditionType, reason: Reason, permanence: Permanence) -> Verification {
        let mut found = Verification::begin(1, Timestamp::UNIX_EPOCH);
        for passed in STAGES.into_iter().take_while(|passed| *passed != stage) {
            found.pass(passed, Reason::Succeeded, format!("{passed:?} at 10.0.0.1"));
        }
        let mut failure = StageFailure::temporary(reason, "10.0.0.1 is what it is");
        failure.permanence = permanence;
        failure.retry_after = Some(Duration::from_secs(7));
        found.fail(stage, failure);
        found
    }

    #[test]
    fn what_keeps_us_from_a_server_is_one_word() {
        use ConditionType::{
            Authenticated, Connected, CredentialsResolved, NameResolved, Secured, TokenAcquired,
        };
        let (temporary, held) = (Permanence::Temporary, Permanence::UntilChanged);
        let mut seen = Vec::new();
        for (stage, reason, permanence) in [
            (NameResolved, Reason::NameNotFound, temporary),
            (NameResolved, Reason::NameServerUnavailable, temporary),
            (NameResolved, Reason::EgressDenied, held),
            (Connected, Reason::ConnectionRefused, temporary),
            (Connected, Reason::ConnectTimeout, temporary),
            (Connected, Reason::HostUnreachable, temporary),
            (Connected, Reason::ProtocolViolation, temporary),
            (Connected, Reason::EgressDenied, held),
            (Connected, Reason::ProxyRefused, held),
            (Secured, Reason::NotTLS, temporary),
            (Secured, Reason::StartTLSNotOffered, temporary),
            (Secured, Reason::CertificateUnknownIssuer, temporary),
        ] {
            seen.push(failed(stage, reason, permanence).veiled());
        }
        assert!(seen.iter().all(|found| Some(found) == seen.first()), "{seen:#?}");
        let shown = format!("{:?}", seen.first());
        assert!(
            shown.contains("Unreachable")
                && !shown.contains("10.0.0.1 is")
                && !shown.contains("NameResolved at")
        );
        for reason in [Reason::EgressDenied, Reason::TokenEndpointUnavailable, Reason::CertificateExpired] {
            let found = failed(TokenAcquired, reason, held).veiled();
            assert_eq!(found, failed(TokenAcquired, Reason::TokenEndpointUnavailable, temporary).veiled());
        }
        // What a server says that has proved who it is, and what is wrong with our own objects, is told.
        for (stage, reason) in [
            (CredentialsResolved, Reason::SecretNotFound),
            (TokenAcquired, Reason::InvalidClientSecret),
            (Authenticated, Reason::AuthenticationFailed),
        ] {
            let found = failed(stage, reason, held);
            assert_eq!(found.clone().veiled(), found);
        }
    }
}
