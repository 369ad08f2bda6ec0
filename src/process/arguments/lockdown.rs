//! The arguments for clusters whose tenants do not trust each other: what alone is permitted, where nothing else is.

use crate::domain::egress::Place;
use crate::domain::lockdown::{HostAndPort, Lockdown, Proxy};
use clap::{ArgAction, Args};
use std::str::FromStr;

/// Arguments of `run` that forbid what is otherwise a matter of specs.
#[derive(Debug, Clone, Args)]
pub struct LockdownArguments {
    /// Network, address or host name to which connections may go, and to no other; may be repeated. `*.corp.example` means
    /// all names below corp.example.
    #[arg(long, env = "MAIL_OPERATOR_EGRESS_ONLY", value_delimiter = ',', value_name = "CIDR|HOST")]
    pub egress_only: Vec<Place>,
    /// Notifications may not name servers and templates of other namespaces, whatever those permit.
    #[arg(long, env = "MAIL_OPERATOR_NO_CROSS_NAMESPACE_REFS", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub no_cross_namespace_refs: bool,
    /// Proxy that MailServerConfigs may name, and no other; may be repeated; `none`: no proxy at all.
    #[arg(long, env = "MAIL_OPERATOR_PROXIES_ONLY", value_delimiter = ',', value_name = "URL|none")]
    pub proxies_only: Vec<Only<Proxy>>,
    /// MailServerConfigs may not name certificate authorities of their own.
    #[arg(long, env = "MAIL_OPERATOR_NO_PRIVATE_CAS", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub no_private_cas: bool,
    /// Server that may be spoken to without TLS, and no other; may be repeated; `none`: no server at all.
    #[arg(
        long,
        env = "MAIL_OPERATOR_PLAINTEXT_ONLY",
        value_delimiter = ',',
        value_name = "HOST[:PORT]|none"
    )]
    pub plaintext_only: Vec<Only<HostAndPort>>,
    /// Statuses do not tell why a server was not reached, so that nobody explores the network with them; the log does.
    #[arg(long, env = "MAIL_OPERATOR_ONE_NETWORK_ERROR", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub one_network_error: bool,
}

/// One of the things that are permitted where nothing else is; `none` makes a list of which nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only<T> {
    /// Nothing.
    Nothing,
    /// This one.
    This(T),
}

impl<T: FromStr<Err = String>> FromStr for Only<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::Nothing) } else { text.parse().map(Self::This) }
    }
}

fn only<T: Clone>(list: &[Only<T>]) -> Option<Vec<T>> {
    let these = list.iter().filter_map(|entry| match entry {
        Only::This(entry) => Some(entry.clone()),
        Only::Nothing => None,
    });
    (!list.is_empty()).then(|| these.collect())
}

impl LockdownArguments {
    /// Where alone connections may go. A proxy that the operator names is one of its hosts.
    pub fn places(&self) -> Option<Vec<Place>> {
        let proxies = only(&self.proxies_only).unwrap_or_default();
        let proxies = proxies.iter().filter_map(|proxy| proxy.host.parse().ok());
        (!self.egress_only.is_empty()).then(|| self.egress_only.iter().cloned().chain(proxies).collect())
    }

    /// What specs may not say, and what tenants are not told.
    pub fn rules(&self) -> Lockdown {
        Lockdown {
            own_namespace_only: self.no_cross_namespace_refs,
            proxies: only(&self.proxies_only),
            no_private_cas: self.no_private_cas,
            plaintext: only(&self.plaintext_only),
            one_network_error: self.one_network_error,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::egress;
    use crate::process::arguments::{Arguments, Command, RunArguments};
    use clap::Parser;

    fn run(line: &[&str]) -> Result<RunArguments, String> {
        let line = ["mail-operator", "run"].into_iter().chain(line.iter().copied());
        match Arguments::try_parse_from(line).map_err(|error| error.to_string())?.command {
            Command::Run(arguments) => Ok(*arguments),
            _ => unreachable!(),
        }
    }

    #[test]
    fn lists_of_what_alone_is_permitted() {
        let none = run(&[]).unwrap();
        assert_eq!((none.lockdown.rules(), none.egress()), (Lockdown::default(), egress::Policy::default()));
        let strict = run(&[
            "--no-cross-namespace-refs",
            "--no-private-cas=true",
            "--proxies-only=none",
            "--plaintext-only",
            "relay.corp.example:25",
            "--egress-deny=cluster,203.0.113.0/24",
            "--egress-only=smtp.corp.example",
            "--one-network-error",
        ])
        .unwrap();
        let rules = strict.lockdown.rules();
        assert_eq!((rules.proxies, rules.plaintext.map(|list| list.len())), (Some(vec![]), Some(1)));
        assert!(rules.own_namespace_only && rules.no_private_cas && rules.one_network_error);
        let egress = strict.egress();
        let counts = (egress.deny.len(), egress.cluster.len(), egress.only.map(|only| only.len()));
        assert_eq!(counts, (1, egress::CLUSTER.len(), Some(1)));
        let own = run(&["--egress-deny=cluster", "--cluster-network=10.244.0.0/16"]).unwrap().egress();
        assert_eq!(own.cluster.len(), 1);
        let proxy =
            run(&["--proxies-only=http://proxy.corp.example:3128", "--egress-only=10.0.0.0/8"]).unwrap();
        assert_eq!(
            proxy.egress().only.map(|only| only.len()),
            Some(2),
            "a proxy of the operator may be reached"
        );
        for (wrong, words) in [
            ("--egress-deny=pods", "the word cluster"),
            ("--proxies-only=proxy", "must be socks5://host:port"),
            ("--plaintext-only=a:b", "or host:port"),
            ("--egress-only=https://x", "*.corp.example"),
        ] {
            let refusal = run(&[wrong]).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
