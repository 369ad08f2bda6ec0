//! `kubectl mail status`: servers and what waits behind them; or one object and its story.

mod object;
mod overview;

use crate::api::{MailServerConfig, MessageTemplate, Notification};
use crate::cli::cluster::Cluster;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::interrupt::Interrupt;
use crate::cli::output;
use clap::Args;
use jiff::Timestamp;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks of `--watch`.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Notification, or server/NAME, or template/NAME. Default: an overview of the namespace.
    #[arg(value_name = "NOTIFICATION")]
    name: Option<String>,
    /// The overview of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "name")]
    all_namespaces: bool,
    /// Look again every two seconds, until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
}

/// What is asked about.
enum About<'a> {
    Everything,
    Notification(&'a str),
    Server(&'a str),
    Template(&'a str),
}

impl Status {
    /// Prints it. Good if what was asked about is well.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let cluster = Cluster::open(&flags.cluster).await?;
        let about = self.about()?;
        if !self.watch {
            let (exit, lines) = self.look(&cluster, &about, flags).await?;
            output::say_all(lines);
            return Ok(exit);
        }
        let interrupt = Interrupt::arm().await;
        let terminal = std::io::stdout().is_terminal();
        let mut before = Vec::new();
        loop {
            tokio::select! {
                seen = self.look(&cluster, &about, flags) => {
                    let (_, lines) = seen?;
                    if terminal {
                        output::redraw(&lines);
                    } else if lines != before {
                        output::say_all(lines.clone());
                    }
                    before = lines;
                }
                () = interrupt.pressed() => return Ok(Exit::Good),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = interrupt.pressed() => return Ok(Exit::Good),
            }
        }
    }

    fn about(&self) -> Result<About<'_>, Failure> {
        let Some(name) = &self.name else { return Ok(About::Everything) };
        let Some((kind, name)) = name.split_once('/') else { return Ok(About::Notification(name)) };
        match kind.split('.').next().unwrap_or_default() {
            "notif" | "notification" | "notifications" => Ok(About::Notification(name)),
            "server" | "msc" | "mailserverconfig" | "mailserverconfigs" => Ok(About::Server(name)),
            "template" | "mt" | "messagetemplate" | "messagetemplates" => Ok(About::Template(name)),
            _ => Err(Failure::new(Exit::Usage, format!("there is no kind {kind}"))
                .next("write NAME of a Notification, server/NAME or template/NAME")),
        }
    }

    async fn look(
        &self,
        cluster: &Cluster,
        about: &About<'_>,
        flags: &Flags,
    ) -> Result<(Exit, Vec<String>), Failure> {
        let now = Timestamp::now();
        match about {
            About::Everything => {
                let namespace = (!self.all_namespaces).then_some(cluster.namespace.as_str());
                let seen = overview::look(cluster, namespace).await?;
                if let Some(format) = flags.output {
                    output::document(format, &seen.names().join("\n"), &seen)?;
                    return Ok((seen.exit(), Vec::new()));
                }
                Ok((seen.exit(), seen.lines(namespace, now)))
            }
            About::Notification(name) => {
                let found: Notification = cluster.get(name).await?;
                if let Some(format) = flags.output {
                    output::object(format, &found)?;
                    return Ok((object::notification_exit(&found), Vec::new()));
                }
                let events = object::events(cluster, &found).await;
                Ok((object::notification_exit(&found), object::notification(&found, &events, now)))
            }
            About::Server(name) => {
                let found: MailServerConfig = cluster.get(name).await?;
                let conditions =
                    found.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                if let Some(format) = flags.output {
                    output::object(format, &found)?;
                    return Ok((object::ready_exit(conditions), Vec::new()));
                }
                let events = object::events(cluster, &found).await;
                Ok((object::ready_exit(conditions), object::server(&found, &events, now)))
            }
            About::Template(name) => {
                let found: MessageTemplate = cluster.get(name).await?;
                let conditions =
                    found.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                if let Some(format) = flags.output {
                    output::object(format, &found)?;
                    return Ok((object::ready_exit(conditions), Vec::new()));
                }
                let events = object::events(cluster, &found).await;
                Ok((object::ready_exit(conditions), object::template(&found, &events, now)))
            }
        }
    }
}
