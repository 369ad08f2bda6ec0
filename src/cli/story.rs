//! The story of a Notification as people read it: recipient by recipient, then what it waits for and what to do.

use crate::api::status::{NotificationStatus, Phase, RecipientState, RecipientStatus};
use crate::api::{ConditionType, Notification, Reason};
use crate::cli::output::{self, Mark};
use crate::domain::status::conditions::find;

/// So many accepted recipients are shown one by one; more are counted.
const SHOWN: usize = 20;

/// The addresses of all recipients.
pub fn addresses(notification: &Notification) -> impl Iterator<Item = &str> {
    let spec = &notification.spec;
    let copies = spec.cc.iter().chain(&spec.bcc).map(|copy| copy.address.as_str());
    spec.to.iter().map(|to| to.address.as_str()).chain(copies)
}

/// One recipient's line.
pub fn recipient(recipient: &RecipientStatus) -> Vec<String> {
    let RecipientStatus { address, state, message_id, code, enhanced_code, reason, message, .. } = recipient;
    let reply = match (code, enhanced_code) {
        (Some(code), Some(enhanced)) => format!(" ({code} {enhanced})"),
        (Some(code), None) => format!(" ({code})"),
        (None, _) => String::new(),
    };
    let why = match (reason, message) {
        (Some(reason), Some(message)) => format!(": {reason}: {message}"),
        (None, Some(text)) | (Some(text), None) => format!(": {text}"),
        (None, None) => String::new(),
    };
    let (mark, word) = match state {
        RecipientState::Accepted => (Mark::Good, "accepted"),
        RecipientState::Refused => (Mark::Bad, "refused"),
        RecipientState::InDoubt => (Mark::Warning, "in doubt"),
        RecipientState::Pending => (Mark::Waiting, "pending"),
    };
    let reply = if *state == RecipientState::Accepted { reply } else { String::new() };
    let mut lines = output::marked(mark, &format!("{address} {word}{reply}{why}"));
    if let (Some(id), RecipientState::InDoubt | RecipientState::Accepted) = (message_id, state) {
        lines.push(output::paint(output::DIM, format!("  Message-ID {id}")));
    }
    lines
}

/// Every recipient, those who were accepted only while they are few.
pub fn recipients(notification: &Notification) -> Vec<String> {
    let told = notification.status.as_ref().map(|status| status.recipients.as_slice()).unwrap_or_default();
    let accepted = told.iter().filter(|told| told.state == RecipientState::Accepted).count();
    let mut lines: Vec<_> = told
        .iter()
        .filter(|told| told.state != RecipientState::Accepted || accepted <= SHOWN)
        .flat_map(recipient)
        .collect();
    if accepted > SHOWN {
        lines.extend(output::marked(Mark::Good, &format!("{accepted} recipients accepted")));
    }
    let untold = addresses(notification).filter(|address| !told.iter().any(|told| told.address == *address));
    let untold: Vec<_> = untold.collect();
    if untold.len() > SHOWN {
        lines.extend(output::marked(Mark::Waiting, &format!("{} recipients not tried yet", untold.len())));
    } else {
        lines.extend(
            untold
                .iter()
                .flat_map(|address| output::marked(Mark::Waiting, &format!("{address} not tried yet"))),
        );
    }
    lines
}

/// The phase with its mark and its sentence.
pub fn verdict(status: &NotificationStatus) -> Vec<String> {
    let ready = find(&status.conditions, ConditionType::Ready);
    let mark = match status.phase {
        Phase::Sent => Mark::Good,
        Phase::PartiallySent | Phase::Failed | Phase::Expired => Mark::Bad,
        Phase::InDoubt => Mark::Warning,
        Phase::Pending if ready.is_some_and(|ready| ready.status == "False") => Mark::Warning,
        Phase::Pending => Mark::Waiting,
    };
    let phase = status.phase.as_str();
    let words = match ready {
        Some(ready) if is_plain(&ready.reason) => format!("{phase}: {}", ready.message),
        Some(ready) => format!("{phase}: {}: {}", ready.reason, ready.message),
        None => phase.to_owned(),
    };
    output::marked(mark, &words)
}

/// Reasons whose word adds nothing to the phase.
fn is_plain(reason: &str) -> bool {
    matches!(Reason::parse(reason), Some(Reason::Accepted | Reason::Pending | Reason::PartiallyAccepted))
}

/// What the person can do next, if anything.
pub fn way_out(notification: &Notification) -> Vec<String> {
    let Some(status) = &notification.status else { return Vec::new() };
    let name = notification.metadata.name.as_deref().unwrap_or_default();
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready);
    let explain = ready.filter(|ready| Reason::parse(&ready.reason).is_some() && ready.status == "False");
    let explain = explain.map(|ready| format!("more about it: kubectl mail explain {}", ready.reason));
    let restored = ready.is_some_and(|ready| ready.reason == Reason::RestoredFromBackup.as_str());
    let mut lines: Vec<String> = Vec::new();
    match status.phase {
        Phase::InDoubt => {
            lines.push(format!("to decide: kubectl mail resolve {name} -n {namespace} --sent, or --resend"));
        }
        _ if restored => {
            lines.push(format!("to decide: kubectl mail resolve {name} -n {namespace} --sent, or --resend"));
        }
        Phase::PartiallySent | Phase::Failed | Phase::Expired => {
            lines.extend(explain);
            lines.push(format!(
                "to try again what was not accepted: kubectl mail retry {name} -n {namespace}"
            ));
        }
        Phase::Pending => lines.extend(explain),
        Phase::Sent => {}
    }
    lines.iter().flat_map(|line| output::wrap(line, 2)).map(|line| format!("  {line}")).collect()
}
