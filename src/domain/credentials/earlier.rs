//! What versions before 0.1.0 permitted, for MailServerConfigs that were `Ready` by it. The rules have become stricter
//! since: the port, the name in the certificate and private CAs need permission, too. Mail that went yesterday still
//! goes, for this one version, with the condition `ConsentMissing` and the command; the next one deletes this file.
//!
//! That must not be a way around the rules. So it holds only for a set-up that an earlier version's status calls
//! `Ready`; the private CAs that it is first seen with are noted in the status, by a digest, and from then on no others
//! will do. A changed spec is judged by today's rules alone.

use super::consent::is_built_in;
use super::{Credentials, Desk, Fetched, Rules, resolve_by};
use crate::api::mail_server_config::{ConsentStatus, MailServerConfigStatus};
use crate::api::names::ALLOWED_HOSTS;
use crate::api::{ConditionType, Reason};
use crate::domain::binding::{self, Authority, Binding, Destination, Service};
use crate::domain::server::{Login, Server};
use crate::domain::status::conditions;
use crate::domain::verification::StageFailure;
use serde_json::json;
use std::collections::BTreeMap;

/// The rules by which the permission of Secrets is judged. Raised when they become stricter.
const CURRENT: i32 = 2;
/// Those that this file knows, too.
const EARLIER: i32 = 1;

/// How far a config may go on by the earlier rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tolerance {
    /// Not at all.
    #[default]
    None,
    /// It was `Ready` by them. What it is seen with first is what it may go on with.
    Unseen,
    /// With this set-up, and no other.
    Only(String),
}

impl Tolerance {
    /// What a config of that generation starts with, by the status it has.
    pub fn of(status: Option<&MailServerConfigStatus>, generation: Option<i64>) -> Self {
        let Some(status) = status.filter(|status| status.observed_generation == generation) else {
            return Self::None;
        };
        let was_ready = || {
            conditions::find(&status.conditions, ConditionType::Ready)
                .is_some_and(|ready| ready.status == "True")
        };
        match &status.consent {
            None if was_ready() => Self::Unseen,
            Some(ConsentStatus { rules: EARLIER, tolerated: None }) => Self::Unseen,
            Some(ConsentStatus { rules: EARLIER, tolerated: Some(digest) }) => Self::Only(digest.clone()),
            None | Some(_) => Self::None,
        }
    }

    /// How the status keeps it.
    pub fn status(&self) -> ConsentStatus {
        let (rules, tolerated) = match self {
            Self::None => (CURRENT, None),
            Self::Unseen => (EARLIER, None),
            Self::Only(digest) => (EARLIER, Some(digest.clone())),
        };
        ConsentStatus { rules, tolerated }
    }

    /// Credentials by today's rules or, where permission alone is missing and this covers that, by the earlier ones; then
    /// with what is missing. Also what of the tolerance is left.
    pub fn resolve(
        &self,
        server: &Server,
        fetched: &Fetched,
        binding: Binding,
    ) -> (Result<Credentials, StageFailure>, Self) {
        let refused = match resolve_by(Rules::Current, server, fetched, binding) {
            // The owner has permitted it.
            Ok(credentials) => return (Ok(credentials), Self::None),
            Err(failure) => failure,
        };
        if refused.reason != Reason::SecretNotBound || *self == Self::None {
            return (Err(refused), self.clone());
        }
        let Ok(mut credentials) = resolve_by(Rules::Earlier, server, fetched, binding) else {
            return (Err(refused), self.clone());
        };
        let seen = digest(&credentials);
        match self {
            Self::Only(known) if *known != seen => (Err(refused), self.clone()),
            _ => {
                credentials.consent_missing = Some(refused.message);
                (Ok(credentials), Self::Only(seen))
            }
        }
    }
}

impl Desk<'_> {
    /// Where the login's Secrets are about to be sent, as far as the rules ask for it.
    pub(super) fn destinations(&self) -> Vec<Destination<'_>> {
        let mut places = super::destinations(self.server);
        if self.rules == Rules::Earlier {
            let hosts = self.hosts_are_built_in();
            places.retain(|place| match place.service {
                Service::Proxy => true,
                Service::Mail => !hosts && place.host == self.server.host,
                Service::Token => !hosts,
            });
        }
        places
    }

    /// Whether the token goes to hosts that the spec cannot move.
    pub(super) fn hosts_are_built_in(&self) -> bool {
        match self.rules {
            Rules::Current => is_built_in(self.server),
            // Whatever vouches for them.
            Rules::Earlier => {
                matches!(&self.server.login, Login::OAuth2(oauth2) if oauth2.built_in_hosts)
            }
        }
    }

    /// Of what permission is needed for, what there is to look for in the annotations.
    pub(super) fn asked_for<'d>(
        &self,
        annotations: &BTreeMap<String, String>,
        places: &[Destination<'d>],
        authorities: &[Authority<'d>],
    ) -> (Vec<Destination<'d>>, Vec<Authority<'d>>) {
        match self.rules {
            Rules::Current => (places.to_vec(), authorities.to_vec()),
            Rules::Earlier => {
                let named = |place: &&Destination<'_>| !names_host(annotations, place.host);
                (places.iter().filter(named).cloned().collect(), Vec::new())
            }
        }
    }
}

/// Whether the annotation names the host without a port, which meant every port.
fn names_host(annotations: &BTreeMap<String, String>, host: &str) -> bool {
    let bare = |host: &str| host.trim_matches(['[', ']']).to_ascii_lowercase();
    let listed = annotations.get(ALLOWED_HOSTS).map(String::as_str).unwrap_or_default();
    listed.split(',').any(|entry| bare(entry.trim()) == bare(host))
}

/// Names the private CAs of a set-up. The spec needs no part in it: another one is another generation.
fn digest(credentials: &Credentials) -> String {
    let Credentials { ca_pem, token_ca_pem, proxy_ca_pem, .. } = credentials;
    binding::digest(&json!([ca_pem, token_ca_pem, proxy_ca_pem]).to_string())
}
