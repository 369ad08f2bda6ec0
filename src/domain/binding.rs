//! A Secret says where it may go. Whoever may create a MailServerConfig could otherwise read any
//! Secret of the namespace by pointing `host` at a server of his own.

use crate::api::Reason;
use crate::api::names::ALLOWED_HOSTS;
use std::collections::BTreeMap;

/// Whether a Secret must name the hosts its contents may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Binding {
    /// Always (`--secret-binding Required`).
    #[default]
    Required,
    /// Only Secrets that carry the annotation are held to it.
    WhenAnnotated,
}

/// A host and port that a credential is about to be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination<'a> {
    /// DNS name or IP address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
}

/// A refusal, with the command that would permit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBound {
    /// Always [`Reason::SecretNotBound`].
    pub reason: Reason,
    /// What to run.
    pub message: String,
}

/// Whether the Secret (or ServiceAccount) `name` with these annotations may be sent to all of `destinations`.
/// `kind` is kubectl's word for it: `secret` or `serviceaccount`.
pub fn check(
    binding: Binding,
    namespace: &str,
    (kind, name): (&str, &str),
    annotations: &BTreeMap<String, String>,
    destinations: &[Destination<'_>],
) -> Result<(), NotBound> {
    let listed = annotations.get(ALLOWED_HOSTS);
    if listed.is_none() && binding == Binding::WhenAnnotated {
        return Ok(());
    }
    let listed = listed.map(String::as_str).unwrap_or_default();
    let missing: Vec<_> = destinations.iter().filter(|destination| !names(listed, destination)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut hosts: Vec<&str> = listed.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
    hosts.extend(missing.iter().map(|destination| destination.host));
    hosts.dedup();
    let missing: Vec<_> = missing.iter().map(|destination| destination.host).collect();
    Err(NotBound {
        reason: Reason::SecretNotBound,
        message: format!(
            "{} does not permit {} to be sent to {}. If that is the right place: kubectl annotate --overwrite {kind} {name} \
             -n {namespace} {ALLOWED_HOSTS}='{}'",
            if kind == "secret" { format!("Secret {name}") } else { format!("ServiceAccount {name}") },
            if kind == "secret" { "its contents" } else { "its token" },
            missing.join(" and "),
            hosts.join(",")
        ),
    })
}

/// `host` matches every port, `host:port` that port only; no wildcards. Case does not matter.
fn names(listed: &str, destination: &Destination<'_>) -> bool {
    let bare = destination.host.trim_matches(['[', ']']);
    listed.split(',').map(str::trim).any(|entry| {
        if entry.trim_matches(['[', ']']).eq_ignore_ascii_case(bare) {
            return true;
        }
        entry.rsplit_once(':').is_some_and(|(host, port)| {
            host.trim_matches(['[', ']']).eq_ignore_ascii_case(bare) && port.parse() == Ok(destination.port)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(binding: Binding, annotation: Option<&str>, host: &str, port: u16) -> Option<String> {
        let annotations =
            annotation.map(|hosts| (ALLOWED_HOSTS.to_string(), hosts.to_string())).into_iter().collect();
        check(binding, "mail", ("secret", "smtp"), &annotations, &[Destination { host, port }])
            .err()
            .map(|refusal| refusal.message)
    }

    #[test]
    fn table() {
        for (annotation, host, port, permitted) in [
            (None, "smtp.corp.example", 587, false),
            (Some(""), "smtp.corp.example", 587, false),
            (Some("smtp.corp.example"), "smtp.corp.example", 587, true),
            (Some("a.example, SMTP.corp.example"), "smtp.corp.example", 25, true),
            (Some("smtp.corp.example:465"), "smtp.corp.example", 465, true),
            (Some("smtp.corp.example:465"), "smtp.corp.example", 587, false),
            (Some("*.corp.example"), "smtp.corp.example", 587, false),
            (Some("corp.example"), "smtp.corp.example", 587, false),
            (Some("[2001:db8::1]:587"), "2001:db8::1", 587, true),
            (Some("2001:db8::1"), "2001:db8::1", 587, true),
            (Some("[2001:db8::1]:465"), "2001:db8::1", 587, false),
        ] {
            assert_eq!(
                refused(Binding::Required, annotation, host, port).is_none(),
                permitted,
                "{annotation:?} {host}:{port}"
            );
        }
        assert_eq!(refused(Binding::WhenAnnotated, None, "evil.example", 25), None);
        assert!(refused(Binding::WhenAnnotated, Some("a.example"), "evil.example", 25).is_some());
    }

    #[test]
    fn the_command_keeps_what_was_permitted() {
        let message = refused(Binding::Required, Some("a.example"), "b.example", 25).unwrap_or_default();
        assert!(message.ends_with("kubectl annotate --overwrite secret smtp -n mail mail-operator.dev/allowed-hosts='a.example,b.example'"), "{message}");
    }
}
