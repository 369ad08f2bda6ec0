//! What went wrong between us and a mail server, and what that means: whose mail is concerned
//! (scope), whether trying again can help (permanence), the reason shown in a condition, and a
//! sentence an administrator can act on. [`classify`] judges replies; the constructors here judge
//! everything that is not a reply. Nothing in this module quotes a server before login is done.

mod classify;
mod reply;
mod tls;

pub use classify::{LoginKind, classify, refused_for_sender, seems_about_sender};
pub use reply::{EnhancedCode, Reply};
pub use tls::{Peer, tls_problem};

use crate::api::Reason;
use crate::domain::egress;
use std::net::SocketAddr;
use std::time::Duration;

/// The step of a session at which something happened. Closed, so that it can label metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the steps of RFC 5321")]
pub enum Phase {
    Resolve,
    Connect,
    Greeting,
    Ehlo,
    StartTls,
    Tls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    Body,
    FinalDot,
    Reset,
}

impl Phase {
    /// All phases, in the order of a session.
    pub const ALL: [Self; 13] = [
        Self::Resolve,
        Self::Connect,
        Self::Greeting,
        Self::Ehlo,
        Self::StartTls,
        Self::Tls,
        Self::Auth,
        Self::MailFrom,
        Self::RcptTo,
        Self::Data,
        Self::Body,
        Self::FinalDot,
        Self::Reset,
    ];

    /// The label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::MailFrom => "mail_from",
            Self::RcptTo => "rcpt_to",
            Self::Data => "data",
            Self::Body => "body",
            Self::FinalDot => "final_dot",
            Self::Reset => "reset",
        }
    }

    /// The step as it reads inside a sentence: "while waiting for …".
    const fn in_words(self) -> &'static str {
        match self {
            Self::Resolve => "the name's addresses",
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Ehlo => "the answer to EHLO",
            Self::StartTls => "the answer to STARTTLS",
            Self::Tls => "the TLS handshake",
            Self::Auth => "the answer to the login",
            Self::MailFrom => "the answer to MAIL",
            Self::RcptTo => "the answer to RCPT",
            Self::Data => "the answer to DATA",
            Self::Body => "the message to be taken",
            Self::FinalDot => "the answer to the message",
            Self::Reset => "the answer to RSET",
        }
    }

    /// Whether TLS and login are done, so that the server's own words may be shown.
    const fn may_quote(self) -> bool {
        matches!(self, Self::MailFrom | Self::RcptTo | Self::Data | Self::Body | Self::FinalDot | Self::Reset)
    }
}

/// Whose mail is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nobody's mail can go: hold the server's queue and touch no Notification.
    Server,
    /// Mail from this From address.
    Sender,
    /// This message, whoever it is for.
    Message,
    /// This recipient; the others may be fine.
    Recipient,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permanence {
    /// Yes, by itself.
    Temporary,
    /// Only after the config or its Secret changes; until then a try in a quarter of an hour at most.
    UntilChanged,
    /// Never; Exchange Online blocks mailboxes that repeat permanent errors.
    Permanent,
}

/// A failure, judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// Whose mail is concerned.
    pub scope: Scope,
    /// Whether trying again can help.
    pub permanence: Permanence,
    /// The word for the condition.
    pub reason: Reason,
    /// Where it happened.
    pub phase: Phase,
    /// The server's answer, if it was one.
    pub reply: Option<Reply>,
    /// A sentence for an administrator, free of addresses and secrets.
    pub detail: String,
    /// Not before this has passed; absent where the usual schedule is right.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that is not a reply; see the constructors below for the usual ones.
    pub fn new(
        scope: Scope,
        permanence: Permanence,
        reason: Reason,
        phase: Phase,
        detail: impl Into<String>,
    ) -> Self {
        Self { scope, permanence, reason, phase, reply: None, detail: detail.into(), retry_after: None }
    }

    fn server(reason: Reason, phase: Phase, detail: impl Into<String>) -> Self {
        Self::new(Scope::Server, Permanence::Temporary, reason, phase, detail)
    }

    fn held(reason: Reason, phase: Phase, detail: impl Into<String>) -> Self {
        Self::new(Scope::Server, Permanence::UntilChanged, reason, phase, detail)
    }

    /// The same with the reply that led to it.
    #[must_use]
    pub fn with_reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }

    /// The same, to be tried again no earlier than `delay` from now.
    #[must_use]
    pub fn not_before(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Whether the session simply ended: on one that has sent mail before, a new session is opened
    /// at once and this counts as no attempt.
    pub const fn is_end_of_session(&self) -> bool {
        matches!(self.reason, Reason::ConnectionClosed)
    }

    /// DNS says there is no such name.
    pub fn name_not_found(host: &str) -> Self {
        Self::server(
            Reason::NameNotFound,
            Phase::Resolve,
            format!("DNS knows no address of {host}; check the host name"),
        )
    }

    /// DNS did not answer, or said to come back later.
    pub fn name_server_unavailable(host: &str) -> Self {
        Self::server(
            Reason::NameServerUnavailable,
            Phase::Resolve,
            format!("DNS did not answer for {host}; check the cluster's DNS"),
        )
    }

    /// No address of the host may be connected to.
    pub fn egress_denied(refusal: &egress::Refusal) -> Self {
        Self::held(Reason::EgressDenied, Phase::Resolve, refusal.to_string())
    }

    /// Nothing listens there.
    pub fn connection_refused(address: SocketAddr) -> Self {
        Self::server(
            Reason::ConnectionRefused,
            Phase::Connect,
            format!("nothing accepts connections at {address}; check the port, and whether the server runs"),
        )
    }

    /// No answer to the attempt to connect.
    pub fn connect_timeout(address: SocketAddr, after: Duration) -> Self {
        Self::server(
            Reason::ConnectTimeout,
            Phase::Connect,
            format!(
                "no answer from {address} within {}; check firewalls and network policies for outgoing connections",
                seconds(after)
            ),
        )
    }

    /// The network says there is no way.
    pub fn unreachable(address: SocketAddr, error: &std::io::Error) -> Self {
        Self::server(
            Reason::HostUnreachable,
            Phase::Connect,
            format!("{address} cannot be reached ({error}); check routes, firewalls and network policies"),
        )
    }

    /// The connection ended while an answer was due.
    pub fn closed(phase: Phase) -> Self {
        Self::server(
            Reason::ConnectionClosed,
            phase,
            format!("the server closed the connection while we waited for {}", phase.in_words()),
        )
    }

    /// No answer in time.
    pub fn reply_timeout(phase: Phase, after: Duration) -> Self {
        let hint = match phase {
            Phase::Greeting => "; if it expects TLS from the first byte, set tls.mode to Implicit",
            _ => "",
        };
        Self::server(
            Reason::ReplyTimeout,
            phase,
            format!("waited {} for {} in vain{hint}", seconds(after), phase.in_words()),
        )
    }

    /// What came is not SMTP; `what` completes "the server's answer …".
    pub fn protocol_violation(phase: Phase, what: &str) -> Self {
        Self::server(
            Reason::ProtocolViolation,
            phase,
            format!("while we waited for {}: {what}; is this a mail server's port?", phase.in_words()),
        )
    }

    /// An answer was there before its question: which answer belongs to what is no longer known.
    pub fn early_answer(phase: Phase) -> Self {
        Self::server(
            Reason::ProtocolViolation,
            phase,
            "the server gave an answer before it was asked, or one answer twice, so that none can be relied on",
        )
    }

    /// STARTTLS is required by the config and not offered. Never a reason to go on without.
    pub fn starttls_not_offered() -> Self {
        Self::server(
            Reason::StartTLSNotOffered,
            Phase::StartTls,
            "the server does not offer STARTTLS on this port; use its submission port (usually 587), or \
             tls.mode Implicit with port 465; if it did offer STARTTLS before, something on the way removes it",
        )
    }

    /// A TLS handshake was answered with something else.
    pub fn not_tls() -> Self {
        Self::tls(Reason::NotTLS, tls::NOT_TLS)
    }

    /// A greeting was expected and TLS came.
    pub fn tls_on_connect() -> Self {
        Self::server(
            Reason::TLSOnConnect,
            Phase::Greeting,
            "the server expects TLS from the first byte on this port; set tls.mode to Implicit, or use its \
             STARTTLS port (usually 587)",
        )
    }

    /// The handshake failed for `reason`, which is one of the TLS and certificate reasons.
    pub fn tls(reason: Reason, detail: impl Into<String>) -> Self {
        Self::server(reason, Phase::Tls, detail)
    }

    /// The server offers no mechanism that fits the credentials.
    pub fn auth_not_offered(wanted: &str, offered: &[String]) -> Self {
        let offers = if offered.is_empty() {
            "no login at all".to_owned()
        } else {
            format!("only {}", offered.join(", "))
        };
        Self::held(
            Reason::AuthNotOffered,
            Phase::Auth,
            format!(
                "the server offers {offers}, and we need {wanted}; check the port, whether login is switched \
                 on there, and whether it wants TLS first"
            ),
        )
    }

    /// A password or token would have to travel unencrypted and nobody permitted that.
    pub fn plaintext_not_allowed() -> Self {
        Self::held(
            Reason::PlaintextNotAllowed,
            Phase::Auth,
            "the login would travel unencrypted; set tls.mode to StartTLS or Implicit, or, for a password \
             only, annotate its Secret with mail-operator.dev/allow-plaintext=true",
        )
    }

    /// The credentials cannot be sent, for example because of a NUL in the user name.
    pub fn unusable_credentials() -> Self {
        Self::held(
            Reason::AuthenticationFailed,
            Phase::Auth,
            "user name, password or token is empty or holds a NUL character; correct the Secret",
        )
    }

    /// The message is larger than what the server announced with SIZE (RFC 1870).
    pub fn message_too_large(size: u64, limit: u64) -> Self {
        Self::new(
            Scope::Message,
            Permanence::Permanent,
            Reason::MessageTooLarge,
            Phase::MailFrom,
            format!("the message has {size} bytes and the server takes {limit} at most; make it smaller"),
        )
    }

    /// An address needs SMTPUTF8 (RFC 6531), which the server lacks.
    pub fn smtputf8_not_offered() -> Self {
        Self::new(
            Scope::Message,
            Permanence::Permanent,
            Reason::SMTPUTF8NotOffered,
            Phase::MailFrom,
            "an address has non-ASCII characters before the @ and the server does not offer SMTPUTF8",
        )
    }

    /// The message or its envelope must not be sent as it is: a bug in whoever built it.
    pub fn invalid_message(phase: Phase, what: &str) -> Self {
        Self::new(Scope::Message, Permanence::Permanent, Reason::InvalidMessage, phase, what)
    }

    /// Hardens a failure that only looks temporary, when it is the `times`th of its kind in a row:
    /// maddy answers 454 4.7.0 to a wrong password, and Exchange Online 430 4.2.0 to a missing
    /// mailbox permission.
    #[must_use]
    pub fn repeated(mut self, times: u32, login: LoginKind) -> Self {
        let Some(reply) = self.reply.as_ref().filter(|_| times >= 3) else { return self };
        let harder = match (self.phase, reply.code) {
            (Phase::Auth, 454) => Some((Reason::AuthenticationFailed, classify::login_advice(login))),
            (_, 430) => Some((Reason::MailboxPermissionMissing, classify::MAILBOX_ADVICE)),
            _ => None,
        };
        if let Some((reason, advice)) = harder {
            let code = reply.code_and_enhanced();
            self.detail = format!("the server answered {code} {times} times in a row: {advice}");
            self.reason = reason;
            self.permanence = Permanence::UntilChanged;
            self.retry_after = None;
        }
        self
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
