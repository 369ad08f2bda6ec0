//! What users write: the three kinds of the group `mail-operator.dev`, their schemas and CEL
//! rules, and the condition types and reasons they are answered with. No behaviour beyond that.

pub mod condition;
pub mod crds;
pub mod mail_server_config;
pub mod message_template;
pub mod names;
pub mod notification;
pub mod reason;
pub mod shared;
pub mod status;

pub use condition::ConditionType;
pub use mail_server_config::{MailServerConfig, MailServerConfigSpec, MailServerConfigStatus};
pub use message_template::{MessageTemplate, MessageTemplateSpec, MessageTemplateStatus};
pub use notification::{Notification, NotificationSpec};
pub use reason::Reason;
pub use status::NotificationStatus;
