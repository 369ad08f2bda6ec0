//! `kubectl mail version`: this program, the operator, and the schemas of the cluster, and whether they go together.

use crate::api::Notification;
use crate::api::crds::CURRENT_SCHEMA;
use crate::api::names::SCHEMA_VERSION;
use crate::cli::cluster::{Cluster, Request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output::{self, Mark, Table};
use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, CustomResourceExt};
use serde::Serialize;

/// The version of this program.
const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Options of `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Only that of this program; no cluster is asked.
    #[arg(long)]
    client: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: Component,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Component>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crds: Option<Component>,
}

/// One part. Without version it could not be told.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

impl Version {
    /// Prints them.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let client =
            Component { version: Some(CLIENT.into()), schema: Some(CURRENT_SCHEMA), ..Component::default() };
        let mut versions = Versions { client, operator: None, crds: None };
        if !self.client {
            let cluster = Cluster::open(&flags.cluster).await?;
            versions.crds = Some(schema(&cluster).await?);
            versions.operator = Some(operator(&cluster).await?);
        }
        if let Some(format) = flags.output {
            output::document(format, CLIENT, &versions)?;
        } else {
            let mut table = Table::new(&[]);
            let client = Some(&versions.client);
            let parts = [
                ("kubectl-mail", client),
                ("operator", versions.operator.as_ref()),
                ("CRDs", versions.crds.as_ref()),
            ];
            for (name, part) in parts {
                if let Some(part) = part {
                    table.row([name.into(), part.in_words().into()]);
                }
            }
            output::say_all(table.into_lines());
        }
        let mismatch = versions.mismatch();
        if flags.output.is_none() {
            output::say_all(mismatch.iter().flat_map(|words| output::marked(Mark::Warning, words)));
        }
        Ok(if mismatch.is_empty() { Exit::Good } else { Exit::Failed })
    }
}

impl Component {
    fn unknown(why: impl Into<String>) -> Self {
        Self { unknown: Some(why.into()), ..Self::default() }
    }

    fn in_words(&self) -> String {
        let Self { version, schema, image, unknown } = self;
        let mut words: Vec<String> = version.iter().cloned().collect();
        let schema = schema.map(|schema| format!("schema {schema}"));
        words.extend(schema.map(|schema| if version.is_some() { format!("({schema})") } else { schema }));
        words.extend(image.as_ref().map(|image| format!("({image})")));
        words.extend(unknown.as_ref().map(|why| format!("unknown: {why}")));
        words.join(" ")
    }
}

impl Versions {
    /// What does not go together, and what to do.
    fn mismatch(&self) -> Vec<String> {
        let mut words = Vec::new();
        match self.crds.as_ref().and_then(|crds| crds.schema) {
            Some(schema) if schema < CURRENT_SCHEMA => words.push(format!(
                "the CustomResourceDefinitions of the cluster (schema {schema}) are older than this program (schema \
                 {CURRENT_SCHEMA}): fields that it knows may be refused; upgrade the operator"
            )),
            Some(schema) if schema > CURRENT_SCHEMA => words.push(format!(
                "this program (schema {CURRENT_SCHEMA}) is older than the CustomResourceDefinitions of the cluster \
                 (schema {schema}): it may not show everything; take the kubectl-mail of the operator's version"
            )),
            _ => {}
        }
        if let Some(operator) = self.operator.as_ref().and_then(|operator| operator.version.as_deref())
            && operator != CLIENT
        {
            words.push(format!(
                "the operator is {operator} and this program {CLIENT}: take the kubectl-mail of the operator's version"
            ));
        }
        words
    }
}

async fn schema(cluster: &Cluster) -> Result<Component, Failure> {
    let name = Notification::crd_name();
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let request = Request::new::<CustomResourceDefinition>("get").name(name);
    match cluster.answer(api.get_metadata(name)).await? {
        Ok(found) => {
            let annotations = found.metadata.annotations.unwrap_or_default();
            let schema =
                annotations.get(SCHEMA_VERSION).and_then(|text| text.parse().ok()).unwrap_or_default();
            Ok(Component { schema: Some(schema), ..Component::default() })
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Cluster::not_installed::<Notification>()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Component::unknown("no permission to get customresourcedefinitions"))
        }
        Err(error) => cluster.ask(&request, std::future::ready(Err(error))).await,
    }
}

async fn operator(cluster: &Cluster) -> Result<Component, Failure> {
    let installed = match cluster.installed().await {
        Ok(Some(installed)) => installed,
        Ok(None) => {
            return Ok(Component::unknown(format!(
                "there is no Deployment of it in namespace {} (--operator-namespace names another)",
                cluster.operator_namespace
            )));
        }
        Err(failure) if failure.is_forbidden => return Ok(Component::unknown(failure.message)),
        Err(failure) => return Err(failure),
    };
    let (image, label) = (installed.container.image, installed.version);
    // The image's tag is what runs; the label is what the chart was made for.
    let tag = image.as_deref().and_then(|image| {
        let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
        (!tag.contains('/')).then(|| tag.trim_start_matches('v').to_owned())
    });
    Ok(Component { version: tag.or(label), image, ..Component::default() })
}
