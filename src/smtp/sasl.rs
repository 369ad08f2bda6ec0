//! Logging in (RFC 4954) with SASL mechanisms from rsasl: which mechanism, in which of AUTH's two
//! forms, and what the server makes of it. A credential never reaches an error, a log or a panic:
//! replies are cleaned of it before anybody else sees them.

use super::protocol::{LONGEST_COMMAND, LONGEST_REPLY_LINE};
use super::wire::Wire;
use crate::domain::failure::{Failure, LoginKind, Phase, Reply, classify};
use crate::domain::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::oauthbearer::properties::OAuthBearerErrored;
use rsasl::mechanisms::xoauth2::properties::XOAuth2Error;
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, SessionError};
use rsasl::property::{AuthId, AuthzId, OAuthBearerToken, Password};
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

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

/// How the first response travels: some servers know only one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthForm {
    /// In the AUTH command itself, one round trip less.
    InitialResponse,
    /// After an empty challenge.
    Challenge,
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

    /// The names of the mechanisms that fit, best first.
    const fn mechanisms(&self) -> &'static [&'static str] {
        match self {
            Self::Password { mechanism: None, .. } => &["PLAIN", "LOGIN"],
            Self::Password { mechanism: Some(PasswordMechanism::Plain), .. } => &["PLAIN"],
            Self::Password { mechanism: Some(PasswordMechanism::Login), .. } => &["LOGIN"],
            Self::Password { mechanism: Some(PasswordMechanism::ScramSha256), .. } => &["SCRAM-SHA-256"],
            Self::Password { mechanism: Some(PasswordMechanism::ScramSha256Plus), .. } => {
                &["SCRAM-SHA-256-PLUS"]
            }
            Self::Token { mechanism: None, .. } => &["XOAUTH2", "OAUTHBEARER"],
            Self::Token { mechanism: Some(TokenMechanism::XOAuth2), .. } => &["XOAUTH2"],
            Self::Token { mechanism: Some(TokenMechanism::OAuthBearer), .. } => &["OAUTHBEARER"],
            Self::Certificate { .. } => &["EXTERNAL"],
        }
    }

    fn parts(&self) -> Option<(&str, &Secret)> {
        match self {
            Self::Password { username, password, .. } => Some((username, password)),
            Self::Token { username, token, .. } => Some((username, token)),
            Self::Certificate { .. } => None,
        }
    }
}

/// Without user name: that is usually somebody's address.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.mechanisms().join(" or "))
    }
}

/// A login takes two challenges at most; one more for servers that ask for nothing first.
const MOST_CHALLENGES: usize = 3;

/// Logs in over `wire`, which the caller has found fit for it. Returns the form that worked.
pub(super) async fn authenticate(
    wire: &mut Wire,
    offered: &[String],
    credentials: &Credentials,
    hint: Option<AuthForm>,
    limit: Duration,
) -> Result<AuthForm, Failure> {
    let wanted = credentials.mechanisms();
    let Some(mechanism) = wanted.iter().copied().find(|name| offered.iter().any(|offer| offer == name))
    else {
        return Err(Failure::auth_not_offered(&wanted.join(" or "), offered));
    };
    let mut exchange = Exchange::new(mechanism, credentials)?;
    let mut form = exchange.form(hint);
    let mut outcome = exchange.run(wire, form, limit).await;
    if let Err(Refused { failure, at_auth: true }) = &outcome
        && let Some(other) = exchange.other_form(form)
        && failure.reply.as_ref().is_some_and(|reply| matches!(reply.code, 451 | 500 | 501 | 504))
    {
        exchange = Exchange::new(mechanism, credentials)?;
        form = other;
        outcome = exchange.run(wire, form, limit).await;
    }
    wire.output.zeroize();
    outcome.map(|()| form).map_err(|refused| refused.failure)
}

struct Exchange<'a> {
    mechanism: &'static str,
    credentials: &'a Credentials,
    sasl: rsasl::prelude::Session,
    /// The first response in base64; absent where the server speaks first (LOGIN).
    initial: Option<Zeroizing<String>>,
    /// The mechanism has said all it has to say.
    is_done: bool,
    /// All we sent in base64, to recognise it in an answer.
    sent: Vec<Zeroizing<String>>,
    /// From an XOAUTH2 or OAUTHBEARER error challenge.
    token_status: Option<String>,
}

/// A failed login, and whether AUTH itself was refused, before any of it was looked at.
struct Refused {
    failure: Failure,
    at_auth: bool,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, at_auth: false }
    }
}

impl<'a> Exchange<'a> {
    fn new(mechanism: &'static str, credentials: &'a Credentials) -> Result<Self, Failure> {
        let sasl = start(mechanism, credentials).ok_or_else(Failure::unusable_credentials)?;
        let mut exchange = Self {
            mechanism,
            credentials,
            sasl,
            initial: None,
            is_done: false,
            sent: Vec::new(),
            token_status: None,
        };
        let (username, secret) = credentials.parts().ok_or_else(Failure::unusable_credentials)?;
        // A CR or LF would be harmless in base64 but is surely a mistake in the Secret.
        if username.is_empty() || secret.is_empty() || username.contains(['\r', '\n', '\0', '\u{1}']) {
            return Err(Failure::unusable_credentials());
        }
        if exchange.sasl.are_we_first() {
            exchange.initial = Some(exchange.step(None).ok_or_else(Failure::unusable_credentials)?);
        }
        Ok(exchange)
    }

    fn fits_in_command(&self) -> bool {
        let fixed = "AUTH  \r\n".len() + self.mechanism.len();
        self.initial.as_ref().is_some_and(|initial| fixed + initial.len() <= LONGEST_COMMAND)
    }

    fn form(&self, hint: Option<AuthForm>) -> AuthForm {
        match hint {
            Some(AuthForm::Challenge) => AuthForm::Challenge,
            _ if self.fits_in_command() => AuthForm::InitialResponse,
            _ => AuthForm::Challenge,
        }
    }

    fn other_form(&self, form: AuthForm) -> Option<AuthForm> {
        match form {
            AuthForm::InitialResponse => Some(AuthForm::Challenge),
            AuthForm::Challenge => self.fits_in_command().then_some(AuthForm::InitialResponse),
        }
    }

    async fn run(&mut self, wire: &mut Wire, form: AuthForm, limit: Duration) -> Result<(), Refused> {
        wire.output.extend_from_slice(b"AUTH ");
        wire.output.extend_from_slice(self.mechanism.as_bytes());
        let mut initial = self.initial.take();
        if let Some(initial) = initial.take_if(|_| form == AuthForm::InitialResponse) {
            wire.output.push(b' ');
            wire.output.extend_from_slice(initial.as_bytes());
            self.sent.push(initial);
        }
        wire.output.extend_from_slice(b"\r\n");
        for challenges in 0..=MOST_CHALLENGES {
            wire.send(Phase::Auth, limit).await?;
            let raw = wire.reply(Phase::Auth, limit).await?;
            match raw.code {
                235 => return Ok(()),
                334 if challenges < MOST_CHALLENGES => {
                    let challenge = raw.lines().next().and_then(|text| BASE64.decode(text.trim_ascii()).ok());
                    let response = match initial.take() {
                        Some(initial) => Some(initial),
                        None => self.answer(challenge.as_deref().unwrap_or_default()),
                    };
                    let Some(response) = response else {
                        let what = "the server asks for more than the login mechanism has";
                        return Err(Failure::protocol_violation(Phase::Auth, what).into());
                    };
                    wire.output.extend_from_slice(response.as_bytes());
                    wire.output.extend_from_slice(b"\r\n");
                    self.sent.push(response);
                }
                334 => break,
                _ => {
                    let failure = self.judge(&raw.to_reply());
                    return Err(Refused { failure, at_auth: challenges == 0 });
                }
            }
        }
        Err(Failure::protocol_violation(Phase::Auth, "the server asks without end").into())
    }

    /// The response to a challenge in base64. For tokens a challenge after the first response is the
    /// error, whose detail we keep; the empty answer to it makes the server say its real refusal.
    fn answer(&mut self, challenge: &[u8]) -> Option<Zeroizing<String>> {
        if matches!(self.credentials, Credentials::Token { .. }) {
            if self.token_status.is_some() {
                return None;
            }
            self.token_status = Some(status_of(challenge));
            drop(self.step(Some(challenge)));
            return Some(Zeroizing::default());
        }
        self.step(Some(challenge))
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Option<Zeroizing<String>> {
        // Asked once more, rsasl's PLAIN would say the password once more.
        if self.is_done {
            return None;
        }
        let mut response = Zeroizing::new(Vec::new());
        let state = self.sasl.step(challenge, &mut *response).ok()?;
        self.is_done = state.is_finished();
        state.has_sent_message().then(|| Zeroizing::new(BASE64.encode(&*response)))
    }

    /// The server's refusal, cleaned of what we sent, since some servers echo it (James does).
    fn judge(&self, reply: &Reply) -> Failure {
        let mut failure = classify(Phase::Auth, reply, self.credentials.kind());
        if let Some(reply) = &mut failure.reply {
            let mut secrets: Vec<&str> = self.sent.iter().map(|sent| sent.as_str()).collect();
            secrets.extend(self.credentials.parts().map(|(_, secret)| secret.expose()));
            reply.redact(&secrets);
        }
        if let Some(status) = self.token_status.as_ref().filter(|status| !status.is_empty()) {
            failure.detail = format!("{}; the server says about the token: status {status}", failure.detail);
        }
        failure
    }
}

fn start(mechanism: &str, credentials: &Credentials) -> Option<rsasl::prelude::Session> {
    let (username, secret) = credentials.parts()?;
    let answers = Answers { username: username.to_owned(), secret: secret.clone() };
    let config = SASLConfig::builder().with_default_mechanisms().with_callback(answers).ok()?;
    let name = Mechname::parse(mechanism.as_bytes()).ok()?;
    SASLClient::new(config).start_suggested(&[name]).ok()
}

/// The `status` of an error challenge such as `{"status":"401","schemes":"bearer"}`, if it is a word
/// or a number; empty otherwise.
fn status_of(challenge: &[u8]) -> String {
    if challenge.len() > LONGEST_REPLY_LINE {
        return String::new();
    }
    let status = serde_json::from_slice::<serde_json::Value>(challenge)
        .ok()
        .and_then(|json| match json.get("status")? {
            serde_json::Value::String(word) => Some(word.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .unwrap_or_default();
    let is_word =
        status.len() <= 32 && status.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { status } else { String::new() }
}

/// What the mechanisms may ask for.
struct Answers {
    username: String,
    secret: Secret,
}

impl SessionCallback for Answers {
    fn callback(
        &self,
        session: &SessionData,
        _context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        // Having taken the error is what makes the mechanism go on to its last, empty response.
        let _ = request.get_action::<XOAuth2Error>();
        let _ = request.get_action::<OAuthBearerErrored>();
        if session.mechanism().mechanism.as_str() == "OAUTHBEARER" {
            // RFC 5801 section 4: the two characters that separate fields are written as numbers.
            let name = self.username.replace('=', "=3D").replace(',', "=2C");
            request.satisfy::<AuthzId>(&name)?;
        }
        request
            .satisfy::<AuthId>(&self.username)?
            .satisfy::<Password>(self.secret.expose().as_bytes())?
            .satisfy::<OAuthBearerToken>(self.secret.expose())?;
        Ok(())
    }
}
