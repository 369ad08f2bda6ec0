//! How we speak SMTP. Knows no Kubernetes; a crate of its own but for the words of `domain::failure`.
//!
//! A session is reached in stages, each callable alone so that a server can be verified stage by
//! stage, each failing with a [`Failure`](crate::domain::failure::Failure) that says whose mail is
//! concerned and what to do:
//!
//! | stage | condition | does |
//! |---|---|---|
//! | [`resolve`] | `NameResolved` | DNS, egress check on every address |
//! | [`connect`] | `Connected` | TCP to an address that passed, the proxy; greeting and EHLO where TLS does not come first |
//! | [`Connection::secure`] | `Secured` | STARTTLS or the handshake, then EHLO under its protection |
//! | [`Connection::authenticate`] | `Authenticated` | AUTH, or nothing without credentials |
//! | [`Session::begin`] | | MAIL and all RCPT; no side effect |
//! | [`Session::data`] | | DATA, message, final dot; afterwards the message may be delivered |
//!
//! ```no_run
//! # use mail_operator::smtp::{self, Answer, Credentials, DataOutcome, Envelope, Target};
//! # use mail_operator::domain::failure::Failure;
//! async fn send(target: &Target, login: &Credentials, message: &[u8]) -> Result<DataOutcome, Failure> {
//!     let addresses = smtp::resolve(target).await?.addresses;
//!     let connection = smtp::connect(target, &addresses).await?.secure().await?;
//!     let mut session = connection.authenticate(Some(login)).await?;
//!     let opened = session
//!         .begin(&Envelope {
//!             from: "news@corp.example",
//!             recipients: vec!["joe@example.org", "jane@example.org"],
//!             size: message.len() as u64,
//!             eight_bit: false,
//!             smtputf8: false,
//!         })
//!         .await?;
//!     // Refused recipients are told to their owner; unanswered ones go into the next transaction.
//!     assert!(opened.recipients.contains(&Answer::Accepted));
//!     // Here the journal's claim is stored. From here on a crash leaves the message in doubt.
//!     let outcome = session.data(message).await;
//!     session.quit().await;
//!     Ok(outcome)
//! }
//! ```

mod connection;
mod content;
mod deadlines;
pub(crate) mod dial;
pub mod protocol;
mod proxy;
mod sasl;
mod session;
mod silence;
pub mod tls;
mod transaction;
mod transport;
mod wire;

pub use connection::{Connection, ServerInfo, connect};
pub use deadlines::Deadlines;
pub use dial::{Resolved, Target, TlsMode, resolve};
pub use proxy::{Proxy, ProxyScheme};
pub use sasl::{AuthForm, AuthHint, Credentials, Mechanism, PasswordMechanism, TokenMechanism};
pub use session::Session;
pub use transaction::{Answer, DataOutcome, Envelope, Opened};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
