//! The proxy of a mail server, as the spec says: what kind it is, where it listens and what goes through it.

use crate::api::mail_server_config::{self as api, ProxyTraffic};
use crate::api::shared::CARef;
use crate::domain::problem::Problem;
use url::{Host, Url};

/// A proxy between us and the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub scheme: ProxyScheme,
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Scheme, host and port as an HTTP client takes them.
    pub url: Url,
    /// What goes through it.
    pub traffic: ProxyTraffic,
    /// Name of the Secret with user name and password.
    pub credentials: Option<String>,
    /// Private CA.
    pub ca: Option<CARef>,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// RFC 1928, names resolved by the proxy.
    Socks5,
    /// CONNECT (RFC 9110 section 9.3.6).
    Http,
    /// CONNECT over TLS.
    Https,
}

impl Proxy {
    /// What `spec.proxy` says.
    pub(super) fn from_spec(proxy: &api::Proxy) -> Result<Self, Problem> {
        let wrong = || {
            Problem::new(
                "proxy.url",
                "must be socks5://host:port, http://host:port or https://host:port, without user name or path",
            )
        };
        let url = Url::parse(&proxy.url).map_err(|_| wrong())?;
        let (scheme, default_port) = match url.scheme() {
            "socks5" => (ProxyScheme::Socks5, 1080),
            "http" => (ProxyScheme::Http, 80),
            "https" => (ProxyScheme::Https, 443),
            _ => return Err(wrong()),
        };
        let plain = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        // The url crate parses the hosts of schemes it does not know without checking them.
        let host = url.host_str().and_then(|host| Host::parse(host).ok());
        let (true, Some(host)) = (plain, host) else { return Err(wrong()) };
        let port = url.port().unwrap_or(default_port);
        // `socks5h`: the proxy resolves names, as it does for mail.
        let client_scheme = if scheme == ProxyScheme::Socks5 { "socks5h" } else { url.scheme() };
        let client_url = Url::parse(&format!("{client_scheme}://{host}:{port}")).map_err(|_| wrong())?;
        Ok(Self {
            scheme,
            host: host.to_string().trim_matches(['[', ']']).to_owned(),
            port,
            url: client_url,
            traffic: proxy.traffic,
            credentials: proxy.credentials_secret_ref.as_ref().map(|secret| secret.name.clone()),
            ca: proxy.ca_ref.clone(),
        })
    }

    /// Whether connections to the mail server go through it.
    pub fn carries_mail(&self) -> bool {
        matches!(self.traffic, ProxyTraffic::All | ProxyTraffic::Mail)
    }

    /// Whether token requests go through it.
    pub fn carries_tokens(&self) -> bool {
        matches!(self.traffic, ProxyTraffic::All | ProxyTraffic::Tokens)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(url: &str) -> Option<(ProxyScheme, String, u16)> {
        let proxy = api::Proxy {
            url: url.into(),
            traffic: ProxyTraffic::All,
            credentials_secret_ref: None,
            ca_ref: None,
        };
        Proxy::from_spec(&proxy).ok().map(|proxy| (proxy.scheme, proxy.host, proxy.port))
    }

    #[test]
    fn urls() {
        use ProxyScheme::{Http, Https, Socks5};
        for (url, expected) in [
            ("socks5://proxy.corp.example:1080", Some((Socks5, "proxy.corp.example", 1080))),
            ("socks5://proxy.corp.example", Some((Socks5, "proxy.corp.example", 1080))),
            ("http://proxy.corp.example:3128/", Some((Http, "proxy.corp.example", 3128))),
            ("https://proxy.corp.example", Some((Https, "proxy.corp.example", 443))),
            ("http://[2001:db8::1]:3128", Some((Http, "2001:db8::1", 3128))),
            ("socks5://[2001:db8::1]:3128", Some((Socks5, "2001:db8::1", 3128))),
            ("socks4://proxy.corp.example", None),
            ("http://user@proxy.corp.example", None),
            ("http://proxy.corp.example/path", None),
            ("http://proxy.corp.example?x", None),
            ("socks5://a b", None),
            ("proxy.corp.example:3128", None),
        ] {
            let expected = expected.map(|(scheme, host, port)| (scheme, host.to_owned(), port));
            assert_eq!(parse(url), expected, "{url}");
        }
    }
}
