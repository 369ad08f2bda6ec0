//! Tokens of ServiceAccounts for providers outside (workload identity federation): good for ten minutes, for one
//! audience, and never for one that the API server itself accepts: such a token in a stranger's hands would be
//! that ServiceAccount.

use crate::api::Reason;
use crate::cluster::{Cluster, Error, within};
use crate::domain::failure::Permanence;
use crate::domain::secret::Secret;
use crate::oauth::TokenFailure;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least that Kubernetes permits; an exchange takes a second.
const LIFETIME_SECONDS: i64 = 600;

/// How long an audience that the API server refused counts as harmless. Its own audiences change with a flag and a
/// restart.
const TRUSTED_FOR: Duration = Duration::from_hours(1);

/// Audiences kept: one is usual.
const MAX_AUDIENCES: usize = 256;

/// Audiences that the API server does not accept, and when that was seen.
#[derive(Clone, Default)]
pub(super) struct HarmlessAudiences(Arc<Mutex<HashMap<String, Instant>>>);

impl HarmlessAudiences {
    fn knows(&self, audience: &str) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(audience).is_some_and(|at| at.elapsed() < TRUSTED_FOR)
    }

    fn note(&self, audience: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_AUDIENCES {
            seen.clear(); // those in use are asked about once more
        }
        seen.insert(audience.to_owned(), Instant::now());
    }
}

impl Cluster {
    /// A new token of a ServiceAccount, for `audience` alone.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
    ) -> Result<Secret, TokenFailure> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: Some(LIFETIME_SECONDS),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = within(api.create_token_request(name, &PostParams::default(), &request)).await;
        let answer = answer.map_err(|error| explain(error, namespace, name))?;
        let Some(token) = answer.status.map(|status| Secret::new(status.token)) else {
            return Err(unavailable(&Error::NoAnswer));
        };
        if !self.audiences.knows(audience) {
            if self.accepts(&token).await? {
                return Err(TokenFailure::new(
                    Reason::AudienceNotAllowed,
                    Permanence::UntilChanged,
                    format!(
                        "a token for the audience {audience} opens this cluster's own API server, so it goes nowhere: set \
                         federatedToken.audience to what the provider expects"
                    ),
                ));
            }
            self.audiences.note(audience);
        }
        Ok(token)
    }

    /// Whether the API server takes the token for its own.
    async fn accepts(&self, token: &Secret) -> Result<bool, TokenFailure> {
        let found = self.review(token).await.map_err(|error| match error {
            Error::Refused(_) => TokenFailure::new(
                Reason::ServiceAccountNotPermitted,
                Permanence::UntilChanged,
                "the operator may not ask the API server whether it accepts a token (create on \
                 tokenreviews.authentication.k8s.io), and without that no token is sent: set the chart's value \
                 federation.serviceAccounts",
            ),
            error => unavailable(&error),
        })?;
        Ok(found.authenticated.unwrap_or(false))
    }
}

fn explain(error: Error, namespace: &str, name: &str) -> TokenFailure {
    match error {
        Error::NotFound => TokenFailure::new(
            Reason::ServiceAccountNotFound,
            Permanence::UntilChanged,
            format!("ServiceAccount {name} does not exist in namespace {namespace}: create it"),
        ),
        Error::Refused(words) if words.contains("forbidden") => TokenFailure::new(
            Reason::ServiceAccountNotPermitted,
            Permanence::UntilChanged,
            format!(
                "the operator may not ask for tokens of ServiceAccount {name} in namespace {namespace}: add \
                 {namespace}/{name} to the chart's value federation.serviceAccounts"
            ),
        ),
        Error::Refused(words) => TokenFailure::new(
            Reason::ServiceAccountNotPermitted,
            Permanence::UntilChanged,
            format!("Kubernetes gives no token of ServiceAccount {name} in namespace {namespace}: {words}"),
        ),
        error => unavailable(&error),
    }
}

fn unavailable(error: &Error) -> TokenFailure {
    let message = format!("asking for a token of the ServiceAccount: {error}");
    TokenFailure::new(Reason::APIServerUnavailable, Permanence::Temporary, message)
}
