//! What a Notification's spec does not hold itself: values and files from ConfigMaps and Secrets, and with the files
//! the header fields and the conversation. Everything that is missing or wrong is told at once.

use super::Obstacle;
use crate::api::Reason;
use crate::api::notification::{Notification, ValueFrom};
use crate::api::shared::Values;
use crate::domain::material::Material;
use crate::domain::message::{Additions, Attachment, OwnFields, too_large};
use crate::domain::object::ObjectKey;
use crate::domain::problem::{self, Problem};
use crate::domain::sources::{self, Found, Lack};
use crate::domain::values::Variables;

/// Values common to all recipients.
pub(super) struct Gathered {
    /// `message.values` and what `message.valuesFrom` names.
    pub values: Option<Values>,
    /// Whether some stand in a Secret.
    pub secret: bool,
}

/// `message.values`, and with them what `message.valuesFrom` names, of the types that the variables have.
pub(super) fn values(
    notification: &Notification,
    variables: &Variables,
    material: &Material,
    namespace: &str,
) -> Result<Gathered, Obstacle> {
    let message = &notification.spec.message;
    let mut gathered = Gathered { values: message.values.clone(), secret: false };
    let (mut lacks, mut problems) = (Vec::new(), Vec::new());
    for ValueFrom { name, secret_key_ref, config_map_key_ref } in &message.values_from {
        let field = format!("message.valuesFrom[{name}]");
        let given = message.values.as_ref().and_then(|values| values.get(name));
        if given.is_some_and(|value| !value.is_null()) {
            let message = "stands in message.values, too: leave one of them out";
            problems.push(Problem::new(&field, message));
        }
        if !variables.declares(name) {
            problems.push(Problem::new(&field, variables.unknown(name)));
            continue;
        }
        match sources::find(material, namespace, secret_key_ref.as_ref(), config_map_key_ref.as_ref()) {
            Err(lack) => lacks.push((field, lack)),
            Ok(found) => match variables.sourced(name, found.bytes, found.secret) {
                Err(wrong) => problems.push(Problem::new(field, format!("{found} {wrong}"))),
                Ok(value) => {
                    gathered.values.get_or_insert_default().insert(name.clone(), value);
                    gathered.secret |= found.secret;
                }
            },
        }
    }
    if !problems.is_empty() {
        return Err(Obstacle::not_rendered(Reason::InvalidValues, problem::summary(&problems)));
    }
    lacking(&lacks).map_or(Ok(gathered), Err)
}

/// Header fields, files and conversation.
pub(super) fn additions(
    notification: &Notification,
    material: &Material,
    namespace: &str,
    server: &ObjectKey,
) -> Result<Additions, Obstacle> {
    let message = &notification.spec.message;
    let mut problems = Vec::new();
    let fields = OwnFields::new(&message.headers, message.thread.is_some()).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        OwnFields::default()
    });
    let (mut lacks, mut found) = (Vec::new(), Vec::new());
    for file in &message.attachments {
        let (secret, config_map) = (file.secret_key_ref.as_ref(), file.config_map_key_ref.as_ref());
        match sources::find(material, namespace, secret, config_map) {
            Err(lack) => lacks.push((format!("message.attachments[{}]", file.name), lack)),
            Ok(bytes) => found.push((file, bytes)),
        }
    }
    if let Some(obstacle) = lacking(&lacks) {
        return Err(obstacle);
    }
    // Before anything is copied.
    if let Some(much) =
        too_large(found.iter().map(|(file, Found { bytes, .. })| (file.name.as_str(), bytes.len())))
    {
        return Err(Obstacle::not_rendered(
            Reason::AttachmentsTooLarge,
            format!("message.attachments {much}"),
        ));
    }
    let mut attachments = Vec::with_capacity(found.len());
    for (file, Found { bytes, .. }) in found {
        match Attachment::new(&file.name, file.content_type.as_deref(), file.inline, bytes.to_vec().into()) {
            Ok(attachment) => attachments.push(attachment),
            Err((member, wrong)) => {
                problems.push(Problem::new(format!("message.attachments[{}].{member}", file.name), wrong));
            }
        }
    }
    if !problems.is_empty() {
        return Err(Obstacle::not_rendered(Reason::InvalidMessage, problem::summary(&problems)));
    }
    // A word that two servers' messages happen to share joins nothing.
    let thread = message.thread.as_ref().map(|thread| format!("{server}\0{thread}"));
    Ok(Additions { fields, attachments, thread })
}

/// What cannot be had, all in one.
fn lacking(lacks: &[(String, Lack)]) -> Option<Obstacle> {
    // What somebody has to permit comes first: the rest may pass without him.
    let (_, first) = lacks.iter().find(|(_, lack)| !lack.passes_by_itself()).or_else(|| lacks.first())?;
    let problems: Vec<_> = lacks.iter().map(|(field, lack)| Problem::new(field, &lack.message)).collect();
    Some(Obstacle {
        passes_by_itself: first.passes_by_itself(),
        ..Obstacle::unresolved(first.reason, problem::summary(&problems))
    })
}

#[cfg(test)]
mod tests;
