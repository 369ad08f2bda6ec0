//! Which addresses the operator may connect to, on behalf of people who may create our objects but
//! not reach the operator's own network. Asked with the resolved address that is then connected to,
//! so that a DNS answer cannot change in between.

use crate::domain::host;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Networks and names beyond the built-in refusals. `deny` wins over `allow`, `allow` over the built-in ones and over
/// `cluster`; whatever nobody names is permitted, unless `only` says what is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// From `--egress-allow`: permitted although a built-in rule refuses it.
    pub allow: Vec<IpNet>,
    /// From `--egress-deny`: refused whatever else is said.
    pub deny: Vec<IpNet>,
    /// From `--egress-deny cluster`: where Pods and Services are, refused like the built-in ones.
    pub cluster: Vec<IpNet>,
    /// From `--egress-only`: nothing else is permitted. Absent: no such rule.
    pub only: Option<Vec<Place>>,
}

/// What `--egress-deny` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// A network.
    Network(IpNet),
    /// Wherever Pods and Services of this cluster are.
    Cluster,
}

impl FromStr for Denied {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cluster" => Ok(Self::Cluster),
            _ => text
                .parse()
                .map(Self::Network)
                .map_err(|_| "must be a network such as 203.0.113.0/24, or the word cluster".into()),
        }
    }
}

/// The networks that Pods and Services of practically every cluster are in: those for private use (RFC 1918, RFC
/// 4193), and the shared address space (RFC 6598), which some clouds take. An operator cannot ask for the ones of
/// its cluster, so that these are meant unless it is told better.
pub const CLUSTER: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

/// Where connections may go: addresses, or whatever addresses a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A network, or one address.
    Network(IpNet),
    /// A host's name, in lower case.
    Host(String),
    /// All names that end so, in lower case, with the dot.
    Domain(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let wrong = "must be a network such as 203.0.113.0/24, an address, a name such as smtp.corp.example, or \
                     *.corp.example";
        let (is_domain, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        match host::canonical(name) {
            Some(name) if is_domain && name.parse::<IpAddr>().is_err() => {
                Ok(Self::Domain(format!(".{name}")))
            }
            Some(name) if !is_domain && !name.contains(':') => Ok(Self::Host(name)),
            _ => Err(wrong.into()),
        }
    }
}

impl Place {
    fn has(&self, host: &str, address: IpAddr, inner: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&address) || network.contains(&inner),
            Self::Host(name) => *name == host,
            Self::Domain(end) => host.ends_with(end.as_str()),
        }
    }
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {why}")]
pub struct Refusal {
    /// The address as it was resolved.
    pub address: IpAddr,
    /// What it is and what would permit it, ready for a sentence.
    pub why: &'static str,
}

impl Policy {
    /// Whether a connection to `address` is permitted, which is what `host` was resolved to. IPv4 addresses inside
    /// IPv6 forms (mapped, NAT64, 6to4) are judged as the IPv4 address they lead to.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let inner = embedded_v4(address);
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address) || net.contains(&inner));
        let refused = |why| Err(Refusal { address, why });
        if within(&self.deny) {
            return refused("in a denied network; connections there need another --egress-deny");
        }
        if let Some(only) = &self.only {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            if !only.iter().any(|place| place.has(&host, address, inner)) {
                return refused(
                    "none of the operator's networks and hosts; connections there need --egress-only",
                );
            }
        }
        if within(&self.allow) {
            return Ok(());
        }
        if within(&self.cluster) {
            return refused("in a network of this cluster; connections there need --egress-allow");
        }
        builtin(inner).map_or(Ok(()), refused)
    }
}

macro_rules! needs_allow {
    ($what:literal) => {
        concat!($what, "; connections there need --egress-allow")
    };
}

/// Addresses that lead back into the node, the pod or a cloud's credential service.
fn builtin(address: IpAddr) -> Option<&'static str> {
    // The metadata services that live outside link-local: Alibaba Cloud, Oracle, Azure, AWS and GCP over IPv6.
    const METADATA_V4: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
    const METADATA_V6: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    match address {
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Some(needs_allow!("a cloud metadata service")),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Some(needs_allow!("a cloud metadata service")),
        _ if address.is_loopback() => Some(needs_allow!("a loopback address")),
        _ if address.is_unspecified() => Some(needs_allow!("the unspecified address")),
        _ if address.is_multicast() => Some(needs_allow!("a multicast address")),
        IpAddr::V4(v4) if v4.is_link_local() => {
            Some(needs_allow!("a link-local address, where cloud metadata services live"))
        }
        // 0.0.0.0/8 reaches the local host on Linux.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(needs_allow!("an address of this host")),
        IpAddr::V4(v4) if v4.is_broadcast() => Some(needs_allow!("the broadcast address")),
        // RFC 8215: translated to an IPv4 address which only the translator knows.
        IpAddr::V6(v6) if matches!(v6.segments(), [0x64, 0xff9b, 1, ..]) => {
            Some(needs_allow!("an address of a local IPv4 translation"))
        }
        // RFC 3879: the private networks of before fc00::/7.
        IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0 => Some(needs_allow!("a site-local address")),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(needs_allow!("a link-local address")),
        _ => None,
    }
}

fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., hi, lo] = v6.segments();
    let v4 = |hi: u16, lo: u16| IpAddr::V4(Ipv4Addr::from(u32::from(hi) << 16 | u32::from(lo)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] |   // mapped, RFC 4291
        [0, 0, 0, 0, 0xffff, 0, ..] |   // translated, RFC 7915
        [0x64, 0xff9b, 0, 0, 0, 0, ..]  // NAT64, RFC 6052
            => v4(hi, lo),
        [0, 0, 0, 0, 0, 0, ..] if hi != 0 => v4(hi, lo), // compatible, RFC 4291
        [0x2002, hi, lo, ..] => v4(hi, lo),              // 6to4, RFC 3056
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn table() {
        let policy =
            Policy { allow: nets(&["127.0.0.2/32"]), deny: nets(&["203.0.113.0/24"]), ..Policy::default() };
        for (address, permitted) in [
            ("198.51.100.7", true),
            ("10.1.2.3", true), // a company's own relay is what this is for
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("::ffff:127.0.0.1", false),
            ("::ffff:127.0.0.2", true),
            ("::ffff:0:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::a9fe:a9fe", false),
            ("64:ff9b:1:ffff::1", false),
            ("64:ff9b:2::1", true),
            ("2002:7f00:1::", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("feff:ffff::1", false),
            ("fd00:ec2::254", false),
            ("100.100.100.200", false),
            ("168.63.129.16", false),
            ("::ffff:168.63.129.16", false),
            ("168.63.129.17", true),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
            ("203.0.113.9", false),
            ("::ffff:203.0.113.9", false),
        ] {
            assert_eq!(policy.check("", address.parse().unwrap()).is_ok(), permitted, "{address}");
        }
    }

    #[test]
    fn the_clusters_networks_are_one_word() {
        let policy = Policy { allow: nets(&["10.9.0.25/32"]), cluster: nets(&CLUSTER), ..Policy::default() };
        for (address, permitted) in [
            ("10.96.0.1", false),
            ("::ffff:10.96.0.1", false),
            ("64:ff9b::a60:1", false),
            ("172.20.0.1", false),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("fd12:3456::1", false),
            ("10.9.0.25", true),
            ("172.32.0.1", true),
            ("198.51.100.7", true),
        ] {
            assert_eq!(policy.check("", address.parse().unwrap()).is_ok(), permitted, "{address}");
        }
        assert_eq!("cluster".parse(), Ok(Denied::Cluster));
        assert_eq!("10.0.0.0/8".parse(), Ok(Denied::Network("10.0.0.0/8".parse().unwrap())));
        assert!("pods".parse::<Denied>().unwrap_err().contains("the word cluster"));
    }

    #[test]
    fn only_what_is_listed() {
        let places = ["198.51.100.0/24", "2001:db8::25", "smtp.corp.example", "*.Provider.example"];
        let only = Some(places.iter().map(|place| place.parse().unwrap()).collect());
        let policy = Policy { only, deny: nets(&["198.51.100.66/32"]), ..Policy::default() };
        for (host, address, permitted) in [
            ("smtp.corp.example", "192.0.2.1", true),
            ("SMTP.corp.example.", "192.0.2.1", true),
            ("other.corp.example", "192.0.2.1", false),
            ("eu.provider.example", "192.0.2.1", true),
            ("provider.example", "192.0.2.1", false),
            ("evilprovider.example", "192.0.2.1", false),
            ("smtp.corp.example.evil.example", "192.0.2.1", false),
            ("whatever.example", "198.51.100.7", true),
            ("whatever.example", "::ffff:198.51.100.7", true),
            ("198.51.100.7", "198.51.100.7", true),
            ("2001:db8::25", "2001:db8::25", true),
            ("2001:db8::26", "2001:db8::26", false),
            // A listed name is no way around the other rules.
            ("smtp.corp.example", "127.0.0.1", false),
            ("smtp.corp.example", "169.254.169.254", false),
            ("smtp.corp.example", "198.51.100.66", false),
        ] {
            assert_eq!(policy.check(host, address.parse().unwrap()).is_ok(), permitted, "{host} {address}");
        }
        for wrong in [
            "",
            "*.",
            "a b",
            "http://smtp.corp.example",
            "smtp.corp.example:25",
            "10.0.0.0/33",
            "a..b",
            "a/b",
            "01.1.1.1",
            "*.10.0.0.1",
            "[::1]",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
