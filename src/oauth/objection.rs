//! What a token shows to be wrong with it, before a mail server sees it, and what is likeliest to be wrong when
//! one has refused it. Pure: nothing is verified and nothing sent. Sentences name the thing to run or to click;
//! what stands in a command is checked to be harmless there.

use super::claims::TokenClaims;
use crate::domain::exchange_online;
use jiff::Timestamp;

/// The delegated permission without which SMTP refuses a person's token.
const SEND_SCOPE: &str = "SMTP.Send";

/// Other services of Microsoft, for whose tokens Exchange Online has no use whatever else is in them: Microsoft
/// Graph in all clouds, its predecessor, and the management of Azure.
const OTHER_SERVICES: [&str; 9] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "00000003-0000-0000-c000-000000000000",
    "https://graph.windows.net",
    "00000002-0000-0000-c000-000000000000",
    "https://management.azure.com",
    "https://management.core.windows.net",
];

/// What a token is to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation<'a> {
    /// Audiences that would do, the one to recommend first. Empty where the mail server is not Exchange Online:
    /// nothing is known then of what it wants.
    audiences: Vec<String>,
    /// The Entra tenant, by its ID.
    tenant: Option<&'a str>,
}

impl<'a> Expectation<'a> {
    /// Of Exchange Online, for a token asked for with `scopes` in a tenant whose ID may be known.
    pub fn exchange_online(scopes: &'a [String], tenant: Option<&'a str>) -> Self {
        let resource =
            |scope: &'a String| Some(scope.rsplit_once('/')?.0).filter(|found| found.contains("://"));
        let resource = scopes.iter().find_map(resource).unwrap_or("https://outlook.office365.com");
        let mut audiences = vec![resource.to_owned(), exchange_online::APPLICATION_ID.to_owned()];
        // One service under two names in the public cloud: applications ask for the first, people consent to the
        // second.
        audiences.extend(["https://outlook.office365.com", "https://outlook.office.com"].map(str::to_owned));
        Self { audiences, tenant }
    }

    /// Of a mail server that is not known to want anything in particular.
    pub fn anything() -> Self {
        Self { audiences: Vec::new(), tenant: None }
    }

    fn is_exchange_online(&self) -> bool {
        !self.audiences.is_empty()
    }
}

/// Something in the token that explains why the mail server refuses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// It is meant for another service.
    #[error(
        "the token is for {found}, the mail server wants {expected}: correct the scope (for an application \
         {expected}/.default) or, for a refresh token, consent to it again with that scope"
    )]
    Audience {
        /// As the token says.
        found: String,
        /// The first of those that would do.
        expected: String,
        /// Whether it is a service that is known to be another one.
        certain: bool,
    },
    /// It lacks the application permission to send.
    #[error(
        "the token lacks the role {role}: grant the application permission {role} of Office 365 Exchange Online \
         in the Entra admin center (App registrations > API permissions > Add > APIs my organization uses) and give admin consent",
        role = exchange_online::SEND_ROLE
    )]
    SendRoleMissing,
    /// It lacks the delegated permission to send.
    #[error(
        "the token lacks the scope {SEND_SCOPE}: add the delegated permission {SEND_SCOPE} of Office 365 Exchange Online in \
         the Entra admin center (App registrations > API permissions > Add > APIs my organization uses), and consent again \
         for a new refresh token"
    )]
    SendScopeMissing,
    /// It is of another tenant.
    #[error(
        "the token is of tenant {found}, the config names {expected}: compare tenantID and tokenURL with the Entra admin \
         center, Overview > Tenant ID"
    )]
    Tenant {
        /// As the token says.
        found: String,
        /// As the config says.
        expected: String,
    },
    /// It is no longer valid.
    #[error("the token expired at {0}: compare the clocks of this cluster and of the token endpoint")]
    Expired(Timestamp),
}

impl Objection {
    /// Whether no mail server that was expected would take such a token, so that none need be asked. Clocks may
    /// differ, and services have more names than anybody knows.
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::Audience { certain, .. } => *certain,
            Self::SendRoleMissing | Self::SendScopeMissing | Self::Tenant { .. } => true,
            Self::Expired(_) => false,
        }
    }
}

/// What is visibly wrong with a token, the gravest first. Of an opaque token nothing is known, hence nothing
/// is wrong.
pub fn objections(claims: &TokenClaims, expected: &Expectation<'_>, now: Timestamp) -> Vec<Objection> {
    let audience = claims.audience.as_deref().zip(expected.audiences.first()).and_then(|(found, first)| {
        let fits = expected.audiences.iter().any(|audience| same_audience(audience, found));
        let certain = OTHER_SERVICES.iter().any(|other| same_audience(other, found));
        (!fits).then(|| Objection::Audience { found: found.to_owned(), expected: first.clone(), certain })
    });
    // With another audience the permissions are those of another service, and a second objection would send
    // people the wrong way.
    let judged = expected.is_exchange_online() && claims.audience.is_some() && audience.is_none();
    let permission = if judged { permission(claims) } else { None };
    let tenant = claims.tenant.as_deref().zip(expected.tenant).and_then(|(found, tenant)| {
        let differs = !found.eq_ignore_ascii_case(tenant);
        differs.then(|| Objection::Tenant { found: found.to_owned(), expected: tenant.to_owned() })
    });
    let expired = claims.expires_at.filter(|at| *at <= now).map(Objection::Expired);
    [tenant, audience, permission, expired].into_iter().flatten().collect()
}

fn permission(claims: &TokenClaims) -> Option<Objection> {
    if has(&claims.roles, exchange_online::SEND_ROLE) || has(&claims.scope, SEND_SCOPE) {
        None
    } else if is_of_a_person(claims) {
        Some(Objection::SendScopeMissing)
    } else {
        Some(Objection::SendRoleMissing)
    }
}

/// An application's token has roles, a person's has scopes; some providers give applications' tokens scopes as well.
fn is_of_a_person(claims: &TokenClaims) -> bool {
    has(&claims.scope, SEND_SCOPE) || !claims.scope.is_empty() && claims.roles.is_empty()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(wanted))
}

fn same_audience(a: &str, b: &str) -> bool {
    a.trim_end_matches('/').eq_ignore_ascii_case(b.trim_end_matches('/'))
}

/// Why a mail server is likeliest to have refused a token (535), in this order, each with what to do about it:
/// first what the token itself shows, then what cannot be seen from here. `username` is the mailbox.
pub fn likely_causes(
    claims: &TokenClaims,
    expected: &Expectation<'_>,
    username: &str,
    now: Timestamp,
) -> Vec<String> {
    let mut causes: Vec<String> = objections(claims, expected, now).iter().map(ToString::to_string).collect();
    if !expected.is_exchange_online() {
        let of_somebody_else = claims.user.as_deref().filter(|user| !user.eq_ignore_ascii_case(username));
        causes.extend(of_somebody_else.map(|user| {
            format!(
                "the token is {user}'s and the login {username}'s: correct username, or sign in as {username}"
            )
        }));
        if causes.is_empty() {
            causes.push(
                "the provider has to permit this client to send mail over SMTP for this mailbox: compare scopes and \
                 username with its documentation (Google wants the scope https://mail.google.com/, and as username the \
                 mailbox that the token speaks for)"
                    .to_owned(),
            );
        }
        return causes;
    }
    let mailbox = harmless(username, "MAILBOX");
    if is_of_a_person(claims) {
        let user = claims.user.as_deref().filter(|user| !user.eq_ignore_ascii_case(username));
        causes.extend(user.map(|user| {
            format!(
                "the token is {user}'s, who may not open the mailbox: Add-MailboxPermission -Identity {mailbox} -User {} \
                 -AccessRights FullAccess, or consent as {username}",
                harmless(user, "USER")
            )
        }));
    } else {
        let application = harmless(claims.app_id.as_deref().unwrap_or_default(), "CLIENT-ID");
        let object = harmless(claims.object_id.as_deref().unwrap_or_default(), "OBJECT-ID");
        let note = if object == "OBJECT-ID" {
            " (the Object ID in the Entra admin center, Enterprise applications; not that of App registrations)"
        } else {
            ""
        };
        causes.push(format!(
            "Exchange Online does not know the application: New-ServicePrincipal -AppId {application} -ObjectId {object}{note}"
        ));
        causes.push(format!(
            "the application may not open the mailbox: Add-MailboxPermission -Identity {mailbox} -User {object} \
             -AccessRights FullAccess"
        ));
    }
    causes.push(format!(
        "SMTP AUTH is off for the mailbox: Set-CASMailbox -Identity {mailbox} -SmtpClientAuthenticationDisabled $false"
    ));
    causes.push(format!(
        "{username} is no mailbox with a licence, or not its primary address: Get-Mailbox -Identity {mailbox} shows it"
    ));
    causes
}

/// A word as it may stand in a command that somebody copies into a shell, else its name in capitals: a config's
/// author is not the administrator who runs it.
fn harmless<'a>(word: &'a str, otherwise: &'a str) -> &'a str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._-+".contains(&byte);
    let fits = !word.is_empty() && !word.starts_with(['-', '@']) && word.bytes().all(plain);
    if fits { word } else { otherwise }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TENANT: &str = "6f1e4a3c-0000-4000-8000-7e7a47000001";
    const GRAPH: &str = "https://graph.microsoft.com";
    const OUTLOOK: &str = "https://outlook.office365.com";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn claims(audience: &str, roles: &str, scopes: &str) -> TokenClaims {
        let list = |words: &str| words.split_whitespace().map(str::to_owned).collect();
        TokenClaims {
            audience: (!audience.is_empty()).then(|| audience.to_owned()),
            roles: list(roles),
            scope: list(scopes),
            expires_at: Some(at(11)),
            ..TokenClaims::default()
        }
    }

    fn scopes(scope: &str) -> Vec<String> {
        vec!["offline_access".to_owned(), scope.to_owned()]
    }

    #[test]
    fn what_is_visibly_wrong() {
        let app = format!("{OUTLOOK}/.default");
        let wrong = |found: &str, expected: &str, certain| Objection::Audience {
            found: found.into(),
            expected: expected.into(),
            certain,
        };
        let us = "https://outlook.office365.us";
        for (scope, claims, expected) in [
            (app.as_str(), claims(OUTLOOK, "SMTP.SendAsApp", ""), vec![]),
            (&app, claims("https://outlook.office365.com/", "Mail.Send SMTP.SendAsApp", ""), vec![]),
            (&app, claims(exchange_online::APPLICATION_ID, "SMTP.SendAsApp", ""), vec![]),
            (&app, claims("https://outlook.office.com", "SMTP.SendAsApp", ""), vec![]),
            ("https://outlook.office365.us/.default", claims(us, "SMTP.SendAsApp", ""), vec![]),
            ("api://moved/.default", claims("api://moved", "SMTP.SendAsApp", ""), vec![]),
            ("https://moved", claims(OUTLOOK, "SMTP.SendAsApp", ""), vec![]),
            (&app, claims(OUTLOOK, "Mail.Send", ""), vec![Objection::SendRoleMissing]),
            (&app, claims(OUTLOOK, "", ""), vec![Objection::SendRoleMissing]),
            (&app, claims(GRAPH, "", ""), vec![wrong(GRAPH, OUTLOOK, true)]),
            (
                &app,
                claims("00000003-0000-0000-c000-000000000000", "SMTP.SendAsApp", ""),
                vec![wrong("00000003-0000-0000-c000-000000000000", OUTLOOK, true)],
            ),
            (
                &app,
                claims("https://else.example", "", ""),
                vec![wrong("https://else.example", OUTLOOK, false)],
            ),
            (
                "https://outlook.office.com/SMTP.Send",
                claims("https://outlook.office.com", "", "IMAP.AccessAsUser.All SMTP.Send"),
                vec![],
            ),
            (
                "https://outlook.office.com/SMTP.Send",
                claims("https://outlook.office.com", "", "IMAP.AccessAsUser.All"),
                vec![Objection::SendScopeMissing],
            ),
            (&app, claims("", "", ""), vec![]),
        ] {
            let scopes = scopes(scope);
            let expectation = Expectation::exchange_online(&scopes, None);
            assert_eq!(objections(&claims, &expectation, at(10)), expected, "{claims:?}");
            assert_eq!(objections(&claims, &Expectation::anything(), at(10)), [], "{claims:?}");
        }
    }

    #[test]
    fn the_tenant_and_the_time() {
        let scopes = scopes("https://outlook.office365.com/.default");
        let expectation = Expectation::exchange_online(&scopes, Some(TENANT));
        let mut claims = claims(OUTLOOK, "SMTP.SendAsApp", "");
        for (tenant, wrong) in [
            (None, false),
            (Some(TENANT.to_uppercase()), false),
            (Some("6f1e4a3c-0000-4000-8000-7e7a47000002".to_owned()), true),
        ] {
            claims.tenant = tenant;
            let found = objections(&claims, &expectation, at(10));
            assert_eq!(found.iter().any(|found| matches!(found, Objection::Tenant { .. })), wrong);
            assert!(found.iter().all(Objection::is_certain));
        }
        claims.tenant = None;
        let found = objections(&claims, &expectation, at(11));
        assert_eq!(found, [Objection::Expired(at(11))]);
        assert!(!found[0].is_certain(), "a clock may be wrong here");
    }

    #[test]
    fn only_what_nobody_would_take_is_certain() {
        let scopes = scopes("https://outlook.office365.com/.default");
        let expectation = Expectation::exchange_online(&scopes, None);
        for (audience, roles, certain) in
            [(GRAPH, "", true), ("https://else.example", "", false), (OUTLOOK, "", true)]
        {
            let found = objections(&claims(audience, roles, ""), &expectation, at(10));
            assert_eq!(found.iter().map(Objection::is_certain).collect::<Vec<_>>(), [certain], "{audience}");
        }
    }

    fn causes(claims: &TokenClaims, username: &str) -> Vec<String> {
        let scopes = scopes("https://outlook.office365.com/.default");
        likely_causes(claims, &Expectation::exchange_online(&scopes, None), username, at(10))
    }

    #[test]
    fn an_applications_causes_in_order_with_its_own_ids() {
        let application = TokenClaims {
            app_id: Some("2b9d8c57-0000-4000-8000-c11e47000001".into()),
            object_id: Some("9c3a0001-5f0e-4d4e-9b61-2d6f6c1b0001".into()),
            ..claims(OUTLOOK, "SMTP.SendAsApp", "")
        };
        let found = causes(&application, "alerts@corp.example");
        for (cause, words) in found.iter().zip([
            "New-ServicePrincipal -AppId 2b9d8c57-0000-4000-8000-c11e47000001 -ObjectId 9c3a0001-5f0e-4d4e-9b61-2d6f6c1b0001",
            "Add-MailboxPermission -Identity alerts@corp.example -User 9c3a0001-5f0e-4d4e-9b61-2d6f6c1b0001 -AccessRights FullAccess",
            "Set-CASMailbox -Identity alerts@corp.example -SmtpClientAuthenticationDisabled $false",
            "Get-Mailbox -Identity alerts@corp.example",
        ]) {
            assert!(cause.contains(words), "{cause} should say {words}");
        }
        assert_eq!(found.len(), 4);

        // What the token shows comes first.
        let expired = TokenClaims { expires_at: Some(at(9)), ..application };
        let found = causes(&expired, "alerts@corp.example");
        assert!(found[0].contains("compare the clocks") && found[1].contains("New-ServicePrincipal"));
        let with_scope = TokenClaims { scope: scopes("mail"), ..claims(OUTLOOK, "SMTP.SendAsApp", "") };
        assert!(causes(&with_scope, "alerts@corp.example")[0].contains("New-ServicePrincipal"));
        let unknown = causes(&TokenClaims::default(), "alerts@corp.example");
        assert!(unknown[0].contains("-AppId CLIENT-ID -ObjectId OBJECT-ID (the Object ID in"), "{unknown:?}");
    }

    #[test]
    fn a_persons_causes() {
        let person = TokenClaims {
            user: Some("ada@corp.example".into()),
            ..claims("https://outlook.office.com", "", "SMTP.Send")
        };
        let found = causes(&person, "alerts@corp.example");
        assert!(
            found[0].contains("Add-MailboxPermission -Identity alerts@corp.example -User ada@corp.example")
        );
        assert!(!found.iter().any(|cause| cause.contains("New-ServicePrincipal")), "{found:?}");
        let found = causes(&person, "ADA@corp.example");
        assert!(found[0].contains("SMTP AUTH is off"), "{found:?}");
    }

    #[test]
    fn other_providers_causes() {
        let token = TokenClaims { user: Some("ada@corp.example".into()), ..TokenClaims::default() };
        let found = likely_causes(&token, &Expectation::anything(), "bob@corp.example", at(10));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("ada@corp.example's and the login bob@corp.example's"), "{found:?}");
        let found =
            likely_causes(&TokenClaims::default(), &Expectation::anything(), "bob@corp.example", at(10));
        assert!(found[0].contains("compare scopes and username"), "{found:?}");
    }

    #[test]
    fn no_config_writes_commands_for_an_administrator() {
        for username in
            ["a;rm@corp.example", "$(x)@corp.example", "a'b@corp.example", "-Force", "@splat", "a@b c"]
        {
            let found = causes(&claims(OUTLOOK, "SMTP.SendAsApp", ""), username);
            assert!(found[1].contains("-Identity MAILBOX -User"), "{found:?}");
        }
    }
}
