//! A logged-in session: how old it is, whether it may be used again, and how it ends. What is sent
//! on it is the next file's business. A session has one user at a time; dropping it, also in the
//! middle of an await, closes it, so a half-spoken dialogue is never continued by somebody else.

use super::connection::ServerInfo;
use super::deadlines::Deadlines;
use super::protocol::Capabilities;
use super::sasl::{AuthHint, Mechanism};
use super::wire::Wire;
use crate::domain::failure::{Failure, LoginKind, Phase, classify};
use std::time::Duration;
use tokio::time::Instant;

/// A session that may send.
pub struct Session {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    pub(super) deadlines: Deadlines,
    pub(super) login: LoginKind,
    pub(super) state: State,
    pub(super) transactions: u32,
    pub(super) messages: u32,
    info: ServerInfo,
    auth_hint: Option<AuthHint>,
    opened: Instant,
}

/// Where the dialogue stands. Every operation leaves `Lost` behind until it has come to an end, so
/// that a cancelled one is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The next transaction may begin.
    Ready,
    /// A transaction was refused; RSET comes first.
    ResetDue,
    /// MAIL and at least one RCPT were accepted.
    Open,
    /// Nobody knows what the server expects, or it is gone.
    Lost,
}

impl Session {
    pub(super) fn new(
        wire: Wire,
        capabilities: Capabilities,
        info: ServerInfo,
        deadlines: Deadlines,
        login: LoginKind,
        auth_hint: Option<AuthHint>,
    ) -> Self {
        Self {
            wire,
            capabilities,
            deadlines,
            login,
            state: State::Ready,
            transactions: 0,
            messages: 0,
            info,
            auth_hint,
            opened: Instant::now(),
        }
    }

    /// What is known about the server.
    pub const fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// How the login worked, for [`super::Target::auth_hint`] next time; `None` without login.
    pub const fn auth_hint(&self) -> Option<AuthHint> {
        self.auth_hint
    }

    /// The mechanism that logged in; `None` without login.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.auth_hint.map(|hint| hint.mechanism)
    }

    /// Whether the server has answered no MAIL on it yet. On one that is not fresh, a failure that
    /// [`Failure::is_end_of_session`] before DATA only means that the server has hung up an idle session:
    /// open a new one, once, and count no attempt.
    pub const fn is_fresh(&self) -> bool {
        self.transactions == 0
    }

    /// How long it is since the login.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// How many messages the server has answered for, accepted or not.
    pub const fn messages(&self) -> u32 {
        self.messages
    }

    /// How many recipients the server takes in one transaction (RFC 9422), as far as it says.
    pub fn takes_at_once(&self) -> usize {
        self.capabilities.max_recipients.unwrap_or(usize::MAX).max(1)
    }

    /// Whether headers and addresses may have characters beyond ASCII (RFC 6531).
    pub const fn offers_smtputf8(&self) -> bool {
        self.capabilities.smtputf8
    }

    /// Whether another transaction may begin, as far as the session knows: it is not lost and the
    /// server's own limit (RFC 9422) is not reached. Caps of age and number are the caller's.
    pub fn usable(&self) -> bool {
        self.state != State::Lost
            && self.capabilities.max_transactions.is_none_or(|most| self.transactions < most)
    }

    /// Whether the server, unasked, has said something or hung up. Does not wait.
    pub fn has_ended(&mut self) -> bool {
        self.state == State::Lost || self.wire.has_ended()
    }

    /// Gives an opened transaction up before DATA. On failure the session is not [`Session::usable`].
    pub async fn abandon(&mut self) -> Result<(), Failure> {
        match self.state {
            State::Ready => Ok(()),
            State::ResetDue | State::Open => self.reset().await,
            State::Lost => Err(Failure::closed(Phase::Reset)),
        }
    }

    /// Says goodbye and closes. Never fails: nothing depends on it.
    pub async fn quit(mut self) {
        let limit = self.deadlines.quit;
        if self.state != State::Lost {
            self.wire.output.clear();
            self.wire.output.extend_from_slice(b"QUIT\r\n");
            if self.wire.send(Phase::Reset, limit).await.is_ok() {
                drop(self.wire.reply(Phase::Reset, limit).await);
            }
        }
        self.wire.shut_down(limit).await;
    }

    pub(super) async fn reset(&mut self) -> Result<(), Failure> {
        self.state = State::Lost;
        let limit = self.deadlines.command;
        self.wire.output.extend_from_slice(b"RSET\r\n");
        self.wire.send(Phase::Reset, limit).await?;
        let reply = self.wire.reply(Phase::Reset, limit).await?;
        if reply.code == 250 {
            self.state = State::Ready;
            Ok(())
        } else {
            Err(classify(Phase::Reset, &reply.to_reply(), self.login))
        }
    }
}
