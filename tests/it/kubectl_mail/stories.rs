//! `status`, `retry` and `resolve`.

use crate::notifications::{merge, notification, server, taken, template};
use crate::objects::Space;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};

const ADA: &str = "ada@corp.example";

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_servers_what_waits_and_what_failed() {
    let space = Space::new("mail-status").await;
    let ran = space.mail(&["status"]).await;
    ran.says(0, &["there is no MailServerConfig and no Notification in namespace mail-status"]);
    let smtp = ScriptedSmtp::builder()
        .recipient("gone@corp.example", "550 5.1.1 No such user")
        .fault_at(Step::Dot, 1, Fault::TakeThenEof)
        .start()
        .await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    space.put(&[server(smtp.address(), json!({})), notification("doubt", &[ADA], hold)]).await;
    space.until_phase("doubt", "InDoubt").await;
    let later = json!({ "delivery": { "sendAt": "2100-01-01T00:00:00Z" } });
    space
        .put(&[
            notification("bad", &["gone@corp.example"], json!({})),
            notification("later", &[ADA], later.clone()),
            notification("lost", &[ADA], {
                let mut lost = later;
                merge(&mut lost, json!({ "serverRef": { "name": "absent" } }));
                lost
            }),
        ])
        .await;
    space.until_phase("bad", "Failed").await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    let ran = space.mail(&["status"]).await;
    ran.says(
        1,
        &[
            "SERVER    WAITING   OLDEST",
            "✗   absent    1",
            "✓   default   1",
            "takes mail (no login)",
            "! doubt: kubectl mail resolve doubt -n mail-status --sent, or --resend",
            "RecipientRefused   1       bad",
        ],
    );
    let ran = space.mail(&["status", "-o", "json"]).await;
    let seen: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(seen["failures"][0]["reason"], "RecipientRefused");
    assert_eq!(seen["decisionsNeeded"], json!(["mail-status/doubt"]));
    assert_eq!(seen["servers"][1]["name"], "default");
    let all = crate::kubectl_mail::Call::new(space.plane, &["status", "-A"]).run().await;
    assert!(all.stdout.contains("NAMESPACE") && all.stdout.contains("mail-status"), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_the_story_of_one_object() {
    let space = Space::new("mail-status-one").await;
    let smtp = ScriptedSmtp::builder().recipient("gone@corp.example", "550 5.1.1 No such user").start().await;
    let greeting = template(
        "greeting",
        json!({ "subject": "Hello", "text": "{{ nmae }}", "variables": [{ "name": "name" }] }),
    );
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("news", &["gone@corp.example", ADA], json!({})),
            greeting,
        ])
        .await;
    space.until_phase("news", "PartiallySent").await;
    space.until_reason("messagetemplates", "greeting", "Ready", "UndeclaredVariable").await;
    let warned = async || space.events_of("news").await.len() == 1;
    crate::objects::soon("the Event is there", warned).await;
    let ran = space.mail(&["status", "news"]).await;
    ran.says(
        1,
        &[
            "Notification news in namespace mail-status-one",
            "✗ PartiallySent: 1 of 2 recipients accepted",
            "server     mail-status-one/default",
            "attempts   1",
            "✗ gone@corp.example refused: RecipientRefused",
            "✓ ada@corp.example accepted",
            "Conditions",
            "Resolved   True",
            "Events",
            "Warning",
        ],
    );
    space
        .mail(&["status", "server/default"])
        .await
        .says(0, &["MailServerConfig default", "✓ ready: ", "Authenticated", "NoLogin"]);
    space
        .mail(&["status", "template/greeting"])
        .await
        .says(1, &["✗ not ready: UndeclaredVariable", "kubectl mail explain UndeclaredVariable"]);
    space.mail(&["status", "pod/x"]).await.says(2, &["server/NAME or template/NAME"]);
    let ran = space.mail(&["status", "news", "-o", "name"]).await;
    assert_eq!(ran.stdout, "notification.mail-operator.dev/news\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_watches() {
    let space = Space::new("mail-status-watch").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Greeting).start().await;
    space.put(&[notification("news", &[ADA], json!({ "serverRef": { "name": "default" } }))]).await;
    space.until_reason("notifications", "news", "Ready", "ServerNotFound").await;
    let mut watching = space.mail_call(&["status", "news", "--watch"]).start();
    watching.until("ServerNotFound").await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    smtp.release(Step::Greeting);
    watching.until("✓ Sent: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_sends_to_those_who_were_not_accepted() {
    let space = Space::new("mail-retry").await;
    let smtp = ScriptedSmtp::builder().recipient("gone@corp.example", "550 5.1.1 No such user").start().await;
    space
        .put(&[
            server(smtp.address(), json!({})),
            notification("news", &[ADA, "gone@corp.example"], json!({})),
        ])
        .await;
    space.until_phase("news", "PartiallySent").await;
    let ran = space.mail(&["retry", "news", "--dry-run"]).await;
    let manifest: Value = serde_yaml::from_str(&ran.stdout).unwrap();
    assert_eq!(manifest["spec"]["to"], json!([{ "address": "gone@corp.example" }]));
    assert_eq!(manifest["metadata"]["name"], "news-retry-1");
    space
        .mail(&["retry", "news"])
        .await
        .says(1, &["Notification news-retry-1 created", "✗ gone@corp.example refused"]);
    space.mail(&["retry", "news", "--no-wait"]).await.says(0, &["Notification news-retry-2 created"]);
    assert_eq!(taken(&smtp, ADA).len(), 1, "who was accepted gets nothing again");

    space.put(&[notification("good", &[ADA], json!({}))]).await;
    space.until_phase("good", "Sent").await;
    space
        .mail(&["retry", "good"])
        .await
        .says(1, &["accepted for every recipient: there is nothing to try again"]);
    let later = json!({ "delivery": { "sendAt": "2100-01-01T00:00:00Z" } });
    space.put(&[notification("later", &[ADA], later)]).await;
    space.mail(&["retry", "later"]).await.says(1, &["later is not finished", "kubectl mail status later"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resolve_decides_once_and_shows_what_came_of_it() {
    let space = Space::new("mail-resolve").await;
    let builder = [1, 2, 3]
        .iter()
        .fold(ScriptedSmtp::builder(), |builder, nth| builder.fault_at(Step::Dot, *nth, Fault::TakeThenEof));
    let smtp = builder.start().await;
    let hold = json!({ "delivery": { "onInDoubt": "Hold" } });
    space.put(&[server(smtp.address(), json!({})), notification("news", &[ADA], hold.clone())]).await;
    space.until_phase("news", "InDoubt").await;
    space
        .mail(&["retry", "news"])
        .await
        .says(1, &["news is in doubt", "kubectl mail resolve news -n mail-resolve"]);
    space.mail(&["resolve", "news"]).await.says(2, &["--sent", "--resend"]);
    // Each time the answer is lost again, so each time another word is needed.
    for copies in [2, 3] {
        let ran = space.mail(&["resolve", "news", "--resend"]).await;
        ran.says(1, &["✓ what was in doubt of news is sent again", "! InDoubt: AnswerLost"]);
        assert_eq!(taken(&smtp, ADA).len(), copies);
    }
    let ran = space.mail(&["resolve", "news", "--resend", "--yes"]).await;
    ran.says(0, &["✓ Sent: accepted by the mail server for 1 of 1 recipients"]);
    assert_eq!(taken(&smtp, ADA).len(), 4);
    space.mail(&["resolve", "news", "--sent"]).await.says(1, &["nothing about news is in doubt"]);

    let mut restored = notification("restored", &[ADA], json!({}));
    restored["metadata"]["labels"] = json!({ "velero.io/restore-name": "monday" });
    space.put(&[restored]).await;
    space.until_reason("notifications", "restored", "Ready", "RestoredFromBackup").await;
    space
        .mail(&["resolve", "restored", "--sent"])
        .await
        .says(0, &["what was in doubt of restored counts as sent", "✓ Sent"]);
    assert_eq!(taken(&smtp, ADA).len(), 4);
}
