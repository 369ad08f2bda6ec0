//! `--value` of `send`: text from the command line becomes what the template's variable wants. What a template
//! declares is looked up where the operator looks it up.

use crate::api::message_template::MessageTemplateSpec;
use crate::api::shared::{ObjectRef, Values};
use crate::cli::cluster::Cluster;
use crate::cli::commands::send::references::{self, Lookup};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::domain::standard;
use crate::domain::values::{Variables, read};
use std::sync::Arc;

/// All values, those of the command line in the types that the template's variables have.
pub async fn typed(
    given: &[(String, String)],
    mut values: Values,
    template: &ObjectRef,
    flags: &Flags,
) -> Result<Values, Failure> {
    let spec = find(template, flags).await?;
    for (name, text) in given {
        let declared =
            spec.as_ref().and_then(|spec| spec.variables.iter().find(|variable| variable.name == *name));
        let value = read(declared.map(|declared| declared.type_).unwrap_or_default(), text);
        values.insert(name.clone(), value);
    }
    // With a layout, its variables count as well: then the operator has the last word, as it has in any case.
    if let Some(spec) = spec.filter(|spec| spec.layout.is_none())
        && let Ok(variables) = Variables::new(&spec.variables)
        && let Err(problems) = variables.check(Some(&values), &[("", None)])
    {
        let problems: Vec<_> =
            problems.iter().map(|problem| problem.to_string().replace("message.values.", "")).collect();
        return Err(Failure::new(
            Exit::Failed,
            format!("the values do not fit the template: {}", problems.join("; ")),
        )
        .next("give them with --value NAME=VALUE"));
    }
    Ok(values)
}

/// The template as the operator finds it; `None`: it is not known here.
async fn find(template: &ObjectRef, flags: &Flags) -> Result<Option<Arc<MessageTemplateSpec>>, Failure> {
    let built_in = || standard::find(&template.name).filter(|_| template.namespace.is_none()).cloned();
    // Printing a manifest must work without any cluster, and for a template that is still to be created.
    let found = match Cluster::open(&flags.cluster).await {
        Ok(cluster) => references::template(&cluster, template).await,
        Err(_) => return Ok(built_in().map(Arc::new)),
    };
    let (known, failure) = match found {
        Ok(Lookup::Found(spec)) => return Ok(Some(spec)),
        Ok(Lookup::Absent(_)) => return Ok(None),
        Ok(Lookup::Hidden { standard, failure }) => (standard, failure),
        Err(failure) => (built_in().map(Arc::new), failure),
    };
    output::note(&format!(
        "the types of the template's variables are not known, so that each --value is text: {}",
        failure.message
    ));
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::message_template::VariableType;
    use serde_json::json;

    #[test]
    fn text_becomes_what_the_variable_wants() {
        for (type_, text, expected) in [
            (VariableType::String, "5", json!("5")),
            (VariableType::Integer, "5", json!(5)),
            (VariableType::Integer, "five", json!("five")),
            (VariableType::Number, "1.5", json!(1.5)),
            (VariableType::Boolean, "true", json!(true)),
            (VariableType::List, "[a, b]", json!(["a", "b"])),
            (VariableType::Object, "{a: 1}", json!({ "a": 1 })),
            (VariableType::Date, "2026-11-24", json!("2026-11-24")),
        ] {
            assert_eq!(read(type_, text), expected, "{type_:?} {text}");
        }
    }
}
