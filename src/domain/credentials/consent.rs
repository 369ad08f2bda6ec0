//! Whether Secrets and ServiceAccounts permit what a spec wants to do with them, and what may be told of those that do
//! not.

use super::{Bundles, Desk, Rules, Stored};
use crate::api::Reason;
use crate::api::mail_server_config::TlsMode;
use crate::api::names::ALLOWED_HOSTS;
use crate::api::shared::{CAKind, CARef};
use crate::domain::binding::{self, Authority, Binding, Destination, Holder, Service};
use crate::domain::server::{Login, OAuth2Login, Proxy, ProxyScheme, Server};
use crate::domain::verification::StageFailure;
use std::collections::BTreeMap;

impl Desk<'_> {
    /// What is wrong with a Secret, if it permits one of our hosts. Everybody who may create our objects can name any
    /// Secret; of one that has not permitted it he gets one answer, whether it exists or not and whatever it holds.
    pub(super) fn told<T>(&self, name: &str, result: Result<T, StageFailure>) -> Result<T, StageFailure> {
        let places = all_hosts(self.server);
        let permits =
            |stored: &Stored| places.iter().any(|place| binding::permits(&stored.annotations, place));
        let may_be_told =
            self.binding == Binding::WhenAnnotated || self.fetched.secrets.get(name).is_some_and(permits);
        if may_be_told {
            return result;
        }
        result.map_err(|_| {
            let hosts: Vec<_> = places.iter().map(|place| place.host).collect();
            StageFailure::until_changed(
                Reason::SecretNotFound,
                format!(
                    "Secret {name} does not exist in namespace {}, or does not hold what the spec asks for: create it, or \
                     correct it. More is told only if its annotation {ALLOWED_HOSTS} permits {}",
                    self.namespace(),
                    hosts.join(" or ")
                ),
            )
        })
    }

    /// The private CAs on the way of the login, or of what is made of it.
    pub(super) fn authorities<'b>(&'b self, bundles: &'b Bundles) -> Vec<Authority<'b>> {
        let server = self.server;
        let of = |reference: Option<&'b CARef>, pem: &'b Option<String>| {
            Some(authority(reference?, pem.as_deref()?))
        };
        let mut found = Vec::new();
        if let Login::OAuth2(oauth2) = &server.login {
            found.extend(of(oauth2.token_ca.as_ref(), &bundles.token));
        }
        if server.tls.mode != TlsMode::Disabled {
            found.extend(of(server.tls.ca.as_ref(), &bundles.mail));
        } else if server.proxy.as_ref().is_some_and(Proxy::carries_mail) {
            // The proxy sees everything.
            found.extend(self.proxy_authority(bundles));
        }
        found
    }

    /// The private CA of a proxy that speaks TLS.
    pub(super) fn proxy_authority<'b>(&'b self, bundles: &'b Bundles) -> Vec<Authority<'b>> {
        let proxy = self.server.proxy.as_ref().filter(|proxy| proxy.scheme == ProxyScheme::Https);
        let reference = proxy.and_then(|proxy| proxy.ca.as_ref());
        reference
            .zip(bundles.proxy.as_deref())
            .map(|(reference, pem)| authority(reference, pem))
            .into_iter()
            .collect()
    }

    /// Whether the Secret permits all of that.
    pub(super) fn bound(
        &self,
        name: &str,
        places: &[Destination<'_>],
        authorities: &[Authority<'_>],
    ) -> Result<(), StageFailure> {
        let nothing = BTreeMap::new();
        let stored = self.fetched.secrets.get(name);
        let holder = Holder {
            kind: "secret",
            namespace: self.namespace(),
            name,
            annotations: stored.map_or(&nothing, |stored| &stored.annotations),
            own_ca: stored.and_then(|stored| stored.data.get("ca.crt")).map(|bytes| bytes.as_slice()),
        };
        let (places, authorities) = self.asked_for(holder.annotations, places, authorities);
        binding::check(self.binding, &holder, &places, &authorities).map_err(not_bound)
    }

    /// Whether the Secret with a CA or a client certificate permits its use at that place.
    pub(super) fn trusted(&self, name: &str, place: Destination<'_>) -> Result<(), StageFailure> {
        match self.rules {
            Rules::Current => self.bound(name, &[place], &[]),
            Rules::Earlier => Ok(()),
        }
    }
}

pub(super) fn not_bound(refusal: binding::NotBound) -> StageFailure {
    StageFailure::until_changed(refusal.reason, refusal.message)
}

pub(super) fn authority<'a>(reference: &'a CARef, pem: &'a str) -> Authority<'a> {
    let kind = match reference.kind {
        CAKind::ConfigMap => "ConfigMap",
        CAKind::Secret => "Secret",
    };
    Authority { kind, name: &reference.name, pem }
}

/// Where the login's Secrets, or what is made of them, are about to be sent. Microsoft's built-in hosts need
/// no permission, since the spec cannot move them; but a proxy can lead elsewhere under any name, so it needs one.
pub fn destinations(server: &Server) -> Vec<Destination<'_>> {
    let hosts = if is_built_in(server) { Vec::new() } else { all_hosts(server) };
    let token = matches!(server.login, Login::OAuth2(_));
    let used = server.proxy.iter().filter(|proxy| proxy.carries_mail() || token && proxy.carries_tokens());
    hosts.into_iter().chain(used.map(proxy_host)).collect()
}

/// The endpoints of the token and of the mail, and the name that the mail server must prove, where it is another.
pub(super) fn all_hosts(server: &Server) -> Vec<Destination<'_>> {
    let token = match &server.login {
        Login::OAuth2(oauth2) => token_host(oauth2),
        Login::Password { .. } | Login::ClientCertificate { .. } | Login::None => None,
    };
    let mail = mail_host(server);
    let name = &server.tls.server_name;
    let other_name =
        (!name.eq_ignore_ascii_case(mail.host)).then(|| Destination { host: name, ..mail.clone() });
    token.into_iter().chain([mail]).chain(other_name).collect()
}

/// Whether a credential can reach nobody but Microsoft: its own hosts, which have to prove by the system's authorities
/// that they are who they are. A spec that changes any of that needs the Secret's permission as everywhere.
pub(super) fn is_built_in(server: &Server) -> bool {
    let Login::OAuth2(oauth2) = &server.login else { return false };
    oauth2.built_in_hosts
        && oauth2.token_ca.is_none()
        && server.tls.ca.is_none()
        && server.tls.server_name.eq_ignore_ascii_case(&server.host)
        && server.tls.mode != TlsMode::Disabled
}

pub(super) fn mail_host(server: &Server) -> Destination<'_> {
    Destination { host: &server.host, port: server.port, service: Service::Mail }
}

pub(super) fn proxy_host(proxy: &Proxy) -> Destination<'_> {
    Destination { host: &proxy.host, port: proxy.port, service: Service::Proxy }
}

pub(super) fn token_host(oauth2: &OAuth2Login) -> Option<Destination<'_>> {
    let host = oauth2.token_url.host_str()?;
    let port = oauth2.token_url.port_or_known_default().unwrap_or(443);
    Some(Destination { host, port, service: Service::Token })
}
