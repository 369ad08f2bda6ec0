//! `kubectl mail send`: writes a Notification and follows it to the end. The message is what the operator makes of the
//! object; nothing is rendered or sent from here.

mod references;
mod values;

use crate::api::Notification;
use crate::api::notification::{Content, Delivery, DeliveryMode, MessageSource, NotificationSpec, Recipient};
use crate::api::shared::{NamedAddress, ObjectRef};
use crate::cli::cluster::Cluster;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format, duration};
use crate::cli::following::follow;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Mark};
use crate::cli::values::{assignment, parse_file};
use crate::domain::address::Mailbox;
use clap::{Args, ValueEnum};
use kube::api::ObjectMeta;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of `send`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("message").required(true).multiple(true).args(["template", "text", "text_file", "html_file"]))]
pub struct Send {
    /// Recipient: `ada@corp.example` or `Ada <ada@corp.example>`; may be repeated.
    #[arg(long, required = true, value_name = "ADDRESS", value_parser = each("--to"))]
    to: Vec<Mailbox>,
    /// Who gets a copy, seen by all: one message for all then (delivery.mode: Shared).
    #[arg(long, value_name = "ADDRESS", value_parser = each("--cc"))]
    cc: Vec<Mailbox>,
    /// Who gets a copy, seen by nobody else: one message for all then (delivery.mode: Shared).
    #[arg(long, value_name = "ADDRESS", value_parser = each("--bcc"))]
    bcc: Vec<Mailbox>,
    /// MailServerConfig to send through: NAME or NAMESPACE/NAME. Default: as for any Notification.
    #[arg(long, value_name = "NAME", value_parser = reference)]
    server: Option<ObjectRef>,
    /// Subject of a message without template.
    #[arg(long, value_name = "TEXT", conflicts_with = "template", required_unless_present = "template")]
    subject: Option<String>,
    /// Text of the message.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["template", "text_file"])]
    text: Option<String>,
    /// File with the text; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    text_file: Option<PathBuf>,
    /// File with the HTML; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    html_file: Option<PathBuf>,
    /// MessageTemplate or standard message to send: NAME or NAMESPACE/NAME.
    #[arg(long, value_name = "NAME", value_parser = reference)]
    template: Option<ObjectRef>,
    /// Value of a variable of the template, read as its type wants; may be repeated.
    #[arg(long = "value", value_name = "NAME=VALUE", requires = "template", value_parser = assignment)]
    values: Vec<(String, String)>,
    /// File with values, YAML or JSON; - is standard input. --value wins.
    #[arg(long = "values", value_name = "FILE", requires = "template")]
    values_file: Option<PathBuf>,
    /// Language of the message, as in de or pt-BR.
    #[arg(long, value_name = "LOCALE", requires = "template")]
    locale: Option<String>,
    /// From, instead of the server's sender; the server must permit it.
    #[arg(long, value_name = "ADDRESS", value_parser = only)]
    from: Option<Mailbox>,
    /// Where answers go.
    #[arg(long, value_name = "ADDRESS", value_parser = only)]
    reply_to: Option<Mailbox>,
    /// Name of the Notification. Default: a new one.
    #[arg(long, value_name = "NAME", conflicts_with = "generate")]
    name: Option<String>,
    /// Beginning of the new name of the Notification.
    #[arg(long, value_name = "PREFIX", default_value = "mail-")]
    generate: String,
    /// Print the Notification and create none: `client` asks nobody, `server` has the API server check it.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", value_name = "WHERE")]
    dry_run: Option<DryRun>,
    #[command(flatten)]
    wait: Wait,
}

/// How long a Notification is followed.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub struct Wait {
    /// Follow the Notification to its end (default).
    #[arg(long, visible_alias = "follow", overrides_with = "no_wait")]
    wait: bool,
    /// Create it and leave.
    #[arg(long)]
    no_wait: bool,
    /// How long to follow it; it goes on after that.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Nobody is asked.
    Client,
    /// The API server checks it and stores nothing.
    Server,
}

impl Send {
    /// Sends; good only if every recipient was accepted.
    pub async fn run(mut self, flags: &Flags) -> Result<Exit, Failure> {
        let notification = self.notification(flags).await?;
        if self.dry_run == Some(DryRun::Client) {
            output::object(flags.output.unwrap_or(Format::Yaml), &notification)?;
            return Ok(Exit::Good);
        }
        let cluster = Cluster::open(&flags.cluster).await?;
        submit(&cluster, &notification, self.dry_run, &self.wait, flags).await
    }

    /// What is to be created.
    async fn notification(&mut self, flags: &Flags) -> Result<Notification, Failure> {
        let mut input = Input::default();
        let source = MessageSource {
            content: self.content(&mut input)?,
            values: self.values(&mut input, flags).await?,
            template_ref: self.template.clone(),
            locale: self.locale.clone(),
            from: self.from.as_ref().map(named),
            reply_to: self.reply_to.as_ref().map(|mailbox| mailbox.address().as_str().to_owned()),
            values_from: Vec::new(),
            headers: Vec::new(),
            attachments: Vec::new(),
            thread: None,
        };
        let shared = !self.cc.is_empty() || !self.bcc.is_empty();
        let spec = NotificationSpec {
            server_ref: self.server.clone(),
            to: self.to.iter().map(recipient).collect(),
            cc: self.cc.iter().map(named).collect(),
            bcc: self.bcc.iter().map(named).collect(),
            message: source,
            delivery: Delivery {
                mode: if shared { DeliveryMode::Shared } else { DeliveryMode::Individual },
                ..Delivery::default()
            },
        };
        let generate_name = self.name.is_none().then(|| self.generate.clone());
        let metadata = ObjectMeta {
            name: self.name.clone(),
            generate_name,
            namespace: flags.cluster.namespace.clone(),
            ..ObjectMeta::default()
        };
        Ok(Notification { metadata, spec, status: None })
    }

    fn content(&self, input: &mut Input) -> Result<Option<Content>, Failure> {
        let Some(subject) = self.subject.clone() else { return Ok(None) };
        let text = match &self.text_file {
            Some(path) => Some(input.read("--text-file", path)?),
            None => self.text.clone(),
        };
        let html = self.html_file.as_deref().map(|path| input.read("--html-file", path)).transpose()?;
        Ok(Some(Content { subject, text, html }))
    }

    async fn values(
        &self,
        input: &mut Input,
        flags: &Flags,
    ) -> Result<Option<crate::api::shared::Values>, Failure> {
        let Some(template) = &self.template else { return Ok(None) };
        let file = match &self.values_file {
            Some(path) => parse_file(&input.read("--values", path)?)?,
            None => crate::api::shared::Values::new(),
        };
        if self.values.is_empty() && file.is_empty() {
            return Ok(None);
        }
        values::typed(&self.values, file, template, flags).await.map(Some)
    }
}

/// Creates a Notification, unless it names what does not exist, and follows it, as far as that is wanted.
pub(super) async fn submit(
    cluster: &Cluster,
    notification: &Notification,
    dry_run: Option<DryRun>,
    wait: &Wait,
    flags: &Flags,
) -> Result<Exit, Failure> {
    references::exist(cluster, notification).await?;
    // Before the request: Ctrl-C meanwhile must not leave a Notification behind that nobody was told of.
    let interrupt = Interrupt::arm().await;
    let dry = dry_run == Some(DryRun::Server);
    let created = cluster.create(notification, dry).await?;
    let name = created.metadata.name.clone().unwrap_or_default();
    if dry {
        match flags.output {
            Some(format) => output::object(format, &created)?,
            None => output::say(format_args!(
                "notification.mail-operator.dev/{name} would be created (server dry run)"
            )),
        }
        return Ok(Exit::Good);
    }
    let created_as = format!("Notification {name} created in namespace {}", cluster.namespace);
    match flags.output {
        None => output::say_all(output::marked(Mark::Good, &created_as)),
        Some(_) => output::note(&created_as),
    }
    let (exit, latest) = if wait.no_wait {
        (Exit::Good, created)
    } else {
        follow(cluster, created, &interrupt, wait.timeout, flags.output.is_some()).await?
    };
    if let Some(format) = flags.output {
        output::object(format, &latest)?;
    } else if wait.no_wait {
        output::say(format_args!(
            "  to see what becomes of it: kubectl mail status {name} -n {}",
            cluster.namespace
        ));
    }
    Ok(exit)
}

/// Standard input, which can be read once.
#[derive(Default)]
struct Input {
    used: bool,
}

impl Input {
    fn read(&mut self, flag: &str, path: &Path) -> Result<String, Failure> {
        let failure = |error: std::io::Error| {
            Failure::new(Exit::Usage, format!("{flag}: reading {} failed: {error}", path.display()))
        };
        if path != Path::new("-") {
            return std::fs::read_to_string(path).map_err(failure);
        }
        if std::mem::replace(&mut self.used, true) {
            return Err(Failure::new(Exit::Usage, format!("{flag} -: standard input can be read only once")));
        }
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failure)?;
        Ok(text)
    }
}

fn recipient(mailbox: &Mailbox) -> Recipient {
    let NamedAddress { address, display_name } = named(mailbox);
    Recipient { address, display_name, locale: None, values: None }
}

fn named(mailbox: &Mailbox) -> NamedAddress {
    NamedAddress {
        address: mailbox.address().as_str().to_owned(),
        display_name: mailbox.display_name().map(str::to_owned),
    }
}

/// One address of a flag that may be repeated.
fn each(flag: &'static str) -> impl Fn(&str) -> Result<Mailbox, String> + Clone + std::marker::Send + Sync {
    move |text| match several(text).as_slice() {
        [] | [_] => mailbox(text),
        several => {
            let apart: Vec<_> = several.iter().map(|one| format!("{flag} '{one}'")).collect();
            Err(format!("one address for each {flag}: {}", apart.join(" ")))
        }
    }
}

/// The address of a flag that takes only one.
fn only(text: &str) -> Result<Mailbox, String> {
    match several(text).as_slice() {
        [] | [_] => mailbox(text),
        _ => Err("takes one address only".into()),
    }
}

/// The addresses of a list as mail programs write it: apart by `,` or `;`, which a name may hold as well.
fn several(text: &str) -> Vec<String> {
    let (mut quoted, mut parts) = (false, vec![String::new()]);
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(part) if quoted || !matches!(c, ',' | ';') || !part.contains('@') => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// `ada@corp.example` or `Ada Lovelace <ada@corp.example>`.
fn mailbox(text: &str) -> Result<Mailbox, String> {
    let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"').trim(), address),
        None => ("", text),
    };
    let name = (!name.is_empty()).then_some(name);
    Mailbox::parse(address.trim(), name).map_err(|(field, problem)| match field {
        "displayName" => format!("the name {problem}"),
        _ => problem.to_string(),
    })
}

fn reference(text: &str) -> Result<ObjectRef, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    let valid = |part: &str| !part.is_empty() && !part.contains('/');
    if !valid(name) || namespace.is_some_and(|namespace| !valid(namespace)) {
        return Err("must be NAME or NAMESPACE/NAME".into());
    }
    Ok(ObjectRef { name: name.into(), namespace: namespace.map(Into::into) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_address_for_each_flag() {
        for (text, expected) in [
            ("a@x.example, b@x.example", "one address for each --to: --to 'a@x.example' --to 'b@x.example'"),
            ("Ada <a@x.example>; Bob <b@x.example>", "--to 'Ada <a@x.example>' --to 'Bob <b@x.example>'"),
            (
                "Lovelace, Ada <a@x.example>, b@x.example",
                "--to 'Lovelace, Ada <a@x.example>' --to 'b@x.example'",
            ),
            (
                "\"A, at@home\" <a@x.example>,b@x.example",
                "--to '\"A, at@home\" <a@x.example>' --to 'b@x.example'",
            ),
        ] {
            let refusal = each("--to")(text).unwrap_err();
            assert!(refusal.contains(expected), "{refusal}");
            assert!(only(text).unwrap_err().contains("one address only"), "{text}");
        }
        for text in
            ["a@x.example", "a@x.example,", "Lovelace, Ada <a@x.example>", "\"b@y, Ada\" <a@x.example>"]
        {
            assert_eq!(several(text).len(), 1, "{text}");
            assert_eq!(each("--to")(text), mailbox(text));
        }
    }

    #[test]
    fn mailboxes() {
        for (text, expected) in [
            ("ada@corp.example", Some(("ada@corp.example", None))),
            ("Ada Lovelace <ada@corp.example>", Some(("ada@corp.example", Some("Ada Lovelace")))),
            ("\"Lovelace, Ada\" <ada@corp.example>", Some(("ada@corp.example", Some("Lovelace, Ada")))),
            ("<ada@corp.example>", Some(("ada@corp.example", None))),
            ("ada", None),
            ("Ada ada@corp.example", None),
            ("Ada <ada@corp.example", None),
            ("ada@corp.example, bob@corp.example", None),
        ] {
            let parsed = mailbox(text).ok();
            let parsed = parsed.as_ref().map(|parsed| (parsed.address().as_str(), parsed.display_name()));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
