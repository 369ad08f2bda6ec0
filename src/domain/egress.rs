//! Which addresses the operator may connect to, on behalf of people who may create our objects but
//! not reach the operator's own network. Asked with the resolved address that is then connected to,
//! so that a DNS answer cannot change in between.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Allowed and denied networks beyond the built-in refusals. `deny` wins over `allow`, `allow` over
/// the built-in ones, and whatever nobody names is permitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// From `--egress-allow`: permitted although a built-in rule refuses it.
    pub allow: Vec<IpNet>,
    /// From `--egress-deny`: refused whatever else is said.
    pub deny: Vec<IpNet>,
}

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {why}; connections there need --egress-allow")]
pub struct Refusal {
    /// The address as it was resolved.
    pub address: IpAddr,
    /// What it is, ready for a sentence.
    pub why: &'static str,
}

impl Policy {
    /// Whether a connection to `address` is permitted. IPv4 addresses inside IPv6 forms (mapped,
    /// NAT64, 6to4) are judged as the IPv4 address they lead to.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let inner = embedded_v4(address);
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address) || net.contains(&inner));
        if within(&self.deny) {
            return Err(Refusal { address, why: "in a denied network" });
        }
        if within(&self.allow) {
            return Ok(());
        }
        builtin(inner).map_or(Ok(()), |why| Err(Refusal { address, why }))
    }
}

/// Addresses that lead back into the node, the pod or a cloud's credential service.
fn builtin(address: IpAddr) -> Option<&'static str> {
    // The metadata services that live outside link-local: Alibaba Cloud, Oracle, AWS and GCP over IPv6.
    const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    const METADATA_V6: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    match address {
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Some("a cloud metadata service"),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Some("a cloud metadata service"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_link_local() => {
            Some("a link-local address, where cloud metadata services live")
        }
        // 0.0.0.0/8 reaches the local host on Linux.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("an address of this host"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        _ => None,
    }
}

fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., hi, lo] = v6.segments();
    let v4 = |hi: u16, lo: u16| IpAddr::V4(Ipv4Addr::from(u32::from(hi) << 16 | u32::from(lo)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] |   // mapped, RFC 4291
        [0x64, 0xff9b, 0, 0, 0, 0, ..]  // NAT64, RFC 6052
            => v4(hi, lo),
        [0, 0, 0, 0, 0, 0, ..] if hi != 0 => v4(hi, lo), // compatible, RFC 4291
        [0x2002, hi, lo, ..] => v4(hi, lo),              // 6to4, RFC 3056
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let policy = Policy {
            allow: vec!["127.0.0.2/32".parse().unwrap()],
            deny: vec!["203.0.113.0/24".parse().unwrap()],
        };
        for (address, permitted) in [
            ("198.51.100.7", true),
            ("10.1.2.3", true), // a company's own relay is what this is for
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("::ffff:127.0.0.1", false),
            ("::ffff:127.0.0.2", true),
            ("::127.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:7f00:1::", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("100.100.100.200", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
            ("203.0.113.9", false),
            ("::ffff:203.0.113.9", false),
        ] {
            assert_eq!(policy.check(address.parse().unwrap()).is_ok(), permitted, "{address}");
        }
    }
}
