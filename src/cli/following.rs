//! Following a Notification until nothing more happens without a person: recipients are shown as their fate is known,
//! and whatever it waits for is said.

use crate::api::status::{Phase, RecipientState, RecipientStatus};
use crate::api::{ConditionType, MailServerConfig, Notification};
use crate::cli::cluster::{Cluster, Follow, Vigil};
use crate::cli::failure::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Mark};
use crate::cli::story;
use crate::domain::status::conditions::find;
use crate::domain::status::notification::reports_obstacle;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this long without news the mail server is looked at.
const WONDER: Duration = Duration::from_secs(2);

/// An obstacle that stays for this long is nothing that is just being applied.
const GRACE: Duration = Duration::from_secs(5);

/// Shows what happens to a Notification until it is finished, stands still, or `timeout` has passed. Good only if it was
/// sent to everybody.
pub async fn follow(
    cluster: &Cluster,
    notification: Notification,
    interrupt: &Interrupt,
    timeout: Duration,
    quiet: bool,
) -> Result<(Exit, Notification), Failure> {
    let name = notification.metadata.name.clone().unwrap_or_default();
    let mut news = Follow::new(cluster, &notification);
    let mut screen = Screen { quiet, ..Screen::default() };
    let mut latest = notification;
    let mut vigil = Vigil::begin();
    let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
    let mut wonder = std::pin::pin!(tokio::time::sleep(WONDER));
    let mut asked = false;
    let mut given_up: Option<tokio::time::Instant> = None;
    loop {
        screen.show(&latest);
        given_up =
            screen.obstacle.as_ref().map(|_| given_up.unwrap_or_else(|| tokio::time::Instant::now() + GRACE));
        if let Some(exit) = end(&latest) {
            screen.end(&latest);
            return Ok((exit, latest));
        }
        tokio::select! {
            object = news.next() => {
                let gone = || Failure::new(Exit::Failed, format!("Notification {name} was deleted before it was finished"));
                latest = object?.ok_or_else(gone)?;
                vigil.comfort();
            }
            () = &mut wonder, if !asked => {
                asked = true;
                let trouble = server_trouble(cluster, &latest).await;
                output::note(&trouble.unwrap_or_else(|| "waiting for the operator to send it".into()));
            }
            () = vigil.keep(cluster) => {}
            () = sleep_until(given_up) => {
                screen.end(&latest);
                output::note("it goes out by itself once that is mended");
                return Ok((Exit::Failed, latest));
            }
            () = &mut deadline => {
                let message = format!("Notification {name} is not finished after {timeout:?}");
                return Err(Failure::new(Exit::TimedOut, message)
                    .next(format!("it goes on by itself: {}", hints(&name, &cluster.namespace))));
            }
            () = interrupt.pressed() => {
                output::note(&format!(
                    "Notification {name} goes on without us: {}; to cancel what is not sent yet: kubectl delete notif {name} -n {}",
                    hints(&name, &cluster.namespace),
                    cluster.namespace
                ));
                return Ok((Exit::Interrupted, latest));
            }
        }
    }
}

/// For ever, if there is no such time.
async fn sleep_until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn hints(name: &str, namespace: &str) -> String {
    format!("kubectl mail status {name} -n {namespace} shows how")
}

/// The exit code once nothing more happens by itself.
fn end(notification: &Notification) -> Option<Exit> {
    let status = notification.status.as_ref()?;
    let stalled =
        find(&status.conditions, ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True");
    match status.phase {
        Phase::Sent => Some(Exit::Good),
        _ if status.finished || stalled || status.phase == Phase::InDoubt => Some(Exit::Failed),
        _ => None,
    }
}

/// What stands on the screen so far.
#[derive(Default)]
struct Screen {
    quiet: bool,
    recipients: BTreeMap<String, (RecipientState, Option<String>)>,
    obstacle: Option<String>,
}

impl Screen {
    /// Shows what is new: recipients whose fate is another one, an obstacle that was not there before.
    fn show(&mut self, notification: &Notification) {
        let Some(status) = &notification.status else { return };
        let few = status.recipients.len() <= 20;
        for recipient in &status.recipients {
            let RecipientStatus { address, state, message, .. } = recipient;
            let told = (*state, message.clone());
            if self.recipients.get(address) == Some(&told) {
                continue;
            }
            self.recipients.insert(address.clone(), told);
            if !self.quiet && (few || *state != RecipientState::Accepted) {
                output::say_all(story::recipient(recipient));
            }
        }
        let ready = find(&status.conditions, ConditionType::Ready)
            .filter(|_| !status.finished && reports_obstacle(Some(status)));
        let obstacle = ready.map(|ready| format!("{}: {}", ready.reason, ready.message));
        if obstacle != self.obstacle && end(notification).is_none() {
            if let Some(obstacle) = obstacle.as_ref().filter(|_| !self.quiet) {
                output::say_all(output::marked(Mark::Waiting, obstacle));
            }
            self.obstacle = obstacle;
        }
    }

    fn end(&self, notification: &Notification) {
        if let Some(status) = notification.status.as_ref().filter(|_| !self.quiet) {
            output::say_all(story::verdict(status));
            output::say_all(story::way_out(notification));
        }
    }
}

/// Waiting for a server costs no write, so the status does not show it: the server itself is asked.
async fn server_trouble(cluster: &Cluster, notification: &Notification) -> Option<String> {
    let wanted = notification.spec.server_ref.as_ref();
    let name = wanted.map_or("default", |reference| reference.name.as_str());
    let namespace = wanted.and_then(|reference| reference.namespace.as_deref()).unwrap_or(&cluster.namespace);
    let server: MailServerConfig = cluster.find(namespace, name).await.ok()??;
    let ready = find(&server.status.as_ref()?.conditions, ConditionType::Ready)?;
    (ready.status == "False").then(|| {
        format!(
            "waiting for the mail server {namespace}/{name}, which is not ready: {}: {}",
            ready.reason, ready.message
        )
    })
}
