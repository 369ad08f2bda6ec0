//! `MessageTemplate`: the text of a message in one or more languages, with declared variables.

use crate::api::shared::NamespaceAccess;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The text of a message in one or more languages.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "mail-operator.dev",
    version = "v1alpha1",
    kind = "MessageTemplate",
    namespaced,
    status = "MessageTemplateStatus",
    derive = "PartialEq",
    shortname = "mt",
    category = "mail",
    doc = "The text of a message in one or more languages, in Jinja syntax, with declared variables. The operator checks it when it is written: `status.conditions` gives language, part, line and column of a mistake.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Locales", type_ = "string", json_path = ".status.languages"),
    printcolumn(name = "Overrides", type_ = "string", json_path = ".status.overrides", priority = 1),
    printcolumn(name = "Layouts", type_ = "string", json_path = ".status.layouts", priority = 1),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(cel)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.text) || has(self.html) || has(self.mjml)")
        .message("set text, html or mjml: a message needs a body"),
    validation = Rule::new("!(has(self.html) && has(self.mjml))")
        .message("set html or mjml, not both: mjml becomes the HTML"),
    validation = Rule::new("!has(self.translations) || !self.translations.exists(t, t.locale == self.locale)")
        .message("translations must not repeat the template's own locale: its texts are the top-level ones")
)]
pub struct MessageTemplateSpec {
    /// For people: when this message is sent, and to whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Language of the texts below, as a BCP 47 tag. Default `en`.
    #[serde(default = "default_locale")]
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"))]
    pub locale: String,
    /// Subject line, in Jinja syntax.
    #[schemars(length(min = 1, max = 998))]
    pub subject: String,
    /// Plain text body, in Jinja syntax. Absent: derived from the HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub text: Option<String>,
    /// HTML body, in Jinja syntax; values are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub html: Option<String>,
    /// HTML body as MJML 4 (<https://documentation.mjml.io>), in Jinja syntax; values are escaped. Instead of `html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub mjml: Option<String>,
    /// The template that wraps this one: its `content` stands for the texts here. Header, footer and colours of all
    /// messages are then written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutRef>,
    /// The same message in other languages. `de-CH` falls back to `de`, then to `locale`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["locale".into()]))]
    pub translations: Vec<Translation>,
    /// Every name that the texts use, besides the built-in `recipient`, `sender`, `notification` and, in a layout,
    /// `content`. The variables of the layout need not be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variables: Vec<Variable>,
    /// Who may use this template.
    #[serde(default)]
    pub access: TemplateAccess,
}

fn default_locale() -> String {
    "en".into()
}

/// A template that wraps others.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LayoutRef {
    /// Name of the MessageTemplate. Looked for in this namespace, then in the operator's, then among the standard
    /// messages.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

/// The texts in one further language.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.text) || has(self.html) || has(self.mjml)")
        .message("set text, html or mjml: a message needs a body"),
    validation = Rule::new("!(has(self.html) && has(self.mjml))")
        .message("set html or mjml, not both: mjml becomes the HTML")
)]
pub struct Translation {
    /// Language as a BCP 47 tag.
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"))]
    pub locale: String,
    /// Subject line, in Jinja syntax.
    #[schemars(length(min = 1, max = 998))]
    pub subject: String,
    /// Plain text body, in Jinja syntax. Absent: derived from the HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub text: Option<String>,
    /// HTML body, in Jinja syntax; values are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub html: Option<String>,
    /// HTML body as MJML 4 (<https://documentation.mjml.io>), in Jinja syntax; values are escaped. Instead of `html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub mjml: Option<String>,
}

/// A name that texts may use.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// The name as it stands in the texts.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    #[x_kube(validation = Rule::new("!(self in ['recipient', 'sender', 'notification', 'content', 'true', 'false', 'none', 'loop', 'self'])")
        .message("this name is built in: choose another"))]
    pub name: String,
    /// What values are accepted. Default `String`.
    #[serde(default, rename = "type")]
    pub type_: VariableType,
    /// Whether a Notification must give it. Default `false`: without value and default it is empty.
    /// A variable with a default is never missing. (`default` may have any type, so no CEL rule can see it.)
    #[serde(default)]
    pub required: bool,
    /// Used when a Notification gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub default: Option<serde_json::Value>,
    /// Used to check and preview the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub example: Option<serde_json::Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

fn any_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// What values a variable accepts.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VariableType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An `https` URL.
    URL,
    /// An e-mail address.
    Email,
    /// A date (`2026-11-24`) or a time (RFC 3339).
    Date,
    /// A list.
    List,
    /// An object; its members are used as `name.member`.
    Object,
}

/// Who may use a template.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct TemplateAccess {
    /// Namespaces whose Notifications may name this template. Default: this namespace only.
    #[serde(default)]
    pub namespaces: NamespaceAccess,
}

/// What the operator found.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplateStatus {
    /// Generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the template can be used. `Stalled`: it cannot, until it is edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Languages the template has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locales: Vec<String>,
    /// The same as one text, as the column `LOCALES` shows it: `en,de`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<String>,
    /// Names the texts use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The layouts that wrap it, from the inside out: `namespace/name`, or `built-in:name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<String>,
    /// What Notifications of this namespace would get under this name without this object: `namespace/name`, or
    /// `built-in:name` for a standard message. Deleting the object restores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
    /// Where it differs from what it overrides, for example `de subject`, `fr missing` or `variables.contact`; at most 50
    /// places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

#[cfg(test)]
mod tests;
