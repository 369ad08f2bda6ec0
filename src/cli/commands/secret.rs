//! `kubectl mail secret create`: a Secret with a password, and with the annotations that say where it may go. The
//! password comes from a terminal without echo, or from standard input; never from the command line, where every
//! process of the machine could read it, and never to the screen.

use crate::api::MailServerConfig;
use crate::api::names::{ALLOW_PLAINTEXT, ALLOWED_CA, ALLOWED_HOSTS, EXPIRES_AT};
use crate::api::shared::{CAKind, CARef};
use crate::cli::cluster::{Cluster, Request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use crate::cli::output::{self, Mark};
use crate::domain::binding;
use crate::domain::credentials;
use crate::domain::problem;
use crate::domain::secret::Secret as Hidden;
use crate::domain::server::Server;
use clap::{Args, Subcommand};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

/// What stands for a value where the manifest is shown.
const MASK: &str = "***";

/// Options of `secret`.
#[derive(Debug, Args)]
pub struct SecretCommand {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a Secret with a password, client secret or token, and say where it may be sent.
    Create(Create),
}

/// Options of `secret create`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("hosts").required(true).multiple(true).args(["host", "for_server"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Create {
    /// Name of the Secret.
    #[arg(value_name = "NAME")]
    name: String,
    /// Key for the password.
    #[arg(long, default_value = "password", value_name = "KEY")]
    key: String,
    /// User name, kept beside the password under the key `username`.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Host that it may be sent to: HOST or HOST:PORT; may be repeated.
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Vec<String>,
    /// MailServerConfig that will use it: its hosts, those of its tokens and of its proxy, and its private CAs are
    /// permitted.
    #[arg(long = "for", value_name = "SERVER")]
    for_server: Option<String>,
    /// File with the private CA that may vouch for those hosts; may be repeated. Its content must equal the bundle's.
    #[arg(long = "ca-file", value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// Let the password travel unencrypted (tls.mode: Disabled).
    #[arg(long)]
    allow_plaintext: bool,
    /// When it ends: a date such as 2027-01-31 or a time; 30 days before, the operator warns.
    #[arg(long, value_name = "DATE", value_parser = end)]
    expires_at: Option<String>,
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    stdin: bool,
    /// Overwrite the key and the annotations of a Secret that exists.
    #[arg(long)]
    replace: bool,
    /// Print the Secret, without the password, and create none.
    #[arg(long)]
    dry_run: bool,
}

impl SecretCommand {
    /// Does it.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        match self.action {
            Action::Create(create) => create.run(flags).await,
        }
    }
}

impl Create {
    async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let mut hosts = self.host.clone();
        let mut authorities = self.ca_file.iter().map(of_file).collect::<Result<Vec<_>, _>>()?;
        let needs_cluster = !self.dry_run || self.for_server.is_some();
        let cluster = if needs_cluster { Some(Cluster::open(&flags.cluster).await?) } else { None };
        if let (Some(server), Some(cluster)) = (&self.for_server, &cluster) {
            let server = server_of(cluster, server).await?;
            hosts.extend(hosts_of(&server));
            authorities.extend(authorities_of(cluster, &server).await?);
        }
        hosts.dedup();
        authorities.dedup();
        if self.dry_run {
            let namespace =
                cluster.map(|cluster| cluster.namespace).or_else(|| flags.cluster.namespace.clone());
            output::document(
                flags.output.unwrap_or(Format::Yaml),
                &format!("secret/{}", self.name),
                &masked(&self.secret(namespace, (&hosts, &authorities), &Hidden::new(""))),
            )?;
            return Ok(Exit::Good);
        }
        let Some(cluster) = cluster else { return Ok(Exit::Failed) };
        let known: Option<Secret> = cluster.find(&cluster.namespace, &self.name).await?;
        if known.is_some() && !self.replace {
            let message = format!("Secret {} exists already in namespace {}", self.name, cluster.namespace);
            return Err(Failure::new(Exit::Failed, message)
                .next("--replace overwrites its key and annotations; its other keys stay"));
        }
        // Only now: nobody types a password for nothing.
        let password = if self.stdin { from_stdin()? } else { from_terminal(&self.name).await? };
        let secret = self.secret(Some(cluster.namespace.clone()), (&hosts, &authorities), &password);
        let stored = if known.is_some() {
            replace(&cluster, &secret).await?
        } else {
            cluster.create(&secret, false).await?
        };
        if let Some(format) = flags.output {
            output::document(format, &format!("secret/{}", self.name), &masked(&stored))?;
        } else {
            let done = if known.is_some() { "replaced" } else { "created" };
            let places =
                if hosts.is_empty() { "Microsoft's own hosts only".into() } else { hosts.join(", ") };
            let words = format!(
                "Secret {} {done} in namespace {}; it may be sent to {places}",
                self.name, cluster.namespace
            );
            output::say_all(output::marked(Mark::Good, &words));
        }
        Ok(Exit::Good)
    }

    fn secret(
        &self,
        namespace: Option<String>,
        (hosts, authorities): (&[String], &[String]),
        password: &Hidden,
    ) -> Secret {
        let mut annotations = BTreeMap::new();
        if !hosts.is_empty() {
            annotations.insert(ALLOWED_HOSTS.to_owned(), hosts.join(","));
        }
        if !authorities.is_empty() {
            annotations.insert(ALLOWED_CA.to_owned(), authorities.join(","));
        }
        if self.allow_plaintext {
            annotations.insert(ALLOW_PLAINTEXT.to_owned(), "true".to_owned());
        }
        if let Some(end) = &self.expires_at {
            annotations.insert(EXPIRES_AT.to_owned(), end.clone());
        }
        let mut data =
            BTreeMap::from([(self.key.clone(), ByteString(password.expose().as_bytes().to_vec()))]);
        if let Some(username) = &self.username {
            data.insert("username".to_owned(), ByteString(username.as_bytes().to_vec()));
        }
        // The type that Kubernetes has for such a pair, and that a proxy's credentials want.
        let pair = self.username.is_some() && self.key == "password";
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace,
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        Secret {
            metadata,
            data: Some(data),
            type_: Some(if pair { "kubernetes.io/basic-auth" } else { "Opaque" }.to_owned()),
            ..Secret::default()
        }
    }
}

async fn server_of(cluster: &Cluster, name: &str) -> Result<Server, Failure> {
    let config: MailServerConfig = cluster.get(name).await?;
    Server::from_config(&config).map_err(|problems| {
        let message = format!("MailServerConfig {name} is not valid: {}", problem::summary(&problems));
        Failure::new(Exit::Failed, message).next("correct it, or name the hosts with --host")
    })
}

/// Where a server would send its credentials.
fn hosts_of(server: &Server) -> Vec<String> {
    credentials::destinations(server)
        .iter()
        .map(|place| format!("{}:{}", bracketed(place.host), place.port))
        .collect()
}

/// The private CAs that a server names.
async fn authorities_of(cluster: &Cluster, server: &Server) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for CARef { kind, name, key } in server.private_cas() {
        let bytes = match kind {
            CAKind::ConfigMap => {
                let map: Option<ConfigMap> = cluster.find(&cluster.namespace, name).await?;
                map.and_then(|map| map.data?.remove(key))
            }
            CAKind::Secret => {
                let secret: Option<Secret> = cluster.find(&cluster.namespace, name).await?;
                let bytes = secret.and_then(|secret| secret.data?.remove(key));
                bytes.and_then(|bytes| String::from_utf8(bytes.0).ok())
            }
        };
        let Some(pem) = bytes else {
            let message = format!("{kind:?} {name} with the private CA of the server has no key {key}");
            return Err(
                Failure::new(Exit::Failed, message).next("create it first, so that the Secret can permit it")
            );
        };
        found.push(binding::digest(&pem));
    }
    Ok(found)
}

/// The digest of a bundle in a file.
fn of_file(path: &PathBuf) -> Result<String, Failure> {
    let pem = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Failed, format!("--ca-file: reading {} failed: {error}", path.display()))
    })?;
    Ok(binding::digest(&pem))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Writes over the key and annotations of a Secret, and over nothing else of it.
async fn replace(cluster: &Cluster, secret: &Secret) -> Result<Secret, Failure> {
    let annotation = |name: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(name));
    let patch = serde_json::json!({
        "metadata": { "annotations": {
            ALLOWED_HOSTS: annotation(ALLOWED_HOSTS),
            ALLOWED_CA: annotation(ALLOWED_CA),
            ALLOW_PLAINTEXT: annotation(ALLOW_PLAINTEXT),
            EXPIRES_AT: annotation(EXPIRES_AT),
        } },
        "data": secret.data,
    });
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let request = Request::new::<Secret>("patch").namespace(Some(&cluster.namespace)).name(name);
    let parameters = PatchParams { field_manager: Some("kubectl-mail".into()), ..PatchParams::default() };
    cluster.ask(&request, cluster.api().patch(name, &parameters, &Patch::Merge(&patch))).await
}

/// The manifest with stars in the place of what is secret.
fn masked(secret: &Secret) -> serde_json::Value {
    let mut value = serde_json::to_value(secret).unwrap_or_default();
    let keys: Vec<_> = secret.data.iter().flatten().map(|(key, _)| key.clone()).collect();
    if let Some(object) = value.as_object_mut() {
        object.remove("data");
        object.insert(
            "stringData".into(),
            keys.into_iter().map(|key| (key, serde_json::Value::from(MASK))).collect(),
        );
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

fn from_stdin() -> Result<Hidden, Failure> {
    if std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "--stdin: standard input is a terminal, where the password would be seen",
        )
        .next("leave --stdin out to be asked without echo"));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::new(Exit::Failed, format!("reading the password from standard input failed: {error}"))
    })?;
    usable(Hidden::new(text.trim_end_matches(['\r', '\n'])))
}

/// Asks twice, without echo.
async fn from_terminal(name: &str) -> Result<Hidden, Failure> {
    let prompts = [format!("Password for Secret {name}: "), "The same again: ".to_owned()];
    let asked = tokio::task::spawn_blocking(move || {
        let [first, second] = prompts;
        let first = rpassword::prompt_password(first).map(Hidden::new)?;
        Ok((first, rpassword::prompt_password(second).map(Hidden::new)?))
    });
    let unasked = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("asking for the password failed: {error}"))
            .next("without a terminal: --stdin reads it from standard input")
    };
    match asked.await.map_err(|error| unasked(&error))? {
        Err::<_, std::io::Error>(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Failure::new(Exit::Interrupted, "interrupted: nothing was created"))
        }
        Err(error) => Err(unasked(&error)),
        Ok((first, second)) if first == second => usable(first),
        Ok(_) => Err(Failure::new(Exit::Failed, "the two passwords differ: nothing was created")),
    }
}

fn usable(password: Hidden) -> Result<Hidden, Failure> {
    if password.is_empty() {
        return Err(Failure::new(Exit::Failed, "the password is empty: nothing was created"));
    }
    Ok(password)
}

fn host(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".:_-[]".contains(c));
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be HOST or HOST:PORT, without wildcards".into())
    }
}

fn end(text: &str) -> Result<String, String> {
    let known = credentials::end(text).map(|_| text.to_owned());
    known.ok_or_else(|| "must be a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z".into())
}
