//! The status of a MailServerConfig.

use crate::api::mail_server_config::{MailServerConfigStatus, ServerFacts, TlsMode, TokenFacts, Usage};
use crate::api::{ConditionType, Reason};
use crate::domain::answers::Told;
use crate::domain::credentials::Tolerance;
use crate::domain::exchange_online;
use crate::domain::failure::Permanence;
use crate::domain::problem::{self, Problem};
use crate::domain::quota::Excess;
use crate::domain::server::{Login, Server};
use crate::domain::status::conditions::{Conditions, State, find};
use crate::domain::verification::{STAGES, StageFailure, Verification};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// `CredentialExpiring` warns this many days ahead.
const WARN_DAYS: i64 = 30;

/// What is known of a server besides its spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct Findings<'a> {
    /// The last way through the stages, if it speaks about the spec as it is now.
    pub verification: Option<&'a Verification>,
    /// How far a verification has come that somebody asked for.
    pub progress: Option<&'a Verification>,
    /// Why sending is held although the server can be logged in to, and until when.
    pub hold: Option<(&'a StageFailure, Timestamp)>,
    /// When the stages are gone through again.
    pub next: Option<Timestamp>,
    /// What of the account's limits is used.
    pub usage: Option<&'a Usage>,
    /// The annotation that was obeyed.
    pub handled_request: Option<&'a str>,
    /// Messages in a row that the server gave no answer to.
    pub lost_answers: Option<&'a Told>,
    /// Its namespace has as many accounts as it may have.
    pub excess: Option<Excess>,
    /// How far the rules of an earlier version hold.
    pub tolerance: Option<&'a Tolerance>,
}

/// The new status.
pub fn render(
    old: Option<&MailServerConfigStatus>,
    server: Result<&Server, &[Problem]>,
    generation: Option<i64>,
    findings: Findings<'_>,
    now: Timestamp,
) -> MailServerConfigStatus {
    let old_conditions = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let conditions = Conditions::new(old_conditions, generation, now);
    let mut status = match server {
        Err(problems) => invalid(conditions, problems),
        Ok(server) => valid(conditions, server, findings, now),
    };
    status.observed_generation = generation;
    status.consent = findings.tolerance.map(Tolerance::status);
    let handled = findings.handled_request.map(Into::into);
    status.last_handled_verify_request = handled.or_else(|| old?.last_handled_verify_request.clone());
    status
}

fn invalid(mut conditions: Conditions<'_>, problems: &[Problem]) -> MailServerConfigStatus {
    let message = problem::summary(problems);
    conditions.set(ConditionType::Ready, State::False, Reason::InvalidSpec, &message);
    conditions.set(ConditionType::Stalled, State::True, Reason::InvalidSpec, &message);
    MailServerConfigStatus { conditions: conditions.finish(), ..Default::default() }
}

fn valid(
    mut conditions: Conditions<'_>,
    server: &Server,
    findings: Findings<'_>,
    now: Timestamp,
) -> MailServerConfigStatus {
    let verification = findings.verification;
    summary(&mut conditions, server, findings);
    match findings.progress {
        Some(progress) => under_way(&mut conditions, server, progress),
        None => stages(&mut conditions, server, verification),
    }
    warnings(&mut conditions, server, verification, now);
    lost_answers(&mut conditions, findings.lost_answers);
    let facts = verification.and_then(|verification| verification.server.clone());
    MailServerConfigStatus {
        conditions: conditions.finish(),
        auth: Some(server.login.kind().into()),
        last_verification_time: verification.map(|verification| whole_second(verification.at)),
        server: Some(ServerFacts { host: server.host_and_port(), ..facts.unwrap_or_default() }),
        tls: verification.and_then(|verification| verification.tls.clone()),
        token: verification.and_then(|verification| verification.token.clone()).map(|token| TokenFacts {
            expires_at: token.expires_at.map(|Time(at)| whole_second(at)),
            ..token
        }),
        usage: findings.usage.cloned(),
        ..Default::default()
    }
}

/// A time as Kubernetes stores it. A finer one would never equal what is stored, and the status would be
/// written again at every look.
fn whole_second(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// `Ready`, and beside it at most one of `Reconciling` and `Stalled`, as kstatus reads them.
fn summary(conditions: &mut Conditions<'_>, server: &Server, findings: Findings<'_>) {
    use ConditionType::{Ready, Reconciling, Stalled};
    if server.suspended {
        let message = "spec.suspend is true: neither verified nor used; mail waits";
        return conditions.set(Ready, State::False, Reason::Suspended, message);
    }
    if let Some(Excess { most, lingering }) = findings.excess {
        let gone = match lingering {
            0 => String::new(),
            count => format!(
                " ({count} of them of MailServerConfigs that are gone and were sent with in the last 24 hours)"
            ),
        };
        let message = format!(
            "neither verified nor used: MailServerConfigs of namespace {} that are older have the {most} accounts{gone} that one \
             namespace may have; delete one, let this one use the same login as another, or have the operator's \
             --accounts-per-namespace raised (chart value accountsPerNamespace)",
            server.key.namespace
        );
        conditions.set(Ready, State::False, Reason::TooManyAccounts, &message);
        return conditions.set(Stalled, State::True, Reason::TooManyAccounts, message);
    }
    let Some(verification) = findings.verification else {
        conditions.set(Ready, State::Unknown, Reason::Verifying, "being verified");
        return conditions.set(Reconciling, State::True, Reason::Verifying, "being verified");
    };
    if let Some((stage, failure)) = &verification.failed {
        conditions.set(Ready, State::False, failure.reason, &failure.message);
        return match failure.permanence {
            Permanence::Temporary => {
                let message = match findings.next {
                    Some(next) => format!("{} failed; tried again at {next:.0}", stage.as_str()),
                    None => format!("{} failed; tried again soon", stage.as_str()),
                };
                conditions.set(Reconciling, State::True, failure.reason, message);
            }
            Permanence::UntilChanged | Permanence::Permanent => {
                let anyway = findings.next.map(|next| format!(", tried again at {next:.0} in any case"));
                let message = format!(
                    "{} failed; waiting for a change of this object or its Secret{}",
                    stage.as_str(),
                    anyway.unwrap_or_default()
                );
                conditions.set(Stalled, State::True, failure.reason, message);
            }
        };
    }
    if let Some((failure, until)) = findings.hold {
        let message = format!("sending is held until {until:.0}: {}", failure.message);
        conditions.set(Ready, State::False, failure.reason, &message);
        return conditions.set(Reconciling, State::True, failure.reason, message);
    }
    let login = match (&server.login, server.login.username()) {
        (Login::None, _) => "no login".to_owned(),
        (_, Some(username)) => format!("logged in as {username}"),
        (_, None) => "logged in by client certificate".to_owned(),
    };
    conditions.set(
        Ready,
        State::True,
        Reason::Verified,
        format!("{} takes mail ({login})", server.host_and_port()),
    );
}

fn stages(conditions: &mut Conditions<'_>, server: &Server, verification: Option<&Verification>) {
    let mut failed_before = None;
    for stage in STAGES {
        if stage == ConditionType::TokenAcquired && !matches!(server.login, Login::OAuth2(_)) {
            continue;
        }
        let failed =
            verification.and_then(|found| found.failed.as_ref()).filter(|(failed, _)| *failed == stage);
        if let Some((_, failure)) = failed {
            failed_before = Some(stage);
            conditions.set(stage, State::False, failure.reason, &failure.message);
        } else if !verification.is_some_and(|found| pass(conditions, stage, found)) {
            let message = match failed_before {
                Some(before) => format!("not tried, because {} failed", before.as_str()),
                None => "not tried yet".into(),
            };
            conditions.set(stage, State::Unknown, Reason::Pending, message);
        }
    }
}

/// The stages of a verification that has not come to its end.
fn under_way(conditions: &mut Conditions<'_>, server: &Server, progress: &Verification) {
    let mut reached = true;
    for stage in STAGES {
        if stage == ConditionType::TokenAcquired && !matches!(server.login, Login::OAuth2(_)) {
            continue;
        }
        if pass(conditions, stage, progress) {
            continue;
        }
        if std::mem::replace(&mut reached, false) {
            conditions.set(stage, State::Unknown, Reason::Verifying, "being tried");
        } else {
            conditions.set(stage, State::Unknown, Reason::Pending, "not tried yet");
        }
    }
}

/// Shows a stage as passed, if it was.
fn pass(conditions: &mut Conditions<'_>, stage: ConditionType, found: &Verification) -> bool {
    let passed = found.passed.iter().find(|(passed, ..)| *passed == stage);
    if let Some((_, reason, message)) = passed {
        // Without TLS the stage is passed over, and "secured" would be a lie.
        let holds = if *reason == Reason::TLSDisabled { State::False } else { State::True };
        conditions.set(stage, holds, *reason, message);
    }
    passed.is_some()
}

fn warnings(
    conditions: &mut Conditions<'_>,
    server: &Server,
    verification: Option<&Verification>,
    now: Timestamp,
) {
    if let Some((ends, what)) = verification.and_then(|found| found.expires.as_ref()) {
        let soon = now.checked_add((WARN_DAYS * 24).hours()).is_ok_and(|soon| *ends <= soon);
        let day = ends.strftime("%Y-%m-%d");
        if *ends <= now {
            let message = format!("{what} ended on {day}: replace it");
            conditions.set(ConditionType::CredentialExpiring, State::True, Reason::Expired, message);
        } else if soon {
            let message = format!("{what} ends on {day}: replace it before");
            conditions.set(ConditionType::CredentialExpiring, State::True, Reason::ExpiresSoon, message);
        }
    } else if let Some(unreadable) = verification.and_then(|found| found.expiry_unreadable.as_ref()) {
        conditions.set(ConditionType::CredentialExpiring, State::Unknown, Reason::InvalidSpec, unreadable);
    }
    if verification.is_some_and(|found| found.refresh_token_replaced) {
        let message = "the provider has replaced the refresh token: the operator uses the new one as long as it runs, but the \
                       stored one may be worth nothing after a restart; get one that is not rotated, or use another grant";
        conditions.set(
            ConditionType::RefreshTokenRotated,
            State::True,
            Reason::RefreshTokenReplaced,
            message,
        );
    }
    if let Some(missing) = verification.and_then(|found| found.consent_missing.as_ref()) {
        let message =
            format!("accepted by this version of the operator only, the next one refuses it: {missing}");
        conditions.set(ConditionType::ConsentMissing, State::True, Reason::SecretNotBound, message);
    }
    if let Login::Password { .. } = server.login {
        if exchange_online::is_exchange_online_host(&server.host) {
            let message =
                format!("{}; use auth.exchangeOnline instead", exchange_online::BASIC_AUTH_RETIREMENT);
            let reason = Reason::ExchangeOnlineBasicAuth;
            conditions.set(ConditionType::BasicAuthRetiring, State::True, reason, message);
        }
        if server.tls.mode == TlsMode::Disabled {
            let message = "the password travels unencrypted: anyone on the way can read it; set tls.mode to StartTLS or Implicit";
            conditions.set(ConditionType::PlaintextAuth, State::True, Reason::PasswordUnencrypted, message);
        }
    }
}

/// That the server leaves in doubt what it takes.
fn lost_answers(conditions: &mut Conditions<'_>, told: Option<&Told>) {
    let Some(Told { count, at, what }) = told else { return };
    let message = format!(
        "the answer to the last {count} messages or more did not arrive, at {at:.0}: {what}. Each of them may have been taken, so \
         recipients may get copies (status.recipients[].doubts of their Notifications). Look at the mail server's log, and at \
         proxies, firewalls and content filters before it: the answer to a message may take 10 minutes (RFC 5321, 4.5.3.2.6)"
    );
    conditions.set(ConditionType::AnswersLost, State::True, Reason::AnswerLost, message);
}

/// Warnings that were not there before, or for another reason: worth an Event each.
pub fn begun<'a>(old: &'a [Condition], new: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    const WARNINGS: [ConditionType; 4] = [
        ConditionType::AnswersLost,
        ConditionType::CredentialExpiring,
        ConditionType::RefreshTokenRotated,
        ConditionType::ConsentMissing,
    ];
    WARNINGS.into_iter().filter_map(|type_| {
        let warning = find(new, type_).filter(|warning| warning.status == "True")?;
        let known = find(old, type_)
            .is_some_and(|known| (&known.status, &known.reason) == (&warning.status, &warning.reason));
        (!known).then_some(warning)
    })
}

/// Whether `Ready` went from one state to another, which is worth an Event.
pub fn ready_changed(old: &[Condition], new: &[Condition]) -> bool {
    let ready = |list| find(list, ConditionType::Ready).map(|ready| (&ready.status, &ready.reason));
    ready(old) != ready(new)
}

#[cfg(test)]
mod tests;
