//! The three dimensions of the table: where in a session, what the server does there, and how TLS is used.

use mail_operator::smtp::TlsMode;
use mail_operator_testbed::scripted_smtp::{Fault as Scripted, Step};
use std::time::Duration;

/// How TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    StartTls,
    Implicit,
    Disabled,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::StartTls, Self::Implicit, Self::Disabled];

    pub const fn tls(self) -> TlsMode {
        match self {
            Self::StartTls => TlsMode::StartTls,
            Self::Implicit => TlsMode::Implicit,
            Self::Disabled => TlsMode::Disabled,
        }
    }
}

/// Where the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Greeting,
    /// The first EHLO, with STARTTLS the one before it.
    Hello,
    StartTls,
    Handshake,
    /// EHLO behind STARTTLS.
    SecondHello,
    /// AUTH PLAIN with the password in it.
    AuthPlain,
    /// AUTH PLAIN alone; an empty challenge is due.
    AuthPlainAlone,
    /// The password after that challenge.
    PlainResponse,
    /// AUTH LOGIN; the challenge for the user name is due.
    AuthLogin,
    LoginUser,
    LoginPassword,
    /// AUTH SCRAM-SHA-256 with our nonce in it; the server's is due.
    ScramFirst,
    /// Our proof that we know the password; the server's is due.
    ScramProof,
    /// The empty line after that.
    ScramEnd,
    /// The empty line that answers XOAUTH2's error challenge; 535 is due.
    TokenError,
    Mail,
    /// The first of two RCPT.
    Recipient,
    Data,
    /// A message that fits into the network's buffers, so that it has left as a whole.
    Body,
    /// One that does not.
    LongBody,
    Dot,
    /// The same at a server that keeps the message whatever it says or does not say.
    DotTaken,
    /// RSET before the next message, after every recipient of one was refused.
    Reset,
    Quit,
}

impl Place {
    pub const ALL: [Self; 24] = [
        Self::Greeting,
        Self::Hello,
        Self::StartTls,
        Self::Handshake,
        Self::SecondHello,
        Self::AuthPlain,
        Self::AuthPlainAlone,
        Self::PlainResponse,
        Self::AuthLogin,
        Self::LoginUser,
        Self::LoginPassword,
        Self::ScramFirst,
        Self::ScramProof,
        Self::ScramEnd,
        Self::TokenError,
        Self::Mail,
        Self::Recipient,
        Self::Data,
        Self::Body,
        Self::LongBody,
        Self::Dot,
        Self::DotTaken,
        Self::Reset,
        Self::Quit,
    ];

    /// The server's name for it, and at which time it is reached there.
    pub const fn step(self) -> (Step, usize) {
        match self {
            Self::Greeting => (Step::Greeting, 1),
            Self::Hello => (Step::Ehlo, 1),
            Self::StartTls => (Step::StartTls, 1),
            Self::Handshake => (Step::Tls, 1),
            Self::SecondHello => (Step::EhloAfterTls, 1),
            Self::AuthPlain | Self::AuthPlainAlone | Self::AuthLogin | Self::ScramFirst => (Step::Auth, 1),
            // With XOAUTH2 the token itself goes with AUTH.
            Self::PlainResponse | Self::LoginUser | Self::ScramProof | Self::TokenError => {
                (Step::AuthResponse, 1)
            }
            Self::LoginPassword | Self::ScramEnd => (Step::AuthResponse, 2),
            Self::Mail => (Step::Mail, 1),
            Self::Recipient => (Step::Rcpt, 1),
            Self::Data => (Step::Data, 1),
            Self::Body | Self::LongBody => (Step::Body, 1),
            Self::Dot | Self::DotTaken => (Step::Dot, 1),
            Self::Reset => (Step::Reset, 1),
            Self::Quit => (Step::Quit, 1),
        }
    }

    /// The login is done at one of these.
    pub fn is_login(self) -> bool {
        (Self::AuthPlain..=Self::TokenError).contains(&self)
    }

    /// The proper answer to what would be said next, if anything: given too early it must not count.
    const fn next_answer(self) -> Option<&'static str> {
        match self {
            Self::Greeting => Some("250 scripted.test"),
            Self::Hello => Some("220 2.0.0 Ready"),
            Self::StartTls => Some("250-scripted.test\r\n250 AUTH PLAIN"),
            Self::SecondHello
            | Self::AuthPlainAlone
            | Self::PlainResponse
            | Self::LoginUser
            | Self::ScramProof => Some("235 2.7.0 Welcome"),
            Self::AuthLogin | Self::ScramFirst => Some("334 UGFzc3dvcmQ6"),
            Self::AuthPlain
            | Self::LoginPassword
            | Self::ScramEnd
            | Self::Dot
            | Self::DotTaken
            | Self::Reset => Some("250 2.1.0 Sender ok"),
            Self::Mail => Some("250 2.1.5 Recipient ok"),
            Self::Recipient => Some("354 Go ahead"),
            Self::Data => Some("250 2.0.0 Taken"),
            Self::Handshake | Self::TokenError | Self::Body | Self::LongBody | Self::Quit => None,
        }
    }
}

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Says this instead.
    Reply(&'static str),
    HangUp,
    ResetConnection,
    /// Half an answer, then the end.
    Torn,
    Stall,
    /// A byte at a time.
    Trickle,
    Garbage,
    EmptyLine,
    /// A code that RFC 5321 does not know.
    NoSuchCode,
    TlsAlert,
    LongLine,
    MixedCodes,
    Endless,
    Doubled,
    /// The next step's answer, too.
    Early,
    UnknownIssuer,
    Expired,
    WrongName,
}

pub const LATER: Fault = Fault::Reply("451 4.3.0 Not now");
pub const NO: Fault = Fault::Reply("554 5.0.0 No");
pub const CLOSING: Fault = Fault::Reply("421 4.3.2 Closing");
pub const CONNECTIONS: Fault = Fault::Reply("432 4.3.2 Concurrent connections limit exceeded");
pub const BUSY: Fault = Fault::Reply("451 4.7.500 Server busy");
/// A success that no step has.
pub const ODD: Fault = Fault::Reply("299 2.0.0 Odd");
pub const AUTH_UNAVAILABLE: Fault = Fault::Reply("454 4.7.0 Temporary authentication failure");
pub const WRONG_PASSWORD: Fault = Fault::Reply("535 5.7.8 Authentication credentials invalid");
pub const NO_PASSWORDS: Fault =
    Fault::Reply("535 5.7.139 Authentication unsuccessful, basic authentication is disabled");
pub const NO_SUCH_MECHANISM: Fault = Fault::Reply("504 5.5.4 Unrecognized authentication type");
/// Instead of the proof that the server knows the password, too.
pub const UNPROVEN: Fault = Fault::Reply("235 2.7.0 Welcome");
pub const NO_LOGIN: Fault = Fault::Reply("530 5.7.57 Client not authenticated to send mail");
pub const GREYLISTED: Fault = Fault::Reply("450 4.7.1 Greylisted");
pub const NO_USER: Fault = Fault::Reply("550 5.1.1 No such user");
pub const ENOUGH: Fault = Fault::Reply("452 4.5.3 Too many messages");
pub const TOO_LARGE: Fault = Fault::Reply("552 5.3.4 Message too large");
pub const SEND_AS: Fault = Fault::Reply("550 5.7.60 Client does not have permissions to send as this sender");
pub const BLOCKED: Fault = Fault::Reply("550 5.7.708 Traffic not accepted from this IP");
pub const ERRORS: Fault = Fault::Reply("550 5.2.251 Blocked");
pub const QUOTA: Fault = Fault::Reply("554 5.2.0 SubmissionQuotaExceededException");

impl Fault {
    pub const ALL: [Self; 37] = [
        LATER,
        NO,
        CLOSING,
        CONNECTIONS,
        BUSY,
        AUTH_UNAVAILABLE,
        WRONG_PASSWORD,
        NO_PASSWORDS,
        NO_SUCH_MECHANISM,
        UNPROVEN,
        NO_LOGIN,
        GREYLISTED,
        NO_USER,
        ENOUGH,
        TOO_LARGE,
        SEND_AS,
        BLOCKED,
        ERRORS,
        QUOTA,
        Self::HangUp,
        Self::ResetConnection,
        Self::Torn,
        Self::Stall,
        Self::Trickle,
        ODD,
        Self::NoSuchCode,
        Self::MixedCodes,
        Self::Garbage,
        Self::EmptyLine,
        Self::TlsAlert,
        Self::LongLine,
        Self::Endless,
        Self::Doubled,
        Self::Early,
        Self::UnknownIssuer,
        Self::Expired,
        Self::WrongName,
    ];

    /// As a script for the server; `pause` is what lies between two bytes of a slow answer. `None` for
    /// what is no answer but a certificate, or a hold.
    pub fn script(self, place: Place, pause: Duration) -> Option<Scripted> {
        Some(match self {
            Self::Stall if place == Place::LongBody => return None,
            Self::UnknownIssuer | Self::Expired | Self::WrongName => return None,
            Self::Reply(line) => Scripted::reply(line),
            Self::HangUp => Scripted::Eof,
            Self::ResetConnection => Scripted::Rst,
            Self::Torn => Scripted::Torn,
            Self::Stall => Scripted::Stall,
            Self::Trickle => Scripted::Trickle(pause),
            Self::Garbage => Scripted::Garbage,
            Self::EmptyLine => Scripted::reply(""),
            Self::NoSuchCode => Scripted::reply("650 2.0.0 Odd"),
            // handshake_failure
            Self::TlsAlert => Scripted::Bytes(vec![0x15, 3, 3, 0, 2, 2, 40]),
            Self::LongLine => Scripted::LongLine(10 << 20),
            Self::MixedCodes => Scripted::MixedCodes,
            Self::Endless => Scripted::EndlessReply(usize::MAX),
            Self::Doubled => Scripted::Doubled,
            Self::Early => Scripted::Followed(format!("{}\r\n", place.next_answer()?).into_bytes()),
        })
    }

    /// Whether it can happen where no next step has an answer.
    pub fn has_script(self, place: Place) -> bool {
        self != Self::Early || place.next_answer().is_some()
    }
}
