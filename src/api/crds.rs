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

fn status_schema(crd: &mut CustomResourceDefinition) -> Option<&mut JSONSchemaProps> {
    let version = crd.spec.versions.first_mut()?;
    version.schema.as_mut()?.open_api_v3_schema.as_mut()?.properties.as_mut()?.get_mut("status")
}

/// One CRD as a YAML document. Through JSON, because the YAML writer's own idea of enums differs.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    Ok(serde_yaml::to_string(&serde_json::to_value(crd)?)?)
}
