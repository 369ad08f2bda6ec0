//! The stages from addresses to a session that may send: [`connect`], [`Connection::secure`],
//! [`Connection::authenticate`]. Each is callable alone, because a server is verified stage by
//! stage and each stage is a condition of its own. Whatever a server says before TLS is forgotten.

use super::dial::{self, Dialled, Target, TlsMode};
use super::protocol::{self, Capabilities};
use super::sasl::{self, Credentials};
use super::session::Session;
use super::silence;
use super::tls::TlsInfo;
use super::wire::Wire;
use crate::api::Reason;
use crate::domain::failure::{Failure, LoginKind, Permanence, Phase, Scope, classify};
use std::net::SocketAddr;

/// What is known about the server after each stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The address we are connected to: the server's, or that of the proxy on the way.
    pub address: SocketAddr,
    /// EHLO keywords in capitals; empty until they can be trusted.
    pub extensions: Vec<String>,
    /// SASL mechanisms in capitals; empty until they can be trusted.
    pub auth_mechanisms: Vec<String>,
    /// RFC 1870's limit, in bytes.
    pub max_message_bytes: Option<u64>,
    /// Of the finished handshake.
    pub tls: Option<TlsInfo>,
}

/// A connection that is not logged in yet. Dropping it closes it.
pub struct Connection {
    wire: Wire,
    target: Target,
    capabilities: Capabilities,
    info: ServerInfo,
    is_secured: bool,
}

/// Connects by TCP; where TLS does not come first, also takes the greeting and says EHLO.
pub async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<Connection, Failure> {
    if target.hello_name.is_empty() || !protocol::fits_in_path(&target.hello_name) {
        let what = "helloName cannot be sent over SMTP; use a DNS name";
        return Err(Failure::new(
            Scope::Server,
            Permanence::UntilChanged,
            Reason::InvalidSpec,
            Phase::Ehlo,
            what,
        ));
    }
    let Dialled { transport, surplus, address } = dial::dial(target, addresses).await?;
    if target.tls == TlsMode::Implicit && !surplus.is_empty() {
        // Came with the proxy's answer. One who expects a handshake does not speak first.
        return Err(Failure::not_tls());
    }
    let mut connection = Connection {
        wire: Wire::new(transport, surplus),
        target: target.clone(),
        capabilities: Capabilities::default(),
        info: ServerInfo {
            address,
            extensions: Vec::new(),
            auth_mechanisms: Vec::new(),
            max_message_bytes: None,
            tls: None,
        },
        is_secured: false,
    };
    if target.tls != TlsMode::Implicit {
        connection.greet().await?;
    }
    Ok(connection)
}

impl Connection {
    /// What is known so far.
    pub const fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Masks these credentials in whatever the server says from now on: it may remember them from earlier sessions.
    #[must_use]
    pub fn hiding(mut self, credentials: Option<&Credentials>) -> Self {
        if let Some(credentials) = credentials {
            credentials.hide_from(&mut self.wire.mask);
        }
        self
    }

    /// Starts TLS as the target says, and learns what the server offers under its protection. With
    /// `TlsMode::Disabled` there is nothing to do.
    pub async fn secure(mut self) -> Result<Self, Failure> {
        let is_implicit = match self.target.tls {
            TlsMode::Disabled => {
                self.publish();
                return Ok(self);
            }
            TlsMode::Implicit => true,
            TlsMode::StartTls => {
                self.start_tls().await?;
                false
            }
        };
        let Target { tls_config, server_name, deadlines, .. } = &self.target;
        let (wire, tls) = self.wire.secure(tls_config.clone(), server_name.clone(), deadlines.tls).await?;
        let info = ServerInfo { tls: Some(tls), ..self.info };
        let mut secured =
            Self { wire, capabilities: Capabilities::default(), info, is_secured: true, ..self };
        if is_implicit {
            secured.greet().await?;
        } else {
            secured.say_hello().await?;
        }
        secured.publish();
        Ok(secured)
    }

    /// Logs in, or not where there are no credentials. Never sends one over a connection that is not
    /// encrypted and verified, except a password whose owner permitted exactly that.
    pub async fn authenticate(mut self, credentials: Option<&Credentials>) -> Result<Session, Failure> {
        self = self.hiding(credentials);
        if self.target.tls != TlsMode::Disabled && !self.is_secured {
            return Err(Failure::plaintext_not_allowed());
        }
        let login = credentials.map_or(LoginKind::None, Credentials::kind);
        let hint = match credentials {
            None => None,
            Some(credentials) if !self.is_secured && !credentials.may_travel_in_the_clear() => {
                return Err(Failure::plaintext_not_allowed());
            }
            Some(credentials) => {
                let limit = self.target.deadlines.command;
                let hint = self.target.auth_hint;
                Some(
                    sasl::authenticate(&mut self.wire, &self.capabilities.auth, credentials, hint, limit)
                        .await?,
                )
            }
        };
        // RFC 4954 would have us say EHLO again only after a security layer; maddy forgets the login.
        Ok(Session::new(self.wire, self.capabilities, self.info, self.target.deadlines, login, hint))
    }

    async fn start_tls(&mut self) -> Result<(), Failure> {
        if !self.capabilities.starttls {
            return Err(Failure::starttls_not_offered());
        }
        let limit = self.target.deadlines.command;
        self.wire.output.extend_from_slice(b"STARTTLS\r\n");
        self.wire.send(Phase::StartTls, limit).await?;
        let reply = self.wire.reply(Phase::StartTls, limit).await?;
        if reply.code == 220 {
            Ok(())
        } else {
            Err(classify(Phase::StartTls, &reply.to_reply(), LoginKind::None))
        }
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        let limit = self.target.deadlines.command;
        let greeting = self.wire.reply(Phase::Greeting, limit);
        let reply = if self.is_secured {
            greeting.await?
        } else {
            silence::greeting_or_tls(greeting, limit, &self.target, self.info.address).await?
        };
        if reply.code != 220 {
            return Err(classify(Phase::Greeting, &reply.to_reply(), LoginKind::None));
        }
        self.say_hello().await
    }

    /// EHLO, or HELO for servers that do not know it.
    async fn say_hello(&mut self) -> Result<(), Failure> {
        let limit = self.target.deadlines.command;
        for verb in ["EHLO ", "HELO "] {
            self.wire.output.extend_from_slice(verb.as_bytes());
            self.wire.output.extend_from_slice(self.target.hello_name.as_bytes());
            self.wire.output.extend_from_slice(b"\r\n");
            self.wire.send(Phase::Ehlo, limit).await?;
            let reply = self.wire.reply(Phase::Ehlo, limit).await?;
            match reply.code {
                250 if verb == "EHLO " => {
                    self.capabilities = Capabilities::parse(reply);
                    return Ok(());
                }
                250 => {
                    self.capabilities = Capabilities::default();
                    return Ok(());
                }
                500 | 502 | 504 if verb == "EHLO " => {}
                _ => return Err(classify(Phase::Ehlo, &reply.to_reply(), LoginKind::None)),
            }
        }
        Err(Failure::protocol_violation(Phase::Ehlo, "the server knows neither EHLO nor HELO"))
    }

    /// Shows what the server offers, once it is known who says so.
    fn publish(&mut self) {
        let mask = &self.wire.mask;
        let shown = |words: &[String]| words.iter().filter(|word| !mask.touches(word)).cloned().collect();
        self.info.extensions = shown(&self.capabilities.extensions);
        self.info.auth_mechanisms = shown(&self.capabilities.auth);
        self.info.max_message_bytes = self.capabilities.max_message_bytes;
    }
}
