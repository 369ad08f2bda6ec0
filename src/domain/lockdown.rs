//! What an operator keeps from those who write its objects, for clusters whose tenants do not trust each other: from
//! its own arguments, which no object can change. Where connections may go is said in `egress`.

use crate::api::mail_server_config::TlsMode;
use crate::domain::host;
use crate::domain::problem::Problem;
use crate::domain::server::{Login, Server};
use std::str::FromStr;

/// The rules. By default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lockdown {
    /// From `--no-cross-namespace-refs`.
    pub own_namespace_only: bool,
    /// From `--proxies-only`: the proxies that servers may name. Absent: any.
    pub proxies: Option<Vec<Proxy>>,
    /// From `--no-private-cas`.
    pub no_private_cas: bool,
    /// From `--plaintext-only`: the servers that may be spoken to without TLS. Absent: any.
    pub plaintext: Option<Vec<HostAndPort>>,
    /// From `--one-network-error`.
    pub one_network_error: bool,
}

/// Where a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: String,
    /// DNS name or IP address, without brackets.
    pub host: String,
    port: u16,
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be socks5://host:port, http://host:port or https://host:port".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let default = match scheme {
            "socks5" => 1080,
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = host_and_port(rest).ok_or_else(wrong)?;
        // Without brackets nobody can tell the port from the address.
        if rest.starts_with(|first| first != '[') && host.contains(':') {
            return Err(wrong());
        }
        Ok(Self { scheme: scheme.to_owned(), host, port: port.unwrap_or(default) })
    }
}

/// The host as it is compared, and its port. More colons without brackets are an IPv6 address.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host::canonical(host)?, Some(port)))
        }
        _ => Some((host::canonical(text)?, None)),
    }
}

/// A server, on one port or on every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAndPort {
    host: String,
    port: Option<u16>,
}

impl FromStr for HostAndPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = host_and_port(text)
            .ok_or_else(|| "must be a host such as relay.corp.example, or host:port".to_owned())?;
        Ok(Self { host, port })
    }
}

impl Lockdown {
    /// Whether the server's proxy is one that the arguments name.
    pub fn knows_proxy(&self, server: &Server) -> bool {
        let (Some(known), Some(proxy)) = (&self.proxies, &server.proxy) else { return false };
        let scheme = proxy.url.scheme().trim_end_matches('h');
        let host = host::canonical(&proxy.host);
        known.iter().any(|known| {
            known.scheme == scheme && Some(&known.host) == host.as_ref() && known.port == proxy.port
        })
    }

    /// What of a server's spec this operator does not permit.
    pub fn objections(&self, server: &Server) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.proxies.is_some() && server.proxy.is_some() && !self.knows_proxy(server) {
            let what = "is none of the proxies that this operator permits (--proxies-only); leave proxy out, or have \
                        its administrator add it";
            problems.push(Problem::new("proxy.url", what));
        }
        if self.no_private_cas {
            let (token_field, token_ca) = match &server.login {
                Login::OAuth2(oauth2) if oauth2.exchange_online.is_some() => {
                    ("auth.exchangeOnline.endpoints.caRef", oauth2.token_ca.is_some())
                }
                Login::OAuth2(oauth2) => ("auth.oauth2.caRef", oauth2.token_ca.is_some()),
                Login::None | Login::Password { .. } | Login::ClientCertificate { .. } => ("", false),
            };
            let proxy_ca = server.proxy.as_ref().is_some_and(|proxy| proxy.ca.is_some());
            for (field, is_set) in
                [("tls.caRef", server.tls.ca.is_some()), (token_field, token_ca), ("proxy.caRef", proxy_ca)]
            {
                if is_set {
                    let what = "this operator permits no private certificate authorities (--no-private-cas); leave it \
                                out, or have its administrator make the authority one of the operator's own";
                    problems.push(Problem::new(field, what));
                }
            }
        }
        if let (Some(permitted), TlsMode::Disabled) = (&self.plaintext, server.tls.mode) {
            let is_permitted = permitted.iter().any(|known| {
                known.host.eq_ignore_ascii_case(&server.host)
                    && known.port.is_none_or(|port| port == server.port)
            });
            if !is_permitted {
                let what = "this operator permits no server without TLS but those of --plaintext-only; use StartTLS or \
                            Implicit, or have its administrator add this one";
                problems.push(Problem::new("tls.mode", what));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::object::ObjectKey;
    use crate::domain::samples::{add_server, catalog};
    use serde_json::{Value, json};

    fn objections(lockdown: &Lockdown, spec: Value) -> Vec<String> {
        let mut catalog = catalog();
        add_server(&mut catalog, "hr", "x", spec);
        let server = catalog.servers[&ObjectKey::new("hr", "x")].clone().unwrap();
        lockdown.objections(&server).into_iter().map(|problem| problem.field).collect()
    }

    fn strict() -> Lockdown {
        Lockdown {
            own_namespace_only: true,
            proxies: Some(vec![
                "socks5://proxy.corp.example".parse().unwrap(),
                "http://[2001:DB8:0::1]:3128".parse().unwrap(),
            ]),
            no_private_cas: true,
            plaintext: Some(vec![
                "relay.corp.example:25".parse().unwrap(),
                "2001:DB8::0:25".parse().unwrap(),
                "Relay_2.corp.example".parse().unwrap(),
            ]),
            one_network_error: true,
        }
    }

    #[test]
    fn what_a_spec_may_not_say() {
        let ca = json!({ "kind": "ConfigMap", "name": "ca", "key": "ca.crt" });
        let oauth = json!({ "oauth2": {
            "tokenURL": "https://login.example/token", "clientID": "x", "username": "it@corp.example",
            "clientSecretRef": { "name": "s", "key": "k" }, "caRef": ca
        } });
        for (spec, fields) in [
            (json!({}), &[][..]),
            (json!({ "tls": { "mode": "Implicit" } }), &[]),
            (json!({ "proxy": { "url": "socks5://proxy.corp.example:1080" } }), &[]),
            (json!({ "proxy": { "url": "socks5://PROXY.corp.example" } }), &[]),
            (json!({ "proxy": { "url": "http://[2001:db8::1]:3128" } }), &[]),
            (json!({ "proxy": { "url": "http://proxy.corp.example:1080" } }), &["proxy.url"]),
            (json!({ "proxy": { "url": "socks5://proxy.corp.example:1081" } }), &["proxy.url"]),
            (json!({ "proxy": { "url": "socks5://proxy.evil.example" } }), &["proxy.url"]),
            (json!({ "tls": { "caRef": ca } }), &["tls.caRef"]),
            (json!({ "auth": oauth }), &["auth.oauth2.caRef"]),
            (
                json!({ "proxy": { "url": "socks5://x.example", "caRef": ca }, "tls": { "caRef": ca, "mode": "Disabled" } }),
                &["proxy.url", "tls.caRef", "proxy.caRef", "tls.mode"],
            ),
            (json!({ "tls": { "mode": "Disabled" } }), &["tls.mode"]),
            (json!({ "host": "relay.corp.example", "tls": { "mode": "Disabled" } }), &[]),
            (
                json!({ "host": "relay.corp.example", "port": 2525, "tls": { "mode": "Disabled" } }),
                &["tls.mode"],
            ),
            (json!({ "host": "2001:db8::25", "port": 2525, "tls": { "mode": "Disabled" } }), &[]),
            (json!({ "host": "relay_2.corp.example.", "tls": { "mode": "Disabled" } }), &[]),
        ] {
            assert_eq!(objections(&strict(), spec.clone()), fields, "{spec}");
            assert!(objections(&Lockdown::default(), spec).is_empty(), "nothing is forbidden by default");
        }
        let none = Lockdown { proxies: Some(vec![]), plaintext: Some(vec![]), ..Lockdown::default() };
        let spec =
            json!({ "proxy": { "url": "socks5://proxy.corp.example" }, "tls": { "mode": "Disabled" } });
        assert_eq!(objections(&none, spec), ["proxy.url", "tls.mode"]);
    }

    #[test]
    fn arguments_that_say_nothing_sensible_are_refused() {
        let proxies = [
            "",
            "proxy.corp.example",
            "ftp://x",
            "http://u@x",
            "http://x/path",
            "http://",
            "http://999.1.1.1",
            "http://host.5",
            "http://x:0",
            "http://2001:db8::1",
            "http://[::1",
            "http://x//",
        ];
        for wrong in proxies {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
        for wrong in ["", ":25", "host:port", "a b", "host:99999", "host:0", "01.1.1.1"] {
            assert!(wrong.parse::<HostAndPort>().is_err(), "{wrong}");
        }
    }
}
