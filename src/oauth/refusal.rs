//! Reads a provider's refusal (RFC 6749, section 5.2) and puts it into words with the way out. Entra ID's
//! numbers find the most precise ones; any other provider's description is quoted, filtered.

use super::{masking::printable, request::TokenRequest};
use crate::api::Reason;
use base64::{Engine, engine::general_purpose::STANDARD};
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
        let known = numbers.iter().copied().find(|number| entra_reason(*number).is_some());
        let guid =
            |id: &&str| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        Some(Self {
            error: text("error")?.to_owned(),
            number: known.or_else(|| numbers.first().copied()),
            correlation_id: text("correlation_id").filter(guid).map(str::to_owned),
            description,
        })
    }

    pub(super) fn reason(&self) -> Reason {
        self.number.and_then(entra_reason).unwrap_or(match self.error.as_str() {
            "invalid_client" => Reason::InvalidClientSecret,
            "invalid_scope" => Reason::InvalidScope,
            // Google's, beyond the RFC.
            "deleted_client" => Reason::ClientNotFound,
            "disabled_client" => Reason::ClientDisabled,
            _ => Reason::TokenRefused,
        })
    }

    /// What happened and what to do.
    pub(super) fn sentence(&self, reason: Reason, request: &TokenRequest) -> String {
        let host = host(request);
        let client = shown(request, &request.client_id);
        let scopes = shown(request, &request.scopes.join(" "));
        let said = self.said(request);
        let entra = self.number.is_some();
        match reason {
            Reason::InvalidClientSecret if entra => format!(
                "{host} refuses the client secret of application {client} ({said}): often the secret's ID was pasted \
                 instead of its value; create a new one in the Entra admin center, App registrations > Certificates & \
                 secrets, and put its Value into the Secret"
            ),
            Reason::ClientSecretExpired => format!(
                "the client secret of application {client} has expired ({said}): create a new one in the Entra admin \
                 center, App registrations > Certificates & secrets, and put its Value into the Secret"
            ),
            Reason::ClientNotFound if entra => format!(
                "the tenant knows no application {client} ({said}): compare clientID and tenantID with the Entra admin \
                 center, App registrations > Overview; an application of another tenant needs that one's admin consent"
            ),
            Reason::ClientDisabled if entra => format!(
                "application {client} is disabled ({said}): switch it on in the Entra admin center, Enterprise \
                 applications > Properties > Enabled for users to sign-in"
            ),
            Reason::TenantNotFound => format!(
                "{host} knows no such tenant ({said}): compare tenantID with the Entra admin center, Overview > \
                 Tenant ID, and cloud with the service the tenant lives in"
            ),
            Reason::InvalidScope if entra => format!(
                "{host} refuses the scope {scopes} ({said}): an application needs a resource followed by /.default, \
                 for Exchange Online https://outlook.office365.com/.default"
            ),
            Reason::BlockedByPolicy => format!(
                "a Conditional Access policy blocks application {client} ({said}): the Entra admin center, Sign-in \
                 logs > Service principal sign-ins, shows which one"
            ),
            Reason::InvalidClientSecret => format!(
                "{host} refuses client {client} or its secret ({said}): compare clientID and the Secret with what the \
                 provider shows for this client"
            ),
            Reason::InvalidScope => format!(
                "{host} refuses the scope {scopes} ({said}): compare scopes with what the provider lists for this client"
            ),
            _ => {
                format!("{host} refuses client {client} ({said}): see what the provider permits this client")
            }
        }
    }

    /// What the server said: the number alone if it says everything, else its own words.
    fn said(&self, request: &TokenRequest) -> String {
        match self.number.filter(|number| entra_reason(*number).is_some()) {
            Some(number) => format!("AADSTS{number}"),
            None if self.description.is_empty() => shown(request, &self.error),
            None => shown(request, &format!("{}: {}", self.error, lasting(&self.description))),
        }
    }
}

/// The numbers that have a reason of their own, from
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
fn entra_reason(number: u64) -> Option<Reason> {
    Some(match number {
        7_000_215 => Reason::InvalidClientSecret,
        7_000_222 => Reason::ClientSecretExpired,
        // No such application; known, but without a service principal in this tenant.
        700_016 | 7_000_229 => Reason::ClientNotFound,
        7_000_112 => Reason::ClientDisabled,
        90_002 | 900_023 => Reason::TenantNotFound,
        // Malformed; not `/.default`; a resource the tenant does not have.
        70_011 | 1_002_012 | 500_011 => Reason::InvalidScope,
        53_003 => Reason::BlockedByPolicy,
        _ => return None,
    })
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

/// Host, and port if it is not 443.
pub(super) fn host(request: &TokenRequest) -> String {
    let host = request.token_url.host_str().unwrap_or_default();
    request.token_url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A server's words without our secrets, in whichever form we sent them.
pub(super) fn shown(request: &TokenRequest, words: &str) -> String {
    let secret = match &request.proof {
        super::Proof::Secret { secret, .. } => secret.expose(),
        _ => "",
    };
    let basic = STANDARD.encode(format!("{}:{}", form_encoded(&request.client_id), form_encoded(secret)));
    printable(words, &[secret, &basic])
}

fn form_encoded(text: &str) -> String {
    oauth2::url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
const SECRET: &str = "canary~8Q~secret+of/an=application";

/// A request for the tests of what is said about it.
#[cfg(test)]
pub(super) fn example() -> TokenRequest {
    TokenRequest {
        token_url: oauth2::url::Url::parse("https://login.microsoftonline.com/t/oauth2/v2.0/token")
            .unwrap_or_else(|error| unreachable!("{error}")),
        client_id: "app-1".into(),
        grant: super::Grant::ClientCredentials,
        proof: super::Proof::Secret {
            secret: crate::domain::secret::Secret::new(SECRET),
            placement: super::ClientAuthentication::RequestBody,
        },
        versions: vec![super::SecretVersion::default()],
        scopes: vec!["https://outlook.office365.com/.default".into()],
        parameters: [].into(),
        ca_pem: None,
        proxy: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::too_many_lines)]
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> (Reason, OAuthError, String) {
        let error = OAuthError::read(body.to_string().as_bytes()).unwrap();
        let sentence = error.sentence(error.reason(), &example());
        assert!(!sentence.contains("canary"), "{sentence}");
        (error.reason(), error, sentence)
    }

    /// Entra ID's bodies, with the identifiers replaced.
    #[test]
    fn entra() {
        for (number, error, text, reason, says) in [
            (
                7_000_215,
                "invalid_client",
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '11111111-2222-3333-4444-555555555555'.",
                Reason::InvalidClientSecret,
                "secret's ID was pasted",
            ),
            (
                7_000_222,
                "invalid_client",
                "The provided client secret keys for app '11111111-2222-3333-4444-555555555555' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
                Reason::ClientSecretExpired,
                "has expired (AADSTS7000222)",
            ),
            (
                700_016,
                "unauthorized_client",
                "Application with identifier '11111111-2222-3333-4444-555555555555' was not found in the directory 'Corp'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
                Reason::ClientNotFound,
                "compare clientID and tenantID",
            ),
            (
                7_000_229,
                "invalid_client",
                "The client application 11111111-2222-3333-4444-555555555555 is missing service principal in the tenant 66666666-7777-8888-9999-000000000000.",
                Reason::ClientNotFound,
                "admin consent",
            ),
            (
                7_000_112,
                "unauthorized_client",
                "Application '11111111-2222-3333-4444-555555555555'(mail) is disabled.",
                Reason::ClientDisabled,
                "Enabled for users to sign-in",
            ),
            (
                90_002,
                "invalid_request",
                "Tenant '66666666-7777-8888-9999-000000000000' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
                Reason::TenantNotFound,
                "and cloud with",
            ),
            (
                900_023,
                "invalid_request",
                "Specified tenant identifier 'corp' is neither a valid DNS name, nor a valid external domain.",
                Reason::TenantNotFound,
                "compare tenantID",
            ),
            (
                70_011,
                "invalid_scope",
                "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope mail is not valid.",
                Reason::InvalidScope,
                "/.default",
            ),
            (
                1_002_012,
                "invalid_scope",
                "The provided value for scope https://outlook.office365.com/SMTP.Send is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).",
                Reason::InvalidScope,
                "/.default",
            ),
            (
                500_011,
                "invalid_resource",
                "The resource principal named https://outlook.example was not found in the tenant named Corp.",
                Reason::InvalidScope,
                "(AADSTS500011)",
            ),
            (
                53_003,
                "invalid_grant",
                "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
                Reason::BlockedByPolicy,
                "Conditional Access",
            ),
            (
                50_196,
                "invalid_grant",
                "The server terminated an operation because it encountered a client request loop.",
                Reason::TokenRefused,
                "client request loop.)",
            ),
        ] {
            let id = "4c1e7a52-7d0c-4f0e-9a56-0f9c1a6b2d11";
            let body = json!({
                "error": error,
                "error_description": format!("AADSTS{number}: {text} Trace ID: 7f1dbe4a-31c4-4b2b-8d2e-5a0c6b5f2e00 Correlation ID: {id} Timestamp: 2026-11-24 06:00:00Z"),
                "error_codes": [number], "timestamp": "2026-11-24 06:00:00Z", "correlation_id": id,
            });
            let (found, error, sentence) = read(&body);
            assert_eq!(
                (found, error.number, error.correlation_id.as_deref()),
                (reason, Some(number), Some(id))
            );
            assert!(sentence.contains(&format!("AADSTS{number}")) && sentence.contains(says), "{sentence}");
            assert!(
                !sentence.contains(id) && !sentence.contains("06:00:00"),
                "would change at each try: {sentence}"
            );
        }
    }

    #[test]
    fn other_providers() {
        for (body, reason, says) in [
            // Keycloak
            (
                json!({ "error": "invalid_client", "error_description": "Invalid client or Invalid client credentials" }),
                Reason::InvalidClientSecret,
                "Invalid client or Invalid client credentials",
            ),
            (
                json!({ "error": "unauthorized_client", "error_description": "Client not enabled to retrieve service account" }),
                Reason::TokenRefused,
                "service account",
            ),
            (
                json!({ "error": "invalid_scope", "error_description": "Invalid scopes: mail" }),
                Reason::InvalidScope,
                "compare scopes",
            ),
            // Google
            (
                json!({ "error": "invalid_client", "error_description": "The OAuth client was not found." }),
                Reason::InvalidClientSecret,
                "client was not found",
            ),
            (
                json!({ "error": "deleted_client", "error_description": "The OAuth client was deleted." }),
                Reason::ClientNotFound,
                "was deleted",
            ),
            (
                json!({ "error": "disabled_client", "error_description": "The OAuth client was disabled." }),
                Reason::ClientDisabled,
                "was disabled",
            ),
            (
                json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." }),
                Reason::TokenRefused,
                "Invalid JWT Signature.",
            ),
            // As little as the RFC demands, and less.
            (json!({ "error": "unsupported_grant_type" }), Reason::TokenRefused, "(unsupported_grant_type)"),
            (
                json!({ "error": "invalid_client", "error_description": 7, "error_codes": "none", "correlation_id": "<script>" }),
                Reason::InvalidClientSecret,
                "(invalid_client)",
            ),
        ] {
            let (found, error, sentence) = read(&body);
            assert_eq!((found, error.number, error.correlation_id), (reason, None, None), "{body}");
            assert!(sentence.contains(says), "{sentence}");
        }
    }

    #[test]
    fn the_secret_is_masked_in_every_form_it_was_sent_in() {
        let form = form_encoded(SECRET);
        let basic = STANDARD.encode(format!("app-1:{form}"));
        for echo in [SECRET, &form, &basic, &SECRET[..20], &SECRET[10..], &basic[8..30]] {
            let (_, _, sentence) = read(
                &json!({ "error": "invalid_client", "error_description": format!("bad '{echo}'\r\nX: y") }),
            );
            assert!(sentence.contains("(invalid_client: bad '***' X: y)"), "{sentence}");
        }
    }

    #[test]
    fn bodies_that_are_no_refusal() {
        for body in ["", "null", "[]", "{}", "<html>", r#"{"error":{"code":400,"message":"x"}}"#, "\u{0}"] {
            assert!(OAuthError::read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
