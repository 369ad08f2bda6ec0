//! What Microsoft runs where: the clouds of Exchange Online with their hosts and scopes, which hosts
//! count as Exchange Online when somebody logs in with a password, and when that ends. A table of
//! facts and nothing else; whoever sends a secret to one of these hosts does so elsewhere.

pub use crate::api::mail_server_config::Cloud;

/// When password logins end, in words for the condition `BasicAuthRetiring`.
pub const BASIC_AUTH_RETIREMENT: &str = "Exchange Online switches password logins (SMTP AUTH with Basic \
     authentication) off by default for existing tenants at the end of December 2026, where an administrator can \
     switch them on again; tenants created after that do without; the date of their final removal is to be \
     announced in the second half of 2027";

/// Where [`BASIC_AUTH_RETIREMENT`] was announced, on 27 January 2026.
pub const BASIC_AUTH_RETIREMENT_SOURCE: &str = "https://techcommunity.microsoft.com/blog/exchange/updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835";

/// The application ID of Office 365 Exchange Online in every tenant; some tokens name it as audience
/// instead of the address.
pub const APPLICATION_ID: &str = "00000002-0000-0ff1-ce00-000000000000";

/// The application permission (a role in the token) without which SMTP refuses the token.
pub const SEND_ROLE: &str = "SMTP.SendAsApp";

/// Port of [`smtp_host`], with STARTTLS.
pub const SMTP_PORT: u16 = 587;

/// All four clouds, in the order of the documentation.
pub const CLOUDS: [Cloud; 4] = [Cloud::Public, Cloud::USGovernmentHigh, Cloud::USGovernmentDoD, Cloud::China];

/// Host of a cloud's token endpoint.
pub const fn login_host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "login.microsoftonline.com",
        Cloud::USGovernmentHigh | Cloud::USGovernmentDoD => "login.microsoftonline.us",
        Cloud::China => "login.partner.microsoftonline.cn",
    }
}

/// Host that takes a cloud's submitted mail on [`SMTP_PORT`].
pub const fn smtp_host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "smtp.office365.com",
        Cloud::USGovernmentHigh => "smtp.office365.us",
        Cloud::USGovernmentDoD => "outlook-dod.office365.us",
        Cloud::China => "smtp.partner.outlook.cn",
    }
}

/// The scope to ask for. `.default` stands for every permission the application was granted.
pub const fn scope(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "https://outlook.office365.com/.default",
        Cloud::USGovernmentHigh | Cloud::USGovernmentDoD => "https://outlook.office365.us/.default",
        Cloud::China => "https://partner.outlook.cn/.default",
    }
}

/// Whom a Kubernetes token is for that proves an application's identity to a cloud's Entra ID, from
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>.
pub const fn federation_audience(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "api://AzureADTokenExchange",
        Cloud::USGovernmentHigh | Cloud::USGovernmentDoD => "api://AzureADTokenExchangeUSGov",
        Cloud::China => "api://AzureADTokenExchangeChina",
    }
}

/// The v2.0 token endpoint of a tenant.
pub fn token_url(cloud: Cloud, tenant: &Tenant) -> String {
    format!("https://{}/{}/oauth2/v2.0/token", login_host(cloud), tenant.as_str())
}

/// A tenant by its ID or one of its verified domains: nothing that could change the path of a URL,
/// and not one of the words (`common` …) that name no tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(String);

/// Why a text names no tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "tenantID must be the tenant's ID (a GUID, Entra admin center > Overview > Tenant ID) or one of its verified domains"
)]
pub struct NotATenant;

impl Tenant {
    /// Reads a GUID or a domain name of at most 253 octets.
    pub fn parse(text: &str) -> Result<Self, NotATenant> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let guid = text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        let named = if guid {
            text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        } else {
            text.contains('.')
        };
        let valid = named && text.len() <= 253 && text.split('.').all(label);
        valid.then(|| Self(text.to_ascii_lowercase())).ok_or(NotATenant)
    }

    /// Whether it is the tenant's ID, as opposed to a domain.
    pub fn is_id(&self) -> bool {
        !self.0.contains('.')
    }

    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a password sent to this host is a password login at Exchange Online, in any cloud and
/// under any of its names (`smtp.office365.com`, `outlook.office365.com`, `smtp-legacy.office365.com` …).
/// Outlook.com's own `smtp-mail.outlook.com` is another service.
pub fn is_exchange_online_host(host: &str) -> bool {
    const DOMAINS: [&str; 4] = ["office365.com", "office365.us", "partner.outlook.cn", "outlook.office.com"];
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn token_urls() {
        let tenant = Tenant::parse("11111111-2222-3333-4444-55555555AAAA").unwrap();
        for (cloud, url) in CLOUDS.into_iter().zip([
            "https://login.microsoftonline.com/11111111-2222-3333-4444-55555555aaaa/oauth2/v2.0/token",
            "https://login.microsoftonline.us/11111111-2222-3333-4444-55555555aaaa/oauth2/v2.0/token",
            "https://login.microsoftonline.us/11111111-2222-3333-4444-55555555aaaa/oauth2/v2.0/token",
            "https://login.partner.microsoftonline.cn/11111111-2222-3333-4444-55555555aaaa/oauth2/v2.0/token",
        ]) {
            assert_eq!(token_url(cloud, &tenant), url);
        }
    }

    #[test]
    fn tenants() {
        for (text, valid) in [
            ("contoso.onmicrosoft.com", true),
            ("corp.example", true),
            ("11111111-2222-3333-4444-555555555555", true),
            ("11111111-2222-3333-4444-55555555555g", false), // no hexadecimal digit, and no domain
            ("common", false),
            ("organizations", false),
            ("consumers", false),
            ("", false),
            (".", false),
            ("..", false),
            ("corp.example/../other.example", false),
            ("corp.example?x=y", false),
            ("corp.example#", false),
            ("corp example.com", false),
            ("cörp.example", false),
            ("-corp.example", false),
            ("corp..example", false),
        ] {
            assert_eq!(Tenant::parse(text).is_ok(), valid, "{text}");
        }
        assert!(Tenant::parse(&"a.".repeat(126)).is_err());
        assert!(Tenant::parse(&format!("{}a", "a.".repeat(127))).is_err(), "255 octets");
    }

    #[test]
    fn password_hosts() {
        for cloud in CLOUDS {
            assert!(is_exchange_online_host(smtp_host(cloud)), "{cloud:?}");
            assert!(!is_exchange_online_host(login_host(cloud)), "{cloud:?}");
        }
        for (host, counts) in [
            ("SMTP.Office365.COM.", true),
            ("smtp-legacy.office365.com", true),
            ("office365.com", true),
            ("outlook.office.com", true),
            ("notoffice365.com", false),
            ("smtp.office365.com.evil.example", false),
            ("smtp-mail.outlook.com", false),
            ("corp-example.mail.protection.outlook.com", false),
            ("", false),
        ] {
            assert_eq!(is_exchange_online_host(host), counts, "{host}");
        }
    }
}
