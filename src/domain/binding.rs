//! A Secret says where it may go. Whoever may create a MailServerConfig could otherwise read any
//! Secret of the namespace by pointing `host` at a server of his own.

use crate::api::Reason;
use crate::api::names::{ALLOWED_CA, ALLOWED_HOSTS};
use sha2::{Digest, Sha256};
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

/// What listens at a destination, which decides what an entry without a port means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A mail server.
    Mail,
    /// A token endpoint.
    Token,
    /// A proxy. It may see plain text, so nothing is taken for granted: its entry names the port.
    Proxy,
}

impl Service {
    /// The ports that an entry without one stands for. On other ports of the same host somebody else may listen.
    const fn usual_ports(self) -> &'static [u16] {
        match self {
            Self::Mail => &[25, 465, 587, 2525],
            Self::Token => &[443],
            Self::Proxy => &[],
        }
    }
}

/// A host and port that a credential is about to be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination<'a> {
    /// DNS name or IP address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// What listens there.
    pub service: Service,
}

impl Destination<'_> {
    /// The shortest entry of the annotation that permits it.
    fn entry(&self) -> String {
        let host = self.host.trim_matches(['[', ']']);
        match (self.service.usual_ports().contains(&self.port), host.contains(':')) {
            (true, _) => host.to_owned(),
            (false, true) => format!("[{host}]:{}", self.port),
            (false, false) => format!("{host}:{}", self.port),
        }
    }
}

/// A private CA that alone vouches for a server on the way. Its key may be anybody's, so a name proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// `ConfigMap` or `Secret`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The bundle as it is stored.
    pub pem: &'a str,
}

/// The Secret or ServiceAccount that is asked.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// kubectl's word for it: `secret` or `serviceaccount`.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its annotations; none if it does not exist.
    pub annotations: &'a BTreeMap<String, String>,
    /// The CA bundle that it holds itself, under the key `ca.crt`.
    pub own_ca: Option<&'a [u8]>,
}

/// A refusal, with the command that would permit it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBound {
    /// Always [`Reason::SecretNotBound`].
    pub reason: Reason,
    /// What to run.
    pub message: String,
}

/// Whether the annotations permit that destination.
pub fn permits(annotations: &BTreeMap<String, String>, destination: &Destination<'_>) -> bool {
    annotations.get(ALLOWED_HOSTS).is_some_and(|listed| names(listed, destination))
}

/// Names a CA bundle in the annotation: the SHA-256 of its bytes as they are stored, as `sha256sum` prints it.
pub fn digest(pem: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(pem.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the holder's credential may be sent to all of `destinations`, with these private CAs on the way.
pub fn check(
    binding: Binding,
    holder: &Holder<'_>,
    destinations: &[Destination<'_>],
    authorities: &[Authority<'_>],
) -> Result<(), NotBound> {
    let listed = |annotation: &str| holder.annotations.get(annotation).map(String::as_str);
    if binding == Binding::WhenAnnotated && listed(ALLOWED_HOSTS).is_none() && listed(ALLOWED_CA).is_none() {
        return Ok(());
    }
    let (hosts, digests) =
        (listed(ALLOWED_HOSTS).unwrap_or_default(), listed(ALLOWED_CA).unwrap_or_default());
    let trusted = |authority: &Authority<'_>| {
        let own = holder.own_ca.and_then(|own| std::str::from_utf8(own).ok());
        let wanted = digest(authority.pem);
        own.is_some_and(|own| own.trim() == authority.pem.trim())
            || digests.split(',').any(|known| known.trim().eq_ignore_ascii_case(&wanted))
    };
    let (permitted, missing_hosts): (Vec<_>, Vec<_>) =
        destinations.iter().partition(|destination| names(hosts, destination));
    // One that permits nothing of this gets the answer of one that does not exist, so that nobody learns from us which
    // Secrets there are and where they may go.
    let is_known = !permitted.is_empty();
    let missing_authorities: Vec<_> =
        authorities.iter().filter(|authority| !is_known || !trusted(authority)).collect();
    if missing_hosts.is_empty() && missing_authorities.iter().all(|authority| trusted(authority)) {
        return Ok(());
    }
    Err(NotBound {
        reason: Reason::SecretNotBound,
        message: refusal(holder, is_known, &missing_hosts, &missing_authorities),
    })
}

/// What is missing, with a command that permits it and keeps what the annotations hold already.
fn refusal(
    holder: &Holder<'_>,
    is_known: bool,
    hosts: &[&Destination<'_>],
    authorities: &[&Authority<'_>],
) -> String {
    let Holder { kind, namespace, name, .. } = holder;
    let (mut what, mut command) = (Vec::new(), String::new());
    let mut permit = |annotation: &str, more: Vec<String>| {
        // What is listed is for those who may read the object, so the command reads it and we do not show it.
        let path = annotation.replace('.', "\\.");
        let listed = format!(
            "$(kubectl get {kind} {name} -n {namespace} -o jsonpath='{{.metadata.annotations.{path}}}')"
        );
        command.extend([" ", annotation, "=\"", &listed, ",", &more.join(","), "\""]);
    };
    if !hosts.is_empty() {
        let mut entries: Vec<_> = hosts.iter().map(|destination| destination.entry()).collect();
        entries.dedup();
        what.push(format!("to {}", entries.join(" and ")));
        permit(ALLOWED_HOSTS, entries);
    }
    if !authorities.is_empty() {
        let mut names: Vec<_> =
            authorities.iter().map(|authority| format!("{} {}", authority.kind, authority.name)).collect();
        names.dedup();
        what.push(format!("where only the private CA of {} vouches for the server", names.join(" and ")));
        let mut digests: Vec<_> = authorities.iter().map(|authority| digest(authority.pem)).collect();
        digests.dedup();
        permit(ALLOWED_CA, digests);
    }
    let (object, its) = match *kind {
        "secret" => ("Secret", "its contents"),
        _ => ("ServiceAccount", "its token"),
    };
    let (subject, advice) = if is_known {
        (format!("{object} {name} does not permit {its} to be sent"), "If that is the right place")
    } else {
        (
            format!("no {object} {name} in namespace {namespace} permits {its} to be sent"),
            "Create it or, if it is there and that is the right place",
        )
    };
    format!(
        "{subject} {}. {advice}: kubectl annotate --overwrite {kind} {name} -n {namespace}{command}",
        what.join(", and ")
    )
}

/// `host` matches the service's usual ports, `host:port` that port only, `host:*` every port; no other wildcards. Case
/// does not matter.
fn names(listed: &str, destination: &Destination<'_>) -> bool {
    let bare = destination.host.trim_matches(['[', ']']);
    listed.split(',').map(str::trim).any(|entry| {
        if entry.trim_matches(['[', ']']).eq_ignore_ascii_case(bare) {
            return destination.service.usual_ports().contains(&destination.port);
        }
        entry.rsplit_once(':').is_some_and(|(host, port)| {
            host.trim_matches(['[', ']']).eq_ignore_ascii_case(bare)
                && (port == "*" || port.parse() == Ok(destination.port))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn ask(
        binding: Binding,
        annotations: &[(&str, &str)],
        destinations: &[Destination<'_>],
        authorities: &[Authority<'_>],
        own_ca: Option<&[u8]>,
    ) -> Option<String> {
        let annotations = annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let holder =
            Holder { kind: "secret", namespace: "mail", name: "smtp", annotations: &annotations, own_ca };
        check(binding, &holder, destinations, authorities).err().map(|refusal| refusal.message)
    }

    fn refused(binding: Binding, annotation: Option<&str>, host: &str, port: u16) -> Option<String> {
        let annotations: Vec<_> = annotation.map(|hosts| (ALLOWED_HOSTS, hosts)).into_iter().collect();
        ask(binding, &annotations, &[Destination { host, port, service: Service::Mail }], &[], None)
    }

    #[test]
    fn table() {
        for (annotation, host, port, permitted) in [
            (None, "smtp.corp.example", 587, false),
            (Some(""), "smtp.corp.example", 587, false),
            (Some("smtp.corp.example"), "smtp.corp.example", 587, true),
            (Some("a.example, SMTP.corp.example"), "smtp.corp.example", 25, true),
            (Some("smtp.corp.example"), "smtp.corp.example", 2525, true),
            (Some("smtp.corp.example"), "smtp.corp.example", 30587, false),
            (Some("smtp.corp.example"), "smtp.corp.example", 443, false),
            (Some("smtp.corp.example:*"), "smtp.corp.example", 30587, true),
            (Some("*:587"), "smtp.corp.example", 587, false),
            (Some("smtp.corp.example:465"), "smtp.corp.example", 465, true),
            (Some("smtp.corp.example:465"), "smtp.corp.example", 587, false),
            (Some("*.corp.example"), "smtp.corp.example", 587, false),
            (Some("corp.example"), "smtp.corp.example", 587, false),
            (Some("[2001:db8::1]:587"), "2001:db8::1", 587, true),
            (Some("2001:db8::1"), "2001:db8::1", 587, true),
            (Some("[2001:db8::1]"), "2001:db8::1", 30587, false),
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
    fn a_host_without_a_port_means_the_ports_of_its_service() {
        for (service, usual) in
            [(Service::Mail, &[25, 465, 587, 2525][..]), (Service::Token, &[443]), (Service::Proxy, &[])]
        {
            for port in [22, 25, 80, 443, 465, 587, 1080, 2525, 3128, 8080, 8443, 30587] {
                let place = [Destination { host: "a.example", port, service }];
                let permitted = ask(Binding::Required, &[(ALLOWED_HOSTS, "a.example")], &place, &[], None);
                assert_eq!(permitted.is_none(), usual.contains(&port), "{service:?} {port}");
                let exactly = format!("a.example:{port}");
                assert_eq!(ask(Binding::Required, &[(ALLOWED_HOSTS, &exactly)], &place, &[], None), None);
            }
        }
    }

    #[test]
    fn a_private_ca_needs_the_secrets_word() {
        let place = [Destination { host: "a.example", port: 587, service: Service::Mail }];
        let ca = [Authority { kind: "ConfigMap", name: "corp-ca", pem: CA }];
        let (hosts, right) = ((ALLOWED_HOSTS, "a.example"), digest(CA));
        let wrong = digest("another");
        let several = format!("{wrong}, {}", right.to_uppercase());
        for (annotations, own, permitted) in [
            (vec![hosts], None, false),
            (vec![hosts, (ALLOWED_CA, "")], None, false),
            (vec![hosts, (ALLOWED_CA, "*")], None, false),
            (vec![hosts, (ALLOWED_CA, "sha256:")], None, false),
            (vec![hosts, (ALLOWED_CA, wrong.as_str())], None, false),
            (vec![hosts, (ALLOWED_CA, right.as_str())], None, true),
            (vec![hosts, (ALLOWED_CA, several.as_str())], None, true),
            (vec![hosts], Some(CA.as_bytes()), true),
            (vec![hosts], Some(CA.trim().as_bytes()), true),
            (vec![hosts], Some(&b""[..]), false),
            (vec![hosts], Some(&b"\xff"[..]), false),
            (vec![(ALLOWED_CA, right.as_str())], None, false),
        ] {
            let refusal = ask(Binding::Required, &annotations, &place, &ca, own);
            assert_eq!(refusal.is_none(), permitted, "{annotations:?}");
        }
        assert_eq!(ask(Binding::WhenAnnotated, &[], &place, &ca, None), None);
        assert!(ask(Binding::WhenAnnotated, &[hosts], &place, &ca, None).is_some());
        let told = ask(Binding::Required, &[hosts, (ALLOWED_CA, &wrong)], &place, &ca, None);
        let command = format!(
            "Secret smtp does not permit its contents to be sent where only the private CA of ConfigMap corp-ca vouches for \
             the server. If that is the right place: kubectl annotate --overwrite secret smtp -n mail \
             mail-operator.dev/allowed-ca=\"$(kubectl get secret smtp -n mail -o \
             jsonpath='{{.metadata.annotations.mail-operator\\.dev/allowed-ca}}'),{right}\""
        );
        assert_eq!(told, Some(command));
    }

    /// Somebody who may not read the Secret names it, with a server of his own.
    #[test]
    fn one_that_permits_none_of_it_is_told_as_one_that_does_not_exist() {
        let place = [Destination { host: "evil.example", port: 25, service: Service::Mail }];
        let ca = [Authority { kind: "ConfigMap", name: "mine", pem: CA }];
        let right = digest(CA);
        let told = |annotations: &[(&str, &str)], own| {
            let refusal = ask(Binding::Required, annotations, &place, &ca, own);
            refusal.unwrap_or_else(|| panic!("{annotations:?} permits it"))
        };
        let absent = told(&[], None);
        assert!(absent.starts_with("no Secret smtp in namespace mail permits"), "{absent}");
        for annotations in [
            vec![(ALLOWED_HOSTS, "")],
            vec![(ALLOWED_HOSTS, "smtp.corp.example,10.0.0.1:25")],
            vec![(ALLOWED_HOSTS, "smtp.corp.example"), (ALLOWED_CA, right.as_str())],
            vec![(ALLOWED_CA, right.as_str())],
        ] {
            assert_eq!(told(&annotations, None), absent, "{annotations:?}");
            assert_eq!(told(&annotations, Some(CA.as_bytes())), absent, "{annotations:?}");
        }
    }

    #[test]
    fn the_digest_is_what_sha256sum_prints() {
        assert_eq!(digest(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn the_command_keeps_what_was_permitted_and_does_not_show_it() {
        let message = refused(Binding::Required, Some("a.example"), "b.example", 25).unwrap_or_default();
        let command = "kubectl annotate --overwrite secret smtp -n mail mail-operator.dev/allowed-hosts=\"$(kubectl get secret \
                       smtp -n mail -o jsonpath='{.metadata.annotations.mail-operator\\.dev/allowed-hosts}'),b.example\"";
        assert!(message.ends_with(command) && !message.contains("a.example"), "{message}");
        let message = refused(Binding::Required, Some("a.example"), "2001:db8::1", 30587).unwrap_or_default();
        assert!(message.ends_with("),[2001:db8::1]:30587\""), "{message}");
    }
}
