//! `kubectl mail resolve`: what only a person can decide about a Notification whose answer was lost, or that a backup
//! tool restored: it was sent, or it is to be sent again. The decision is an annotation; the operator obeys it once.

use crate::api::Notification;
use crate::api::names::RESOLVE;
use crate::api::status::RecipientState;
use crate::cli::cluster::{Cluster, Follow, Vigil};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, duration};
use crate::cli::following::follow;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Mark};
use crate::cli::story;
use crate::domain::reconciliation::needs_a_person;
use clap::Args;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

/// Options of `resolve`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("decision").required(true).args(["sent", "resend"]))]
pub struct Resolve {
    /// Notification that is in doubt.
    #[arg(value_name = "NOTIFICATION")]
    name: String,
    /// It was sent: the mail server's log shows the Message-ID.
    #[arg(long)]
    sent: bool,
    /// Send it again; somebody may get it twice.
    #[arg(long)]
    resend: bool,
    /// Do not ask before sending again.
    #[arg(long, short)]
    yes: bool,
    /// Longest wait for the operator, and for the end of what is sent again.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

impl Resolve {
    /// Decides, and shows what came of it.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        let name = &self.name;
        let notification: Notification = cluster.get(name).await?;
        let finished = notification.status.as_ref().is_some_and(|status| status.finished);
        if finished || !needs_a_person(&notification) {
            let message = format!("nothing about {name} is in doubt: there is nothing to decide");
            return Err(Failure::new(Exit::Failed, message)
                .next(format!("kubectl mail status {name} -n {} shows its state", cluster.namespace)));
        }
        if self.resend && !self.yes && !confirmed(&notification)? {
            return Err(Failure::new(Exit::Failed, "nothing was decided, and nothing is sent"));
        }
        let quiet = flags.output.is_some();
        let interrupt = Interrupt::arm().await;
        let word = word(&notification, if self.resend { "resend" } else { "sent" });
        let annotated: Notification = cluster.annotate(name, RESOLVE, &word).await?;
        let obeyed = obeyed(&cluster, annotated, &word, &interrupt, self.timeout).await?;
        let Some(obeyed) = obeyed else { return Ok(Exit::Interrupted) };
        if !quiet {
            let what = if self.resend { "is sent again" } else { "counts as sent" };
            output::say_all(output::marked(Mark::Good, &format!("what was in doubt of {name} {what}")));
        }
        let (exit, latest) = follow(&cluster, obeyed, &interrupt, self.timeout, quiet).await?;
        if let Some(format) = flags.output {
            output::object(format, &latest)?;
        }
        Ok(exit)
    }
}

/// Waits until the operator has obeyed; `None`: interrupted.
async fn obeyed(
    cluster: &Cluster,
    mut latest: Notification,
    word: &str,
    interrupt: &Interrupt,
    timeout: Duration,
) -> Result<Option<Notification>, Failure> {
    let name = latest.metadata.name.clone().unwrap_or_default();
    let mut news = Follow::new(cluster, &latest);
    let mut vigil = Vigil::begin();
    let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
    loop {
        let handled = latest.status.as_ref().and_then(|status| status.last_handled_resolve.as_deref());
        if handled == Some(word) {
            return Ok(Some(latest));
        }
        tokio::select! {
            object = news.next() => {
                let gone = || Failure::new(Exit::Failed, format!("Notification {name} was deleted"));
                latest = object?.ok_or_else(gone)?;
            }
            () = vigil.keep(cluster) => {}
            () = &mut deadline => {
                let message = format!("the operator has not obeyed within {timeout:?}");
                return Err(Failure::new(Exit::TimedOut, message)
                    .next(format!("the decision stands and is obeyed once the operator runs: kubectl -n {} get deploy,pods",
                        cluster.operator_namespace)));
            }
            () = interrupt.pressed() => {
                output::note(&format!("the decision about {name} stands; the operator obeys it"));
                return Ok(None);
            }
        }
    }
}

/// The annotation's value: a word that was obeyed before, or stands there already, needs an ending.
fn word(notification: &Notification, decision: &str) -> String {
    let annotations = notification.metadata.annotations.as_ref();
    let present = annotations.and_then(|all| all.get(RESOLVE)).map(String::as_str);
    let handled = notification.status.as_ref().and_then(|status| status.last_handled_resolve.as_deref());
    let used = |word: &str| present == Some(word) || handled == Some(word);
    if !used(decision) {
        return decision.into();
    }
    let mut words = (2_u32..).map(|n| format!("{decision}-{n}"));
    words.find(|word| !used(word)).unwrap_or_default()
}

/// Asks, where somebody is there to answer.
fn confirmed(notification: &Notification) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    let told = notification.status.as_ref().map(|status| status.recipients.as_slice()).unwrap_or_default();
    let doubtful: Vec<_> = told.iter().filter(|told| told.state == RecipientState::InDoubt).collect();
    output::say_all(doubtful.iter().flat_map(|told| story::recipient(told)));
    let count = if doubtful.is_empty() { story::addresses(notification).count() } else { doubtful.len() };
    let whom = if count == 1 { "1 recipient, who" } else { &format!("{count} recipients, who") };
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "Send again to {whom} may get it twice? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("reading your answer failed: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_used_word_gets_an_ending() {
        for (present, handled, decision, expected) in [
            (None, None, "sent", "sent"),
            (Some("resend"), Some("resend"), "resend", "resend-2"),
            (Some("resend-2"), Some("resend-2"), "resend", "resend"),
            (Some("resend-2"), Some("resend"), "resend", "resend-3"),
            (Some("resend"), Some("resend"), "sent", "sent"),
        ] {
            let notification: Notification = serde_json::from_value(json!({
                "apiVersion": "mail-operator.dev/v1alpha1", "kind": "Notification",
                "metadata": { "name": "news", "annotations": present.map(|word| json!({ RESOLVE: word })) },
                "spec": {
                    "to": [{ "address": "a@corp.example" }],
                    "message": { "content": { "subject": "Hello", "text": "Hello" } }
                },
                "status": { "lastHandledResolve": handled }
            }))
            .unwrap();
            assert_eq!(word(&notification, decision), expected);
        }
    }
}
