//! `Notification`: one message to be sent, once. Its spec answers four questions: through what, to
//! whom, what, how. What became of it is in [`crate::api::status`].

use crate::api::shared::{
    ConfigMapKeyRef, DurationText, NamedAddress, ObjectRef, SecretKeyRef, Values, values_schema,
};
use crate::api::status::NotificationStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One message to be sent, once.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "mail-operator.dev",
    version = "v1alpha1",
    kind = "Notification",
    namespaced,
    status = "NotificationStatus",
    derive = "PartialEq",
    shortname = "notif",
    category = "mail",
    doc = "One message to be sent, once, like a Job. The spec cannot be changed, so what was sent is what the object says. `status.phase` says what became of it, `status.recipients` for each recipient.",
    selectable = ".status.phase",
    selectable = ".status.finished",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.accepted"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.server.name"),
    printcolumn(name = "Template", type_ = "string", json_path = ".spec.message.templateRef.name"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[kube(cel)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("spec cannot be changed, so that what was sent is what the object says: create another Notification"),
    validation = Rule::new("!has(self.message.content) || !self.to.exists(r, has(r.values))")
        .message("to[].values are for templates: message.content is sent as it stands"),
    validation = Rule::new("(has(self.delivery) && self.delivery.mode == 'Shared') || (!has(self.cc) && !has(self.bcc))")
        .message("cc and bcc need delivery.mode: Shared, since otherwise each recipient gets a message of his own"),
    validation = Rule::new("!has(self.delivery) || self.delivery.mode != 'Shared' || !self.to.exists(r, has(r.values) || has(r.locale))")
        .message("with delivery.mode: Shared there is one message for all: leave to[].values and to[].locale out, or use Individual")
)]
pub struct NotificationSpec {
    /// Through what. Absent: the MailServerConfig `default` of this namespace, else the operator's
    /// default server if that admits this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<ObjectRef>,
    /// To whom: 1 to 1000 recipients, each address once.
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    pub to: Vec<Recipient>,
    /// Who gets a copy, seen by all. With `delivery.mode: Shared` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    pub cc: Vec<NamedAddress>,
    /// Who gets a copy, seen by nobody else. With `delivery.mode: Shared` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    pub bcc: Vec<NamedAddress>,
    /// What is sent.
    pub message: MessageSource,
    /// How and when it is sent.
    #[serde(default)]
    pub delivery: Delivery,
}

/// One recipient.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// The e-mail address. At most 254 characters (RFC 5321).
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^\s@<>]+@[^\s@<>]+$"))]
    pub address: String,
    /// The name shown beside the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub display_name: Option<String>,
    /// Language of this recipient as a BCP 47 tag. Where the template has none that is near to it: `message.locale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"))]
    pub locale: Option<String>,
    /// Values for this recipient; they win over `message.values`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values_schema")]
    pub values: Option<Values>,
}

/// What is sent: a template with values, or content as it stands.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.templateRef) != has(self.content)")
        .message("set exactly one of templateRef, content"),
    validation = Rule::new("!(has(self.content) && (has(self.values) || has(self.valuesFrom)))")
        .message("values and valuesFrom are for templates: content is sent as it stands")
)]
pub struct MessageSource {
    /// The MessageTemplate to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<ObjectRef>,
    /// The message as it stands, without template syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Values for the template's variables, common to all recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values_schema")]
    pub values: Option<Values>,
    /// Values that stand in ConfigMaps and Secrets of this namespace, one variable each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub values_from: Vec<ValueFrom>,
    /// Language of recipients that name none, or none that the template has, as a BCP 47 tag. Default: the template's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"))]
    pub locale: Option<String>,
    /// From, instead of the server's sender; the server's `access.senders` must permit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NamedAddress>,
    /// Where answers go, instead of the server's `replyTo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^\s@<>]+@[^\s@<>]+$"))]
    pub reply_to: Option<String>,
    /// Further header fields, such as `List-Unsubscribe` or `X-Ticket`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<HeaderField>,
    /// Files and images, at most 1 MiB in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub attachments: Vec<Attachment>,
    /// Messages of the same server with the same word here land in one conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub thread: Option<String>,
}

/// A value that stands elsewhere.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("set exactly one of secretKeyRef, configMapKeyRef"))]
pub struct ValueFrom {
    /// The variable. Text becomes what the variable's type wants: `5` an Integer, JSON or YAML a List or an Object.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// A Secret that carries the annotation `mail-operator.dev/allow-values: "true"`: without it, whoever may create
    /// Notifications could mail himself any Secret of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

/// A header field of one's own.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HeaderField {
    /// `X-…`, `List-…`, `Auto-Submitted`, `Precedence`, `Importance`, `In-Reply-To` or `References`.
    #[schemars(length(min = 3, max = 76))]
    #[x_kube(validation = Rule::new("self.matches('^(?i)((x|list)-[a-z0-9-]+|auto-submitted|precedence|importance|in-reply-to|references)$')")
        .message("must be X-…, List-…, Auto-Submitted, Precedence, Importance, In-Reply-To or References: the other header fields have a place of their own in the spec"))]
    pub name: String,
    /// Its value, one line.
    #[schemars(length(min = 1, max = 998), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub value: String,
}

/// A file that goes with the message.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("set exactly one of secretKeyRef, configMapKeyRef"))]
pub struct Attachment {
    /// The file's name, as the recipient sees it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\x00-\x1f\x7f/\\]+$"))]
    pub name: String,
    /// Its media type. Default: by the ending of the name, else `application/octet-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 127),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$")
    )]
    pub content_type: Option<String>,
    /// A Secret that carries the annotation `mail-operator.dev/allow-values: "true"`: without it, whoever may create
    /// Notifications could mail himself any Secret of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A ConfigMap; `data` and `binaryData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// Shown within the HTML, which names it as `cid:` and the file's name: `<img src="cid:logo.png">`.
    #[serde(default)]
    pub inline: bool,
}

/// A message as it stands.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.text) || has(self.html)")
    .message("set text, html or both: a message needs a body"))]
pub struct Content {
    /// Subject line, one line.
    #[schemars(length(min = 1, max = 998), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub subject: String,
    /// Plain text body. Absent: derived from `html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub text: Option<String>,
    /// HTML body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub html: Option<String>,
}

/// How and when a message is sent.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// `Individual` (default): each recipient gets a message of his own and sees no other address. `Shared`: one
    /// message for all, who see each other but for `bcc`; in a template `recipient` is then the first of `to`.
    #[serde(default)]
    pub mode: DeliveryMode,
    /// Not before this time (RFC 3339). Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Time>,
    /// How long it is tried, counted from `sendAt` or the creation. Default `24h`, at most `120h`.
    #[serde(default = "default_expire_after")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('120h')")
        .message("expireAfter must lie between 1s and 120h"))]
    pub expire_after: DurationText,
    /// What to do when the mail server's answer was lost (a crash between message and answer):
    /// `Resend` (default) sends again, at most twice, so nobody goes without and somebody may get it up to three times;
    /// `Hold` sends nothing twice and waits for the annotation `mail-operator.dev/resolve`.
    #[serde(default)]
    pub on_in_doubt: OnInDoubt,
    /// How long the object stays after it is finished: a duration (default `24h`) or `forever`.
    /// Objects that Flux, Argo CD or Helm applied always stay: removed, they would come back and be sent again.
    #[serde(default = "default_keep_for")]
    #[schemars(schema_with = "keep_for_schema")]
    pub keep_for: String,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            mode: DeliveryMode::default(),
            send_at: None,
            expire_after: default_expire_after(),
            on_in_doubt: OnInDoubt::default(),
            keep_for: default_keep_for(),
        }
    }
}

fn default_expire_after() -> DurationText {
    "24h".into()
}

fn default_keep_for() -> String {
    "24h".into()
}

fn keep_for_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string", "maxLength": 32,
        "pattern": r"^(forever|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$"
    })
}

/// Who sees whom.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryMode {
    /// A message of his own for each recipient.
    #[default]
    Individual,
    /// One message for all.
    Shared,
}

/// What happens when the answer of a mail server was lost.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnInDoubt {
    /// At least once.
    #[default]
    Resend,
    /// At most once.
    Hold,
}

#[cfg(test)]
mod tests;
