//! The status of a MessageTemplate.

use crate::api::message_template::MessageTemplateStatus;
use crate::api::{ConditionType, Reason};
use crate::domain::problem;
use crate::domain::status::conditions::{Conditions, State};
use crate::domain::template::{Template, TemplateProblem};
use jiff::Timestamp;

/// The new status.
pub fn render(
    old: Option<&MessageTemplateStatus>,
    template: &Result<Template, Vec<TemplateProblem>>,
    generation: Option<i64>,
    now: Timestamp,
) -> MessageTemplateStatus {
    let old = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(old, generation, now);
    match template {
        Ok(template) => {
            let locales: Vec<String> = template.locales().map(|locale| locale.as_str().to_owned()).collect();
            let message = format!("can be used, in {}", locales.join(", "));
            conditions.set(ConditionType::Ready, State::True, Reason::Valid, message);
            MessageTemplateStatus {
                observed_generation: generation,
                conditions: conditions.finish(),
                locales,
                names: template.names().map(Into::into).collect(),
                ..Default::default()
            }
        }
        Err(problems) => {
            let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
            let message = problem::summary(problems);
            conditions.set(ConditionType::Ready, State::False, reason, &message);
            conditions.set(ConditionType::Stalled, State::True, reason, &message);
            MessageTemplateStatus {
                observed_generation: generation,
                conditions: conditions.finish(),
                ..Default::default()
            }
        }
    }
}
