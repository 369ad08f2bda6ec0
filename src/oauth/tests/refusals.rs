//! What providers say when they refuse, and what is made of it.
#![allow(clippy::too_many_lines, reason = "tables are long")]

use super::super::refusal::OAuthError;
use super::super::sent::Sent;
use super::*;
use serde_json::Value;

fn read(body: &Value) -> (Reason, OAuthError, String) {
    let error = OAuthError::read(body.to_string().as_bytes()).unwrap();
    let request = example();
    let sent = Sent::new(&request);
    let reason = error.reason(&sent);
    let sentence = error.sentence(reason, &sent);
    assert!(!sentence.contains("canary"), "{sentence}");
    (reason, error, sentence)
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
        assert_eq!((found, error.number, error.correlation_id.as_deref()), (reason, Some(number), Some(id)));
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
    let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = STANDARD.encode(format!("app-1:{form}"));
    for echo in [SECRET, &form, &basic, &SECRET[..20], &SECRET[10..], &basic[8..30]] {
        let (_, _, sentence) =
            read(&json!({ "error": "invalid_client", "error_description": format!("bad '{echo}'\r\nX: y") }));
        assert!(sentence.contains("(invalid_client: bad '***' X: y)"), "{sentence}");
    }
}

#[test]
fn bodies_that_are_no_refusal() {
    for body in ["", "null", "[]", "{}", "<html>", r#"{"error":{"code":400,"message":"x"}}"#, "\u{0}"] {
        assert!(OAuthError::read(body.as_bytes()).is_none(), "{body}");
    }
}

/// Entra ID's numbers for statements and refresh tokens, whose meaning depends on what was asked with.
#[test]
fn entra_about_certificates_federation_and_refresh_tokens() {
    let certificate = || Proof::Certificate { chain_pem: String::new(), key_pem: Secret::new("k") };
    let federated =
        || Proof::Federated(AssertionSource(Arc::new(|| Box::pin(async { Ok(Secret::new("canary")) }))));
    let refresh = || Grant::RefreshToken(Secret::new("canary-refresh"));
    let client = || Grant::ClientCredentials;
    for (number, error, grant, proof, reason, says) in [
        (700_027, "invalid_client", client(), certificate(), Reason::ClientCertificateUnknown, "upload it"),
        (700_030, "invalid_client", client(), certificate(), Reason::ClientCertificateUnknown, "upload it"),
        (50_013, "invalid_grant", client(), certificate(), Reason::ClientCertificateUnknown, "upload it"),
        (700_021, "invalid_client", client(), certificate(), Reason::ClientCertificateUnknown, "upload it"),
        (700_024, "invalid_client", client(), certificate(), Reason::TokenRefused, "compare the clock"),
        (
            70_021,
            "invalid_request",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "issuer https://",
        ),
        (
            70_025,
            "invalid_client",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "issuer https://",
        ),
        (
            700_211,
            "invalid_client",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "issuer https://",
        ),
        (
            700_212,
            "invalid_client",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "issuer https://",
        ),
        (
            700_213,
            "invalid_client",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "issuer https://",
        ),
        (
            7_002_138,
            "invalid_client",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "letter for letter",
        ),
        (
            50_166,
            "invalid_request",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "openid-configuration",
        ),
        (
            50_013,
            "invalid_grant",
            client(),
            federated(),
            Reason::FederatedCredentialMismatch,
            "Federated credentials",
        ),
        (500_133, "invalid_grant", client(), federated(), Reason::TokenRefused, "compare the clock"),
        (70_000, "invalid_grant", refresh(), Proof::None, Reason::RefreshTokenInvalid, "another client"),
        (70_008, "invalid_grant", refresh(), Proof::None, Reason::RefreshTokenInvalid, "it has expired"),
        (700_082, "invalid_grant", refresh(), Proof::None, Reason::RefreshTokenInvalid, "90 days"),
        (
            50_173,
            "invalid_grant",
            refresh(),
            Proof::None,
            Reason::RefreshTokenInvalid,
            "password was changed",
        ),
        (
            50_076,
            "interaction_required",
            refresh(),
            Proof::None,
            Reason::RefreshTokenInvalid,
            "second factor",
        ),
        (50_057, "invalid_grant", refresh(), Proof::None, Reason::RefreshTokenInvalid, "is disabled"),
        (65_001, "invalid_grant", refresh(), Proof::None, Reason::TokenRefused, "Grant admin consent"),
        (53_003, "invalid_grant", refresh(), Proof::None, Reason::BlockedByPolicy, "Conditional Access"),
        (
            70_011,
            "invalid_scope",
            refresh(),
            Proof::None,
            Reason::InvalidScope,
            "outlook.office.com/SMTP.Send",
        ),
        // Unknown numbers are told in the server's words.
        (
            999_999,
            "invalid_grant",
            refresh(),
            Proof::None,
            Reason::RefreshTokenInvalid,
            "AADSTS999999: Whatever",
        ),
    ] {
        let request = TokenRequest { grant, proof, ..example() };
        let mut sent = Sent::new(&request);
        sent.brought(&Secret::new(jwt(&json!({ "iss": "https://cluster.example", "sub": "s", "aud": "a" }))));
        let body = json!({
            "error": error, "error_description": format!("AADSTS{number}: Whatever. Trace ID: canary"),
            "error_codes": [number],
        });
        let error = OAuthError::read(body.to_string().as_bytes()).unwrap();
        let found = error.reason(&sent);
        let sentence = error.sentence(found, &sent);
        assert_eq!(found, reason, "{number}: {sentence}");
        assert!(sentence.contains(&format!("AADSTS{number}")) && sentence.contains(says), "{sentence}");
        assert!(!sentence.contains("canary"), "{sentence}");
        assert!(sentence.chars().count() < 700, "{sentence}");
    }
}

/// Google's answers to a service account, and to a refresh token.
#[test]
fn google() {
    let account = "sender@corp.iam.gserviceaccount.com";
    let file = json!({
        "type": "service_account", "client_email": account, "client_id": "108000000000000000001",
        "private_key": mail_operator_testbed::client_keys::private_key(
            mail_operator_testbed::client_keys::Algorithm::P256,
            mail_operator_testbed::client_keys::Form::Pkcs8,
        ).unwrap().0,
    });
    let service_account = || Grant::JWTBearer {
        key_file: Secret::new(file.to_string()),
        subject: "alerts@corp.example".into(),
    };
    let refresh = || Grant::RefreshToken(Secret::new("canary"));
    let delegation = "Manage Domain Wide Delegation > Add new, Client ID 108000000000000000001, OAuth scopes https://mail.google.com/";
    for (grant, error, description, reason, says) in [
        (
            service_account(),
            "invalid_grant",
            "Invalid JWT Signature.",
            Reason::ServiceAccountKeyInvalid,
            "Keys > Add key",
        ),
        (
            service_account(),
            "invalid_grant",
            "Invalid grant: account not found",
            Reason::ClientNotFound,
            account,
        ),
        (
            service_account(),
            "invalid_grant",
            "Invalid email or User ID",
            Reason::TokenRefused,
            "no mailbox alerts@corp.example",
        ),
        (
            service_account(),
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
            Reason::TokenRefused,
            "compare the clock",
        ),
        (
            service_account(),
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.",
            Reason::TokenRefused,
            delegation,
        ),
        (
            service_account(),
            "access_denied",
            "Requested client not authorized.",
            Reason::TokenRefused,
            delegation,
        ),
        (
            service_account(),
            "invalid_scope",
            "Invalid OAuth scope or ID token audience provided.",
            Reason::InvalidScope,
            "it has to be https://mail.google.com/",
        ),
        (service_account(), "admin_policy_enforced", "", Reason::BlockedByPolicy, "admin_policy_enforced"),
        (service_account(), "invalid_grant", "Something new", Reason::TokenRefused, "Something new"),
        (
            refresh(),
            "invalid_grant",
            "Token has been expired or revoked.",
            Reason::RefreshTokenInvalid,
            "consent again",
        ),
        (
            refresh(),
            "invalid_client",
            "The OAuth client was not found.",
            Reason::TokenRefused,
            "give its clientSecretRef",
        ),
    ] {
        let request = TokenRequest {
            token_url: "https://oauth2.googleapis.com/token".parse().unwrap(),
            grant,
            proof: Proof::None,
            scopes: Vec::new(),
            ..example()
        };
        let mut sent = Sent::new(&request);
        if let Grant::JWTBearer { key_file, .. } = &request.grant {
            sent.speaks_for(&super::super::assertion::ServiceAccount::read(key_file).unwrap());
        }
        let body = json!({ "error": error, "error_description": description });
        let error = OAuthError::read(body.to_string().as_bytes()).unwrap();
        let found = error.reason(&sent);
        let sentence = error.sentence(found, &sent);
        assert_eq!(found, reason, "{description}: {sentence}");
        assert!(sentence.contains(says), "{sentence} should say {says}");
        assert!(sentence.chars().count() < 700, "{sentence}");
    }
}

#[test]
fn other_providers_about_certificates_and_federation() {
    for (proof, reason, says) in [
        (
            Proof::Certificate { chain_pem: String::new(), key_pem: Secret::new("k") },
            Reason::ClientCertificateUnknown,
            "register the certificate of clientCertificateSecretRef",
        ),
        (
            Proof::Federated(AssertionSource(Arc::new(|| Box::pin(async { Ok(Secret::new("canary")) })))),
            Reason::FederatedCredentialMismatch,
            "trust issuer https://cluster.example, subject s and audience a",
        ),
    ] {
        let request = TokenRequest { proof, ..example() };
        let mut sent = Sent::new(&request);
        sent.brought(&Secret::new(jwt(
            &json!({ "iss": "https://cluster.example", "sub": "s", "aud": ["a"] }),
        )));
        let body = json!({ "error": "invalid_client", "error_description": "client authentication failed" });
        let error = OAuthError::read(body.to_string().as_bytes()).unwrap();
        let sentence = error.sentence(error.reason(&sent), &sent);
        assert_eq!(error.reason(&sent), reason, "{sentence}");
        assert!(sentence.contains(says), "{sentence}");
    }
}
