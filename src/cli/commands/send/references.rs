//! Whether the mail server and the template that a Notification names exist: behind a typo it would only wait. What may not
//! be seen counts as there, since the operator sees it, and has the last word in any case.

use crate::api::message_template::MessageTemplateSpec;
use crate::api::shared::ObjectRef;
use crate::api::{MailServerConfig, MessageTemplate, Notification};
use crate::cli::cluster::{Cluster, Spelling};
use crate::cli::failure::{Exit, Failure};
use crate::cli::world::World;
use crate::domain::catalog::Catalog;
use crate::domain::lookup::Source;
use crate::domain::standard;
use std::sync::Arc;

/// Refuses a Notification that names what certainly does not exist.
pub async fn exist(cluster: &Cluster, notification: &Notification) -> Result<(), Failure> {
    server(cluster, notification.spec.server_ref.as_ref()).await?;
    let Some(reference) = &notification.spec.message.template_ref else { return Ok(()) };
    match template(cluster, reference).await? {
        Lookup::Found(_) | Lookup::Hidden { .. } => Ok(()),
        Lookup::Absent(failure) => Err(failure),
    }
}

async fn server(cluster: &Cluster, reference: Option<&ObjectRef>) -> Result<(), Failure> {
    if let Some(ObjectRef { name, namespace }) = reference {
        let there = cluster.in_namespace(namespace.as_deref().unwrap_or(&cluster.namespace));
        return match hidden(there.find::<MailServerConfig>(&there.namespace, name).await)? {
            Seen::Absent => Err(there.absent::<MailServerConfig>(name, Spelling::Reference).await),
            Seen::There(_) | Seen::Hidden(_) => Ok(()),
        };
    }
    let own = cluster.find::<MailServerConfig>(&cluster.namespace, "default").await;
    if !matches!(hidden(own)?, Seen::Absent) {
        return Ok(());
    }
    let Seen::There(installed) = hidden(cluster.installed().await)? else { return Ok(()) };
    let namespace = &cluster.namespace;
    let nothing = format!("there is no MailServerConfig default in namespace {namespace}, and the operator");
    let message = match installed.default_server() {
        None => format!("{nothing} has no --default-server"),
        Some(key) => {
            let default = cluster.find::<MailServerConfig>(&key.namespace, &key.name).await;
            if !matches!(hidden(default)?, Seen::Absent) {
                return Ok(());
            }
            format!("{nothing}'s --default-server {key} does not exist")
        }
    };
    let names = cluster.names::<MailServerConfig>().await;
    if names.is_empty() && cluster.is_namespace_absent().await {
        // That is the matter, and creating says so.
        return Ok(());
    }
    let next = match names.as_slice() {
        [] => "create one, or name one of another namespace: --server NAMESPACE/NAME".into(),
        [only] => format!("--server {only} names the one there is"),
        [first, ..] => format!("--server names one, such as {first}: kubectl get msc -n {namespace}"),
    };
    Err(Failure::new(Exit::Failed, message).next(next))
}

/// What a template's name means, as far as it can be seen.
pub enum Lookup {
    /// This template.
    Found(Arc<MessageTemplateSpec>),
    /// Nothing.
    Absent(Failure),
    /// What may not be seen goes before what is known of it.
    Hidden {
        /// The standard message of that name.
        standard: Option<Arc<MessageTemplateSpec>>,
        /// Why it may not be seen.
        failure: Failure,
    },
}

/// The template that the operator would take.
pub async fn template(cluster: &Cluster, reference: &ObjectRef) -> Result<Lookup, Failure> {
    let ObjectRef { name, namespace } = reference;
    if let Some(namespace) = namespace {
        let there = cluster.in_namespace(namespace);
        return Ok(match hidden(there.find::<MessageTemplate>(namespace, name).await)? {
            Seen::There(template) => Lookup::Found(Arc::new(template.spec)),
            Seen::Absent => Lookup::Absent(there.absent::<MessageTemplate>(name, Spelling::Reference).await),
            Seen::Hidden(failure) => Lookup::Hidden { standard: None, failure },
        });
    }
    let (own, operator) = (&cluster.namespace, &cluster.operator_namespace);
    let mut catalog = Catalog::new(operator);
    catalog.namespaces.extend(cluster.labels().await.map(|labels| (own.clone(), labels)));
    for namespace in std::iter::once(own).chain((operator != own).then_some(operator)) {
        let failure = match hidden(cluster.find::<MessageTemplate>(namespace, name).await)? {
            Seen::There(template) => {
                catalog.learn(&template);
                continue;
            }
            Seen::Absent => continue,
            Seen::Hidden(failure) => failure,
        };
        // Only an object that is known already goes before it.
        if !matches!(catalog.look_up(own, name), Some((Source::Object(_), _))) {
            let standard = standard::find(name).cloned().map(Arc::new);
            return Ok(Lookup::Hidden { standard, failure });
        }
    }
    if let Some((_, known)) = catalog.look_up(own, name) {
        return Ok(Lookup::Found(known.spec.clone()));
    }
    Ok(match World::unchecked(cluster.clone()).await.and_then(|world| world.template(name)) {
        Ok((_, known)) => Lookup::Found(known.spec.clone()),
        Err(failure) if failure.is_forbidden => Lookup::Hidden { standard: None, failure },
        Err(failure) => Lookup::Absent(failure),
    })
}

/// What is known of something that was asked for.
enum Seen<T> {
    There(T),
    Absent,
    Hidden(Failure),
}

fn hidden<T>(found: Result<Option<T>, Failure>) -> Result<Seen<T>, Failure> {
    match found {
        Ok(Some(found)) => Ok(Seen::There(found)),
        Ok(None) => Ok(Seen::Absent),
        Err(failure) if failure.is_forbidden => Ok(Seen::Hidden(failure)),
        Err(failure) => Err(failure),
    }
}
