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
use crate::domain::preparation;
use crate::domain::server::Server;
use crate::evaluation::{Evaluator, Program};
use std::collections::HashSet;
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
    /// The operator's `--default-server`, as far as it can be seen.
    pub default_server: Option<ObjectKey>,
    /// Servers that lacked SMTPUTF8 when the operator last spoke to them.
    ascii_only: HashSet<ObjectKey>,
}

impl World {
    /// The standard messages and nothing else.
    pub async fn built_in(flags: &Flags) -> Result<Self, Failure> {
        let namespace = flags.cluster.namespace.clone().unwrap_or_else(|| NAMESPACE.into());
        let evaluator = Evaluator::new(Program::this());
        let mut catalog = Catalog::new(&flags.cluster.operator_namespace);
        check_all(&evaluator, &mut catalog).await?;
        Ok(Self::of(catalog, evaluator, namespace, None))
    }

    fn of(catalog: Catalog, evaluator: Evaluator, namespace: String, cluster: Option<Cluster>) -> Self {
        Self { catalog, evaluator, namespace, cluster, default_server: None, ascii_only: HashSet::new() }
    }

    /// What the cluster has.
    pub async fn open(flags: &Flags) -> Result<Self, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        let mut world = Self::unchecked(cluster).await?;
        check_all(&world.evaluator, &mut world.catalog).await?;
        Ok(world)
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

    /// The same, with templates that are only looked up, not rendered.
    pub async fn unchecked(cluster: Cluster) -> Result<Self, Failure> {
        let namespace = cluster.namespace.clone();
        let operator = cluster.operator_namespace.clone();
        let mut catalog = Catalog::new(&operator);
        catalog.namespaces.extend(cluster.labels().await.map(|labels| (namespace.clone(), labels)));
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
        Ok(Self::of(catalog, evaluator, namespace, Some(cluster)))
    }

    /// Brings a mail server in.
    pub fn add_server(&mut self, config: &MailServerConfig) {
        let Some(key) = ObjectKey::of(config) else { return };
        let facts = config.status.as_ref().and_then(|status| status.server.as_ref());
        if facts.is_some_and(|facts| !facts.extensions.iter().any(|offered| offered == "SMTPUTF8")) {
            self.ascii_only.insert(key.clone());
        } else {
            self.ascii_only.remove(&key);
        }
        let server = Server::from_config(config).map(Arc::new).map_err(Arc::from);
        self.catalog.servers.insert(key, server);
    }

    /// Whether a server takes addresses that are not ASCII before the `@`; one of which nothing is known does.
    pub fn takes_smtputf8(&self, server: &ObjectKey) -> bool {
        !self.ascii_only.contains(server)
    }

    /// Reads the mail servers that a Notification may mean, as far as they can be seen.
    pub async fn read_servers(&mut self, notification: &Notification) -> Result<(), Failure> {
        let Some(cluster) = self.cluster.clone() else { return Ok(()) };
        let own = preparation::server_key(notification, None, &self.catalog);
        if self.read_server(&cluster, &own).await? || notification.spec.server_ref.is_some() {
            return Ok(());
        }
        let installed = seen(cluster.installed().await)?.flatten();
        if let Some(default) = installed.and_then(|installed| installed.default_server()) {
            self.read_server(&cluster, &default).await?;
            self.default_server = Some(default);
        }
        Ok(())
    }

    /// Whether there is such a server, or may be one.
    async fn read_server(&mut self, cluster: &Cluster, key: &ObjectKey) -> Result<bool, Failure> {
        let found = seen(cluster.find::<MailServerConfig>(&key.namespace, &key.name).await)?;
        if let Some(Some(config)) = &found {
            self.add_server(config);
        }
        Ok(!matches!(found, Some(None)))
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

/// What was found; `None`: it may not be seen, which is said.
fn seen<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_forbidden => {
            output::note(&failure.message);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
