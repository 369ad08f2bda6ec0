#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::MailServerConfig;
use crate::api::mail_server_config::MailServerConfigSpec;
use serde_json::{Value, json};
use std::time::Duration;

const NOW: &str = "2026-11-24T06:00:00.123456789Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn server(spec: Value) -> Server {
    let spec: MailServerConfigSpec = serde_json::from_value(spec).unwrap();
    let mut config = MailServerConfig::new("mail", spec);
    config.metadata.namespace = Some("ns".into());
    config.metadata.uid = Some("uid".into());
    config.metadata.generation = Some(3);
    Server::from_config(&config).unwrap()
}

fn without_login() -> Server {
    server(json!({ "host": "smtp.corp.example", "sender": { "address": "it@corp.example" } }))
}

fn with_password(host: &str, mode: &str) -> Server {
    server(json!({
        "host": host, "tls": { "mode": mode }, "sender": { "address": "it@corp.example" },
        "auth": { "basic": { "username": "it", "passwordSecretRef": { "name": "login", "key": "password" } } }
    }))
}

fn exchange_online() -> Server {
    server(json!({
        "sender": { "address": "it@corp.example" },
        "auth": { "exchangeOnline": {
            "tenantID": "corp.example", "clientID": "c", "username": "it@corp.example",
            "clientSecretRef": { "name": "login", "key": "password" }
        } }
    }))
}

/// A way through the first `passed` stages of `server`; the next one fails if there is a failure.
fn verification(server: &Server, passed: usize, failure: Option<StageFailure>) -> Verification {
    let mut found = Verification::begin(3, now());
    let mut stages = STAGES
        .into_iter()
        .filter(|stage| *stage != ConditionType::TokenAcquired || matches!(server.login, Login::OAuth2(_)));
    for stage in stages.by_ref().take(passed) {
        found.pass(stage, Reason::Succeeded, "fine");
    }
    if let (Some(failure), Some(stage)) = (failure, stages.next()) {
        found.fail(stage, failure);
    }
    found
}

fn shown(server: &Server, found: Option<&Verification>) -> MailServerConfigStatus {
    render(None, Ok(server), Some(3), Findings { verification: found, ..Findings::default() }, now())
}

/// Conditions as `Type=Status/Reason`.
fn conditions(status: &MailServerConfigStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|found| format!("{}={}/{}", found.type_, found.status, found.reason))
        .collect()
}

fn message(status: &MailServerConfigStatus, type_: ConditionType) -> &str {
    super::super::conditions::find(&status.conditions, type_)
        .map(|found| found.message.as_str())
        .unwrap_or_default()
}

#[test]
fn before_the_first_verification_everything_is_unknown() {
    let status = shown(&without_login(), None);
    assert_eq!(
        conditions(&status),
        [
            "Ready=Unknown/Verifying",
            "Reconciling=True/Verifying",
            "CredentialsResolved=Unknown/Pending",
            "NameResolved=Unknown/Pending",
            "Connected=Unknown/Pending",
            "Secured=Unknown/Pending",
            "Authenticated=Unknown/Pending",
        ]
    );
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.auth.as_deref(), Some("None"));
    assert_eq!(status.server.map(|server| server.host).as_deref(), Some("smtp.corp.example:587"));
    assert_eq!(status.last_verification_time, None);
}

#[test]
fn a_failed_stage_leaves_the_later_ones_unknown() {
    let server = exchange_online();
    for (at, failed) in STAGES.into_iter().enumerate() {
        for (failure, summary) in [
            (StageFailure::temporary(Reason::ServiceUnavailable, "later"), ConditionType::Reconciling),
            (StageFailure::until_changed(Reason::SecretNotFound, "create it"), ConditionType::Stalled),
        ] {
            let found = verification(&server, at, Some(failure.clone()));
            let status = shown(&server, Some(&found));
            let mut expected = vec![
                format!("Ready=False/{}", failure.reason),
                format!("{}=True/{}", summary.as_str(), failure.reason),
            ];
            for (index, stage) in STAGES.iter().enumerate() {
                expected.push(match index.cmp(&at) {
                    std::cmp::Ordering::Less => format!("{}=True/Succeeded", stage.as_str()),
                    std::cmp::Ordering::Equal => format!("{}=False/{}", stage.as_str(), failure.reason),
                    std::cmp::Ordering::Greater => format!("{}=Unknown/Pending", stage.as_str()),
                });
            }
            assert_eq!(conditions(&status), expected);
            assert_eq!(message(&status, ConditionType::Ready), failure.message);
            if let Some(next) = STAGES.get(at + 1) {
                assert_eq!(message(&status, *next), format!("not tried, because {} failed", failed.as_str()));
            }
        }
    }
}

#[test]
fn a_verified_server_is_ready_and_nothing_else() {
    let server = exchange_online();
    let found = verification(&server, STAGES.len(), None);
    let status = shown(&server, Some(&found));
    assert!(
        status.conditions.iter().all(|condition| condition.status == "True"),
        "{:?}",
        conditions(&status)
    );
    assert_eq!(status.conditions.len(), 1 + STAGES.len());
    assert_eq!(
        message(&status, ConditionType::Ready),
        "smtp.office365.com:587 takes mail (logged in as it@corp.example)"
    );
    assert_eq!(status.auth.as_deref(), Some("ExchangeOnline"));
}

#[test]
fn the_same_findings_give_the_status_that_is_stored() {
    let server = exchange_online();
    let mut found = verification(&server, STAGES.len(), None);
    found.token = Some(TokenFacts { expires_at: Some(Time(now())), ..TokenFacts::default() });
    let findings = Findings {
        verification: Some(&found),
        progress: None,
        hold: None,
        next: None,
        usage: None,
        handled_request: Some("1"),
        lost_answers: None,
        excess: None,
        tolerance: None,
    };
    let first = render(None, Ok(&server), Some(3), findings, now());
    let stored: MailServerConfigStatus =
        serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    let later = now() + Duration::from_hours(1);
    assert_eq!(render(Some(&stored), Ok(&server), Some(3), findings, later), stored);
}

#[test]
fn a_verification_that_somebody_watches_is_shown_stage_by_stage() {
    let server = without_login();
    let before = verification(&server, STAGES.len(), None);
    let progress = verification(&server, 2, None);
    let findings = Findings { verification: Some(&before), progress: Some(&progress), ..Findings::default() };
    let status = render(None, Ok(&server), Some(3), findings, now());
    assert_eq!(
        conditions(&status),
        [
            "Ready=True/Verified",
            "CredentialsResolved=True/Succeeded",
            "NameResolved=True/Succeeded",
            "Connected=Unknown/Verifying",
            "Secured=Unknown/Pending",
            "Authenticated=Unknown/Pending",
        ]
    );
}

#[test]
fn times_of_transition_move_only_with_the_state() {
    let server = without_login();
    let good = shown(&server, Some(&verification(&server, STAGES.len(), None)));
    let later = now() + Duration::from_hours(1);
    let failure = StageFailure::temporary(Reason::ConnectionRefused, "refused");
    let found = verification(&server, 2, Some(failure));
    let bad = render(
        Some(&good),
        Ok(&server),
        Some(3),
        Findings { verification: Some(&found), ..Findings::default() },
        later,
    );
    let since = |type_| {
        let found = super::super::conditions::find(&bad.conditions, type_);
        found.map(|found| found.last_transition_time.0)
    };
    assert_eq!(since(ConditionType::NameResolved), Some(now()));
    assert_eq!(since(ConditionType::Connected), Some(later));
    assert_eq!(since(ConditionType::Ready), Some(later));
}

#[test]
fn a_spec_with_problems_is_stalled_and_keeps_the_answered_request() {
    let old = MailServerConfigStatus { last_handled_verify_request: Some("7".into()), ..Default::default() };
    let problems = [Problem::new("host", "must be a DNS name")];
    let status = render(Some(&old), Err(&problems), Some(4), Findings::default(), now());
    assert_eq!(conditions(&status), ["Ready=False/InvalidSpec", "Stalled=True/InvalidSpec"]);
    assert_eq!(message(&status, ConditionType::Ready), "host: must be a DNS name");
    assert_eq!(status.last_handled_verify_request.as_deref(), Some("7"));
    assert_eq!(status.observed_generation, Some(4));
}

#[test]
fn a_suspended_server_is_neither_in_progress_nor_failed() {
    let mut server = without_login();
    server.suspended = true;
    let status = shown(&server, None);
    assert_eq!(conditions(&status).first().map(String::as_str), Some("Ready=False/Suspended"));
    assert!(
        !conditions(&status)
            .iter()
            .any(|found| found.starts_with("Stalled") || found.starts_with("Reconciling"))
    );
    assert!(message(&status, ConditionType::Ready).contains("spec.suspend is true"));
}

#[test]
fn a_held_server_says_until_when() {
    let server = without_login();
    let found = verification(&server, STAGES.len(), None);
    let failure = StageFailure::temporary(Reason::Throttled, "too much at once");
    let findings = Findings {
        progress: None,
        next: None,
        usage: None,
        verification: Some(&found),
        hold: Some((&failure, "2026-11-24T06:15:00.5Z".parse().unwrap())),
        handled_request: None,
        lost_answers: None,
        excess: None,
        tolerance: None,
    };
    let status = render(None, Ok(&server), Some(3), findings, now());
    assert_eq!(
        conditions(&status).get(..2).unwrap(),
        ["Ready=False/Throttled", "Reconciling=True/Throttled"]
    );
    let words = message(&status, ConditionType::Ready);
    assert!(words.starts_with("sending is held until 2026-11-24T06:15:0"), "{words}");
    assert!(words.ends_with(": too much at once"), "{words}");
}

#[test]
fn credentials_that_end_are_announced_a_month_ahead() {
    for (ends, expected) in [
        ("2027-06-30T00:00:00Z", None),
        ("2026-12-24T06:00:01Z", None),
        ("2026-12-24T06:00:00Z", Some(("ExpiresSoon", "the secret ends on 2026-12-24: replace it before"))),
        ("2026-11-24T06:00:01Z", Some(("ExpiresSoon", "the secret ends on 2026-11-24: replace it before"))),
        ("2026-11-24T06:00:00Z", Some(("Expired", "the secret ended on 2026-11-24: replace it"))),
        ("2020-01-01T00:00:00Z", Some(("Expired", "the secret ended on 2020-01-01: replace it"))),
    ] {
        let server = without_login();
        let mut found = verification(&server, STAGES.len(), None);
        found.expires = Some((ends.parse().unwrap(), "the secret".into()));
        let status = shown(&server, Some(&found));
        let warning = super::super::conditions::find(&status.conditions, ConditionType::CredentialExpiring);
        assert_eq!(warning.map(|found| (found.reason.as_str(), found.message.as_str())), expected, "{ends}");
        assert!(message(&status, ConditionType::Ready).contains("takes mail"), "a warning is no failure");
    }
}

#[test]
fn password_logins_are_warned_of_where_they_end_or_can_be_read() {
    for (server, retiring, plaintext) in [
        (without_login(), false, false),
        (with_password("smtp.corp.example", "StartTLS"), false, false),
        (with_password("smtp.corp.example", "Disabled"), false, true),
        (with_password("smtp.office365.com", "StartTLS"), true, false),
        (with_password("SMTP.Office365.com.", "StartTLS"), true, false),
        (with_password("smtp-legacy.office365.com", "StartTLS"), true, false),
        (exchange_online(), false, false),
    ] {
        let status = shown(&server, None);
        let has = |type_: ConditionType| !message(&status, type_).is_empty();
        assert_eq!(has(ConditionType::BasicAuthRetiring), retiring, "{}", server.host);
        assert_eq!(has(ConditionType::PlaintextAuth), plaintext, "{}", server.host);
        if retiring {
            let words = message(&status, ConditionType::BasicAuthRetiring);
            assert!(
                words.contains("end of December 2026") && words.ends_with("use auth.exchangeOnline instead"),
                "{words}"
            );
        }
    }
}

#[test]
fn an_event_is_worth_it_when_ready_changes_its_state_or_reason() {
    let server = without_login();
    let good = shown(&server, Some(&verification(&server, STAGES.len(), None)));
    let failed = |reason, text: &str| {
        shown(&server, Some(&verification(&server, 2, Some(StageFailure::temporary(reason, text)))))
    };
    let refused = failed(Reason::ConnectionRefused, "one");
    for (old, new, changed) in [
        (&good, &good, false),
        (&good, &refused, true),
        (&refused, &good, true),
        (&refused, &failed(Reason::ConnectionRefused, "another message"), false),
        (&refused, &failed(Reason::ConnectTimeout, "one"), true),
    ] {
        assert_eq!(ready_changed(&old.conditions, &new.conditions), changed);
    }
    assert!(ready_changed(&[], &good.conditions));
}

#[test]
fn a_failure_says_when_it_is_tried_again() {
    let server = exchange_online();
    let next = now().checked_add(90.seconds()).unwrap();
    for (failure, type_, words) in [
        (
            StageFailure::temporary(Reason::ConnectionRefused, "no"),
            ConditionType::Reconciling,
            format!("Connected failed; tried again at {next:.0}"),
        ),
        (
            StageFailure::until_changed(Reason::CertificateExpired, "no"),
            ConditionType::Stalled,
            format!(
                "Connected failed; waiting for a change of this object or its Secret, tried again at {next:.0} in any case"
            ),
        ),
    ] {
        let at = STAGES.iter().position(|stage| *stage == ConditionType::Connected).unwrap();
        let found = verification(&server, at, Some(failure));
        let findings = Findings { verification: Some(&found), next: Some(next), ..Findings::default() };
        let status = render(None, Ok(&server), Some(3), findings, now());
        assert_eq!(message(&status, type_), words);
    }
}

#[test]
fn a_warning_is_told_once() {
    let condition = |status: &str, reason: &str| Condition {
        type_: "CredentialExpiring".into(),
        status: status.into(),
        reason: reason.into(),
        message: "it ends".into(),
        observed_generation: None,
        last_transition_time: Time(now()),
    };
    let (soon, ended) = (condition("True", "ExpiresSoon"), condition("True", "Expired"));
    let told = |old: &[Condition], new: &[Condition]| {
        begun(old, new).map(|warning| warning.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&[], std::slice::from_ref(&soon)), ["ExpiresSoon"]);
    assert!(told(std::slice::from_ref(&soon), std::slice::from_ref(&soon)).is_empty());
    assert_eq!(told(std::slice::from_ref(&soon), std::slice::from_ref(&ended)), ["Expired"]);
    assert!(told(std::slice::from_ref(&ended), &[]).is_empty());
    assert!(told(&[], &[condition("Unknown", "InvalidSpec")]).is_empty(), "nothing to act on in a hurry");
}
