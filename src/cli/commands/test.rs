//! `kubectl mail test`: asks the operator for a verification now and shows the stages as they pass or fail. Nothing is
//! sent, and nothing is contacted from here: what counts is what the operator sees.

use crate::api::mail_server_config::MailServerConfigStatus;
use crate::api::names::VERIFY_REQUESTED_AT;
use crate::api::{ConditionType, MailServerConfig, Reason};
use crate::cli::cluster::{Cluster, Follow, Vigil};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, duration};
use crate::cli::output::{self, BOLD, Mark, paint};
use crate::domain::status::conditions::find;
use crate::domain::verification::STAGES;
use clap::Args;
use jiff::Timestamp;
use std::time::Duration;

/// Options of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// MailServerConfig to test.
    #[arg(value_name = "SERVER", default_value = "default")]
    server: String,
    /// Test every MailServerConfig of the namespace.
    #[arg(long, conflicts_with = "server")]
    all: bool,
    /// Longest wait for the verification of one server.
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

impl Test {
    /// Tests; good if all are ready.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        let servers: Vec<MailServerConfig> = if self.all {
            cluster.list(Some(&cluster.namespace), "").await?
        } else {
            vec![cluster.get(&self.server).await?]
        };
        if servers.is_empty() {
            let message = format!("there is no MailServerConfig in namespace {}", cluster.namespace);
            return Err(Failure::new(Exit::Failed, message)
                .next("kubectl get msc -A shows those of other namespaces"));
        }
        let mut exit = Exit::Good;
        for (at, server) in servers.into_iter().enumerate() {
            if at > 0 && flags.output.is_none() {
                output::say("");
            }
            let mut shown = Shown { quiet: flags.output.is_some(), stages: 0 };
            shown.heading(&server);
            let tested = verify(&cluster, server, &mut shown, self.timeout).await?;
            if !shown.verdict(&tested) {
                exit = Exit::Failed;
            }
            if let Some(format) = flags.output {
                output::object(format, &tested)?;
            }
        }
        Ok(exit)
    }
}

/// Has a server verified; returns it with the result in its status.
async fn verify(
    cluster: &Cluster,
    server: MailServerConfig,
    shown: &mut Shown,
    timeout: Duration,
) -> Result<MailServerConfig, Failure> {
    if server.spec.suspend {
        return Ok(server);
    }
    let name = server.metadata.name.clone().unwrap_or_default();
    let word = Timestamp::now().to_string();
    let mut latest: MailServerConfig = cluster.annotate(&name, VERIFY_REQUESTED_AT, &word).await?;
    let mut follow = Follow::new(cluster, &latest);
    let mut vigil = Vigil::begin();
    let deadline = tokio::time::sleep(timeout);
    let mut deadline = std::pin::pin!(deadline);
    loop {
        if latest.spec.suspend || is_answered(&latest, &word) {
            return Ok(latest);
        }
        if let Some(status) = &latest.status {
            shown.passed(status);
        }
        tokio::select! {
            news = follow.next() => {
                latest = news?.ok_or_else(|| Failure::new(Exit::Failed, format!("{name} was deleted")))?;
                vigil.comfort();
            }
            () = vigil.keep(cluster) => {}
            () = &mut deadline => {
                let message = format!("{name} was not verified within {timeout:?}");
                return Err(Failure::new(Exit::TimedOut, message).next(format!(
                    "--timeout waits longer; the operator's log says what it does: kubectl -n {} logs deploy/mail-operator",
                    cluster.operator_namespace
                )));
            }
        }
    }
}

/// Whether this request was obeyed, or never will be because the spec cannot be used.
fn is_answered(server: &MailServerConfig, word: &str) -> bool {
    let Some(status) = &server.status else { return false };
    let current = status.observed_generation == server.metadata.generation;
    let reason =
        find(&status.conditions, ConditionType::Ready).and_then(|ready| Reason::parse(&ready.reason));
    let unusable = matches!(reason, Some(Reason::InvalidSpec | Reason::Undecodable));
    status.last_handled_verify_request.as_deref() == Some(word) || current && unusable
}

/// What stands on the screen so far.
struct Shown {
    quiet: bool,
    stages: usize,
}

impl Shown {
    fn heading(&self, server: &MailServerConfig) {
        if self.quiet {
            return;
        }
        let name = server.metadata.name.as_deref().unwrap_or_default();
        let host =
            server.status.as_ref().and_then(|status| status.server.as_ref()).map(|server| &*server.host);
        let host = host.or(server.spec.host.as_deref()).map(|host| format!(" ({host})")).unwrap_or_default();
        output::say(format_args!("Testing {}{host}", paint(BOLD, name)));
    }

    /// The stages that a verification under way has passed.
    fn passed(&mut self, status: &MailServerConfigStatus) {
        let under_way = status.conditions.iter().any(|condition| {
            condition.reason == Reason::Verifying.as_str()
                && STAGES.iter().any(|stage| stage.as_str() == condition.type_)
        });
        if under_way {
            self.stages(status, |reason| {
                reason == Reason::Verifying.as_str() || reason == Reason::Pending.as_str()
            });
        }
    }

    /// Prints stages, from the first that is not printed yet to the first that `is_open`.
    fn stages(&mut self, status: &MailServerConfigStatus, is_open: impl Fn(&str) -> bool) {
        for stage in STAGES.into_iter().skip(self.stages) {
            let Some(condition) = find(&status.conditions, stage) else {
                self.stages += 1; // not a stage of this server
                continue;
            };
            if is_open(&condition.reason) {
                return;
            }
            self.stages += 1;
            if self.quiet {
                continue;
            }
            // What the spec leaves out is no failure.
            let fine = condition.status == "True" || condition.reason == Reason::TLSDisabled.as_str();
            let mark = match (condition.status.as_str(), fine) {
                (_, true) => Mark::Good,
                ("False", false) => Mark::Bad,
                _ => Mark::Skipped,
            };
            let reason = if mark == Mark::Bad { format!("{}: ", condition.reason) } else { String::new() };
            let stage = stage.as_str();
            output::say_all(output::marked(mark, &format!("{stage:<19} {reason}{}", condition.message)));
        }
    }

    /// Prints what is left, and whether the server is ready.
    fn verdict(&mut self, server: &MailServerConfig) -> bool {
        let name = server.metadata.name.as_deref().unwrap_or_default();
        let namespace = server.metadata.namespace.as_deref().unwrap_or_default();
        let lines = if server.spec.suspend {
            let mut lines = output::marked(
                Mark::Bad,
                &format!("{name} is suspended: neither verified nor used; mail waits"),
            );
            lines.push(format!(
                "  to go on: kubectl patch msc {name} -n {namespace} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'"
            ));
            lines
        } else if let Some(status) = &server.status {
            self.stages(status, |_| false);
            verdict(name, status)
        } else {
            Vec::new()
        };
        if !self.quiet {
            output::say_all(lines);
        }
        is_ready(server)
    }
}

fn verdict(name: &str, status: &MailServerConfigStatus) -> Vec<String> {
    use ConditionType::{
        AnswersLost, BasicAuthRetiring, ConsentMissing, CredentialExpiring, PlaintextAuth,
        RefreshTokenRotated,
    };
    let mut lines = Vec::new();
    for warning in [
        CredentialExpiring,
        RefreshTokenRotated,
        BasicAuthRetiring,
        PlaintextAuth,
        ConsentMissing,
        AnswersLost,
    ] {
        if let Some(condition) = find(&status.conditions, warning) {
            lines.extend(output::marked(
                Mark::Warning,
                &format!("{}: {}", warning.as_str(), condition.message),
            ));
        }
    }
    match find(&status.conditions, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => {
            lines.extend(output::marked(Mark::Good, &format!("{name} is ready: {}", ready.message)));
        }
        Some(ready) => {
            // The stage above has said it, unless it is about something else.
            let told = STAGES.iter().any(|stage| {
                find(&status.conditions, *stage).is_some_and(|stage| stage.message == ready.message)
            });
            let message =
                if told { ready.reason.clone() } else { format!("{}: {}", ready.reason, ready.message) };
            lines.extend(output::marked(Mark::Bad, &format!("{name} is not ready: {message}")));
            lines.push(format!("  more about it: kubectl mail explain {}", ready.reason));
        }
        None => {
            lines.extend(output::marked(Mark::Bad, &format!("{name} is not ready: its status says nothing")));
        }
    }
    lines
}

/// Whether mail goes through it.
fn is_ready(server: &MailServerConfig) -> bool {
    let conditions = server.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    !server.spec.suspend && find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True")
}
