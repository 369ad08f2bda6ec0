//! Every row of the table from reply to failure, and the words that lead out of it.

use super::{LoginKind, classify, refused_for_sender, seems_about_sender};
use crate::api::Reason;
use crate::domain::failure::{Failure, Permanence, Phase, Reply, Scope};
use std::time::Duration;

fn reply(line: &str) -> Reply {
    let (code, text) = line.split_at(3);
    Reply::new(code.parse().unwrap(), [text])
}

#[test]
#[rustfmt::skip] // one row a line
fn every_row() {
    use LoginKind::{None as NoLogin, OAuth2, Password};
    use Permanence::{Permanent, Temporary, UntilChanged};
    use Phase::{Auth, Data, Ehlo, FinalDot, Greeting, MailFrom, RcptTo, Reset, StartTls};
    use Scope::{Message, Recipient, Sender, Server};
    let minutes = |n: u64| Some(Duration::from_mins(n));
    let half = Some(Duration::from_secs(30));
    let hour = minutes(60);
    let hours = minutes(240);
    for (phase, line, login, scope, permanence, reason, retry_after) in [
        // Less of everything, please.
        (Greeting, "421 4.3.2 Too many connections", NoLogin, Server, Temporary, Reason::Throttled, half),
        (Auth, "421 4.7.0 Too many errors", Password, Server, Temporary, Reason::Throttled, half),
        (RcptTo, "421 later", Password, Server, Temporary, Reason::Throttled, half),
        (FinalDot, "421 4.3.0 later", Password, Server, Temporary, Reason::Throttled, half),
        (MailFrom, "432 4.3.2 Concurrent connections limit exceeded", OAuth2, Server, Temporary, Reason::Throttled, half),
        (RcptTo, "451 4.7.500 Server busy", OAuth2, Server, Temporary, Reason::Throttled, minutes(15)),
        (FinalDot, "450 4.7.699 slow", OAuth2, Server, Temporary, Reason::Throttled, minutes(15)),
        (MailFrom, "451 4.7.850 slow", OAuth2, Server, Temporary, Reason::Throttled, minutes(15)),
        (MailFrom, "451 4.7.899 slow", OAuth2, Server, Temporary, Reason::Throttled, minutes(15)),
        (MailFrom, "451 4.7.700 other", OAuth2, Message, Temporary, Reason::MessageDeferred, None),
        // Login.
        (Auth, "454 4.7.0 Temporary authentication failure", Password, Server, Temporary, Reason::ServiceUnavailable, None),
        (Auth, "535 5.7.3 Authentication unsuccessful", Password, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (Auth, "535 5.7.8 Error", Password, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (Auth, "535 no enhanced code", OAuth2, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (Auth, "534 5.7.9 Mechanism too weak", Password, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (MailFrom, "530 5.7.57 Client not authenticated to send mail", OAuth2, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (MailFrom, "530 5.7.0 Authentication required", NoLogin, Server, UntilChanged, Reason::AuthenticationRequired, None),
        (MailFrom, "530 5.7.0 Must issue a STARTTLS command first", NoLogin, Server, UntilChanged, Reason::AuthenticationRequired, None),
        (Auth, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Password, Server, UntilChanged, Reason::BasicAuthDisabled, None),
        (FinalDot, "550 5.7.30 Basic authentication is not supported for Client Submission.", Password, Server, UntilChanged, Reason::BasicAuthDisabled, None),
        (Auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", OAuth2, Server, UntilChanged, Reason::SmtpAuthDisabled, None),
        (Auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", OAuth2, Server, UntilChanged, Reason::SmtpAuthDisabled, None),
        (Auth, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", Password, Server, UntilChanged, Reason::BlockedByPolicy, None),
        (Auth, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", OAuth2, Server, UntilChanged, Reason::BlockedByPolicy, None),
        (Auth, "535 5.7.139 Authentication unsuccessful", OAuth2, Server, UntilChanged, Reason::AuthenticationFailed, None),
        (Auth, "430 4.2.0 STOREDRV; mailbox logon failure", OAuth2, Server, Temporary, Reason::ServiceUnavailable, None),
        (FinalDot, "430 4.2.0 STOREDRV; mailbox logon failure", OAuth2, Server, Temporary, Reason::ServiceUnavailable, None),
        (Auth, "504 5.5.4 Unrecognized authentication type", Password, Server, UntilChanged, Reason::AuthNotOffered, None),
        (Auth, "501 5.5.2 Cannot decode", Password, Server, UntilChanged, Reason::AuthenticationFailed, None),
        // Sender.
        (FinalDot, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", OAuth2, Sender, Permanent, Reason::SendAsDenied, None),
        (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed", OAuth2, Sender, Permanent, Reason::SendAsDenied, None),
        (MailFrom, "553 5.7.1 <a@b>: Sender address rejected: not owned by user c", Password, Sender, Permanent, Reason::SendAsDenied, None),
        (FinalDot, "550 5.1.8 Access denied, bad outbound sender", OAuth2, Server, UntilChanged, Reason::SenderBlocked, hour),
        (RcptTo, "550 5.7.501 Access denied, spam abuse detected", OAuth2, Server, UntilChanged, Reason::SenderBlocked, hour),
        (RcptTo, "550 5.7.503 Access denied, banned sender", OAuth2, Server, UntilChanged, Reason::SenderBlocked, hour),
        (RcptTo, "550 5.7.705 Tenant has exceeded threshold", OAuth2, Server, UntilChanged, Reason::SenderBlocked, hour),
        (RcptTo, "550 5.7.708 Traffic not accepted from this IP", OAuth2, Server, UntilChanged, Reason::SenderBlocked, hour),
        (FinalDot, "550 5.2.251 blocked", OAuth2, Server, Temporary, Reason::ThrottledByErrors, hours),
        (FinalDot, "550 5.2.255 blocked", OAuth2, Server, Temporary, Reason::ThrottledByErrors, hours),
        (FinalDot, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed", OAuth2, Server, Temporary, Reason::QuotaExceeded, hours),
        (RcptTo, "550 5.1.90 Your message can't be sent because you've reached your daily limit", OAuth2, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "554 5.2.2 mailbox of sender is over its quota", OAuth2, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded", OAuth2, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients", OAuth2, Server, Temporary, Reason::QuotaExceeded, hours),
        (MailFrom, "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to", Password, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "550 5.4.5 Daily SMTP relay limit exceeded for user.", Password, Server, Temporary, Reason::QuotaExceeded, hours),
        (RcptTo, "550 5.7.1 Daily SMTP relay limit exceeded for customer.", LoginKind::None, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "454 Throttling failure: Daily message quota exceeded.", Password, Server, Temporary, Reason::QuotaExceeded, hours),
        (FinalDot, "454 Throttling failure: Maximum sending rate exceeded.", Password, Server, Temporary, Reason::Throttled, Some(Duration::from_secs(30))),
        (RcptTo, "552 5.2.2 <a@b> Quota exceeded (mailbox for user is full)", Password, Recipient, Permanent, Reason::RecipientRefused, None),
        // Recipients.
        (RcptTo, "450 4.7.1 <a@b>: Recipient address rejected: Greylisted", NoLogin, Recipient, Temporary, Reason::Greylisted, minutes(5)),
        (RcptTo, "451 4.7.1 Greylisting in action", NoLogin, Recipient, Temporary, Reason::Greylisted, minutes(5)),
        (RcptTo, "452 4.5.3 Too many recipients", NoLogin, Recipient, Temporary, Reason::RecipientDeferred, None),
        (RcptTo, "450 4.2.1 mailbox busy", NoLogin, Recipient, Temporary, Reason::RecipientDeferred, None),
        (RcptTo, "550 5.1.1 User unknown", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.4.1 Recipient address rejected: Access denied", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.7.124 Sender not in allowed-senders list", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.7.133 Sender not authenticated for group", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.7.134 Sender was not authenticated for mailbox", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "550 5.7.136 Sender was not authenticated", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "554 5.7.1 Relay access denied", NoLogin, Recipient, Permanent, Reason::RecipientRefused, None),
        (RcptTo, "552 5.3.4 too big", NoLogin, Message, Permanent, Reason::MessageTooLarge, None),
        // Messages.
        (MailFrom, "552 5.3.4 Message size exceeds fixed limit", NoLogin, Message, Permanent, Reason::MessageTooLarge, None),
        (FinalDot, "552 too large", NoLogin, Message, Permanent, Reason::MessageTooLarge, None),
        (FinalDot, "554 5.3.4 too large", NoLogin, Message, Permanent, Reason::MessageTooLarge, None),
        (MailFrom, "501 5.1.7 Bad sender address syntax", NoLogin, Sender, Permanent, Reason::SendAsDenied, None),
        (MailFrom, "550 5.5.0 no", NoLogin, Message, Permanent, Reason::MessageRefused, None),
        (Data, "554 5.5.1 No valid recipients", NoLogin, Message, Permanent, Reason::MessageRefused, None),
        (FinalDot, "554 5.7.1 Spam message rejected", NoLogin, Message, Permanent, Reason::MessageRefused, None),
        (FinalDot, "451 4.3.0 Mail server temporarily rejected message", NoLogin, Message, Temporary, Reason::MessageDeferred, None),
        (FinalDot, "451 4.7.1 Greylisted", NoLogin, Message, Temporary, Reason::Greylisted, minutes(5)),
        (MailFrom, "451 4.3.0 later", NoLogin, Message, Temporary, Reason::MessageDeferred, None),
        // Before any mail.
        (Greeting, "554 5.7.1 No SMTP service for you", NoLogin, Server, Temporary, Reason::ServiceUnavailable, None),
        (Ehlo, "550 go away", NoLogin, Server, Temporary, Reason::ServiceUnavailable, None),
        (StartTls, "454 TLS not available", NoLogin, Server, Temporary, Reason::ServiceUnavailable, None),
        (StartTls, "502 no", NoLogin, Server, Temporary, Reason::StartTLSNotOffered, None),
        (Reset, "500 what", NoLogin, Server, Temporary, Reason::ServiceUnavailable, None),
        (Data, "250 no", NoLogin, Server, Temporary, Reason::ProtocolViolation, None),
        (MailFrom, "354 no", NoLogin, Server, Temporary, Reason::ProtocolViolation, None),
    ] {
        let failure = classify(phase, &reply(line), login);
        assert_eq!(
            (failure.scope, failure.permanence, failure.reason, failure.retry_after),
            (scope, permanence, reason, retry_after),
            "{phase:?} {line}"
        );
        assert_eq!(failure.phase, phase);
        assert_eq!(failure.reply.as_ref(), Some(&reply(line)));
    }
}

#[test]
fn messages_name_the_way_out() {
    for (phase, line, login, words) in [
        (Phase::Auth, "535 5.7.3 x", LoginKind::OAuth2, &["refuses the token", "535 5.7.3"][..]),
        (Phase::Auth, "535 5.7.8 x", LoginKind::Password, &["correct the Secret"]),
        (Phase::MailFrom, "530 5.7.0 x", LoginKind::None, &["set auth"]),
        (Phase::MailFrom, "530 5.7.0 STARTTLS first", LoginKind::None, &["tls.mode"]),
        (
            Phase::Auth,
            "535 5.7.139 basic authentication is disabled",
            LoginKind::Password,
            &["auth.exchangeOnline"],
        ),
        (
            Phase::Auth,
            "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant",
            LoginKind::OAuth2,
            &["tenant", "Set-TransportConfig"],
        ),
        (
            Phase::Auth,
            "535 5.7.139 SmtpClientAuthentication is disabled for the Mailbox",
            LoginKind::OAuth2,
            &["this mailbox", "Set-CASMailbox"],
        ),
        (Phase::FinalDot, "550 5.7.60 x", LoginKind::OAuth2, &["Add-RecipientPermission"]),
        (
            Phase::RcptTo,
            "550 5.1.1 No such user",
            LoginKind::None,
            &["550 5.1.1 No such user", "check the address"],
        ),
    ] {
        let detail = classify(phase, &reply(line), login).detail;
        assert!(words.iter().all(|word| detail.contains(word)), "{line}: {detail}");
    }
}

#[test]
fn nothing_is_quoted_before_login_is_done() {
    for phase in [Phase::Greeting, Phase::Ehlo, Phase::StartTls, Phase::Tls, Phase::Auth] {
        for line in [
            "421 canary",
            "454 4.7.0 canary",
            "550 5.7.1 canary sender",
            "535 5.7.139 canary",
            "250 canary",
            "530 canary",
            "550 5.7.60 canary",
        ] {
            let detail = classify(phase, &reply(line), LoginKind::None).detail;
            assert!(!detail.contains("canary"), "{phase:?} {line}: {detail}");
        }
    }
}

#[test]
fn what_only_looks_temporary_hardens_at_the_third_time() {
    let maddy = || classify(Phase::Auth, &reply("454 4.7.0 Authentication failure"), LoginKind::Password);
    let exchange = || classify(Phase::FinalDot, &reply("430 4.2.0 logon failure"), LoginKind::OAuth2);
    let busy = || classify(Phase::MailFrom, &reply("451 4.3.0 busy"), LoginKind::OAuth2);
    let judge = |failure: Failure| (failure.permanence, failure.reason);
    for (failure, times, expected) in [
        (maddy(), 2, (Permanence::Temporary, Reason::ServiceUnavailable)),
        (maddy(), 3, (Permanence::UntilChanged, Reason::AuthenticationFailed)),
        (exchange(), 2, (Permanence::Temporary, Reason::ServiceUnavailable)),
        (exchange(), 3, (Permanence::UntilChanged, Reason::MailboxPermissionMissing)),
        (busy(), 9, (Permanence::Temporary, Reason::MessageDeferred)),
    ] {
        assert_eq!(judge(failure.repeated(times, LoginKind::Password)), expected);
    }
}

#[test]
fn sender_type_codes() {
    for (line, about_sender) in [
        ("553 5.7.1 <a@b>: Sender address rejected: not owned by user c", true),
        ("550 5.7.60 x", true),
        ("501 5.1.8 Domain not found", true),
        ("550 5.7.0 You are not allowed to use this sender address", true),
        ("554 5.7.1 <a@b>: Relay access denied", false),
        ("550 5.1.1 no such user, sender beware", false),
        ("450 4.7.1 sender unknown, greylisted", false),
    ] {
        assert_eq!(seems_about_sender(&reply(line)), about_sender, "{line}");
    }
    assert_eq!(refused_for_sender(&reply("553 5.7.1 x")).scope, Scope::Sender);
}
