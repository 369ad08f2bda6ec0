//! The status of a MessageTemplate.

use crate::api::message_template::MessageTemplateStatus;
use crate::api::{ConditionType, Reason};
use crate::domain::catalog::KnownTemplate;
use crate::domain::lookup::Source;
use crate::domain::problem;
use crate::domain::status::conditions::{Conditions, State};
use jiff::Timestamp;

/// The new status; `None` for a template that was not checked yet.
pub fn render(
    old: Option<&MessageTemplateStatus>,
    known: &KnownTemplate,
    now: Timestamp,
) -> Option<MessageTemplateStatus> {
    let generation = known.generation;
    let old = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(old, generation, now);
    // What it stands in for is so whether it can be used or not: nobody gets the standard text meanwhile.
    let overrides = known.overrides.as_ref().map(|(source, _)| source.to_string());
    let differs = known.overrides.as_ref().map(|(_, differs)| differs.clone()).unwrap_or_default();
    let layouts = known.layouts.iter().map(Source::to_string).collect();
    let status = match known.checked()? {
        Ok(template) => {
            let locales: Vec<String> = template.locales().map(|locale| locale.as_str().to_owned()).collect();
            let instead = match &overrides {
                Some(overrides) if differs.is_empty() => {
                    format!("; overrides {overrides}, from which it does not differ")
                }
                Some(overrides) => format!("; overrides {overrides}"),
                None => String::new(),
            };
            let message = format!("can be used, in {}{instead}", locales.join(", "));
            conditions.set(ConditionType::Ready, State::True, Reason::Valid, message);
            MessageTemplateStatus {
                observed_generation: generation,
                conditions: conditions.finish(),
                languages: Some(locales.join(",")),
                locales,
                names: template.names().map(Into::into).collect(),
                layouts,
                overrides,
                differs,
            }
        }
        Err(problems) => {
            let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
            let message = problem::summary(problems);
            conditions.set(ConditionType::Ready, State::False, reason, &message);
            // An absent layout may be applied a moment later, as the parts of a set are.
            let passes = reason == Reason::LayoutNotFound;
            let what = if passes { ConditionType::Reconciling } else { ConditionType::Stalled };
            conditions.set(what, State::True, reason, &message);
            MessageTemplateStatus {
                observed_generation: generation,
                conditions: conditions.finish(),
                locales: Vec::new(),
                languages: None,
                names: Vec::new(),
                layouts,
                overrides,
                differs,
            }
        }
    };
    Some(status)
}
