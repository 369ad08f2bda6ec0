//! One AUTH command with its challenges, spoken through rsasl. Says what was refused and how far it
//! had got, so that its caller can tell whether another way is worth trying.

use super::scram::{self, ServerFinal};
use super::{AuthForm, Choice, Credentials, Mechanism};
use crate::api::Reason;
use crate::domain::failure::{Failure, Phase, Reply, classify};
use crate::domain::masking::Mask;
use crate::domain::secret::Secret;
use crate::smtp::protocol::{LONGEST_COMMAND, RawReply};
use crate::smtp::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::oauthbearer::properties::OAuthBearerErrored;
use rsasl::mechanisms::scram::properties::{Iterations, Salt, SaltedPassword};
use rsasl::mechanisms::xoauth2::properties::XOAuth2Error;
use rsasl::prelude::{Mechname, Registry, SASLClient, SASLConfig, SessionError};
use rsasl::property::{AuthId, AuthzId, ChannelBindings, OAuthBearerToken, OverrideCBType, Password};
use std::time::Duration;
use zeroize::Zeroizing;

/// SCRAM takes three challenges where the server wants to be asked first; no mechanism takes more.
const MOST_CHALLENGES: usize = 3;

pub(super) struct Exchange<'a> {
    mechanism: Mechanism,
    credentials: &'a Credentials,
    /// Absent once it has failed or is done: asked once more, PLAIN would say the password once more.
    sasl: Option<rsasl::prelude::Session>,
    /// The first response in base64; absent where the server speaks first (LOGIN).
    initial: Option<Zeroizing<String>>,
    /// What the server says about the token or the proof, ahead of its real refusal.
    remark: Option<String>,
    /// SCRAM: something that depends on the password has been sent.
    has_proved: bool,
    /// SCRAM: the server has shown that it knows the password, too.
    is_mutual: bool,
}

/// A failed login, and how far it had got.
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// AUTH itself was refused, before any of it was looked at.
    pub(super) at_auth: bool,
    /// See [`Exchange::has_proved`].
    has_proved: bool,
}

impl Refused {
    /// A server that refuses SCRAM before it could know whether the password is right has no SCRAM
    /// secret for this user, or wants another binding, or only pretends to know the mechanism.
    pub(super) fn is_for_want_of_a_secret(&self, mechanism: Mechanism) -> bool {
        let is_about_login =
            matches!(self.failure.reason, Reason::AuthenticationFailed | Reason::AuthNotOffered);
        let is_refusal = self.failure.reply.as_ref().is_some_and(|reply| (500..600).contains(&reply.code));
        mechanism.is_scram() && !self.has_proved && is_about_login && is_refusal
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, at_auth: false, has_proved: false }
    }
}

impl<'a> Exchange<'a> {
    pub(super) fn new(mechanism: Mechanism, choice: &Choice<'a>) -> Result<Self, Failure> {
        let sasl = start(mechanism, choice).ok_or_else(Failure::unusable_credentials)?;
        let speaks_first = sasl.are_we_first();
        let mut exchange = Self {
            mechanism,
            credentials: choice.credentials,
            sasl: Some(sasl),
            initial: None,
            remark: None,
            has_proved: false,
            is_mutual: false,
        };
        if speaks_first {
            exchange.initial = Some(exchange.step(None).ok_or_else(Failure::unusable_credentials)?);
        }
        Ok(exchange)
    }

    fn fits_in_command(&self) -> bool {
        let fixed = "AUTH  \r\n".len() + self.mechanism.as_str().len();
        self.initial.as_ref().is_some_and(|initial| fixed + initial.len() <= LONGEST_COMMAND)
    }

    pub(super) fn form(&self, hint: Option<AuthForm>) -> AuthForm {
        match hint {
            Some(AuthForm::Challenge) => AuthForm::Challenge,
            _ if self.fits_in_command() => AuthForm::InitialResponse,
            _ => AuthForm::Challenge,
        }
    }

    pub(super) fn other_form(&self, form: AuthForm) -> Option<AuthForm> {
        match form {
            AuthForm::InitialResponse => Some(AuthForm::Challenge),
            AuthForm::Challenge => self.fits_in_command().then_some(AuthForm::InitialResponse),
        }
    }

    pub(super) async fn run(
        &mut self,
        wire: &mut Wire,
        form: AuthForm,
        limit: Duration,
    ) -> Result<(), Refused> {
        wire.output.extend_from_slice(b"AUTH ");
        wire.output.extend_from_slice(self.mechanism.as_str().as_bytes());
        let mut initial = self.initial.take();
        if let Some(initial) = initial.take_if(|_| form == AuthForm::InitialResponse) {
            wire.output.push(b' ');
            // RFC 4954 section 4: nothing to say is said by an equals sign.
            wire.output.extend_from_slice(if initial.is_empty() { b"=" } else { initial.as_bytes() });
            wire.mask.hide(&initial);
        }
        wire.output.extend_from_slice(b"\r\n");
        for challenges in 0..=MOST_CHALLENGES {
            wire.send(Phase::Auth, limit).await?;
            let raw = wire.reply(Phase::Auth, limit).await?;
            match raw.code {
                235 if self.mechanism.is_scram() && !self.is_mutual => return Err(scram::unproven().into()),
                235 => return Ok(()),
                334 if challenges < MOST_CHALLENGES => {
                    let challenge = challenge_of(raw);
                    let response = match initial.take() {
                        Some(initial) => initial,
                        None => self.answer(challenge, &wire.mask).await?,
                    };
                    wire.output.extend_from_slice(response.as_bytes());
                    wire.output.extend_from_slice(b"\r\n");
                    wire.mask.hide(&response);
                }
                334 => break,
                _ => {
                    let failure = self.judge(&raw.to_reply());
                    return Err(Refused { failure, at_auth: challenges == 0, has_proved: self.has_proved });
                }
            }
        }
        Err(Failure::protocol_violation(Phase::Auth, "the server asks without end").into())
    }

    /// The response to a challenge in base64.
    async fn answer(
        &mut self,
        challenge: Option<Vec<u8>>,
        mask: &Mask,
    ) -> Result<Zeroizing<String>, Failure> {
        let response = match self.mechanism {
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => return self.answer_scram(challenge).await,
            // A challenge after the first response is the error, whose detail we keep; the empty answer
            // to it makes the server say its real refusal.
            Mechanism::XOAuth2 | Mechanism::OAuthBearer if self.remark.is_none() => {
                let challenge = challenge.unwrap_or_default();
                self.remark = Some(match status_of(&challenge).filter(|status| !mask.touches(status)) {
                    Some(status) => format!("; the server says about the token: status {status}"),
                    None => String::new(),
                });
                drop(self.step(Some(&challenge)));
                Some(Zeroizing::default())
            }
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => None,
            // What stands behind 334 need not be base64: only the order of the questions counts.
            Mechanism::Plain | Mechanism::Login | Mechanism::External => {
                self.step(Some(&challenge.unwrap_or_default()))
            }
        };
        response.ok_or_else(|| {
            Failure::protocol_violation(Phase::Auth, "the server asks for more than the login mechanism has")
        })
    }

    async fn answer_scram(&mut self, challenge: Option<Vec<u8>>) -> Result<Zeroizing<String>, Failure> {
        let challenge = challenge.ok_or_else(|| {
            Failure::protocol_violation(Phase::Auth, "the server's challenge is not base64")
        })?;
        if let Some(error) = scram::server_error(&challenge) {
            self.sasl = None;
            self.remark = Some(format!("; the server says about SCRAM: {error}"));
            // As with tokens, the refusal that counts comes behind it.
            return Ok(Zeroizing::default());
        }
        if self.has_proved {
            return match scram::server_final(&mut self.sasl, &challenge) {
                ServerFinal::Verified => {
                    self.is_mutual = true;
                    Ok(Zeroizing::default())
                }
                ServerFinal::NotVerified => Err(scram::unproven()),
            };
        }
        scram::check_server_first(&challenge)?;
        let sasl = self.sasl.take();
        let (sasl, response) = scram::prove(sasl, challenge).await?;
        self.has_proved = true;
        self.sasl = Some(sasl);
        Ok(Zeroizing::new(BASE64.encode(&*response)))
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Option<Zeroizing<String>> {
        let mut sasl = self.sasl.take()?;
        let mut response = Zeroizing::new(Vec::new());
        let state = sasl.step(challenge, &mut *response).ok()?;
        if state.is_running() {
            self.sasl = Some(sasl);
        }
        state.has_sent_message().then(|| Zeroizing::new(BASE64.encode(&*response)))
    }

    /// The server's refusal.
    fn judge(&self, reply: &Reply) -> Failure {
        let mut failure = classify(Phase::Auth, reply, self.credentials.kind());
        if let Some(remark) = &self.remark {
            failure.detail.push_str(remark);
        }
        if self.mechanism.is_scram() && failure.reason == Reason::AuthenticationFailed {
            failure.detail.push_str(scram::ADVICE);
        }
        failure
    }
}

fn start(mechanism: Mechanism, choice: &Choice<'_>) -> Option<rsasl::prelude::Session> {
    let is_bound = mechanism == Mechanism::ScramSha256Plus;
    let answers = Answers {
        mechanism,
        username: choice.credentials.username().to_owned(),
        secret: choice.credentials.secret().cloned().unwrap_or_default(),
        binding: choice.binding.clone().filter(|_| is_bound),
        could_bind: is_bound || choice.could_bind,
    };
    let registry = Registry::with_mechanisms(&MECHANISMS);
    let config = SASLConfig::builder().with_registry(registry).with_callback(answers).ok()?;
    let name = Mechname::parse(mechanism.as_str().as_bytes()).ok()?;
    let session = SASLClient::new(config).start_suggested(&[name]).ok()?;
    (session.get_mechname() == name).then_some(session)
}

/// The defaults of rsasl lack SCRAM-SHA-256-PLUS, and would speak SCRAM-SHA-256 under its name.
static MECHANISMS: [rsasl::prelude::Mechanism; 7] = [
    rsasl::mechanisms::scram::SCRAM_SHA256_PLUS,
    rsasl::mechanisms::scram::SCRAM_SHA256,
    rsasl::mechanisms::plain::PLAIN,
    rsasl::mechanisms::login::LOGIN,
    rsasl::mechanisms::xoauth2::XOAUTH2,
    rsasl::mechanisms::oauthbearer::OAUTHBEARER,
    rsasl::mechanisms::external::EXTERNAL,
];

/// What stands behind 334; `None` if it is not base64.
fn challenge_of(reply: RawReply<'_>) -> Option<Vec<u8>> {
    BASE64.decode(reply.lines().next().unwrap_or_default().trim_ascii()).ok()
}

/// No provider's error challenge is longer.
const LONGEST_STATUS: usize = 2 * 1024;

/// The `status` of an error challenge such as `{"status":"401","schemes":"bearer"}`, if it is a word
/// or a number.
fn status_of(challenge: &[u8]) -> Option<String> {
    if challenge.len() > LONGEST_STATUS {
        return None;
    }
    let status = match serde_json::from_slice::<serde_json::Value>(challenge).ok()?.get("status")? {
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_word = (1..=32).contains(&status.len())
        && status.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then_some(status)
}

/// What the mechanisms may ask for.
struct Answers {
    mechanism: Mechanism,
    username: String,
    secret: Secret,
    binding: Option<scram::Binding>,
    could_bind: bool,
}

impl SessionCallback for Answers {
    fn callback(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        // Having taken the error is what makes the mechanism go on to its last, empty response.
        let _ = request.get_action::<XOAuth2Error>();
        let _ = request.get_action::<OAuthBearerErrored>();
        match self.mechanism {
            // RFC 5801 section 4: the two characters that separate fields are written as numbers.
            Mechanism::OAuthBearer => {
                request.satisfy::<AuthzId>(&self.username.replace('=', "=3D").replace(',', "=2C"))?;
            }
            Mechanism::External => {
                request.satisfy::<AuthzId>(&self.username)?;
                return Ok(());
            }
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => {
                if let Some(binding) = &self.binding {
                    request
                        .satisfy::<OverrideCBType>(binding.name)?
                        .satisfy::<ChannelBindings>(&binding.data)?;
                }
                if let (Some(salt), Some(rounds)) =
                    (context.get_ref::<Salt>(), context.get_ref::<Iterations>())
                    && request.is::<SaltedPassword>()
                {
                    request.satisfy::<SaltedPassword>(&*scram::salted(&self.secret, salt, *rounds))?;
                }
            }
            Mechanism::Plain | Mechanism::Login | Mechanism::XOAuth2 => {}
        }
        request
            .satisfy::<AuthId>(&self.username)?
            .satisfy::<Password>(self.secret.expose().as_bytes())?
            .satisfy::<OAuthBearerToken>(self.secret.expose())?;
        Ok(())
    }

    fn enable_channel_binding(&self) -> bool {
        self.could_bind
    }
}
