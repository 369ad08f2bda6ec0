//! Field types that more than one kind uses: references, addresses, durations, who may use what.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A key of a Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// Key inside the Secret whose value is used, without trailing line breaks.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// Key inside the ConfigMap whose value is used.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

/// Where a CA bundle is kept.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CAKind {
    /// A ConfigMap; certificates are no secret.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A bundle of CA certificates in PEM form.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CARef {
    /// `ConfigMap` (default) or `Secret`.
    #[serde(default)]
    pub kind: CAKind,
    /// Name of the ConfigMap or Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// Key that holds one or more certificates in PEM form. Default `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".into()
}

/// An object of a known kind, in this or another namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace; default is the namespace of this object. Another one must admit this
    /// namespace by its `access.namespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// An e-mail address and the name shown beside it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NamedAddress {
    /// The e-mail address, for example `it@corp.example`. At most 254 characters (RFC 5321).
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[^\s@<>]+@[^\s@<>]+$')")
        .message("must be one e-mail address such as it@corp.example; the name beside it goes into displayName"))]
    pub address: String,
    /// The name that mail programs show instead of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub display_name: Option<String>,
}

/// Which namespaces are admitted.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespacesFrom {
    /// The object's own namespace only.
    #[default]
    Same,
    /// Every namespace of the cluster.
    All,
    /// The namespaces whose labels match `selector`.
    Selector,
}

/// The namespaces that may use an object.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.selector) == (self.from == 'Selector')")
    .message("selector belongs to from: Selector; set both or neither"))]
pub struct NamespaceAccess {
    /// `Same` (default): only this namespace. `All`: every namespace. `Selector`: those whose
    /// labels match `selector`.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces that are admitted; only with `from: Selector`. `{}` matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector_schema")]
    pub selector: Option<LabelSelector>,
}

/// Kubernetes' own label selector, with the bounds that CEL's cost estimate needs.
fn label_selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "Labels of the namespaces that are admitted.",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32,
                "description": "Every one of these labels must have this value.",
                "additionalProperties": { "type": "string", "maxLength": 63 }
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32, "x-kubernetes-list-type": "atomic",
                "description": "Every one of these requirements must hold.",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "properties": {
                        "key": { "type": "string", "maxLength": 317, "description": "Label name." },
                        "operator": { "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "How the label is compared with the values." },
                        "values": { "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "description": "Values for In and NotIn; empty otherwise.",
                            "items": { "type": "string", "maxLength": 63 } }
                    }
                }
            }
        }
    })
}

/// A length of time as Go writes it, kept as it was written: `90s`, `10m`, `1h30m`. Whether it
/// lies within a field's bounds is that field's CEL rule.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl DurationText {
    /// The length of time; `None` where the text is not one (the schema refuses such texts).
    pub fn parse(&self) -> Option<std::time::Duration> {
        let parsed: kube::core::Duration = self.0.parse().ok()?;
        (!parsed.is_negative()).then(|| parsed.into())
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "maxLength": 32,
            "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Free-form values by name, as templates take them.
pub type Values = std::collections::BTreeMap<String, serde_json::Value>;

/// At most 64 values; their types are checked against the template's variables, not by the schema.
/// Not `additionalProperties` of any type: CEL rules cannot even ask whether such a field is there.
pub(crate) fn values_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 64, "x-kubernetes-preserve-unknown-fields": true
    })
}
