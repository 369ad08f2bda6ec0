//! `kubectl mail retry`: another Notification with the same message, for the recipients that were not accepted. The
//! first one stays as it is: it says what was sent.

use crate::api::Notification;
use crate::api::notification::{DeliveryMode, Recipient};
use crate::api::shared::NamedAddress;
use crate::api::status::{Phase, RecipientState};
use crate::cli::cluster::Cluster;
use crate::cli::commands::send::{DryRun, Wait, submit};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use crate::cli::output;
use crate::cli::story;
use clap::Args;
use kube::api::ObjectMeta;
use std::collections::BTreeSet;

/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;

/// Options of `retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// Notification whose refused recipients are to be tried again.
    #[arg(value_name = "NOTIFICATION")]
    name: String,
    /// Also those of whom it is not known whether the server took the message: they may get it twice.
    #[arg(long)]
    include_in_doubt: bool,
    /// Print the new Notification and create none: `client` asks nobody, `server` has the API server check it.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    dry_run: Option<DryRun>,
    #[command(flatten)]
    wait: Wait,
}

impl Retry {
    /// Tries again.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        let first: Notification = cluster.get(&self.name).await?;
        let namesakes: Vec<Notification> = cluster.list(Some(&cluster.namespace), "").await?;
        let taken: BTreeSet<_> =
            namesakes.iter().filter_map(|other| other.metadata.name.as_deref()).collect();
        let again = again(&first, &taken, self.include_in_doubt)?;
        if self.dry_run == Some(DryRun::Client) {
            output::object(flags.output.unwrap_or(Format::Yaml), &again)?;
            return Ok(Exit::Good);
        }
        submit(&cluster, &again, self.dry_run, &self.wait, flags).await
    }
}

/// The new Notification.
fn again(first: &Notification, taken: &BTreeSet<&str>, doubtful: bool) -> Result<Notification, Failure> {
    let name = first.metadata.name.as_deref().unwrap_or_default();
    let namespace = first.metadata.namespace.as_deref().unwrap_or_default();
    let status = first.status.as_ref();
    let refuse = |message: String| Failure::new(Exit::Failed, message);
    let Some(status) = status.filter(|status| status.finished) else {
        let doubt = status.is_some_and(|status| status.phase == Phase::InDoubt);
        return Err(if doubt {
            refuse(format!("{name} is in doubt: it is not known whether the server took the message"))
                .next(format!("decide first: kubectl mail resolve {name} -n {namespace} --sent, or --resend"))
        } else {
            refuse(format!("{name} is not finished: the operator still tries by itself"))
                .next(format!("kubectl mail status {name} -n {namespace} shows what it waits for"))
        });
    };
    let state =
        |address: &str| status.recipients.iter().find(|told| told.address == address).map(|told| told.state);
    let open = |address: &str| match state(address) {
        Some(RecipientState::Accepted) => false,
        Some(RecipientState::InDoubt) => doubtful,
        Some(RecipientState::Refused | RecipientState::Pending) | None => true,
    };
    if !story::addresses(first).any(open) {
        let doubt = story::addresses(first).any(|address| state(address) == Some(RecipientState::InDoubt));
        return Err(if doubt {
            refuse(format!("whoever {name} did not reach is in doubt and may have got it"))
                .next("--include-in-doubt sends to them again; they may get it twice")
        } else {
            refuse(format!("{name} was accepted for every recipient: there is nothing to try again"))
        });
    }
    let mut spec = first.spec.clone();
    spec.to.retain(|to| open(&to.address));
    spec.cc.retain(|copy| open(&copy.address));
    spec.bcc.retain(|copy| open(&copy.address));
    if spec.to.is_empty() {
        // Only copies are left: each gets a message of his own, so that nobody sees whom he should not see.
        let copies = spec.cc.drain(..).chain(spec.bcc.drain(..));
        let own = |NamedAddress { address, display_name }| Recipient {
            address,
            display_name,
            locale: None,
            values: None,
        };
        spec.to = copies.map(own).collect();
        spec.delivery.mode = DeliveryMode::Individual;
    }
    // A time that has passed would have the new one's time run out at once.
    spec.delivery.send_at = None;
    let metadata = ObjectMeta {
        name: Some(new_name(name, taken)),
        namespace: first.metadata.namespace.clone(),
        ..ObjectMeta::default()
    };
    Ok(Notification { metadata, spec, status: None })
}

/// `NAME-retry-N` with the first N that is free.
fn new_name(name: &str, taken: &BTreeSet<&str>) -> String {
    let stem = name
        .rsplit_once("-retry-")
        .filter(|(_, end)| end.parse::<u32>().is_ok())
        .map_or(name, |(stem, _)| stem);
    let candidates = (1_u32..).map(|n| {
        let ending = format!("-retry-{n}");
        let stem: String = stem.chars().take(LONGEST_NAME - ending.len()).collect();
        stem + &ending
    });
    candidates.into_iter().find(|candidate| !taken.contains(candidate.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn first(mode: &str, states: &serde_json::Value) -> Notification {
        let recipients: Vec<_> = states
            .as_object()
            .unwrap()
            .iter()
            .map(|(who, state)| json!({ "address": format!("{who}@corp.example"), "state": state }))
            .collect();
        let (cc, bcc) = if mode == "Shared" {
            (json!([{ "address": "cc@corp.example" }]), json!([{ "address": "bcc@corp.example" }]))
        } else {
            (json!([]), json!([]))
        };
        serde_json::from_value(json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification",
            "metadata": { "name": "news", "namespace": "shop" },
            "spec": {
                "to": [{ "address": "a@corp.example" }, { "address": "b@corp.example" }], "cc": cc, "bcc": bcc,
                "message": { "content": { "subject": "Hello", "text": "Hello" } },
                "delivery": { "mode": mode, "sendAt": "2026-01-01T00:00:00Z" }
            },
            "status": { "phase": "PartiallySent", "finished": true, "recipients": recipients }
        }))
        .unwrap()
    }

    #[test]
    fn those_who_were_not_accepted() {
        for (mode, states, doubtful, expected) in [
            ("Individual", json!({ "a": "Accepted", "b": "Refused" }), false, Some(vec!["b"])),
            ("Individual", json!({ "a": "Accepted" }), false, Some(vec!["b"])),
            ("Individual", json!({ "a": "Accepted", "b": "Accepted" }), false, None),
            ("Individual", json!({ "a": "Accepted", "b": "InDoubt" }), false, None),
            ("Individual", json!({ "a": "Accepted", "b": "InDoubt" }), true, Some(vec!["b"])),
            (
                "Shared",
                json!({ "a": "Accepted", "b": "Accepted", "cc": "Accepted", "bcc": "Refused" }),
                false,
                Some(vec!["bcc"]),
            ),
            (
                "Shared",
                json!({ "a": "Refused", "b": "Accepted", "cc": "Refused", "bcc": "Accepted" }),
                false,
                Some(vec!["a", "cc"]),
            ),
        ] {
            let again = again(&first(mode, &states), &BTreeSet::new(), doubtful).ok();
            let addresses = again.as_ref().map(|again| {
                story::addresses(again).map(|address| address.split('@').next().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(addresses, expected, "{mode} {states}");
            assert!(again.is_none_or(|again| again.spec.delivery.send_at.is_none()));
        }
    }

    #[test]
    fn names_count_up() {
        let taken = BTreeSet::from(["news", "news-retry-1"]);
        assert_eq!(new_name("news", &taken), "news-retry-2");
        assert_eq!(new_name("news-retry-1", &taken), "news-retry-2");
        assert_eq!(new_name("my-retry-policy", &taken), "my-retry-policy-retry-1");
        assert_eq!(new_name(&"n".repeat(253), &taken).len(), 253);
    }
}
