//! The three CustomResourceDefinitions as they are written to `crds/` and to a cluster.

use crate::api::names::SCHEMA_VERSION;
use crate::api::{MailServerConfig, MessageTemplate, Notification, status};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// Grows with every change of a schema below; see [`SCHEMA_VERSION`].
pub const CURRENT_SCHEMA: u32 = 3;

/// All three, in the order of `crds/`.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut notification = Notification::crd();
    if let Some(status) = status_schema(&mut notification) {
        status.default = Some(JSON(status::default_status()));
    }
    let mut crds = vec![MailServerConfig::crd(), MessageTemplate::crd(), notification];
    for crd in &mut crds {
        for version in &mut crd.spec.versions {
            if let Some(schema) =
                version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
            {
                refuse_null(schema);
                default_nothing_in_lists(schema, false);
            }
        }
        let annotations = crd.metadata.annotations.get_or_insert_default();
        annotations.insert(SCHEMA_VERSION.into(), CURRENT_SCHEMA.to_string());
    }
    crds
}

/// The derive makes each optional field `nullable`, and CEL's `has()` is true for a null: an
/// `auth.basic: null` would count as a login. Without `nullable` the API server drops nulls before
/// it looks at anything.
fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        refuse_null(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
}

/// A default below the items of a list is written into each item by the API server, and a merge patch compares a list as a
/// whole: `kubectl apply` and Argo CD would see a difference for ever. Our reader knows the defaults anyway.
fn default_nothing_in_lists(schema: &mut JSONSchemaProps, in_list: bool) {
    if in_list {
        schema.default = None;
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        default_nothing_in_lists(property, in_list);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        default_nothing_in_lists(items, true);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        default_nothing_in_lists(values, in_list);
    }
}

fn status_schema(crd: &mut CustomResourceDefinition) -> Option<&mut JSONSchemaProps> {
    let version = crd.spec.versions.first_mut()?;
    version.schema.as_mut()?.open_api_v3_schema.as_mut()?.properties.as_mut()?.get_mut("status")
}

/// One CRD as a YAML document. Through JSON, because the YAML writer's own idea of enums differs. Times are quoted: for
/// readers of YAML 1.1, as tools in Python are, they would be no texts.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let text = serde_yaml::to_string(&serde_json::to_value(crd)?)?;
    let quoted = |line: &str| match line.split_once(": ") {
        Some((name, value)) if value.parse::<jiff::Timestamp>().is_ok() => format!("{name}: \"{value}\"\n"),
        _ => format!("{line}\n"),
    };
    Ok(text.lines().map(quoted).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::Value;

    /// Where a schema has defaults below the items of a list.
    fn defaults_in_lists(schema: &Value, path: &str, in_list: bool, found: &mut Vec<String>) {
        if in_list && schema.get("default").is_some() {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            defaults_in_lists(property, &format!("{path}.{name}"), in_list, found);
        }
        for (member, in_list) in [("items", true), ("additionalProperties", in_list)] {
            if schema[member].is_object() {
                defaults_in_lists(&schema[member], &format!("{path}.{member}"), in_list, found);
            }
        }
    }

    #[test]
    fn nothing_in_a_list_has_a_default() {
        let mut found = Vec::new();
        for crd in all() {
            for version in serde_json::to_value(&crd).unwrap()["spec"]["versions"].as_array().unwrap() {
                let schema = &version["schema"]["openAPIV3Schema"];
                assert!(schema["properties"]["spec"]["properties"].is_object());
                defaults_in_lists(schema, &crd.spec.names.kind, false, &mut found);
            }
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
