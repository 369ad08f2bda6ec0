//! What is played: what users do, and what the mail server does. Each waits for what has to come of it.

use crate::cluster::{Cluster, NOTIFICATIONS, SERVERS, TEMPLATES};
use crate::stage::{OURS, Stage};
use mail_operator::domain::binding::digest;
use mail_operator_testbed::scripted_smtp::{Builder, Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Two Notifications, one with two recipients.
    Send,
    /// The server refuses for a while.
    Retry,
    /// An answer is lost, and a person decides.
    Resolve,
    /// The process is killed before the answer; the next one takes over.
    TakeOver,
    /// Finished Notifications are removed.
    Removal,
    /// A Secret is replaced by a wrong one, and that by a right one.
    Rotation,
}

/// Passwords, and what only a recipient may see.
pub const SECRETS: [&str; 3] = ["canary-right-password", "canary-wrong-password", "canary-code"];
const USER: &str = "it@corp.example";

type Played = Result<(), String>;

impl Scenario {
    pub const ALL: [Self; 6] =
        [Self::Send, Self::Retry, Self::Resolve, Self::TakeOver, Self::Removal, Self::Rotation];

    /// Its name in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Retry => "retry",
            Self::Resolve => "resolve",
            Self::TakeOver => "take-over",
            Self::Removal => "removal",
            Self::Rotation => "rotation",
        }
    }

    /// Its mail server.
    pub fn mail_server(self, cluster: &Cluster) -> Builder {
        let builder = ScriptedSmtp::builder();
        match self {
            Self::Send | Self::Removal => builder,
            Self::Retry => builder.fault_at(Step::Rcpt, 1, Fault::reply("451 4.3.0 Later")),
            Self::Resolve => builder.fault_at(Step::Dot, 1, Fault::TakeThenEof),
            Self::TakeOver => builder.hold(Step::Dot),
            Self::Rotation => {
                let certificate = cluster.authority.server("localhost", &["127.0.0.1"]).unwrap();
                builder.starttls(certificate.server_config().unwrap()).login(USER, SECRETS[0])
            }
        }
    }

    /// Plays it.
    pub async fn play(self, stage: &Stage) -> Played {
        match self {
            Self::Send => send(stage).await,
            Self::Retry => retry(stage).await,
            Self::Resolve => resolve(stage).await,
            Self::TakeOver => take_over(stage).await,
            Self::Removal => removal(stage).await,
            Self::Rotation => rotation(stage).await,
        }
    }
}

/// A MailServerConfig `mail` for the server of the stage.
fn server(stage: &Stage, more: &Value) -> Value {
    let mut spec = json!({
        "host": "127.0.0.1", "port": stage.smtp.address().port(), "tls": { "mode": "Disabled" },
        "sender": { "address": USER }
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({ "apiVersion": OURS, "kind": SERVERS, "metadata": { "name": "mail" }, "spec": spec })
}

async fn send(stage: &Stage) -> Played {
    stage.notify("one", &["ada@corp.example"], json!({})).await;
    stage.create(server(stage, &json!({}))).await;
    let template = json!({
        "apiVersion": OURS, "kind": TEMPLATES, "metadata": { "name": "greeting" },
        "spec": { "subject": "Hello {{ name }}", "text": "Your code is {{ code }}.", "variables": [
            { "name": "name", "default": "you" }, { "name": "code", "required": true }
        ] }
    });
    stage.create(template).await;
    let code = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "code", "annotations": {
        "mail-operator.dev/allow-values": "true"
    } }, "stringData": { "code": SECRETS[2] } });
    stage.create(code).await;
    let from = json!([{ "name": "code", "secretKeyRef": { "name": "code", "key": "code" } }]);
    let message = json!({ "templateRef": { "name": "greeting" }, "valuesFrom": from });
    stage.notify_of("two", &["bob@corp.example", "eve@corp.example"], message, json!({})).await;
    stage.until_phase("one", "Sent").await?;
    stage.until_phase("two", "Sent").await.map(drop)
}

async fn retry(stage: &Stage) -> Played {
    stage.create(server(stage, &json!({}))).await;
    stage.notify("one", &["ada@corp.example", "bob@corp.example"], json!({})).await;
    stage.until_phase("one", "Sent").await.map(drop)
}

/// Whoever decides asks the mail server's administrator first, and is asked again as often as an answer is lost.
async fn resolve(stage: &Stage) -> Played {
    stage.create(server(stage, &json!({}))).await;
    stage.notify("one", &["ada@corp.example"], json!({ "onInDoubt": "Hold" })).await;
    for n in 1..=3 {
        let decided = |news: &Value| {
            news["status"]["phase"] == "Sent"
                || news["status"]["phase"] == "InDoubt"
                    && (n == 1 || news["status"]["lastHandledResolve"] == format!("resend-{}", n - 1))
        };
        let found = stage.until(NOTIFICATIONS, "one", "sent or in doubt", decided).await?;
        if found["status"]["phase"] == "Sent" {
            return Ok(());
        }
        let arrived = stage.smtp.copies_for("ada@corp.example") > 0;
        let decision = if arrived { "sent".into() } else { format!("resend-{n}") };
        stage.annotate(NOTIFICATIONS, "one", "mail-operator.dev/resolve", &decision).await;
        if arrived {
            break;
        }
    }
    stage.until_phase("one", "Sent").await.map(drop)
}

async fn take_over(stage: &Stage) -> Played {
    stage.create(server(stage, &json!({}))).await;
    stage.notify("one", &["ada@corp.example"], json!({})).await;
    stage.smtp.reached(Step::Dot).await;
    stage.end_and_start_operator();
    stage.smtp.cut(Step::Dot);
    stage.smtp.release(Step::Dot);
    stage.until_phase("one", "Sent").await?;
    stage.notify("two", &["bob@corp.example"], json!({})).await;
    stage.until_phase("two", "Sent").await.map(drop)
}

async fn removal(stage: &Stage) -> Played {
    stage.create(server(stage, &json!({}))).await;
    stage.notify("one", &["ada@corp.example"], json!({ "keepFor": "1s" })).await;
    stage.notify("two", &["bob@corp.example"], json!({ "keepFor": "1s" })).await;
    for (name, to) in [("one", "ada@corp.example"), ("two", "bob@corp.example")] {
        let gone = |object: &Value| object.is_null() && stage.smtp.copies_for(to) > 0;
        stage.until(NOTIFICATIONS, name, "gone", gone).await?;
    }
    Ok(())
}

async fn rotation(stage: &Stage) -> Played {
    let ca = stage.cluster.authority.pem();
    stage
        .create(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": { "ca.crt": ca } }))
        .await;
    stage
        .create(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "login", "annotations": {
                "mail-operator.dev/allowed-hosts": "127.0.0.1:*", "mail-operator.dev/allowed-ca": digest(ca)
            } },
            "stringData": { "password": SECRETS[0] }
        }))
        .await;
    let basic = json!({ "username": USER, "passwordSecretRef": { "name": "login", "key": "password" } });
    stage
        .create(server(stage, &json!({ "auth": { "basic": basic }, "tls": { "caRef": { "name": "ca" } } })))
        .await;
    stage.notify("one", &["ada@corp.example"], json!({})).await;
    stage.until_phase("one", "Sent").await?;
    for (n, password, ready) in [("1", SECRETS[1], "False"), ("2", SECRETS[0], "True")] {
        let secret = json!({ "stringData": { "password": password } });
        stage.cluster.patch(&stage.namespace, "v1", "Secret", "login", &secret).await;
        stage.annotate(SERVERS, "mail", "mail-operator.dev/verify-requested-at", n).await;
        let found = |server: &Value| condition(server, "Ready")["status"] == ready;
        stage.until(SERVERS, "mail", &format!("Ready={ready}"), found).await?;
    }
    stage.notify("two", &["bob@corp.example"], json!({})).await;
    stage.until_phase("two", "Sent").await.map(drop)
}

/// A condition of an object; null if there is none.
pub fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.cloned().unwrap_or_default()
}
