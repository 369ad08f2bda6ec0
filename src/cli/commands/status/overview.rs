//! The overview of a namespace, or of all: servers, what waits behind each, and what failed lately, by reason.

use crate::api::mail_server_config::Usage;
use crate::api::status::Phase;
use crate::api::{ConditionType, MailServerConfig, Notification, Reason};
use crate::cli::cluster::Cluster;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, BOLD, Cell, Mark, Table, ago, paint, span};
use crate::domain::status::conditions::find;
use anstyle::Style;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Overview {
    servers: Vec<ServerLine>,
    #[serde(rename = "decisionsNeeded")]
    decisions: Vec<String>,
    failures: Vec<Failures>,
}

/// One server and what waits behind it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerLine {
    namespace: String,
    name: String,
    /// `None`: there is no such server.
    ready: Option<String>,
    reason: String,
    message: String,
    waiting: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// What failed for one reason.
#[derive(Debug, Serialize)]
struct Failures {
    reason: String,
    count: usize,
    latest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

/// Looks at one namespace, or at all.
pub async fn look(cluster: &Cluster, namespace: Option<&str>) -> Result<Overview, Failure> {
    let servers: Vec<MailServerConfig> = cluster.list(namespace, "").await?;
    let notifications: Vec<Notification> = cluster.list(namespace, "").await?;
    Ok(summarise(&servers, &notifications))
}

fn summarise(servers: &[MailServerConfig], notifications: &[Notification]) -> Overview {
    let mut lines: BTreeMap<(String, String), ServerLine> = servers.iter().map(line).collect();
    let mut decisions = Vec::new();
    let mut failures: BTreeMap<String, Failures> = BTreeMap::new();
    for notification in notifications {
        let (namespace, name) = key(&notification.metadata);
        let status = notification.status.as_ref();
        let phase = status.map(|status| status.phase).unwrap_or_default();
        let created = notification.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let ready = status.and_then(|status| find(&status.conditions, ConditionType::Ready));
        let restored = ready.is_some_and(|ready| ready.reason == Reason::RestoredFromBackup.as_str());
        match phase {
            Phase::Sent => {}
            Phase::InDoubt => decisions.push(format!("{namespace}/{name}")),
            Phase::Pending if restored => decisions.push(format!("{namespace}/{name}")),
            Phase::Pending => {
                let wanted = notification.spec.server_ref.as_ref();
                let server = (
                    wanted.and_then(|wanted| wanted.namespace.clone()).unwrap_or_else(|| namespace.clone()),
                    wanted.map_or_else(|| "default".to_owned(), |wanted| wanted.name.clone()),
                );
                let line = lines.entry(server.clone()).or_insert_with(|| elsewhere(server));
                line.waiting += 1;
                line.oldest = [line.oldest, created].into_iter().flatten().min();
            }
            Phase::PartiallySent | Phase::Failed | Phase::Expired => {
                let reason = ready.map(|ready| ready.reason.clone()).unwrap_or_default();
                let at = status.and_then(|status| status.completion_time.as_ref()).map(|time| time.0);
                let latest = format!("{namespace}/{name}");
                let line = failures.entry(reason.clone()).or_insert(Failures {
                    reason,
                    count: 0,
                    latest: String::new(),
                    at: None,
                });
                line.count += 1;
                if line.latest.is_empty() || at >= line.at {
                    (line.latest, line.at) = (latest, at);
                }
            }
        }
    }
    let mut failures: Vec<_> = failures.into_values().collect();
    failures.sort_by_key(|line| std::cmp::Reverse(line.count));
    Overview { servers: lines.into_values().collect(), decisions, failures }
}

fn key(metadata: &kube::api::ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn line(server: &MailServerConfig) -> ((String, String), ServerLine) {
    let (namespace, name) = key(&server.metadata);
    let status = server.status.as_ref();
    let ready = status.and_then(|status| find(&status.conditions, ConditionType::Ready));
    let line = ServerLine {
        namespace: namespace.clone(),
        name: name.clone(),
        ready: Some(ready.map_or_else(|| "Unknown".into(), |ready| ready.status.clone())),
        reason: ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
        message: ready
            .map_or_else(|| "the operator has not come to it".into(), |ready| ready.message.clone()),
        waiting: 0,
        oldest: None,
        usage: status.and_then(|status| status.usage.clone()),
    };
    ((namespace, name), line)
}

/// Mail waits for a server that is not among those seen.
fn elsewhere((namespace, name): (String, String)) -> ServerLine {
    ServerLine {
        namespace,
        name,
        ready: None,
        reason: String::new(),
        message: "not in this namespace: there is none, or it is the operator's default server".into(),
        waiting: 0,
        oldest: None,
        usage: None,
    }
}

/// What of the limits is used, in a few words.
pub fn usage(usage: &Usage) -> String {
    let Usage {
        connections,
        connections_allowed,
        messages_last_minute,
        recipients_last_day,
        exhausted_until,
    } = usage;
    let exhausted =
        exhausted_until.as_ref().map(|time| format!(", used up until {:.0}", time.0)).unwrap_or_default();
    format!(
        "{connections}/{connections_allowed} conn, {messages_last_minute}/min, {recipients_last_day}/day{exhausted}"
    )
}

impl Overview {
    /// Bad if a server is not ready, or a person is needed.
    pub fn exit(&self) -> Exit {
        let well = self.servers.iter().all(|server| server.ready.as_deref() == Some("True"));
        if well && self.decisions.is_empty() { Exit::Good } else { Exit::Failed }
    }

    /// The servers' names, for `-o name`.
    pub fn names(&self) -> Vec<String> {
        let known = self.servers.iter().filter(|server| server.ready.is_some());
        known.map(|server| format!("mailserverconfig.mail-operator.dev/{}", server.name)).collect()
    }

    /// For people.
    pub fn lines(&self, namespace: Option<&str>, now: Timestamp) -> Vec<String> {
        let place = namespace
            .map_or_else(|| "in any namespace".into(), |namespace| format!("in namespace {namespace}"));
        if self.servers.is_empty() && self.failures.is_empty() && self.decisions.is_empty() {
            return output::wrap(
                &format!("there is no MailServerConfig and no Notification {place} (-n NAME, or -A for all)"),
                0,
            );
        }
        let mut lines = vec![paint(BOLD, "Servers")];
        let mut table =
            Table::new(&["", "NAMESPACE", "SERVER", "WAITING", "OLDEST", "USAGE", "STATUS"]).indented(2);
        for server in &self.servers {
            let (mark, style) = match server.ready.as_deref() {
                Some("True") => (Mark::Good, Style::new()),
                Some("Unknown") => (Mark::Waiting, Style::new()),
                _ => (Mark::Bad, Style::new()),
            };
            let words = if server.ready.as_deref() == Some("False") {
                format!("{}: {}", server.reason, server.message)
            } else {
                server.message.clone()
            };
            table.row([
                Cell::marked(mark),
                if namespace.is_none() { server.namespace.as_str().into() } else { "".into() },
                server.name.as_str().into(),
                server.waiting.to_string().into(),
                server.oldest.map(|oldest| span(now.duration_since(oldest))).unwrap_or_default().into(),
                server.usage.as_ref().map(usage).unwrap_or_default().into(),
                Cell::new(words, style),
            ]);
        }
        lines.extend(table.into_lines());
        if !self.decisions.is_empty() {
            lines.extend([String::new(), paint(BOLD, "In doubt: a person has to decide")]);
            for name in &self.decisions {
                let (namespace, name) = name.split_once('/').unwrap_or_default();
                let words = format!("{name}: kubectl mail resolve {name} -n {namespace} --sent, or --resend");
                lines.extend(
                    output::marked(Mark::Warning, &words).into_iter().map(|line| format!("  {line}")),
                );
            }
        }
        if !self.failures.is_empty() {
            lines.extend([String::new(), paint(BOLD, "Failed lately")]);
            let mut table = Table::new(&["REASON", "COUNT", "LATEST", "WHEN"]).indented(2);
            for line in &self.failures {
                let (of, name) = line.latest.split_once('/').unwrap_or_default();
                table.row([
                    line.reason.as_str().into(),
                    line.count.to_string().into(),
                    if namespace == Some(of) { name.into() } else { line.latest.as_str().into() },
                    line.at.map(|at| ago(at, now)).unwrap_or_default().into(),
                ]);
            }
            lines.extend(table.into_lines());
        }
        lines
    }
}
