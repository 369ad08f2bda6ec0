//! From the bytes of a token endpoint to a token or a failure without the network between, for the
//! fuzz target `token` and its saved corpus. Judges exactly as a request does; nothing in the operator
//! calls it.

use super::exchange::{RequestError, Token, believe, read};
use super::failure::{self, TokenFailure};
use super::http::{Answer, Body, HttpError};
use super::request::{ClientAuthentication, Grant, Proof, TokenRequest};
use super::sent::Sent;
use crate::domain::secret::Secret;
use jiff::Timestamp;

/// What an answer with this status and body is taken for, at `now`; `None` without a request to answer.
pub fn judge(status: u16, body: &[u8], now: Timestamp) -> Option<Result<Token, TokenFailure>> {
    let request = TokenRequest {
        token_url: "https://login.test/token".parse().ok()?,
        client_id: "client".to_owned(),
        grant: Grant::ClientCredentials,
        proof: Proof::Secret {
            secret: Secret::new("canary-client-secret"),
            placement: ClientAuthentication::RequestBody,
        },
        versions: Vec::new(),
        scopes: Vec::new(),
        parameters: std::collections::BTreeMap::default(),
        ca_pem: None,
        proxy: None,
    };
    let sent = Sent::new(&request);
    let answered = if status == 200 {
        read(body)
    } else {
        let body = Body(body.to_vec());
        let answer = Answer { status, retry_after: None, location: None, body };
        Err(RequestError::Http(HttpError::Answered(Box::new(answer))))
    };
    Some(match answered {
        Ok(answer) => believe(&sent, &answer, false, now),
        Err(error) => Err(failure::of(&sent, &error, now)),
    })
}
