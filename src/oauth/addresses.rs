//! Which addresses a token request may go to: those of the endpoint or, with a proxy, those of the proxy and, as
//! far as they can be found from here, those behind it.

use super::http::HttpError;
use crate::api::Reason;
use crate::domain::egress;
use crate::domain::failure::Permanence;
use crate::smtp::dial;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// How long a name behind a proxy is looked for: often only the proxy has the DNS for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An address in the URL itself never passes through the resolver.
pub(super) fn check_literal(url: &Url, egress: &egress::Policy) -> Result<(), egress::Refusal> {
    literal(url).map_or(Ok(()), |address| egress.check(host(url), address))
}

/// As a name or an address, without brackets.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

fn literal(url: &Url) -> Option<IpAddr> {
    // The url crate parses the hosts of schemes it does not know, as socks5h, without looking at them.
    match Host::parse(url.host_str()?).ok()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Checks both ends of a request through a proxy. Of what lies behind it every address has to be permitted, since
/// the proxy chooses among them; a name that cannot be found from here is the proxy's affair.
pub(super) async fn check_proxied(url: &Url, proxy: &Url, egress: &egress::Policy) -> Result<(), HttpError> {
    check_literal(proxy, egress).map_err(HttpError::ProxyDenied)?;
    let found = match literal(proxy) {
        Some(_) => Vec::new(),
        None => look_up(proxy).await.map_err(|_| {
            let why = "its name has no address; correct proxy.url, or see to the cluster's DNS".to_owned();
            HttpError::Proxy(Reason::ProxyUnavailable, Permanence::Temporary, why)
        })?,
    };
    permitted(host(proxy), found, egress).map_err(HttpError::ProxyDenied)?;
    check_literal(url, egress).map_err(HttpError::Denied)?;
    let behind = tokio::time::timeout(PATIENCE, look_up(url)).await;
    for address in behind.into_iter().flatten().flatten() {
        egress.check(host(url), address.ip()).map_err(HttpError::Denied)?;
    }
    Ok(())
}

async fn look_up(url: &Url) -> std::io::Result<Vec<SocketAddr>> {
    dial::addresses_of(host(url), 0).await
}

/// Resolves names like the system does and keeps the addresses that the policy admits. The connection
/// is made to these very addresses, so that no second answer of the DNS can replace them.
pub(super) struct PermittedAddresses {
    pub egress: Arc<egress::Policy>,
}

impl Resolve for PermittedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.egress);
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = dial::addresses_of(name.as_str(), 0).await?;
            Ok(Box::new(permitted(name.as_str(), found, &egress)?.into_iter()) as Addrs)
        })
    }
}

/// The addresses the policy admits; its refusal if there were addresses and it admits none.
fn permitted(
    host: &str,
    mut found: Vec<SocketAddr>,
    egress: &egress::Policy,
) -> Result<Vec<SocketAddr>, egress::Refusal> {
    let mut refusal = None;
    found.retain(|address| match egress.check(host, address.ip()) {
        Ok(()) => true,
        Err(refused) => {
            refusal.get_or_insert(refused);
            false
        }
    });
    match refusal {
        Some(refusal) if found.is_empty() => Err(refusal),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_several_addresses_only_the_permitted_ones_are_left() {
        let addresses =
            |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
        let policy = egress::Policy::default();
        for (found, left) in [
            (&["127.0.0.1:0", "198.51.100.7:0", "[::1]:0"][..], Some(&["198.51.100.7:0"][..])),
            (&["198.51.100.7:0", "[2001:db8::1]:0"], Some(&["198.51.100.7:0", "[2001:db8::1]:0"])),
            (&["169.254.169.254:0", "127.0.0.1:0"], None),
            (&[], Some(&[])),
        ] {
            assert_eq!(permitted("", addresses(found), &policy).ok(), left.map(addresses), "{found:?}");
        }
    }
}
