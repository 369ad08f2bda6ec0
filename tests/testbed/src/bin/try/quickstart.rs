//! `examples/quickstart/` in the cluster: applied with the inbox's address, certificate and login filled in; what came of it.

use crate::{
    Result,
    scene::{ROOT, Scene},
};
use mail_operator_testbed::{progress, scratch::Scratch};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The example's files.
const FILES: [&str; 3] = ["server.yaml", "template.yaml", "notification.yaml"];
/// Names that the example's files give to their objects.
const SERVER: &str = "company-mail";
const SECRET: &str = "mail-login";
const NOTIFICATION: &str = "welcome-ada";
/// Where the objects go: whoever types `kubectl get notif` sees them.
const NAMESPACE: &str = "default";
/// The first mail takes a second; a wrong server shows within ten.
const LIMIT: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// What came of the example's Notification.
pub enum Outcome {
    /// The inbox's server has accepted the mail.
    Sent,
    /// It has not, for this reason.
    NotSent(String),
}

/// Applies the example by a kustomize overlay, as one would for a cluster of one's own.
pub async fn apply(scene: &Scene) -> Result<()> {
    let overlay = Scratch::new("quickstart")?;
    let example = Path::new(ROOT).join("examples/quickstart");
    for name in FILES {
        fs::copy(example.join(name), overlay.join(name))?;
    }
    overlay.write("ca.crt", scene.ca.pem())?;
    overlay.write("kustomization.yaml", kustomization(scene).to_string())?;
    let folder = overlay.path().to_string_lossy();
    print!("{}", scene.plane.kubectl(&["apply", "--server-side", "-k", &folder]).await?.success()?);
    Ok(())
}

/// What the example cannot know: where the inbox is, who has signed its certificate, and its login.
fn kustomization(scene: &Scene) -> Value {
    const CA: &str = "inbox-ca";
    let inbox = scene.inbox.smtp_address();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "annotations": { "mail-operator.dev/allowed-hosts": inbox.to_string() },
        },
        // The CA in the Secret is the one that it permits.
        "stringData": { "password": scene.login.password, "ca.crt": scene.ca.pem() },
    });
    let server = json!({
        "apiVersion": "mail-operator.dev/v1alpha1",
        "kind": "MailServerConfig",
        "metadata": { "name": SERVER },
        "spec": {
            "host": inbox.ip(),
            "port": inbox.port(),
            "tls": { "caRef": { "kind": "ConfigMap", "name": CA, "key": "ca.crt" } },
            "auth": { "basic": { "username": scene.login.user } },
        },
    });
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": FILES,
        "configMapGenerator": [{ "name": CA, "files": ["ca.crt"], "options": { "disableNameSuffixHash": true } }],
        "patches": [{ "patch": secret.to_string() }, { "patch": server.to_string() }],
    })
}

/// Waits for the end of the Notification, or for as long as a first mail may take.
pub async fn outcome(scene: &Scene) -> Result<Outcome> {
    progress::during("waiting for the Notification to be sent", async {
        let start = Instant::now();
        loop {
            let notification = object(scene, "notifications", NOTIFICATION).await?;
            let phase = notification.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
            if phase == "Sent" {
                return Ok(Outcome::Sent);
            }
            let finished = notification.pointer("/status/finished") == Some(&Value::Bool(true));
            if finished || start.elapsed() > LIMIT {
                return Ok(Outcome::NotSent(reason(scene, &notification).await?));
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// Prints the message as the inbox holds it.
pub async fn show_message(scene: &Scene) -> Result<()> {
    let messages = scene.inbox.wait_for(1, LIMIT).await?;
    for message in messages {
        println!("\nThe message, as the inbox holds it:\n\n{}", scene.inbox.raw(&message.id).await?);
    }
    Ok(())
}

/// Prints what `kubectl get` shows.
pub async fn show_objects(scene: &Scene) -> Result<()> {
    println!("kubectl get msc,mt,notif -A\n");
    print!("{}", scene.plane.kubectl(&["get", "msc,mt,notif", "-A"]).await?.success()?);
    Ok(())
}

/// Everything that can explain why there was no mail.
async fn reason(scene: &Scene, notification: &Value) -> Result<String> {
    let server = object(scene, "mailserverconfigs", SERVER).await?;
    Ok(format!(
        "No mail was sent.\n\nNotification {NOTIFICATION}:\n{}\nMailServerConfig {SERVER}:\n{}\nThe operator's last words:\n{}",
        conditions(notification),
        conditions(&server),
        scene.operator.log_tail(20)
    ))
}

async fn object(scene: &Scene, plural: &str, name: &str) -> Result<Value> {
    let path = format!("/apis/mail-operator.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}/{name}");
    Ok(serde_json::from_str(&scene.plane.get(&path).await?)?)
}

/// One line for each condition.
fn conditions(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut lines = String::new();
    for condition in conditions.into_iter().flatten() {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ =
            writeln!(lines, "  {}={} {}: {}", text("type"), text("status"), text("reason"), text("message"));
    }
    if lines.is_empty() { "  no conditions yet\n".to_owned() } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_shown_one_a_line() {
        let condition =
            json!({ "type": "Ready", "status": "False", "reason": "SecretNotBound", "message": "do this" });
        let object = json!({ "status": { "conditions": [condition] } });
        assert_eq!(conditions(&object), "  Ready=False SecretNotBound: do this\n");
        assert_eq!(conditions(&json!({})), "  no conditions yet\n");
    }
}
