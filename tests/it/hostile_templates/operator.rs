//! The real operator with templates that run away in one namespace: the mail of another one goes on, before and after a
//! restart, and everything about them is told and can be mended. What the commands make of them.

use super::twice;
use crate::cluster::apart;
use crate::crash::{LogsOnFailure, Scene, TAKEOVER, healthy};
use crate::kubectl_mail::{Call, home};
use crate::notifications::{from_template, says, template};
use crate::objects::condition;
use mail_operator_testbed::Operator;
use mail_operator_testbed::scripted_smtp::ScriptedSmtp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longest that another namespace's mail may take, on a machine that is busy with other tests as well.
const PROMPT: Duration = Duration::from_secs(10);

/// Which of them it is depends on how busy the machine is.
const LIMITS: [&str; 2] = ["TimeLimitExceeded", "MemoryLimitExceeded"];

fn attacks() -> Vec<Value> {
    let width = "{{ {\"a\":1}|tojson(indent=2000000000)|length }}";
    let hidden = format!("{{% if name == 'go' %}}{}{{{{ x == y }}}}{{% endif %}}", twice());
    vec![
        template("eq", json!({ "subject": "s", "text": twice() + "{{ x == y }}" })),
        template("width", json!({ "subject": "s", "text": width })),
        template("hidden", json!({ "subject": "s", "text": hidden, "variables": [{ "name": "name" }] })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_templates_stop_nobody_elses_mail() {
    let plane = apart().await;
    let (bad, good) = (Scene::new(plane, "hostile").await, Scene::new(plane, "hostile-good").await);
    let smtp = healthy().await;
    for scene in [&bad, &good] {
        scene.server("default", smtp.address()).await;
    }
    let greeting =
        json!({ "subject": "Hello {{ name }}", "text": "There.", "variables": [{ "name": "name" }] });
    good.space.put(&[template("greeting", greeting)]).await;
    let both = ["--namespace", "hostile-good"];
    let operator = bad.operator(&both);
    goes_on(&good, &operator, &smtp, "before", TAKEOVER).await;

    bad.space.put(&attacks()).await;
    for n in 0..5 {
        let more = json!({ "message": { "values": { "name": "go" } } });
        bad.space.put(&[from_template(&format!("hidden-{n}"), "hidden", "eve@corp.example", more)]).await;
        goes_on(&good, &operator, &smtp, &format!("meanwhile-{n}"), PROMPT).await;
    }

    let logs = LogsOnFailure(vec![&operator]);
    for name in ["eq", "width"] {
        let ended = |found: &Value| LIMITS.iter().any(|limit| condition(found, "Ready")["reason"] == *limit);
        let found = bad.space.until("messagetemplates", name, "told", ended).await;
        let ready = condition(&found, "Ready");
        assert_eq!(ready["status"], "False");
        let message = ready["message"].as_str().unwrap();
        assert!(message.starts_with("en text: takes more"), "{name}: {message}");
    }
    let found = bad.until("hidden-0", "told", |found| condition(found, "Ready")["status"] == "False").await;
    says(&found, "Ready", "False", "TimeLimitExceeded", &["en text"]);
    goes_on(&good, &operator, &smtp, "after", PROMPT).await;
    drop(logs);

    // A restart with them there.
    operator.term().unwrap();
    operator.wait_exit(TAKEOVER).await.unwrap();
    let operator = bad.operator(&both);
    let _logs = LogsOnFailure(vec![&operator]);
    operator.until_ready(TAKEOVER).await.unwrap();
    goes_on(&good, &operator, &smtp, "restarted", TAKEOVER).await;
    assert_eq!(smtp.copies_for("eve@corp.example"), 0, "nothing of what ran away is sent");

    // What is deleted is gone, what is mended can be used, by the same tenant.
    bad.space.kubectl(&["delete", "messagetemplate", "eq", "width"]).await;
    let mended = json!({ "subject": "s", "text": "Hello {{ name }}", "variables": [{ "name": "name" }] });
    bad.space
        .put(&[template("eq", json!({ "subject": "s", "text": "ok" })), template("hidden", mended)])
        .await;
    for name in ["eq", "hidden"] {
        bad.space
            .until("messagetemplates", name, "usable", |found| {
                condition(found, "Ready")["status"] == "True"
                    && found["status"]["observedGeneration"] == found["metadata"]["generation"]
            })
            .await;
    }
    bad.space.put(&[from_template("mended", "eq", "eve@corp.example", json!({}))]).await;
    for name in ["mended", "hidden-0", "hidden-4"] {
        bad.until_phase(name, "Sent").await;
    }
}

/// Sends something from a template, and looks at `/livez`.
async fn goes_on(good: &Scene, operator: &Operator, smtp: &ScriptedSmtp, name: &str, limit: Duration) {
    let to = format!("{name}@corp.example");
    let began = Instant::now();
    let more = json!({ "message": { "values": { "name": name } } });
    good.space.put(&[from_template(name, "greeting", &to, more)]).await;
    good.until_phase(name, "Sent").await;
    assert!(began.elapsed() < limit, "{name}: {:?}\n{}", began.elapsed(), operator.log_tail(40));
    assert_eq!(smtp.copies_for(&to), 1);
    let livez = reqwest::get(format!("{}/livez", operator.admin_url())).await.unwrap();
    assert_eq!(livez.status(), 200);
}

/// They end, and say what is the matter, where they hung.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_end() {
    let plane = apart().await;
    for attack in attacks() {
        let name = attack["metadata"]["name"].as_str().unwrap().to_owned();
        let values = json!({ "message": { "values": { "name": "go" } } });
        let notification = from_template("news", "hidden", "ada@corp.example", values);
        let objects = if name == "hidden" { vec![attack, notification] } else { vec![attack] };
        let file = home().join(format!("hostile-{name}.yaml"));
        let all: Vec<_> = objects.iter().map(Value::to_string).collect();
        std::fs::write(&file, all.join("\n---\n")).unwrap();
        let file = file.to_str().unwrap();
        for command in [&["preview", "-f", file] as &[_], &["lint", file]] {
            let began = Instant::now();
            let ran = Call::new(plane, command).env("KUBECONFIG", "/nonexistent").run().await;
            ran.says(1, &["en text", "takes more"]);
            assert!(began.elapsed() < Duration::from_secs(30), "{command:?}: {:?}", began.elapsed());
        }
    }
}
