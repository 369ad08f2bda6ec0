//! What is expected, written down: from RFC 5321 (only a reply to the final dot tells), RFC 3207, RFC 3463
//! and from what the operator promises about replies. Nothing here asks the code under test.

use super::cells::{
    AUTH_UNAVAILABLE, BLOCKED, BUSY, CLOSING, CONNECTIONS, ENOUGH, ERRORS, Fault, GREYLISTED, LATER, Mode,
    NO, NO_LOGIN, NO_PASSWORDS, NO_SUCH_MECHANISM, NO_USER, ODD, Place, QUOTA, SEND_AS, TOO_LARGE, UNPROVEN,
    WRONG_PASSWORD,
};
use mail_operator::api::Reason;
use mail_operator::domain::failure::{Permanence, Scope};

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mail {
    /// Nobody gets it, for certain.
    NotAccepted,
    /// The refused recipient does not get it, the other one does.
    AcceptedForOthers,
    /// The server may have it.
    InDoubt,
    Accepted,
}

/// One cell's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Absent where nothing failed.
    pub failure: Option<(Scope, Permanence, Reason)>,
    /// Whether the session sends the next message.
    pub session_lives: bool,
    pub mail: Mail,
}

/// Whether there can be such a cell.
pub fn possible(place: Place, fault: Fault, mode: Mode) -> bool {
    use Fault as F;
    use Place as P;
    let in_mode = match place {
        P::StartTls | P::SecondHello => mode == Mode::StartTls,
        // A token never travels in the clear.
        P::Handshake | P::TokenError => mode != Mode::Disabled,
        _ => true,
    };
    let is_transaction = matches!(place, P::Mail | P::Recipient | P::Data | P::Dot);
    let here = match fault {
        F::UnknownIssuer | F::Expired | F::WrongName => place == P::Handshake,
        // Neither the handshake nor the message has an answer of its own that could be spoilt.
        F::Torn | F::Trickle | F::Doubled => !matches!(place, P::Handshake | P::Body | P::LongBody),
        F::Early => fault.has_script(place),
        AUTH_UNAVAILABLE | WRONG_PASSWORD | NO_PASSWORDS | NO_SUCH_MECHANISM => place.is_login(),
        UNPROVEN => matches!(place, P::ScramFirst | P::ScramProof),
        ENOUGH => place == P::Mail,
        NO_USER => place == P::Recipient,
        NO_LOGIN | GREYLISTED | TOO_LARGE | SEND_AS | BLOCKED | ERRORS | QUOTA => is_transaction,
        _ => true,
    };
    let is_refusal = matches!(fault, F::Reply(line) if line.starts_with(['4', '5']));
    let makes_sense = match place {
        // While most of it is still on our side, only the end of the connection or of its reading counts.
        P::LongBody => matches!(fault, F::HangUp | F::ResetConnection | F::Stall),
        // A server that refuses what it keeps lies; nobody could know.
        P::DotTaken => !is_refusal,
        _ => true,
    };
    in_mode && here && makes_sense
}

/// The outcome of a possible cell.
#[expect(clippy::match_same_arms, reason = "a rule each, in the order in which they count")]
pub fn expected(place: Place, fault: Fault, mode: Mode) -> Expected {
    use Fault as F;
    use Permanence::{Permanent, Temporary, UntilChanged};
    use Place as P;
    use Scope::{Message, Recipient, Sender, Server};

    // Goodbyes matter to nobody, and a doubled answer to the message is one. What lies behind it in the
    // input would be taken for the answer to the next command, so the session ends.
    let after_message = matches!(place, P::Dot | P::DotTaken) && matches!(fault, F::Doubled | F::Early);
    if place == P::Quit || after_message {
        return Expected { failure: None, session_lives: false, mail: Mail::Accepted };
    }
    let (scope, permanence, reason) = match (place, fault) {
        // Certificates and TLS.
        (_, F::UnknownIssuer) => (Server, Temporary, Reason::CertificateUnknownIssuer),
        (_, F::Expired) => (Server, Temporary, Reason::CertificateExpired),
        (_, F::WrongName) => (Server, Temporary, Reason::CertificateNameMismatch),
        (P::Handshake, F::TlsAlert) => (Server, Temporary, Reason::TLSHandshakeFailed),
        (P::Greeting, F::TlsAlert) if mode != Mode::Implicit => (Server, Temporary, Reason::TLSOnConnect),

        // The connection ends, or nothing comes.
        (_, F::HangUp | F::ResetConnection | F::Torn) => (Server, Temporary, Reason::ConnectionClosed),
        (_, F::Stall | F::Trickle) => (Server, Temporary, Reason::ReplyTimeout),

        // Whatever else comes in the handshake is no TLS.
        (P::Handshake, _) => (Server, Temporary, Reason::NotTLS),

        // The token was refused; nothing that comes behind that refusal makes it better.
        (P::TokenError, F::Doubled) => (Server, UntilChanged, Reason::AuthenticationFailed),

        // What is no SMTP, or not the answer to what was said.
        (
            _,
            F::Garbage
            | F::EmptyLine
            | F::NoSuchCode
            | F::TlsAlert
            | F::LongLine
            | F::MixedCodes
            | F::Endless
            | F::Doubled
            | F::Early
            | ODD
            | UNPROVEN,
        ) => (Server, Temporary, Reason::ProtocolViolation),

        // The service asks for less, wherever it says so.
        (_, CLOSING | CONNECTIONS | BUSY) => (Server, Temporary, Reason::Throttled),
        (_, ERRORS) => (Server, Temporary, Reason::ThrottledByErrors),
        (_, QUOTA) => (Server, Temporary, Reason::QuotaExceeded),
        (_, BLOCKED) => (Server, UntilChanged, Reason::SenderBlocked),
        (_, NO_LOGIN) => (Server, UntilChanged, Reason::AuthenticationFailed),
        (_, ENOUGH) => (Server, Temporary, Reason::ConnectionClosed),

        // The login.
        (_, AUTH_UNAVAILABLE) => (Server, Temporary, Reason::ServiceUnavailable),
        (_, WRONG_PASSWORD) => (Server, UntilChanged, Reason::AuthenticationFailed),
        (_, NO_PASSWORDS) => (Server, UntilChanged, Reason::BasicAuthDisabled),
        (_, NO_SUCH_MECHANISM) => (Server, UntilChanged, Reason::AuthNotOffered),
        (_, NO) if place.is_login() => (Server, UntilChanged, Reason::AuthenticationFailed),

        // Before mail.
        (P::StartTls, NO) => (Server, Temporary, Reason::StartTLSNotOffered),
        (P::Greeting | P::Hello | P::StartTls | P::SecondHello | P::Reset, LATER | NO) => {
            (Server, Temporary, Reason::ServiceUnavailable)
        }
        (_, LATER) if place.is_login() => (Server, Temporary, Reason::ServiceUnavailable),

        // Mail.
        (_, SEND_AS) => (Sender, Permanent, Reason::SendAsDenied),
        (_, TOO_LARGE) => (Message, Permanent, Reason::MessageTooLarge),
        (P::Recipient, GREYLISTED) => (Recipient, Temporary, Reason::Greylisted),
        (_, GREYLISTED) => (Message, Temporary, Reason::Greylisted),
        (P::Recipient, LATER) => (Recipient, Temporary, Reason::RecipientDeferred),
        (P::Recipient, NO | NO_USER) => (Recipient, Permanent, Reason::RecipientRefused),
        (_, LATER) => (Message, Temporary, Reason::MessageDeferred),
        (_, NO) => (Message, Permanent, Reason::MessageRefused),
        (place, fault) => panic!("no rule for {place:?} {fault:?}"),
    };
    let is_refusal = matches!(fault, F::Reply(line) if line.starts_with(['4', '5']));
    let in_transaction = matches!(place, P::Mail | P::Recipient | P::Data | P::Body | P::Dot);
    let session_lives = in_transaction && is_refusal && !matches!(fault, CLOSING | ENOUGH);
    // Only a reply tells what became of a message whose final dot has left.
    let dot_has_left = matches!(place, P::Body | P::Dot | P::DotTaken);
    let mail = match place {
        _ if dot_has_left && !is_refusal => Mail::InDoubt,
        P::Recipient if session_lives => Mail::AcceptedForOthers,
        _ => Mail::NotAccepted,
    };
    Expected { failure: Some((scope, permanence, reason)), session_lives, mail }
}
