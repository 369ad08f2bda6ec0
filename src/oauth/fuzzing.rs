//! From the bytes of a token endpoint to a token or a failure without the network between, for the
//! fuzz target `token` and its saved corpus. Judges exactly as a request does; nothing in the operator
//! calls it.

use super::exchange::{Token, believe};
use super::failure::{self, TokenFailure};
use super::http::{Answer, Body, HttpError};
use super::request::{ClientAuthentication, Grant, Proof, TokenRequest};
use crate::domain::secret::Secret;
use futures::FutureExt as _;
use jiff::Timestamp;
use oauth2::basic::BasicClient;
use oauth2::{AsyncHttpClient, ClientId, HttpRequest, HttpResponse, TokenUrl};
use std::future::Ready;

/// What an answer with this status and body is taken for, at `now`; `None` without a client to ask with.
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
    let client = BasicClient::new(ClientId::new(request.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(request.token_url.clone()));
    let answer = Canned { status, body: body.to_vec() };
    let answered = client.exchange_client_credentials().request_async(&answer).now_or_never()?;
    Some(match answered {
        Ok(response) => believe(&request, &response, now),
        Err(error) => Err(failure::of(&request, &error, now)),
    })
}

/// Answers every request at once with the same.
struct Canned {
    status: u16,
    body: Vec<u8>,
}

impl<'c> AsyncHttpClient<'c> for Canned {
    type Error = HttpError;
    type Future = Ready<Result<HttpResponse, HttpError>>;

    fn call(&'c self, _: HttpRequest) -> Self::Future {
        let body = self.body.clone();
        std::future::ready(if self.status == 200 {
            Ok(HttpResponse::new(body))
        } else {
            Err(HttpError::Answered(Box::new(Answer {
                status: self.status,
                retry_after: None,
                location: None,
                body: Body(body),
            })))
        })
    }
}
