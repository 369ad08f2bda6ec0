//! One object and its story: what it is, its conditions with their way out, its Events.

use crate::api::{ConditionType, MailServerConfig, MessageTemplate, Notification, Reason};
use crate::cli::cluster::{Cluster, Kind};
use crate::cli::failure::Exit;
use crate::cli::output::{self, BOLD, Cell, DIM, Mark, Table, ago, moment, paint};
use crate::cli::story;
use crate::domain::status::conditions::find;
use anstyle::Style;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Good once it was sent, or while it still may be.
pub fn notification_exit(notification: &Notification) -> Exit {
    let conditions =
        notification.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let failed = find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "False");
    if failed { Exit::Failed } else { Exit::Good }
}

/// Good if it is ready.
pub fn ready_exit(conditions: &[Condition]) -> Exit {
    let ready = find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True");
    if ready { Exit::Good } else { Exit::Failed }
}

/// The Events about an object, oldest first; none where they may not be seen.
pub async fn events<K: Kind>(cluster: &Cluster, object: &K) -> Vec<Event> {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    let fields = format!("involvedObject.uid={uid}");
    let mut found: Vec<Event> = cluster.list(Some(&cluster.namespace), &fields).await.unwrap_or_default();
    found.sort_by_key(seen_at);
    found
}

fn seen_at(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|Time(time)| *time);
    series.or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// A Notification.
pub fn notification(notification: &Notification, events: &[Event], now: Timestamp) -> Vec<String> {
    let mut page = Page::new("Notification", notification, now);
    let spec = &notification.spec;
    if let Some(status) = &notification.status {
        page.lines.extend(story::verdict(status));
        page.lines.extend(story::way_out(notification));
        let server = status.server.as_ref().map(|used| format!("{}/{}", used.namespace, used.name));
        let wanted = spec.server_ref.as_ref().map(|wanted| wanted.name.clone());
        page.fact("server", server.or(wanted));
        let used = status.template.as_ref().map(|used| match &used.locale {
            Some(locale) => format!("{} ({locale})", used.source),
            None => used.source.clone(),
        });
        let wanted = spec.message.template_ref.as_ref().map(|wanted| wanted.name.clone());
        page.fact("template", used.or(wanted));
        page.fact("subject", spec.message.content.as_ref().map(|content| content.subject.clone()));
        page.fact("attempts", status.attempts.map(|attempts| attempts.to_string()));
        page.time("send at", spec.delivery.send_at.as_ref());
        page.time("started", status.start_time.as_ref());
        page.time("next attempt", status.next_attempt_time.as_ref());
        page.time("finished", status.completion_time.as_ref());
        page.facts_end();
        page.heading("Recipients");
        page.indented(story::recipients(notification));
        page.conditions(&status.conditions);
    }
    page.events(events);
    page.lines
}

/// A MailServerConfig.
pub fn server(server: &MailServerConfig, events: &[Event], now: Timestamp) -> Vec<String> {
    let mut page = Page::new("MailServerConfig", server, now);
    let spec = &server.spec;
    let Some(status) = &server.status else {
        page.lines.extend(output::marked(Mark::Waiting, "the operator has not come to it"));
        return page.lines;
    };
    page.ready(&status.conditions);
    page.fact("host", status.server.as_ref().map(|facts| facts.host.clone()).or_else(|| spec.host.clone()));
    page.fact("login", status.auth.clone());
    page.fact("sender", Some(spec.sender.address.clone()));
    page.fact(
        "TLS",
        status.tls.as_ref().map(|tls| {
            let ends = tls.certificate.as_ref().and_then(|certificate| certificate.not_after.as_ref());
            let ends =
                ends.map(|time| format!(", certificate ends {}", ago(time.0, now))).unwrap_or_default();
            format!("{} {}{ends}", tls.version, tls.cipher_suite)
        }),
    );
    page.time("token ends", status.token.as_ref().and_then(|token| token.expires_at.as_ref()));
    page.fact("usage", status.usage.as_ref().map(super::overview::usage));
    page.time("verified", status.last_verification_time.as_ref());
    page.facts_end();
    page.conditions(&status.conditions);
    page.events(events);
    page.lines
}

/// A MessageTemplate.
pub fn template(template: &MessageTemplate, events: &[Event], now: Timestamp) -> Vec<String> {
    let mut page = Page::new("MessageTemplate", template, now);
    let Some(status) = &template.status else {
        page.lines.extend(output::marked(Mark::Waiting, "the operator has not come to it"));
        return page.lines;
    };
    page.ready(&status.conditions);
    page.fact("about", template.spec.description.clone());
    page.fact("languages", Some(status.locales.join(", ")));
    page.fact("names used", Some(status.names.join(", ")));
    page.facts_end();
    page.conditions(&status.conditions);
    page.events(events);
    page.lines
}

/// What is printed about one object.
struct Page {
    lines: Vec<String>,
    facts: Table,
    now: Timestamp,
}

impl Page {
    fn new<K: Kind>(kind: &str, object: &K, now: Timestamp) -> Self {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        let age = meta.creation_timestamp.as_ref().map(|Time(time)| format!(", created {}", ago(*time, now)));
        let place = format!(
            " in namespace {}{}",
            meta.namespace.as_deref().unwrap_or_default(),
            age.unwrap_or_default()
        );
        let lines = vec![format!("{kind} {}{}", paint(BOLD, name), paint(DIM, place))];
        Self { lines, facts: Table::new(&[]).indented(2), now }
    }

    fn fact(&mut self, label: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.facts.row([Cell::new(label, DIM), value.into()]);
        }
    }

    fn time(&mut self, label: &str, time: Option<&Time>) {
        self.fact(label, time.map(|time| moment(time.0, self.now)));
    }

    fn facts_end(&mut self) {
        let facts = std::mem::replace(&mut self.facts, Table::new(&[]).indented(2));
        self.lines.extend(facts.into_lines());
    }

    fn heading(&mut self, words: &str) {
        self.lines.push(String::new());
        self.lines.push(paint(BOLD, words));
    }

    fn indented(&mut self, lines: Vec<String>) {
        self.lines.extend(lines.into_iter().map(|line| format!("  {line}")));
    }

    /// `Ready` and its way out.
    fn ready(&mut self, conditions: &[Condition]) {
        let Some(ready) = find(conditions, ConditionType::Ready) else { return };
        let (mark, words) = match ready.status.as_str() {
            "True" => (Mark::Good, format!("ready: {}", ready.message)),
            "False" => (Mark::Bad, format!("not ready: {}: {}", ready.reason, ready.message)),
            _ => (Mark::Waiting, ready.message.clone()),
        };
        self.lines.extend(output::marked(mark, &words));
        if ready.status == "False" && Reason::parse(&ready.reason).is_some() {
            self.lines.push(format!("  more about it: kubectl mail explain {}", ready.reason));
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        self.heading("Conditions");
        let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]).indented(2);
        let ready = find(conditions, ConditionType::Ready).map(|ready| ready.message.as_str());
        for condition in conditions {
            let Condition { type_, status, reason, message, last_transition_time: Time(since), .. } =
                condition;
            // What every new Notification is given by the schema has no time.
            let since = if *since == Timestamp::UNIX_EPOCH { String::new() } else { ago(*since, self.now) };
            table.row([
                type_.as_str().into(),
                Cell::new(status.as_str(), style(type_, status)),
                reason.as_str().into(),
                since.into(),
                if type_ != "Ready" && ready == Some(message.as_str()) {
                    "as Ready".into()
                } else {
                    message.as_str().into()
                },
            ]);
        }
        self.lines.extend(table.into_lines());
    }

    fn events(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.heading("Events");
        let mut table = Table::new(&["WHEN", "TYPE", "REASON", "MESSAGE"]).indented(2);
        for event in events {
            let when = seen_at(event).map(|time| ago(time, self.now)).unwrap_or_default();
            let kind = event.type_.clone().unwrap_or_default();
            let style = if kind == "Warning" { output::WARN } else { Style::new() };
            table.row([
                when.into(),
                Cell::new(kind, style),
                event.reason.clone().unwrap_or_default().into(),
                event.message.clone().unwrap_or_default().into(),
            ]);
        }
        self.lines.extend(table.into_lines());
    }
}

/// Green is good, red is bad; abnormal conditions are there only while something is to be looked at.
fn style(type_: &str, status: &str) -> Style {
    let abnormal = matches!(
        type_,
        "InDoubt"
            | "Stalled"
            | "CredentialExpiring"
            | "RefreshTokenRotated"
            | "BasicAuthRetiring"
            | "PlaintextAuth"
            | "ConsentMissing"
            | "AnswersLost"
    );
    match (status, abnormal) {
        ("True", false) => output::GOOD,
        ("True", true) => output::WARN,
        ("False", false) => output::BAD,
        _ => DIM,
    }
}
