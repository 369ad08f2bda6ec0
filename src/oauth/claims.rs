//! Looks into our own access token. No signature is verified: a token is the mail server's to judge, and an
//! opaque one simply shows nothing. Never panics, whatever the bytes.

use crate::domain::masking::Mask;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What a token says about itself. Its issuer wrote it, who was sent our secrets, so it shows none of them. Texts
/// are printable, at most 200 characters, and few enough for a status. All empty for an opaque token.
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
    /// `oid`: in Entra ID, the object that the token speaks for; of an application, its service principal.
    pub object_id: Option<String>,
    /// `upn`, `preferred_username`, `unique_name` or `email`: the person it speaks for.
    pub user: Option<String>,
    /// `exp`: when the mail server will cease to accept it.
    pub expires_at: Option<Timestamp>,
}

/// Roles, or scopes, kept of one token.
const MAX_ENTRIES: usize = 64;

/// Larger tokens are not looked into. Entra's are 1.5 to 4 KiB.
const MAX_TOKEN: usize = 64 * 1024;

/// Reads the claims of a JWT (RFC 7519) without verifying it. Anything else yields empty claims.
pub fn inspect(token: &str, mask: &Mask) -> TokenClaims {
    payload(token).map(|claims| read(&claims, mask)).unwrap_or_default()
}

/// Claims that are texts, as they may be shown; empty where there are none.
pub(super) fn texts<const N: usize>(token: &str, names: [&str; N], mask: &Mask) -> [String; N] {
    let claims = payload(token).unwrap_or_default();
    names.map(|name| text(&claims, name, mask).unwrap_or_default())
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

fn read(claims: &Map<String, Value>, mask: &Mask) -> TokenClaims {
    let text = |name: &str| text(claims, name, mask);
    let shown = |text: &str| shown(text, mask);
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
        object_id: text("oid"),
        user: ["upn", "preferred_username", "unique_name", "email"].into_iter().find_map(text),
        expires_at: claims.get("exp").and_then(seconds),
    }
}

fn text(claims: &Map<String, Value>, name: &str, mask: &Mask) -> Option<String> {
    match claims.get(name)? {
        Value::String(text) => shown(text, mask),
        Value::Array(entries) => entries.iter().find_map(Value::as_str).and_then(|text| shown(text, mask)),
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

fn shown(text: &str, mask: &Mask) -> Option<String> {
    let shown = mask.line(text);
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

    fn nothing() -> &'static Mask {
        static NOTHING: std::sync::LazyLock<Mask> = std::sync::LazyLock::new(Mask::default);
        &NOTHING
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn reads_what_providers_put_there() {
        let entra = json!({
            "aud": "https://outlook.office365.com", "iss": "https://sts.windows.net/t/", "exp": 1_800_000_000,
            "appid": "a", "tid": "t", "oid": "o", "roles": ["SMTP.SendAsApp", 7, "IMAP.AccessAsApp"], "ver": "1.0",
        });
        let expected = TokenClaims {
            audience: Some("https://outlook.office365.com".into()),
            roles: vec!["SMTP.SendAsApp".into(), "IMAP.AccessAsApp".into()],
            tenant: Some("t".into()),
            app_id: Some("a".into()),
            object_id: Some("o".into()),
            expires_at: Some(at(1_800_000_000)),
            ..TokenClaims::default()
        };
        assert_eq!(inspect(&jwt(&entra), nothing()), expected);

        let keycloak = json!({ "aud": ["mail", "account"], "azp": "a", "preferred_username": "ada", "scope": "email  send", "exp": 1.5e9 });
        let expected = TokenClaims {
            audience: Some("mail".into()),
            scope: vec!["email".into(), "send".into()],
            app_id: Some("a".into()),
            user: Some("ada".into()),
            expires_at: Some(at(1_500_000_000)),
            ..TokenClaims::default()
        };
        assert_eq!(inspect(&jwt(&keycloak), nothing()), expected);
    }

    #[test]
    fn whatever_else_is_opaque() {
        let json_array = jwt(&json!([1, 2]));
        let encrypted = format!("{}.d.e", jwt(&json!({ "aud": "a" })));
        let large = jwt(&json!({ "aud": "a", "x": "x".repeat(64 * 1024) }));
        for token in ["", ".", "..", "a.b.c", "ya29.opaque", "e30.!!!.e30", &json_array, &encrypted, &large] {
            assert_eq!(inspect(token, nothing()), TokenClaims::default(), "{token:.40}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_printable() {
        let roles: Vec<String> = (0..1000).map(|n| format!("role\r\n\u{202e}{n}")).collect();
        let claims =
            inspect(&jwt(&json!({ "aud": "a".repeat(5000), "roles": roles, "tid": "\u{0}\n" })), nothing());
        assert_eq!(claims.roles.len(), MAX_ENTRIES);
        assert_eq!(claims.roles.first().unwrap(), "role 0");
        assert_eq!(claims.audience.unwrap().chars().count(), 200);
        assert_eq!(claims.tenant, None);
    }

    /// An issuer that repeats the client secret in its tokens, in whichever form it got it.
    #[test]
    fn what_was_sent_shows_in_no_claim() {
        let mut mask = Mask::default();
        mask.hide("canary-client-secret");
        let echo = "canary-client-secret";
        let encoded = URL_SAFE_NO_PAD.encode(echo);
        let names = ["aud", "roles", "scp", "scope", "tid", "appid", "azp", "oid", "upn", "email"];
        for claim in names {
            for said in [json!(echo), json!([encoded]), json!(format!("for {}", echo.to_uppercase()))] {
                let token = jwt(&json!({ claim: said }));
                let shown = format!("{:?}", inspect(&token, &mask)).to_lowercase();
                assert!(shown.contains("***"), "{claim}: {shown}");
                assert!(
                    !shown.contains("canary") && !shown.contains(&encoded[..8].to_lowercase()),
                    "{shown}"
                );
            }
        }
        assert_eq!(texts(&jwt(&json!({ "iss": echo })), ["iss"], &mask), ["***"]);
    }

    proptest! {
        #[test]
        fn never_panics(token in ".*", payload in "\\PC*") {
            inspect(&token, nothing());
            inspect(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(payload)), nothing());
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
            let claims = inspect(&jwt(&json!({ key: value })), nothing());
            let texts = [&claims.audience, &claims.tenant, &claims.app_id].into_iter().flatten();
            for text in texts.chain(&claims.roles).chain(&claims.scope) {
                prop_assert!((1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control));
            }
            prop_assert!(claims.roles.len() <= MAX_ENTRIES && claims.scope.len() <= MAX_ENTRIES);
        }
    }
}
