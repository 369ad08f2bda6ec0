//! What to do with a Notification that was seen: report, queue, hold or remove. The whole of the
//! controller's judgement; it reads nothing and writes nothing. First it is examined, then what has to be evaluated for
//! its first message is asked, then the conclusion is drawn.

use crate::api::notification::Notification;
use crate::api::status::{NotificationStatus, Phase};
use crate::api::{ConditionType, Reason, names};
use crate::domain::catalog::Catalog;
use crate::domain::evaluation::{Answer, Overrun};
use crate::domain::ledger;
use crate::domain::material::{Material, Needs};
use crate::domain::object::{ObjectKey, Uid};
use crate::domain::outbox::Item;
use crate::domain::preparation::{self, Obstacle, Prepared};
use crate::domain::recipients::Addressee;
use crate::domain::status::notification as status;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use std::time::Duration;

/// How long a changed ConfigMap or Secret may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// What follows from looking at a Notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status to write, if it differs from the present one.
    pub report: Option<Box<NotificationStatus>>,
    /// What becomes of the object.
    pub next: Next,
}

/// What becomes of a Notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It waits for its turn.
    Queue(Item),
    /// It cannot be sent as things are; looked at again when a server, template or namespace changes, or
    /// when its time runs out.
    Wait {
        /// When its time runs out; `None` where only a person can decide.
        until: Option<Timestamp>,
        /// Looked at again after this long at the latest, where nobody tells of a change: for ConfigMaps and Secrets,
        /// which are not watched.
        look_again: Option<Duration>,
    },
    /// It is finished, and may be removed at this time, if ever.
    Finished {
        /// When `keepFor` has passed.
        remove_at: Option<Timestamp>,
    },
}

/// Judges a Notification that [`examine`] found nothing against, by the message for some of its recipients: so what the
/// checks do not show is found before its turn comes. `answer` is that to the question about them, or why there is none.
pub fn conclude(
    prepared: &Prepared<'_>,
    notification: &Notification,
    parcel: &[Addressee<'_>],
    answer: Result<Option<Result<Answer, Overrun>>, Obstacle>,
    now: Timestamp,
) -> Decision {
    if !parcel.is_empty()
        && let Err(obstacle) = answer.and_then(|answer| prepared.compose(parcel, answer, true))
    {
        return obstructed(notification, &obstacle, now);
    }
    let (Some(key), Some(uid)) = (ObjectKey::of(notification), Uid::of(notification)) else {
        return Decision { report: None, next: Next::Wait { until: None, look_again: None } };
    };
    let lane = prepared.server.key.clone();
    let due = ledger::due(notification, now);
    let next = Next::Queue(Item { key, uid, lane, due, expires: ledger::window(notification, now).until });
    // Waiting costs no write, except to take back an obstacle that was reported.
    if status::reports_obstacle(notification.status.as_ref()) {
        report(notification, status::unobstructed(notification, now), next)
    } else {
        Decision { report: None, next }
    }
}

/// What follows if nothing was free to evaluate it.
pub fn postponed(notification: &Notification, look_again: Duration, now: Timestamp) -> Decision {
    let until = Some(ledger::window(notification, now).until);
    Decision { report: None, next: Next::Wait { until, look_again: Some(look_again) } }
}

/// Finds whether a Notification can be sent, with what it takes; else what follows instead.
pub fn examine<'a>(
    notification: &'a Notification,
    catalog: &Catalog,
    default_server: Option<&ObjectKey>,
    material: &Material,
    now: Timestamp,
) -> Result<Prepared<'a>, Box<Decision>> {
    let old = notification.status.as_ref();
    if old.is_some_and(|old| old.finished) {
        let next = Next::Finished { remove_at: remove_at(notification) };
        return Err(Box::new(Decision { report: None, next }));
    }
    let wait = Next::Wait { until: None, look_again: None };
    if needs_a_person(notification) {
        let new = match resolution(notification) {
            Some(Resolution::Sent(word)) => status::resolved_as_sent(notification, word, now),
            Some(Resolution::Resend(word)) => status::resolved_as_resend(notification, word, now),
            _ if is_restored(notification) => status::obstructed(notification, &restored(), now),
            Some(Resolution::Unknown(word)) => status::unresolved(notification, word, now),
            None => return Err(Box::new(Decision { report: None, next: wait })),
        };
        return Err(Box::new(report(notification, new, wait)));
    }
    if ledger::window(notification, now).until <= now {
        return Err(Box::new(report(notification, status::expired(notification, now), wait)));
    }
    preparation::prepare(notification, catalog, default_server, material, now)
        .map_err(|obstacle| Box::new(obstructed(notification, &obstacle, now)))
}

fn obstructed(notification: &Notification, obstacle: &Obstacle, now: Timestamp) -> Decision {
    let until = Some(ledger::window(notification, now).until);
    if obstacle.reason == Reason::Pending {
        // A template is being checked: nothing that anybody has to know, and it is over in a moment.
        return postponed(notification, LOOK_AGAIN, now);
    }
    let look_again = depends_on_sources(notification, obstacle).then_some(LOOK_AGAIN);
    report(notification, status::obstructed(notification, obstacle, now), Next::Wait { until, look_again })
}

/// Whether an obstacle may go away when a ConfigMap or Secret changes: it is about one, or about what was made of it.
fn depends_on_sources(notification: &Notification, obstacle: &Obstacle) -> bool {
    use Reason::{AttachmentsTooLarge, SourceKeyMissing, SourceNotFound, SourceNotPermitted};
    let about_one = matches!(
        obstacle.reason,
        SourceNotFound | SourceKeyMissing | SourceNotPermitted | AttachmentsTooLarge
    );
    let made_of_one = obstacle.stage == ConditionType::Rendered && !Needs::of(notification).is_empty();
    about_one || made_of_one
}

fn report(notification: &Notification, new: NotificationStatus, next: Next) -> Decision {
    let news = notification.status.as_ref() != Some(&new);
    Decision { report: news.then(|| Box::new(new)), next }
}

/// In doubt and not to be sent again, or restored from a backup: only the annotation ends it.
pub fn needs_a_person(notification: &Notification) -> bool {
    notification.status.as_ref().is_some_and(|status| status.phase == Phase::InDoubt)
        || is_restored(notification)
}

/// Whether a backup tool brought the object back and nobody has decided about it. It may have been sent
/// before the backup was taken, and its status, which would say so, is not restored.
fn is_restored(notification: &Notification) -> bool {
    let restored =
        notification.metadata.labels.iter().flatten().any(|(label, _)| label == names::VELERO_RESTORE);
    let untouched = notification
        .status
        .as_ref()
        .is_none_or(|status| status.attempts.is_none() && status.last_handled_resolve.is_none());
    restored && untouched
}

fn restored() -> Obstacle {
    Obstacle {
        stage: ConditionType::Resolved,
        reason: Reason::RestoredFromBackup,
        message:
            "a backup tool restored this Notification, and it may have been sent before: annotate it with \
                  mail-operator.dev/resolve=sent, or =resend to send it now"
                .into(),
        passes_by_itself: false,
    }
}

/// What the annotation says.
enum Resolution<'a> {
    /// It was sent.
    Sent(&'a str),
    /// It is to be sent again.
    Resend(&'a str),
    /// Nothing we know.
    Unknown(&'a str),
}

/// The annotation, if it was not obeyed yet. `sent` and `resend` may carry an ending (`resend-2`), so that the
/// same decision can be made again.
fn resolution(notification: &Notification) -> Option<Resolution<'_>> {
    let word = notification.metadata.annotations.as_ref()?.get(names::RESOLVE)?.as_str();
    let handled = notification.status.as_ref().and_then(|status| status.last_handled_resolve.as_deref());
    if handled == Some(word) {
        return None;
    }
    Some(match word.split('-').next() {
        Some("sent") if word.len() <= 64 => Resolution::Sent(word),
        Some("resend") if word.len() <= 64 => Resolution::Resend(word),
        _ => Resolution::Unknown(word),
    })
}

/// Labels and annotations by which tools know what they applied. Removed, such an object would be applied again, and the
/// message sent again.
const TRACKING: [&str; 14] = [
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "app.kubernetes.io/instance",
    "meta.helm.sh/release-name",
    "app.kubernetes.io/managed-by",
    // Carvel's kapp.
    "kapp.k14s.io/app",
    "kapp.k14s.io/association",
    // Google's Config Sync, and what it uses of cli-utils.
    "configmanagement.gke.io/managed",
    "configsync.gke.io/declared-fields",
    "config.k8s.io/owning-inventory",
    // Rancher's Fleet writes Helm releases, and this.
    "objectset.rio.cattle.io/hash",
    // Sveltos.
    "projectsveltos.io/owner-name",
];

/// Managers of fields whose server-side apply is somebody's command, not a tool that comes again: kubectl in its forms, and
/// ourselves.
const PEOPLE: [&str; 2] = ["kubectl", "mail-operator"];

/// When a finished Notification may be removed; `None`: never.
pub fn remove_at(notification: &Notification) -> Option<Timestamp> {
    let metadata = &notification.metadata;
    let tracked = |key: &str, value: &str| {
        // Anything may carry managed-by; only Helm's means that it comes back.
        TRACKING.contains(&key) && (key != "app.kubernetes.io/managed-by" || value == "Helm")
    };
    let marks = metadata.labels.iter().flatten().chain(metadata.annotations.iter().flatten());
    if marks.into_iter().any(|(key, value)| tracked(key, value)) {
        return None;
    }
    // Any other tool that applies on the server's side tracks what it applied in a way of its own.
    let by_a_tool = |entry: &ManagedFieldsEntry| {
        entry.operation.as_deref() == Some("Apply")
            && entry
                .manager
                .as_deref()
                .is_some_and(|manager| !PEOPLE.iter().any(|known| manager.starts_with(known)))
    };
    if metadata.managed_fields.iter().flatten().any(by_a_tool) {
        return None;
    }
    let keep_for = crate::api::shared::DurationText(notification.spec.delivery.keep_for.clone()).parse()?;
    let finished = notification.status.as_ref()?.completion_time.as_ref()?.0;
    finished.checked_add(keep_for).ok()
}

#[cfg(test)]
mod tests;
