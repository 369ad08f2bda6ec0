//! What is known of the cluster besides Notifications: mail servers, templates and the labels of
//! namespaces. Filled by the controllers, read whenever a Notification is looked at.

use crate::api::message_template::MessageTemplateSpec;
use crate::domain::access::Labels;
use crate::domain::object::ObjectKey;
use crate::domain::problem::Problem;
use crate::domain::server::Server;
use crate::domain::template::{Template, TemplateProblem};
use std::collections::HashMap;
use std::sync::Arc;

/// Servers, templates and namespaces as they were last seen.
#[derive(Debug, Default)]
pub struct Catalog {
    /// MailServerConfigs by name: fit for use, or their problems.
    pub servers: HashMap<ObjectKey, Result<Arc<Server>, Arc<[Problem]>>>,
    /// MessageTemplates by name.
    pub templates: HashMap<ObjectKey, Arc<KnownTemplate>>,
    /// Labels of namespaces by name.
    pub namespaces: HashMap<String, Labels>,
}

/// A MessageTemplate, compiled.
#[derive(Debug)]
pub struct KnownTemplate {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// Generation of the spec it was made from.
    pub generation: Option<i64>,
    /// As it was written, for those that it wraps as a layout.
    pub spec: MessageTemplateSpec,
    /// Ready to be rendered, or everything that is wrong with it.
    pub template: Result<Template, Vec<TemplateProblem>>,
}
