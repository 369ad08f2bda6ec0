//! Entra ID's error numbers, from <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>, as
//! reasons and sentences with the place to click. Numbers that need no words of ours are left to what the
//! server says.

use super::refusal::{thumbprint, trusted};
use super::request::{Grant, Proof, TokenRequest};
use super::sent::Sent;
use crate::api::Reason;

/// What a number means, whoever asked for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Reason(Reason),
    /// The client's statement is refused: which one it was, the request knows.
    Assertion,
    /// Somebody has to sign in again, completed by why.
    SignIn(&'static str),
    /// The clocks differ.
    Clock,
    /// No administrator has consented.
    Consent,
}

fn meaning(number: u64) -> Option<Meaning> {
    Some(Meaning::Reason(match number {
        7_000_215 => Reason::InvalidClientSecret,
        7_000_222 => Reason::ClientSecretExpired,
        // No such application; known, but without a service principal in this tenant.
        700_016 | 7_000_229 => Reason::ClientNotFound,
        7_000_112 => Reason::ClientDisabled,
        90_002 | 900_023 => Reason::TenantNotFound,
        // Malformed; not `/.default`; a resource the tenant does not have.
        70_011 | 1_002_012 | 500_011 => Reason::InvalidScope,
        // Devices, places, risk, security defaults.
        53_000..=53_004 | 53_011 | 530_004 | 530_035 => Reason::BlockedByPolicy,
        // Not registered, or registered and expired; a subject that is not permitted.
        700_027 | 700_030 => Reason::ClientCertificateUnknown,
        // None matches; none is there; issuer; audience; subject; the same with a closer look at the letters; an
        // issuer that may not; and one whose keys Entra ID cannot fetch.
        70_021 | 70_025 | 700_211..=700_213 | 7_002_130..=7_002_139 | 700_222 | 50_166 => {
            Reason::FederatedCredentialMismatch
        }
        // Signature; form; another application than `client_id`.
        50_012 | 50_013 | 50_027 | 700_021 => return Some(Meaning::Assertion),
        700_024 | 500_133 => return Some(Meaning::Clock),
        65_001 => return Some(Meaning::Consent),
        70_000 => return Some(Meaning::SignIn("it is not valid, or belongs to another client")),
        70_008 | 70_043 => return Some(Meaning::SignIn("it has expired")),
        700_082 => return Some(Meaning::SignIn("it was not used for 90 days")),
        700_084 => return Some(Meaning::SignIn("it was issued to a web page and lasts for a day")),
        50_173 | 50_133 => return Some(Meaning::SignIn("the password was changed, or access was revoked")),
        50_076 | 50_078 | 50_079 => return Some(Meaning::SignIn("a second factor is demanded since then")),
        50_057 => return Some(Meaning::SignIn("the account is disabled")),
        _ => return None,
    }))
}

/// Whether the number says everything, so that the server's words need not be shown.
pub(super) fn is_known(number: u64) -> bool {
    meaning(number).is_some()
}

/// The reason that a number stands for, in answer to this request.
pub(super) fn reason(number: u64, request: &TokenRequest) -> Option<Reason> {
    match (meaning(number)?, &request.proof, &request.grant) {
        (Meaning::Reason(reason), ..) => Some(reason),
        (Meaning::Assertion, Proof::Certificate { .. }, _) => Some(Reason::ClientCertificateUnknown),
        (Meaning::Assertion, Proof::Federated(_), _) => Some(Reason::FederatedCredentialMismatch),
        (Meaning::SignIn(_), _, Grant::RefreshToken(_)) => Some(Reason::RefreshTokenInvalid),
        (Meaning::Clock | Meaning::Consent, ..) => Some(Reason::TokenRefused),
        (Meaning::Assertion | Meaning::SignIn(_), ..) => None,
    }
}

/// What happened and what to do. `None` where only the server's words tell.
pub(super) fn sentence(number: u64, reason: Reason, sent: &Sent<'_>, said: &str) -> Option<String> {
    let (host, client) = (sent.host(), sent.shown(&sent.request.client_id));
    let scopes = sent.shown(&sent.request.scopes.join(" "));
    let meaning = meaning(number)?;
    Some(match reason {
        Reason::InvalidClientSecret => format!(
            "{host} refuses the client secret of application {client} ({said}): often the secret's ID was pasted \
             instead of its value; create a new one in the Entra admin center, App registrations > Certificates & \
             secrets, and put its Value into the Secret"
        ),
        Reason::ClientSecretExpired => format!(
            "the client secret of application {client} has expired ({said}): create a new one in the Entra admin \
             center, App registrations > Certificates & secrets, and put its Value into the Secret"
        ),
        Reason::ClientNotFound => format!(
            "the tenant knows no application {client} ({said}): compare clientID and tenantID with the Entra admin \
             center, App registrations > Overview; an application of another tenant needs that one's admin consent"
        ),
        Reason::ClientDisabled => format!(
            "application {client} is disabled ({said}): switch it on in the Entra admin center, Enterprise \
             applications > Properties > Enabled for users to sign-in"
        ),
        Reason::TenantNotFound => format!(
            "{host} knows no such tenant ({said}): compare tenantID with the Entra admin center, Overview > \
             Tenant ID, and cloud with the service the tenant lives in"
        ),
        Reason::InvalidScope => match &sent.request.grant {
            Grant::RefreshToken(_) => format!(
                "{host} refuses the scope {scopes} ({said}): for Exchange Online it is \
                 https://outlook.office.com/SMTP.Send"
            ),
            Grant::ClientCredentials | Grant::JWTBearer { .. } => format!(
                "{host} refuses the scope {scopes} ({said}): an application needs a resource followed by /.default, \
                 for Exchange Online https://outlook.office365.com/.default"
            ),
        },
        Reason::BlockedByPolicy => format!(
            "a Conditional Access policy blocks application {client} ({said}): the Entra admin center, Sign-in \
             logs > Service principal sign-ins, shows which one"
        ),
        Reason::ClientCertificateUnknown => format!(
            "application {client} does not know the certificate of clientCertificateSecretRef{} ({said}): upload it \
             (tls.crt, never the key) in the Entra admin center, App registrations > Certificates & secrets > \
             Certificates, or make a new one if it is listed there as expired",
            thumbprint(sent)
        ),
        Reason::FederatedCredentialMismatch => format!(
            "application {client} does not trust the ServiceAccount's token ({said}): in the Entra admin center, App \
             registrations > Certificates & secrets > Federated credentials > Add credential > Kubernetes, enter {}; \
             Entra ID has to be able to read the issuer's /.well-known/openid-configuration over the internet",
            trusted(sent)
        ),
        Reason::RefreshTokenInvalid => {
            let why = if let Meaning::SignIn(why) = meaning { why } else { "it is refused" };
            format!(
                "{host} no longer takes the refresh token of application {client} ({said}): {why}; have the mailbox's \
                 owner consent again and put the new refresh token into the Secret"
            )
        }
        _ => match meaning {
            Meaning::Clock => format!(
                "{host} finds the time in our statement wrong ({said}): compare the clock of this node with the real \
                 time"
            ),
            Meaning::Consent => format!(
                "nobody has consented to what application {client} asks for ({said}): in the Entra admin center, App \
                 registrations > API permissions > Grant admin consent"
            ),
            Meaning::Reason(_) | Meaning::Assertion | Meaning::SignIn(_) => return None,
        },
    })
}
