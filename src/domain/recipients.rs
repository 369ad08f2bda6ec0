//! Everybody a Notification is for, in one order: `to`, then `cc`, then `bcc`. Whoever counts, sends or reports takes
//! them from here, so that nobody is forgotten in one place. Whether mail can be sent to an address is not judged here.

use crate::api::NotificationSpec;
use crate::api::notification::{DeliveryMode, Recipient};
use crate::api::shared::NamedAddress;
use crate::domain::address::{AddressProblem, Mailbox};
use std::collections::BTreeMap;
use std::fmt;

/// One of those a Notification is for. The address is his name everywhere: in the status, in the journal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Addressee<'a> {
    /// Where in the spec he stands.
    pub list: List,
    /// The address as it stands there.
    pub address: &'a str,
    /// The name shown beside it.
    pub display_name: Option<&'a str>,
    /// His own language, for a message of his own.
    pub locale: Option<&'a str>,
}

/// The lists of recipients that a spec has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the header fields")]
pub enum List {
    To,
    Cc,
    Bcc,
}

/// Everybody, in the order in which they are sent to and reported.
pub fn all(spec: &NotificationSpec) -> impl Iterator<Item = Addressee<'_>> {
    let copies = |list| move |named| Addressee::copy(list, named);
    let (cc, bcc) = (spec.cc.iter().map(copies(List::Cc)), spec.bcc.iter().map(copies(List::Bcc)));
    spec.to.iter().map(Addressee::to).chain(cc).chain(bcc)
}

/// How many they are.
pub fn count(spec: &NotificationSpec) -> usize {
    spec.to.len() + spec.cc.len() + spec.bcc.len()
}

/// Whether there is one message for all.
pub fn is_shared(spec: &NotificationSpec) -> bool {
    spec.delivery.mode == DeliveryMode::Shared
}

/// Those whose addresses are the same, each with the first of them: he would get the message twice. The API server knows
/// only doubles within one list, and only as they are written; but domains have no case (RFC 5321, 2.4).
pub fn doubles(spec: &NotificationSpec) -> Vec<(Addressee<'_>, Addressee<'_>)> {
    // Nearly always: the API server has seen to it.
    let has_capitals = |addressee: Addressee<'_>| {
        addressee.address.rsplit_once('@').is_some_and(|(_, domain)| domain != domain.to_lowercase())
    };
    if spec.cc.is_empty() && spec.bcc.is_empty() && !all(spec).any(has_capitals) {
        return Vec::new();
    }
    repeated(spec, identity)
}

/// Those whose addresses differ in the case of letters before the `@` alone. A mail server may tell them apart, and hardly
/// any does, so it is likely that one person is meant, who would get the message twice.
pub fn likely_doubles(spec: &NotificationSpec) -> Vec<(Addressee<'_>, Addressee<'_>)> {
    let pairs = repeated(spec, str::to_lowercase).into_iter();
    pairs.filter(|(first, again)| identity(first.address) != identity(again.address)).collect()
}

/// What two addresses have in common that are the same: the local part as it is written, and the domain without case.
pub fn identity(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => address.to_owned(),
    }
}

fn repeated(spec: &NotificationSpec, key: impl Fn(&str) -> String) -> Vec<(Addressee<'_>, Addressee<'_>)> {
    let mut seen = BTreeMap::new();
    let pairs = all(spec).map(|addressee| {
        let first = *seen.entry(key(addressee.address)).or_insert(addressee);
        (first, addressee)
    });
    pairs.filter(|(first, again)| first != again).collect()
}

impl<'a> Addressee<'a> {
    fn to(recipient: &'a Recipient) -> Self {
        let Recipient { address, display_name, locale, values: _ } = recipient;
        Self { list: List::To, address, display_name: display_name.as_deref(), locale: locale.as_deref() }
    }

    fn copy(list: List, named: &'a NamedAddress) -> Self {
        let NamedAddress { address, display_name } = named;
        Self { list, address, display_name: display_name.as_deref(), locale: None }
    }

    /// Address and name, checked. The problem names the field.
    pub fn mailbox(&self) -> Result<Mailbox, String> {
        Mailbox::parse(self.address, self.display_name)
            .map_err(|(member, problem): (_, AddressProblem)| format!("{self}.{member}: {problem}"))
    }
}

/// The field of the spec, such as `cc[ada@corp.example]`.
impl fmt::Display for Addressee<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self.list {
            List::To => "to",
            List::Cc => "cc",
            List::Bcc => "bcc",
        };
        write!(f, "{list}[{}]", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::notification;
    use serde_json::json;

    #[test]
    fn to_then_cc_then_bcc() {
        let sample = notification(json!({ "spec": {
            "delivery": { "mode": "Shared" },
            "to": [{ "address": "z@corp.example" }, { "address": "y@corp.example", "displayName": "Y" }],
            "cc": [{ "address": "b@corp.example", "displayName": "B" }],
            "bcc": [{ "address": "a@corp.example" }]
        } }));
        let found: Vec<_> = all(&sample.spec).map(|addressee| addressee.to_string()).collect();
        assert_eq!(
            found,
            ["to[z@corp.example]", "to[y@corp.example]", "cc[b@corp.example]", "bcc[a@corp.example]"]
        );
        assert_eq!(count(&sample.spec), found.len());
        let names: Vec<_> = all(&sample.spec).map(|addressee| addressee.display_name).collect();
        assert_eq!(names, [None, Some("Y"), Some("B"), None]);
    }

    #[test]
    fn domains_have_no_case_and_local_parts_may_have_one() {
        let sample = notification(json!({ "spec": {
            "delivery": { "mode": "Shared" },
            "to": [{ "address": "Ada@corp.example" }, { "address": "bob@corp.example" }],
            "cc": [{ "address": "ada@Corp.example" }], "bcc": [{ "address": "bob@corp.example" }, { "address": "eve@corp.example" }]
        } }));
        let words = |found: Vec<(Addressee<'_>, Addressee<'_>)>| -> Vec<String> {
            found.into_iter().map(|(first, second)| format!("{first} {second}")).collect()
        };
        assert_eq!(words(doubles(&sample.spec)), ["to[bob@corp.example] bcc[bob@corp.example]"]);
        assert_eq!(words(likely_doubles(&sample.spec)), ["to[Ada@corp.example] cc[ada@Corp.example]"]);
        let sample = notification(json!({ "spec": {
            "to": [{ "address": "ada@corp.example" }, { "address": "ada@CORP.example" }, { "address": "Ada@corp.example" }]
        } }));
        assert_eq!(words(doubles(&sample.spec)), ["to[ada@corp.example] to[ada@CORP.example]"]);
        assert_eq!(words(likely_doubles(&sample.spec)), ["to[ada@corp.example] to[Ada@corp.example]"]);
    }
}
