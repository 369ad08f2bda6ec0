//! Looks into our own access token to say what is visibly wrong with it, after a mail server refused
//! it. No signature is verified and nothing is decided by what is found here: a token is the mail
//! server's to judge, and an opaque one simply shows nothing. Never panics, whatever the bytes.

use crate::domain::exchange_online;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What a token says about itself. Texts are printable, at most 200 characters, and few enough for a
/// status. All empty for an opaque token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenClaims {
    /// `aud`: the service it is meant for; the first one, if it names several.
    pub audience: Option<String>,
    /// `roles`: application permissions, at most 64.
    pub roles: Vec<String>,
    /// `scp` or `scope`: delegated permissions, at most 64.
    pub scope: Vec<String>,
    /// `tid`: the Entra tenant.
    pub tenant: Option<String>,
    /// `appid`, `azp` or `client_id`: the application.
    pub app_id: Option<String>,
    /// `exp`: when the mail server will cease to accept it.
    pub expires_at: Option<Timestamp>,
}

/// Roles, or scopes, kept of one token.
const MAX_ENTRIES: usize = 64;

/// Larger tokens are not looked into. Entra's are 1.5 to 4 KiB.
const MAX_TOKEN: usize = 64 * 1024;

/// Something in the token that explains why the mail server refuses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// It is meant for another service.
    #[error("the token is for {found}, the mail server wants {expected}: correct the scope")]
    Audience {
        /// As the token says.
        found: String,
        /// The first of those that would do.
        expected: String,
    },
    /// It lacks the application permission to send.
    #[error(
        "the token lacks the role {role}: grant the application permission {role} of Office 365 Exchange Online \
         in the Entra admin center (App registrations > API permissions > Add > APIs my organization uses) and give admin consent",
        role = exchange_online::SEND_ROLE
    )]
    SendRoleMissing,
    /// It is no longer valid.
    #[error("the token expired at {0}: compare the clocks of this cluster and of the token endpoint")]
    Expired(Timestamp),
}

/// What is visibly wrong with a token for Exchange Online. `audiences` are those that would do, the one
/// to recommend first; see [`exchange_online_audiences`]. Empty means that nothing can be seen: then
/// the service principal or the mailbox's permission is missing ([`exchange_online::CHECK_LIST`]).
pub fn objections(claims: &TokenClaims, audiences: &[&str], now: Timestamp) -> Vec<Objection> {
    let audience = claims.audience.as_deref().zip(audiences.first()).and_then(|(found, expected)| {
        let fits = audiences.iter().any(|audience| same_audience(audience, found));
        (!fits).then(|| Objection::Audience { found: found.to_owned(), expected: (*expected).to_owned() })
    });
    // Of an opaque token nothing is known, hence nothing is missing. With another audience the roles
    // are those of another service, and a second objection would send people the wrong way.
    let judged = claims.audience.is_some() && audience.is_none();
    let role = (judged && !claims.roles.iter().any(|role| role == exchange_online::SEND_ROLE))
        .then_some(Objection::SendRoleMissing);
    let expired = claims.expires_at.filter(|at| *at <= now).map(Objection::Expired);
    [audience, role, expired].into_iter().flatten().collect()
}

/// The audiences that a token asked for with `scope` may carry: the scope's resource, or the number
/// that Exchange Online has in every tenant.
pub fn exchange_online_audiences(scope: &str) -> [&str; 2] {
    [scope.strip_suffix("/.default").unwrap_or(scope), exchange_online::APPLICATION_ID]
}

fn same_audience(a: &str, b: &str) -> bool {
    a.trim_end_matches('/').eq_ignore_ascii_case(b.trim_end_matches('/'))
}

/// Reads the claims of a JWT (RFC 7519) without verifying it. Anything else yields empty claims.
pub fn inspect(token: &str) -> TokenClaims {
    payload(token).map(|claims| read(&claims)).unwrap_or_default()
}

/// Claims that are texts, as they may be shown; empty where there are none.
pub(super) fn texts<const N: usize>(token: &str, names: [&str; N]) -> [String; N] {
    let claims = payload(token).unwrap_or_default();
    names.map(|name| text(&claims, name).unwrap_or_default())
}

fn payload(token: &str) -> Option<Map<String, Value>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None; // five parts: encrypted (RFC 7516)
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

fn read(claims: &Map<String, Value>) -> TokenClaims {
    let text = |name: &str| text(claims, name);
    let list = |name: &str| -> Vec<String> {
        match claims.get(name) {
            Some(Value::String(words)) => words.split(' ').filter_map(shown).take(MAX_ENTRIES).collect(),
            Some(Value::Array(entries)) => {
                entries.iter().filter_map(Value::as_str).filter_map(shown).take(MAX_ENTRIES).collect()
            }
            _ => Vec::new(),
        }
    };
    let or = |first: Vec<String>, other: &str| if first.is_empty() { list(other) } else { first };
    TokenClaims {
        audience: text("aud"),
        roles: list("roles"),
        scope: or(list("scp"), "scope"),
        tenant: text("tid"),
        app_id: text("appid").or_else(|| text("azp")).or_else(|| text("client_id")),
        expires_at: claims.get("exp").and_then(seconds),
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    match claims.get(name)? {
        Value::String(text) => shown(text),
        Value::Array(entries) => entries.iter().find_map(Value::as_str).and_then(shown),
        _ => None,
    }
}

/// A `NumericDate`. Fractions are allowed by the RFC and of no interest here.
fn seconds(value: &Value) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and Timestamp refuses what is out of range"
    )]
    let whole = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))?;
    Timestamp::from_second(whole).ok()
}

fn shown(text: &str) -> Option<String> {
    let shown = super::masking::printable(text, &[]);
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn reads_what_providers_put_there() {
        let entra = json!({
            "aud": "https://outlook.office365.com", "iss": "https://sts.windows.net/t/", "exp": 1_800_000_000,
            "appid": "a", "tid": "t", "roles": ["SMTP.SendAsApp", 7, "IMAP.AccessAsApp"], "ver": "1.0",
        });
        let expected = TokenClaims {
            audience: Some("https://outlook.office365.com".into()),
            roles: vec!["SMTP.SendAsApp".into(), "IMAP.AccessAsApp".into()],
            tenant: Some("t".into()),
            app_id: Some("a".into()),
            expires_at: Some(at(1_800_000_000)),
            ..TokenClaims::default()
        };
        assert_eq!(inspect(&jwt(&entra)), expected);

        let keycloak =
            json!({ "aud": ["mail", "account"], "azp": "a", "scope": "email  send", "exp": 1.5e9 });
        let expected = TokenClaims {
            audience: Some("mail".into()),
            scope: vec!["email".into(), "send".into()],
            app_id: Some("a".into()),
            expires_at: Some(at(1_500_000_000)),
            ..TokenClaims::default()
        };
        assert_eq!(inspect(&jwt(&keycloak)), expected);
    }

    #[test]
    fn whatever_else_is_opaque() {
        let json_array = jwt(&json!([1, 2]));
        let encrypted = format!("{}.d.e", jwt(&json!({ "aud": "a" })));
        let large = jwt(&json!({ "aud": "a", "x": "x".repeat(64 * 1024) }));
        for token in ["", ".", "..", "a.b.c", "ya29.opaque", "e30.!!!.e30", &json_array, &encrypted, &large] {
            assert_eq!(inspect(token), TokenClaims::default(), "{token:.40}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_printable() {
        let roles: Vec<String> = (0..1000).map(|n| format!("role\r\n\u{202e}{n}")).collect();
        let claims = inspect(&jwt(&json!({ "aud": "a".repeat(5000), "roles": roles, "tid": "\u{0}\n" })));
        assert_eq!(claims.roles.len(), MAX_ENTRIES);
        assert_eq!(claims.roles.first().unwrap(), "role 0");
        assert_eq!(claims.audience.unwrap().chars().count(), 200);
        assert_eq!(claims.tenant, None);
    }

    #[test]
    fn what_is_visibly_wrong() {
        let scope = "https://outlook.office365.com/.default";
        let claims = |audience: &str, roles: &[&str], expires: i64| TokenClaims {
            audience: Some(audience.into()),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            expires_at: Some(at(expires)),
            ..TokenClaims::default()
        };
        let wrong_audience = |found: &str| Objection::Audience {
            found: found.into(),
            expected: "https://outlook.office365.com".into(),
        };
        for (claims, expected) in [
            (claims("https://outlook.office365.com", &["SMTP.SendAsApp"], 11), vec![]),
            (claims("https://outlook.office365.com/", &["SMTP.SendAsApp"], 11), vec![]),
            (claims(exchange_online::APPLICATION_ID, &["SMTP.SendAsApp"], 11), vec![]),
            (claims("https://outlook.office365.com", &["Mail.Send"], 11), vec![Objection::SendRoleMissing]),
            (
                claims("https://graph.microsoft.com", &[], 11),
                vec![wrong_audience("https://graph.microsoft.com")],
            ),
            (
                claims("https://outlook.office365.com", &[], 10),
                vec![Objection::SendRoleMissing, Objection::Expired(at(10))],
            ),
            (TokenClaims::default(), vec![]),
        ] {
            assert_eq!(
                objections(&claims, &exchange_online_audiences(scope), at(10)),
                expected,
                "{claims:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(token in ".*", payload in "\\PC*") {
            inspect(&token);
            inspect(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(payload)));
        }

        #[test]
        fn any_json_is_bounded(
            key in "aud|roles|scp|scope|tid|appid|azp|exp",
            value in prop_oneof![
                any::<f64>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                ".{0,300}".prop_map(Value::from),
                proptest::collection::vec(".{0,300}", 0..100).prop_map(Value::from),
            ],
        ) {
            let claims = inspect(&jwt(&json!({ key: value })));
            let texts = [&claims.audience, &claims.tenant, &claims.app_id].into_iter().flatten();
            for text in texts.chain(&claims.roles).chain(&claims.scope) {
                prop_assert!((1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control));
            }
            prop_assert!(claims.roles.len() <= MAX_ENTRIES && claims.scope.len() <= MAX_ENTRIES);
        }
    }
}
