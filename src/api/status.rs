//! What became of a Notification. The schema gives every new object a first status by default
//! ([`default_status`]), so that waiting costs no write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a Notification.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// `Pending`, `Sent`, `PartiallySent`, `Failed`, `InDoubt` or `Expired`. `Sent` means accepted
    /// by the mail server for every recipient.
    #[serde(default)]
    pub phase: Phase,
    /// `true` once nothing more will happen.
    #[serde(default)]
    pub finished: bool,
    /// Generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` (for kstatus, the same as `Sent`), `Resolved`, `Rendered`, `Sent`; while they hold also
    /// `Reconciling`, `Stalled`, `InDoubt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Recipients accepted of all, for example `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// How often the mail server was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When it will be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// One entry a recipient, once it was tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    pub recipients: Vec<RecipientStatus>,
    /// How many recipients are in which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Value of the annotation `mail-operator.dev/resolve` that was last obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_resolve: Option<String>,
    /// The MailServerConfig that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUsed>,
    /// The template that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateUsed>,
    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// The one word for a Notification's state.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Waiting or under way.
    #[default]
    Pending,
    /// Every recipient was accepted.
    Sent,
    /// Some were accepted, the others never will be.
    PartiallySent,
    /// None was accepted, none will be.
    Failed,
    /// It is not known whether the server accepted, and a person has to decide: with `onInDoubt: Hold` at once, with
    /// `Resend` after the third lost answer.
    InDoubt,
    /// Not sent in time.
    Expired,
}

impl Phase {
    /// The word as it stands in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Sent => "Sent",
            Self::PartiallySent => "PartiallySent",
            Self::Failed => "Failed",
            Self::InDoubt => "InDoubt",
            Self::Expired => "Expired",
        }
    }
}

/// What became of one recipient.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecipientStatus {
    /// The address as in `spec.to`, `spec.cc` or `spec.bcc`.
    pub address: String,
    /// `Pending`, `Accepted`, `Refused` or `InDoubt`.
    pub state: RecipientState,
    /// Message-ID of the message sent to this recipient, for the mail server's log.
    #[serde(default, rename = "messageID", skip_serializing_if = "Option::is_none")]
    #[schemars(rename = "messageID")]
    pub message_id: Option<String>,
    /// SMTP reply code (RFC 5321).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Enhanced status code (RFC 3463), for example `5.1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced_code: Option<String>,
    /// Why it is so, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is so, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// How often the answer to the message was lost, while it is not known whether it was taken. After the third time it
    /// is not sent again unless a person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubts: Option<i32>,
}

/// The one word for a recipient's state.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RecipientState {
    /// Not sent yet; will be tried again.
    #[default]
    Pending,
    /// The mail server took the message.
    Accepted,
    /// The mail server refused, for good.
    Refused,
    /// The answer was lost.
    InDoubt,
}

/// How many recipients are in which state.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// All recipients.
    pub total: i32,
    /// Taken by the mail server.
    pub accepted: i32,
    /// Refused for good.
    pub refused: i32,
    /// Still to be sent.
    pub pending: i32,
    /// Sent, with the answer lost.
    pub in_doubt: i32,
}

/// The MailServerConfig that was used.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServerUsed {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The template that was used.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateUsed {
    /// Where it came from: `namespace/name`, or `built-in:name` for a standard message.
    pub source: String,
    /// Its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The language used; several, separated by commas, when recipients differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// The status that the schema gives to every new Notification: columns, selectors and kstatus all
/// see it without a single write.
pub fn default_status() -> serde_json::Value {
    let condition = |type_: &str, status: &str| {
        serde_json::json!({
            "type": type_, "status": status, "reason": "Pending", "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z"
        })
    };
    serde_json::json!({
        "phase": "Pending",
        "finished": false,
        "conditions": [condition("Ready", "Unknown"), condition("Reconciling", "True")]
    })
}
