//! Reads a provider's refusal (RFC 6749, section 5.2) and puts it into words with the way out. Entra ID's
//! numbers find the most precise ones, Google's descriptions the next; any other provider's description is
//! quoted, filtered.

use super::entra;
use super::exchange::is_google;
use super::request::{Grant, Proof};
use super::sent::Sent;
use crate::api::Reason;
use serde_json::Value;

/// The error body of RFC 6749, section 5.2, with Entra ID's additions, as lenient as can be.
pub(super) struct OAuthError {
    pub error: String,
    description: String,
    /// The AADSTS number that has a reason of its own, else the first one.
    pub number: Option<u64>,
    /// A GUID, or nothing.
    pub correlation_id: Option<String>,
}

impl OAuthError {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let description = text("error_description").unwrap_or_default().to_owned();
        let listed =
            body.get("error_codes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64);
        let numbers: Vec<u64> = listed.chain(number_in(&description)).collect();
        let known = numbers.iter().copied().find(|number| entra::is_known(*number));
        let guid =
            |id: &&str| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        Some(Self {
            error: text("error")?.to_owned(),
            number: known.or_else(|| numbers.first().copied()),
            correlation_id: text("correlation_id").filter(guid).map(str::to_owned),
            description,
        })
    }

    pub(super) fn reason(&self, sent: &Sent<'_>) -> Reason {
        let request = sent.request;
        if let Some(reason) = self.number.and_then(|number| entra::reason(number, request)) {
            return reason;
        }
        match (self.error.as_str(), &request.grant, &request.proof) {
            ("invalid_client", _, Proof::Secret { .. }) => Reason::InvalidClientSecret,
            ("invalid_client", _, Proof::Certificate { .. }) => Reason::ClientCertificateUnknown,
            ("invalid_client", _, Proof::Federated(_)) => Reason::FederatedCredentialMismatch,
            ("invalid_scope", ..) => Reason::InvalidScope,
            // OpenID Connect Core, section 3.1.2.6: somebody has to sign in again.
            (
                "invalid_grant" | "interaction_required" | "login_required" | "consent_required",
                Grant::RefreshToken(_),
                _,
            ) => Reason::RefreshTokenInvalid,
            ("invalid_grant", Grant::JWTBearer { .. }, _) => match ServiceAccountProblem::of(self) {
                Some(ServiceAccountProblem::Key) => Reason::ServiceAccountKeyInvalid,
                Some(ServiceAccountProblem::Account) => Reason::ClientNotFound,
                _ => Reason::TokenRefused,
            },
            // Google's, beyond the RFC.
            ("deleted_client", ..) => Reason::ClientNotFound,
            ("disabled_client", ..) => Reason::ClientDisabled,
            ("admin_policy_enforced", ..) => Reason::BlockedByPolicy,
            _ => Reason::TokenRefused,
        }
    }

    /// What happened and what to do.
    pub(super) fn sentence(&self, reason: Reason, sent: &Sent<'_>) -> String {
        let request = sent.request;
        let said = self.said(sent);
        if let Some(sentence) = self.number.and_then(|number| entra::sentence(number, reason, sent, &said)) {
            return sentence;
        }
        let (host, client) = (sent.host(), sent.shown(&request.client_id));
        let scopes = sent.shown(&request.scopes.join(" "));
        match (reason, &request.grant) {
            (Reason::InvalidClientSecret, _) => format!(
                "{host} refuses client {client} or its secret ({said}): compare clientID and the Secret with what the \
                 provider shows for this client"
            ),
            (Reason::ClientCertificateUnknown, _) => format!(
                "{host} refuses client {client} or the certificate it signs with ({said}): register the certificate of \
                 clientCertificateSecretRef{} with this client at the provider, for private_key_jwt, and compare clientID",
                thumbprint(sent)
            ),
            (Reason::FederatedCredentialMismatch, _) => format!(
                "{host} refuses the ServiceAccount's token as the proof of client {client} ({said}): the provider has to \
                 trust {}",
                trusted(sent)
            ),
            (Reason::RefreshTokenInvalid, _) => format!(
                "{host} no longer takes the refresh token of client {client} ({said}): it has expired, was revoked, or \
                 belongs to another client; have the mailbox's owner consent again and put the new refresh token into the \
                 Secret"
            ),
            (Reason::InvalidScope, Grant::JWTBearer { .. }) if is_google(request) => format!(
                "{host} refuses the scope {scopes} ({said}): for mail it has to be https://mail.google.com/, which is what \
                 is asked for when scopes is left out"
            ),
            (Reason::InvalidScope, _) => format!(
                "{host} refuses the scope {scopes} ({said}): compare scopes with what the provider lists for this client"
            ),
            (_, Grant::JWTBearer { subject, .. }) => self.service_account(sent, subject, &said),
            (_, Grant::RefreshToken(_)) if self.error == "invalid_client" => format!(
                "{host} does not know client {client} as one without a secret ({said}): compare clientID, and give its \
                 clientSecretRef if it has one"
            ),
            _ => {
                format!("{host} refuses client {client} ({said}): see what the provider permits this client")
            }
        }
    }

    /// What is the matter with a service account's statement.
    fn service_account(&self, sent: &Sent<'_>, subject: &str, said: &str) -> String {
        let host = sent.host();
        let (email, number) = match &sent.account {
            Some((email, number)) => (sent.shown(email), number.as_deref().map(|number| sent.shown(number))),
            None => ("of the key".to_owned(), None),
        };
        let subject = sent.shown(subject);
        match ServiceAccountProblem::of(self) {
            Some(ServiceAccountProblem::Key) => format!(
                "{host} does not know the key of service account {email} ({said}): it was deleted or disabled. Create one in \
                 the Google Cloud console, IAM & Admin > Service Accounts > Keys > Add key > JSON, and put the whole file \
                 into the Secret"
            ),
            Some(ServiceAccountProblem::Account) => format!(
                "{host} knows no service account {email} ({said}): it was deleted, or the key is of another project; \
                 compare with the Google Cloud console, IAM & Admin > Service Accounts"
            ),
            Some(ServiceAccountProblem::Subject) => format!(
                "{host} knows no mailbox {subject} ({said}): subject (default: username) has to be the primary address of \
                 a user of the organisation"
            ),
            Some(ServiceAccountProblem::Clock) => format!(
                "{host} finds the time in our statement wrong ({said}): compare the clock of this node with the real time"
            ),
            Some(ServiceAccountProblem::Delegation) => {
                let scopes = sent.request.scopes.join(" ");
                let scopes =
                    if scopes.is_empty() { "https://mail.google.com/".into() } else { sent.shown(&scopes) };
                let number = number.unwrap_or_else(|| {
                    "(the Unique ID of the service account in the Google Cloud console)".into()
                });
                format!(
                    "service account {email} may not act for {subject} ({said}): a super administrator has to delegate it, \
                     admin.google.com > Security > Access and data control > API controls > Manage Domain Wide Delegation \
                     > Add new, Client ID {number}, OAuth scopes {scopes}; it can take some minutes to work"
                )
            }
            None => format!(
                "{host} refuses service account {email} in the name of {subject} ({said}): see what the provider permits it"
            ),
        }
    }

    /// What the server said: the number alone if it says everything, else its own words.
    fn said(&self, sent: &Sent<'_>) -> String {
        match self.number.filter(|number| entra::is_known(*number)) {
            Some(number) => format!("AADSTS{number}"),
            None if self.description.is_empty() => sent.shown(&self.error),
            None => sent.shown(&format!("{}: {}", self.error, lasting(&self.description))),
        }
    }
}

/// What Google's token endpoint means, which has few error codes and many descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServiceAccountProblem {
    Key,
    Account,
    Subject,
    Clock,
    Delegation,
}

impl ServiceAccountProblem {
    fn of(error: &OAuthError) -> Option<Self> {
        let description = error.description.to_ascii_lowercase();
        let says = |words: &str| description.contains(words);
        match error.error.as_str() {
            "unauthorized_client" | "access_denied" => Some(Self::Delegation),
            "invalid_grant" if says("invalid jwt signature") || says("invalid signature") => Some(Self::Key),
            "invalid_grant" if says("account not found") => Some(Self::Account),
            "invalid_grant" if says("email or user id") => Some(Self::Subject),
            "invalid_grant" if says("reasonable timeframe") || says("short-lived token") => Some(Self::Clock),
            _ => None,
        }
    }
}

/// How a certificate can be recognised, for a sentence.
pub(super) fn thumbprint(sent: &Sent<'_>) -> String {
    sent.thumbprint.as_ref().map(|print| format!(" (thumbprint {print})")).unwrap_or_default()
}

/// What a provider has to trust, for a sentence.
pub(super) fn trusted(sent: &Sent<'_>) -> String {
    let unknown = super::sent::Federated::default();
    let super::sent::Federated { issuer, subject, audience } = sent.federated.as_ref().unwrap_or(&unknown);
    format!("issuer {issuer}, subject {subject} and audience {audience}, letter for letter")
}

fn number_in(description: &str) -> Option<u64> {
    let (_, after) = description.split_once("AADSTS")?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

/// A description up to what Entra appends to it: trace and correlation ID and the time.
fn lasting(description: &str) -> &str {
    let end =
        ["Trace ID:", "Correlation ID:", "Timestamp:"].iter().filter_map(|mark| description.find(mark)).min();
    end.and_then(|end| description.get(..end)).unwrap_or(description).trim()
}
