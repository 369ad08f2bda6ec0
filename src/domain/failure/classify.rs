//! The table from reply to failure. The phase decides first, then code and enhanced code, and the
//! text only where a service says different things with one code. It must stay a pure table: what
//! is done about a failure is decided elsewhere.

use super::{EnhancedCode, Failure, Permanence, Phase, Reply, Scope};
use crate::api::Reason;
use std::time::Duration;

/// How this session logs in, which decides what advice helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginKind {
    /// It does not.
    None,
    /// User name and password.
    Password,
    /// A token.
    OAuth2,
    /// The client certificate of the TLS connection.
    Certificate,
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What a `reply` other than the one hoped for means at this `phase`.
pub fn classify(phase: Phase, reply: &Reply, login: LoginKind) -> Failure {
    let case = Case { phase, reply, login, text: reply.text.to_ascii_lowercase() };
    case.throttled()
        .or_else(|| case.login())
        .or_else(|| case.sender())
        .unwrap_or_else(|| case.by_phase())
        .with_reply(reply.clone())
}

/// Whether a refusal of every recipient with this one `reply` is about the sender: Postfix and maddy
/// judge the From address only at RCPT.
pub fn seems_about_sender(reply: &Reply) -> bool {
    let text = reply.text.to_ascii_lowercase();
    let speaks_of_sender =
        ["sender", "send as", "sendas", "from address", "mail from", "not owned", "on behalf"]
            .iter()
            .any(|words| text.contains(words));
    match reply.enhanced {
        Some(EnhancedCode(5, 1, 7 | 8) | EnhancedCode(5, 7, 27 | 60)) => true,
        Some(EnhancedCode(5, 7, 0 | 1)) | None => reply.code / 100 == 5 && speaks_of_sender,
        Some(_) => reply.code == 553 && speaks_of_sender,
    }
}

/// The failure of a transaction whose every recipient was refused with such a `reply`.
pub fn refused_for_sender(reply: &Reply) -> Failure {
    Failure::new(
        Scope::Sender,
        Permanence::Permanent,
        Reason::SendAsDenied,
        Phase::RcptTo,
        format!("every recipient was refused because of the sender: {SEND_AS_ADVICE} (server: {reply})"),
    )
    .with_reply(reply.clone())
}

/// What to do about a refused login.
pub(super) const fn login_advice(login: LoginKind) -> &'static str {
    match login {
        LoginKind::OAuth2 => "the server refuses the token",
        LoginKind::Password => {
            "user name or password is wrong, or the account is locked; correct the Secret (some services need an \
             app password)"
        }
        LoginKind::Certificate => {
            "the server does not take the client certificate of tls.clientCertificateSecretRef for a login: register \
             it at the server, and compare auth.clientCertificate.username with the account it belongs to"
        }
        LoginKind::None => "the server wants a login: set auth",
    }
}

pub(super) const MAILBOX_ADVICE: &str = "the application may not open the mailbox: grant it with \
     Add-MailboxPermission -AccessRights FullAccess to the service principal of the enterprise application";

const SEND_AS_ADVICE: &str = "the login may not send as this From address; grant it (Exchange: \
     Add-RecipientPermission -AccessRights SendAs) or use the login's own address as the sender";

struct Case<'a> {
    phase: Phase,
    reply: &'a Reply,
    login: LoginKind,
    text: String,
}

impl Case<'_> {
    /// The service asks for less, whatever was the step.
    fn throttled(&self) -> Option<Failure> {
        let throttled = |reason, detail: &str, delay| {
            Some(self.fail(Scope::Server, Permanence::Temporary, reason, detail).not_before(delay))
        };
        match (self.reply.code, self.enhanced()) {
            (421, _) => throttled(
                Reason::Throttled,
                "the server is closing connections for now; fewer are opened, and soon again",
                MINUTE / 2,
            ),
            (432, _) => throttled(
                Reason::Throttled,
                "too many connections at once for this mailbox; lower limits.connections if others use it too",
                MINUTE / 2,
            ),
            (_, (4, 7, 500..=699 | 850..=899)) => throttled(
                Reason::Throttled,
                "the service limits our address or tenant for now; sending goes on more slowly",
                15 * MINUTE,
            ),
            (550, (5, 2, 251..=255)) => throttled(
                Reason::ThrottledByErrors,
                "the service has blocked the mailbox for hours because of too many failed messages; find out \
                 which recipients or From addresses keep failing",
                4 * HOUR,
            ),
            (454, _) if self.says("throttling failure") && !self.quota() => throttled(
                Reason::Throttled,
                "messages come faster than the service permits; lower limits.messagesPerMinute",
                MINUTE / 2,
            ),
            _ if self.quota() => throttled(
                Reason::QuotaExceeded,
                "the mailbox has used up its sending quota (often 24 hours' worth); wait, or raise the quota",
                4 * HOUR,
            ),
            _ => None,
        }
    }

    /// A full mailbox is the recipient's trouble (5.2.2 as well), a full sending quota is ours.
    fn quota(&self) -> bool {
        let of_sender =
            self.says("submissionquota") || self.says("submission quota") || self.says("sending quota");
        match self.enhanced() {
            (5, 2, 0) => of_sender,
            // Exchange Online: recipients of the mailbox; external recipients of the tenant.
            (5, 1, 90) | (5, 7, 232 | 233) => true,
            // After RCPT the full mailbox is the sender's own, which a copy is kept in.
            (5, 2, 2) => of_sender || self.phase != Phase::RcptTo && self.says("quota"),
            // Google: "Daily user sending limit exceeded", "Daily SMTP relay limit exceeded for customer".
            (5, 4, 5) => self.says("quota") || self.says("limit exceeded"),
            (5, 7, 1) => self.says("relay limit exceeded"),
            // Amazon SES: "Throttling failure: Daily message quota exceeded."
            _ => self.reply.code == 454 && self.says("message quota exceeded"),
        }
    }

    /// The login is refused or missing, at AUTH or at the first command that needs one.
    fn login(&self) -> Option<Failure> {
        let held =
            |reason, advice: &str| Some(self.fail(Scope::Server, Permanence::UntilChanged, reason, advice));
        match (self.reply.code, self.enhanced()) {
            (535, (5, 7, 139)) if self.says("basic authentication is disabled") => {
                held(Reason::BasicAuthDisabled, BASIC_AUTH_ADVICE)
            }
            (535, (5, 7, 139)) if self.says("smtpclientauthentication is disabled") => {
                held(Reason::SmtpAuthDisabled, self.smtp_auth_advice())
            }
            (535, (5, 7, 139)) if self.says("security defaults") || self.says("criteria") => held(
                Reason::BlockedByPolicy,
                "security defaults or a conditional access policy block the login; exclude the account, or use \
                 auth.exchangeOnline with OAuth2",
            ),
            (550, (5, 7, 30)) => held(Reason::BasicAuthDisabled, BASIC_AUTH_ADVICE),
            (430, (4, 2, 0)) => Some(self.fail(
                Scope::Server,
                Permanence::Temporary,
                Reason::ServiceUnavailable,
                "the service could not open the mailbox; if it stays so, the application lacks the right to",
            )),
            (534 | 535, _) | (530, (5, 7, 57)) => {
                held(Reason::AuthenticationFailed, login_advice(self.login))
            }
            (530, _) if self.says("starttls") => held(
                Reason::AuthenticationRequired,
                "the server wants encryption first; set tls.mode to StartTLS or Implicit",
            ),
            (530, _) if self.login == LoginKind::None => {
                held(Reason::AuthenticationRequired, login_advice(LoginKind::None))
            }
            (530, _) => held(Reason::AuthenticationFailed, login_advice(self.login)),
            _ => None,
        }
    }

    fn smtp_auth_advice(&self) -> &'static str {
        if self.says("for the mailbox") {
            "SMTP AUTH is switched off for this mailbox; switch it on with Set-CASMailbox \
             -SmtpClientAuthenticationDisabled $false"
        } else {
            "SMTP AUTH is switched off for the whole tenant; switch it on for this mailbox with Set-CASMailbox \
             -SmtpClientAuthenticationDisabled $false, or for all with Set-TransportConfig"
        }
    }

    /// The service objects to who sends.
    fn sender(&self) -> Option<Failure> {
        let denied =
            || Some(self.fail(Scope::Sender, Permanence::Permanent, Reason::SendAsDenied, SEND_AS_ADVICE));
        match (self.reply.code, self.enhanced()) {
            (550, (5, 1, 8) | (5, 7, 501..=503 | 705 | 708)) => Some(
                self.fail(
                    Scope::Server,
                    Permanence::UntilChanged,
                    Reason::SenderBlocked,
                    "the service has blocked this sender or tenant, often for suspected spam; lift it in the \
                     service's restricted entities page",
                )
                .not_before(HOUR),
            ),
            (_, (5, 7, 60)) => denied(),
            (554, (5, 2, 0)) if self.says("sendasdenied") => denied(),
            (500..=599, _) if self.phase == Phase::MailFrom && seems_about_sender(self.reply) => denied(),
            _ => None,
        }
    }

    fn by_phase(&self) -> Failure {
        use Permanence::{Permanent, Temporary, UntilChanged};
        use Scope::{Message, Server};
        let temporary = self.reply.code / 100 == 4;
        if !matches!(self.reply.code / 100, 4 | 5) {
            let what = format!("the answer {} is none the step can have", self.reply.code);
            return Failure::protocol_violation(self.phase, &what);
        }
        match self.phase {
            Phase::StartTls if !temporary => {
                self.fail(Server, Temporary, Reason::StartTLSNotOffered, "the server refuses STARTTLS")
            }
            Phase::Auth if temporary => self.fail(
                Server,
                Temporary,
                Reason::ServiceUnavailable,
                "the server cannot check logins for now; if it stays so, user name or password may be wrong",
            ),
            Phase::Auth if self.reply.code == 504 => self.fail(
                Server,
                UntilChanged,
                Reason::AuthNotOffered,
                "the server refuses the login mechanism although it offers it",
            ),
            Phase::Auth => {
                self.fail(Server, UntilChanged, Reason::AuthenticationFailed, login_advice(self.login))
            }
            Phase::RcptTo => self.at_rcpt(),
            Phase::MailFrom | Phase::Data | Phase::Body | Phase::FinalDot => {
                if self.is_greylisting() {
                    return self.greylisted(Message);
                }
                if self.is_too_large() {
                    return self.too_large();
                }
                if temporary {
                    let detail = "the server does not take the message for now; it is tried again";
                    self.fail(Message, Temporary, Reason::MessageDeferred, detail)
                } else {
                    self.fail(Message, Permanent, Reason::MessageRefused, "the server refuses the message")
                }
            }
            Phase::Resolve
            | Phase::Connect
            | Phase::Greeting
            | Phase::Ehlo
            | Phase::StartTls
            | Phase::Tls
            | Phase::Reset => self.fail(
                Server,
                Temporary,
                Reason::ServiceUnavailable,
                "the server does not serve us now; if it stays so, it may not permit our address",
            ),
        }
    }

    fn at_rcpt(&self) -> Failure {
        use Permanence::{Permanent, Temporary};
        if self.is_greylisting() {
            self.greylisted(Scope::Recipient)
        } else if self.enhanced() == (5, 3, 4) {
            self.too_large()
        } else if self.reply.code / 100 == 4 {
            let detail = "the server does not take mail for this recipient for now; it is tried again";
            self.fail(Scope::Recipient, Temporary, Reason::RecipientDeferred, detail)
        } else {
            let detail = "the server refuses this recipient; check the address";
            self.fail(Scope::Recipient, Permanent, Reason::RecipientRefused, detail)
        }
    }

    fn is_greylisting(&self) -> bool {
        matches!(self.reply.code, 450 | 451) && self.enhanced() == (4, 7, 1)
    }

    fn greylisted(&self, scope: Scope) -> Failure {
        let detail = "the server asks to come back later, as it does with senders it does not know yet";
        self.fail(scope, Permanence::Temporary, Reason::Greylisted, detail).not_before(5 * MINUTE)
    }

    /// 552 is also what a full mailbox is answered with (5.2.2), which no smaller message would help.
    fn is_too_large(&self) -> bool {
        match self.enhanced() {
            (5, 3, 4) | (5, 2, 3) => true,
            (5, 2, _) => false,
            _ => self.reply.code == 552,
        }
    }

    fn too_large(&self) -> Failure {
        let detail = "the message is larger than the server takes; make it smaller";
        self.fail(Scope::Message, Permanence::Permanent, Reason::MessageTooLarge, detail)
    }

    fn fail(&self, scope: Scope, permanence: Permanence, reason: Reason, detail: &str) -> Failure {
        let said =
            if self.phase.may_quote() { self.reply.to_string() } else { self.reply.code_and_enhanced() };
        Failure::new(scope, permanence, reason, self.phase, format!("{detail} (server: {said})"))
    }

    fn says(&self, lower_case: &str) -> bool {
        self.text.contains(lower_case)
    }

    /// The enhanced code, `(0, 0, 0)` where there is none.
    fn enhanced(&self) -> (u8, u16, u16) {
        self.reply.enhanced.map_or((0, 0, 0), |EnhancedCode(class, subject, detail)| (class, subject, detail))
    }
}

const BASIC_AUTH_ADVICE: &str = "the service accepts no passwords any more; use auth.exchangeOnline (OAuth2) instead \
     of auth.basic";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#[path = "classify_table.rs"]
mod tests;
