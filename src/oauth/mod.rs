//! How we get tokens. A [`TokenRequest`] says for whom and where, [`Tokens`] hands out a token for it
//! that is good for another minute at least, [`TokenFailure`] says in words what an administrator has to
//! do when there is none, [`objections`] what a token itself shows to be wrong, and [`likely_causes`] why a mail
//! server is likeliest to have refused it.
//!
//! A client secret leaves only over verified TLS, to an address the egress policy admits, and never
//! after a redirect. Neither secrets nor tokens nor unfiltered texts of a server reach a message or
//! a `Debug` print. Knows no Kubernetes.

mod addresses;
mod assertion;
mod cache;
mod claims;
mod entra;
mod exchange;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod objection;
mod proxied;
mod refusal;
mod request;
mod rotation;
mod sent;
mod transport;

pub use cache::{MINIMUM_LEFT, Tokens};
pub use claims::TokenClaims;
pub use exchange::Token;
pub use failure::TokenFailure;
pub use objection::{Expectation, Objection, likely_causes, objections};
pub use request::{
    AssertionSource, ClientAuthentication, Grant, Proof, Proxy, RESERVED_PARAMETERS, SecretVersion, TokenKey,
    TokenRequest,
};

#[cfg(test)]
mod tests;
