//! What the operator would know of a namespace: its templates, the operator's, the standard messages, and mail servers.
//! Names are then looked up and messages made by the domain, as the operator does it, so that what is shown here is what
//! would be sent.

use crate::api::{MailServerConfig, MessageTemplate, Notification};
use crate::cli::cluster::Cluster;
use crate::cli::evaluation::check_all;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output;
use crate::domain::catalog::{Catalog, KnownTemplate};
use crate::domain::likeness::nearest;
use crate::domain::lookup::{Found, Source};
use crate::domain::object::ObjectKey;
use crate::domain::server::Server;
use crate::evaluation::{Evaluator, Program};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use std::sync::Arc;

/// The namespace of objects that name none, where there is no kubeconfig either.
const NAMESPACE: &str = "default";

/// What is known, from the point of view of one namespace.
pub struct World {
    /// As the operator has it.
    pub catalog: Catalog,
    /// Where templates are checked and rendered.
    pub evaluator: Evaluator,
    /// The namespace that is meant.
    pub namespace: String,
    /// Where it was read from; `None`: nobody was asked.
    pub cluster: Option<Cluster>,
}

impl World {
    /// The standard messages and nothing else.
    pub async fn built_in(flags: &Flags) -> Result<Self, Failure> {
        let namespace = flags.cluster.namespace.clone().unwrap_or_else(|| NAMESPACE.into());
        let evaluator = Evaluator::new(Program::this());
        let mut catalog = Catalog::new(&flags.cluster.operator_namespace);
        check_all(&evaluator, &mut catalog).await?;
        Ok(Self { catalog, evaluator, namespace, cluster: None })
    }

    /// What the cluster has.
    pub async fn open(flags: &Flags) -> Result<Self, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        Self::read(cluster).await
    }

    /// The same, or the standard messages if that is enough and the cluster cannot be asked.
    pub async fn open_or_built_in(flags: &Flags, enough: bool) -> Result<Self, Failure> {
        match Self::open(flags).await {
            Err(failure) if enough && failure.exit == Exit::Cluster => {
                output::note(&format!("{}; this is the standard message as it is built in", failure.message));
                Self::built_in(flags).await
            }
            other => other,
        }
    }

    async fn read(cluster: Cluster) -> Result<Self, Failure> {
        let namespace = cluster.namespace.clone();
        let operator = cluster.operator_namespace.clone();
        let mut catalog = Catalog::new(&operator);
        catalog.namespaces.extend(labels(&cluster).await.map(|labels| (namespace.clone(), labels)));
        let mut templates = cluster.list::<MessageTemplate>(Some(&namespace), "").await?;
        if operator != namespace {
            match cluster.list::<MessageTemplate>(Some(&operator), "").await {
                Ok(more) => templates.extend(more),
                Err(failure) => output::note(&format!(
                    "templates of the operator's namespace are left out, although the operator sees them: {}",
                    failure.message
                )),
            }
        }
        for template in &templates {
            catalog.learn(template);
        }
        let evaluator = Evaluator::new(Program::this());
        check_all(&evaluator, &mut catalog).await?;
        Ok(Self { catalog, evaluator, namespace, cluster: Some(cluster) })
    }

    /// Brings a mail server in.
    pub fn add_server(&mut self, config: &MailServerConfig) {
        let Some(key) = ObjectKey::of(config) else { return };
        let server = Server::from_config(config).map(Arc::new).map_err(Arc::from);
        self.catalog.servers.insert(key, server);
    }

    /// Reads the mail servers that a Notification may mean, as far as they can be seen.
    pub async fn read_servers(&mut self, notification: &Notification) -> Result<(), Failure> {
        let Some(cluster) = self.cluster.clone() else { return Ok(()) };
        let namespace = notification.metadata.namespace.as_deref().unwrap_or(&self.namespace);
        let (place, name) = match &notification.spec.server_ref {
            Some(reference) => (reference.namespace.as_deref().unwrap_or(namespace), reference.name.as_str()),
            None => (namespace, "default"),
        };
        if let Some(config) = cluster.find::<MailServerConfig>(place, name).await? {
            self.add_server(&config);
        }
        Ok(())
    }

    /// What a template's name means here. Says which name was likely meant, if it means nothing.
    pub fn template(&self, name: &str) -> Result<Found, Failure> {
        self.catalog.look_up(&self.namespace, name).ok_or_else(|| {
            let message = format!(
                "there is no MessageTemplate {name} in namespace {}, none of the operator's namespace {} that admits it, and \
                 no standard message of that name",
                self.namespace,
                self.catalog.operator_namespace()
            );
            let failure = Failure::new(Exit::Failed, message);
            match nearest(name, self.names().iter().map(String::as_str)) {
                Some(meant) => failure.next(format!("did you mean {meant}?")),
                None => failure.next("kubectl mail templates lists those there are; -n NAME chooses a namespace"),
            }
        })
    }

    /// The names that mean something here, sorted.
    pub fn names(&self) -> Vec<String> {
        let here = |source: &Source, known: &Arc<KnownTemplate>| match source.namespace() {
            Some(namespace) if namespace != self.namespace => {
                namespace == self.catalog.operator_namespace()
                    && self.catalog.admits(source, known, &self.namespace)
            }
            _ => true,
        };
        let mut names: Vec<_> = self
            .catalog
            .templates()
            .filter(|(source, known)| here(source, known))
            .map(|(source, _)| source.name().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Where it comes from, in words.
    pub fn origin(&self, source: &Source) -> String {
        match source {
            Source::BuiltIn(_) => "built in".into(),
            Source::Object(key) if *key.namespace == *self.namespace => {
                format!("namespace {}", key.namespace)
            }
            Source::Object(key) => format!("operator's namespace {}", key.namespace),
        }
    }
}

/// Labels of the namespace that is meant, for selectors; nobody has to be permitted to see them.
async fn labels(cluster: &Cluster) -> Option<crate::domain::access::Labels> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let answer = cluster.answer(api.get_metadata(&cluster.namespace)).await;
    Some(answer.ok()?.ok()?.metadata.labels.unwrap_or_default())
}
