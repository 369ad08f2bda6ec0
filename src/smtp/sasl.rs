//! Logging in (RFC 4954): who we are, which SASL mechanism the server and the credentials have in
//! common, and what is tried when it refuses one. A credential never reaches an error, a log or a
//! panic: whatever is said with it, the wire's mask knows from then on.

mod exchange;
mod scram;

use super::wire::Wire;
use crate::api::Reason;
use crate::domain::failure::{Failure, LoginKind, Permanence, Phase, Scope};
use crate::domain::masking::Mask;
use crate::domain::secret::Secret;
use exchange::{Exchange, Refused};
use scram::Binding;
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroize;

/// Who we are to a mail server.
#[derive(Clone)]
pub enum Credentials {
    /// User name and password.
    Password {
        /// Often, but not always, an address.
        username: String,
        /// The password.
        password: Secret,
        /// One mechanism only; absent: the strongest one offered.
        mechanism: Option<PasswordMechanism>,
        /// The Secret's owner permits the password to travel unencrypted.
        allow_plaintext: bool,
    },
    /// User name and access token (OAuth 2.0).
    Token {
        /// The mailbox.
        username: String,
        /// The access token, without `Bearer`.
        token: Secret,
        /// One mechanism only; absent: XOAUTH2, else OAUTHBEARER.
        mechanism: Option<TokenMechanism>,
    },
    /// The client certificate of the TLS connection (SASL EXTERNAL).
    Certificate {
        /// The account to act for, where the certificate does not say it.
        username: Option<String>,
    },
}

/// Mechanisms for passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordMechanism {
    /// RFC 5802 and RFC 7677, bound to the TLS connection.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// Never standardised, and the only one of some servers.
    Login,
}

/// Mechanisms for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenMechanism {
    /// Google's and Microsoft's.
    XOAuth2,
    /// RFC 7628.
    OAuthBearer,
}

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "described at the credentials they belong to")]
pub enum Mechanism {
    ScramSha256Plus,
    ScramSha256,
    Plain,
    Login,
    XOAuth2,
    OAuthBearer,
    /// RFC 4422, appendix A.
    External,
}

impl Mechanism {
    /// The name as servers announce it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::External => "EXTERNAL",
        }
    }

    const fn is_scram(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha256)
    }
}

/// How the first response travels: some servers know only one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthForm {
    /// In the AUTH command itself, one round trip less.
    InitialResponse,
    /// After an empty challenge.
    Challenge,
}

/// What worked at a server. Given back with the next session it spares refused commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthHint {
    /// The mechanism that logged in.
    pub mechanism: Mechanism,
    /// The form it took.
    pub form: AuthForm,
    /// A stronger mechanism was offered and refused before, so that it is not tried again.
    pub is_second_choice: bool,
}

impl Credentials {
    /// For the advice in messages.
    pub const fn kind(&self) -> LoginKind {
        match self {
            Self::Password { .. } => LoginKind::Password,
            Self::Token { .. } => LoginKind::OAuth2,
            Self::Certificate { .. } => LoginKind::Certificate,
        }
    }

    /// Only a password can, and only if its owner says so.
    pub const fn may_travel_in_the_clear(&self) -> bool {
        matches!(self, Self::Password { allow_plaintext: true, .. })
    }

    /// The mechanisms that fit, best first.
    const fn mechanisms(&self) -> &'static [Mechanism] {
        use Mechanism::{External, Login, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};
        match self {
            Self::Password { mechanism: None, .. } => &[ScramSha256Plus, ScramSha256, Plain, Login],
            Self::Password { mechanism: Some(PasswordMechanism::Plain), .. } => &[Plain],
            Self::Password { mechanism: Some(PasswordMechanism::Login), .. } => &[Login],
            Self::Password { mechanism: Some(PasswordMechanism::ScramSha256), .. } => &[ScramSha256],
            Self::Password { mechanism: Some(PasswordMechanism::ScramSha256Plus), .. } => &[ScramSha256Plus],
            Self::Token { mechanism: None, .. } => &[XOAuth2, OAuthBearer],
            Self::Token { mechanism: Some(TokenMechanism::XOAuth2), .. } => &[XOAuth2],
            Self::Token { mechanism: Some(TokenMechanism::OAuthBearer), .. } => &[OAuthBearer],
            Self::Certificate { .. } => &[External],
        }
    }

    /// Has the server's words searched for these.
    pub(super) fn hide_from(&self, mask: &mut Mask) {
        mask.hide_name(self.username());
        if let Some(secret) = self.secret() {
            mask.hide(secret.expose());
        }
    }

    /// What must never be shown.
    const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Password { password: secret, .. } | Self::Token { token: secret, .. } => Some(secret),
            Self::Certificate { .. } => None,
        }
    }

    fn username(&self) -> &str {
        match self {
            Self::Password { username, .. } | Self::Token { username, .. } => username,
            Self::Certificate { username } => username.as_deref().unwrap_or_default(),
        }
    }

    /// A CR or LF would be harmless in base64 but is surely a mistake in the Secret; NUL and ^A are
    /// what PLAIN and XOAUTH2 separate their fields with.
    fn are_usable(&self) -> bool {
        let is_complete = match self {
            Self::Password { username, password: secret, .. }
            | Self::Token { username, token: secret, .. } => {
                !username.is_empty() && !secret.is_empty() && !secret.expose().contains('\0')
            }
            Self::Certificate { .. } => true,
        };
        is_complete && !self.username().contains(['\r', '\n', '\0', '\u{1}'])
    }
}

/// Without user name: that is usually somebody's address.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", names(self.mechanisms()))
    }
}

/// Logs in over `wire`, which the caller has found fit for it. Returns what worked.
///
/// Where no mechanism is pinned, a server that refuses SCRAM before any proof of the password was
/// given is offered the password by the next mechanism: servers offer SCRAM for all and have the
/// secrets for it only of some. That gives away nothing, since such a server could as well not have
/// offered SCRAM. A refused proof is final: the password is wrong, and each further try would count
/// towards locking the account. Over an unencrypted connection a refusal is always final.
pub(super) async fn authenticate(
    wire: &mut Wire,
    offered: &[String],
    credentials: &Credentials,
    hint: Option<AuthHint>,
    limit: Duration,
) -> Result<AuthHint, Failure> {
    let choice = Choice::new(wire, offered, credentials)?;
    if !credentials.are_usable() {
        return Err(Failure::unusable_credentials());
    }
    let whole = limit * WHOLE_LOGIN;
    let outcome = match timeout(whole, try_in_turn(wire, &choice, hint, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::reply_timeout(Phase::Auth, whole)),
    };
    wire.output.zeroize();
    outcome
}

/// How many times the deadline of one answer all of a login may take. SCRAM has four answers, and no
/// server needs the whole deadline for each.
const WHOLE_LOGIN: u32 = 4;

async fn try_in_turn(
    wire: &mut Wire,
    choice: &Choice<'_>,
    hint: Option<AuthHint>,
    limit: Duration,
) -> Result<AuthHint, Failure> {
    let form = hint.map(|hint| hint.form);
    let remembered = hint.filter(|hint| hint.is_second_choice).map(|hint| hint.mechanism);
    let start = choice.candidates.iter().position(|candidate| Some(*candidate) == remembered).unwrap_or(0);
    let mut refusal = None;
    for (index, mechanism) in choice.candidates.iter().copied().enumerate().skip(start) {
        let refused = match log_in(wire, mechanism, choice, form, limit).await {
            Ok(form) => return Ok(AuthHint { mechanism, form, is_second_choice: index > 0 }),
            Err(refused) => refused,
        };
        let goes_on = wire.is_secured() && refused.is_for_want_of_a_secret(mechanism);
        // A server that hangs up on the second try has said what it has to say on the first.
        let failure = match (refused.failure, refusal) {
            (failure, Some(earlier)) if failure.reply.is_none() => earlier,
            (failure, _) => failure,
        };
        if !goes_on {
            return Err(failure);
        }
        refusal = Some(failure);
    }
    // The candidates are never none.
    Err(refusal.unwrap_or_else(Failure::unusable_credentials))
}

/// One mechanism, in the other form of AUTH too if the first is not understood.
async fn log_in(
    wire: &mut Wire,
    mechanism: Mechanism,
    choice: &Choice<'_>,
    hint: Option<AuthForm>,
    limit: Duration,
) -> Result<AuthForm, Refused> {
    let mut exchange = Exchange::new(mechanism, choice)?;
    let mut form = exchange.form(hint);
    let mut outcome = exchange.run(wire, form, limit).await;
    if let Err(Refused { failure, at_auth: true, .. }) = &outcome
        && let Some(other) = exchange.other_form(form)
        && failure.reply.as_ref().is_some_and(|reply| matches!(reply.code, 451 | 500 | 501 | 504))
    {
        exchange = Exchange::new(mechanism, choice)?;
        form = other;
        outcome = exchange.run(wire, form, limit).await;
    }
    outcome.map(|()| form)
}

/// What the credentials and the server have in common.
struct Choice<'a> {
    credentials: &'a Credentials,
    /// Best first; never empty.
    candidates: Vec<Mechanism>,
    /// What SCRAM can be bound to.
    binding: Option<Binding>,
    /// To be told a server that does not offer the binding, so that it can tell if that was removed on
    /// the way.
    could_bind: bool,
}

impl<'a> Choice<'a> {
    fn new(wire: &Wire, offered: &[String], credentials: &'a Credentials) -> Result<Self, Failure> {
        let wanted = credentials.mechanisms();
        let is_offered = |mechanism: Mechanism| offered.iter().any(|offer| offer == mechanism.as_str());
        let mut candidates: Vec<_> = wanted.iter().copied().filter(|wanted| is_offered(*wanted)).collect();
        if candidates.is_empty() {
            let shown: Vec<_> = offered.iter().filter(|word| !wire.mask.touches(word)).cloned().collect();
            return Err(Failure::auth_not_offered(&names(wanted), &shown));
        }
        let binding = if wanted.iter().any(|wanted| wanted.is_scram()) {
            wire.tls().and_then(Binding::of)
        } else {
            None
        };
        if candidates.len() > 1 && !binding.as_ref().is_some_and(Binding::is_known_everywhere) {
            candidates.retain(|candidate| *candidate != Mechanism::ScramSha256Plus);
        }
        if binding.is_none() && candidates == [Mechanism::ScramSha256Plus] {
            return Err(nothing_to_bind_to());
        }
        let could_bind = binding.as_ref().is_some_and(Binding::is_known_everywhere)
            && !is_offered(Mechanism::ScramSha256Plus);
        Ok(Self { credentials, candidates, binding, could_bind })
    }
}

fn nothing_to_bind_to() -> Failure {
    Failure::new(
        Scope::Server,
        Permanence::UntilChanged,
        Reason::AuthNotOffered,
        Phase::Auth,
        "SCRAM-SHA-256-PLUS binds the login to the TLS connection, and there is none or it gives nothing to bind \
         to; use TLS 1.3, or another auth.basic.mechanism",
    )
}

fn names(mechanisms: &[Mechanism]) -> String {
    mechanisms.iter().map(|mechanism| mechanism.as_str()).collect::<Vec<_>>().join(" or ")
}
