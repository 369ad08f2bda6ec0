//! `templates` and `restore`: where each name comes from, what differs, and what applies once it is restored.

use super::Call;
use crate::cluster::cluster;
use crate::notifications::template;
use crate::objects::Space;
use serde_json::{Value, json};

/// A namespace, and another one that the plugin takes for the operator's.
async fn spaces(name: &str) -> (Space, Space) {
    let space = Space::new(name).await;
    (space, Space::new(&format!("{name}-op")).await)
}

fn texts(subject: &str) -> Value {
    json!({ "subject": subject, "text": "Changed." })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_with_its_origin() {
    let (space, operator) = spaces("mail-templates").await;
    let for_all = json!({ "subject": "x", "text": "x", "access": { "namespaces": { "from": "All" } } });
    operator
        .put(&[
            template("test-message", texts("Operator")),
            template("news", for_all),
            template("secret", texts("x")),
        ])
        .await;
    let welcome = json!({
        "description": "To a new colleague.", "subject": "Hi {{ name }}", "text": "Hi {{ name }}",
        "translations": [{ "locale": "de", "subject": "Hallo {{ name }}", "text": "Hallo {{ name }}" }],
        "variables": [
            { "name": "name", "required": true, "description": "Whom to greet.", "example": "Ada" },
            { "name": "days", "type": "Integer", "default": 3 }
        ]
    });
    space
        .put(&[
            template("welcome", welcome),
            template("broken", json!({ "subject": "x", "text": "{{ nmae }}" })),
        ])
        .await;
    let wide = ["--operator-namespace", "mail-templates-op"];
    let ran = space.mail(&[&["templates"][..], &wide].concat()).await;
    ran.says(0, &["NAME", "ORIGIN", "nmae is not declared"]);
    let line =
        |name: &str| ran.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    for (name, words) in [
        ("welcome", &["namespace mail-templates", "en,de"][..]),
        ("news", &["operator's namespace mail-templates-op"]),
        (
            "test-message",
            &["operator's namespace mail-templates-op", "built-in:test-message", "differs in", "en subject"],
        ),
    ] {
        crate::notifications::holds(&line(name), words);
    }
    assert!(line("secret").is_empty(), "one that does not admit the namespace is not there: {ran:?}");

    let ran = space.mail(&[&["templates", "welcome"][..], &wide].concat()).await;
    ran.says(
        0,
        &[
            "welcome",
            "To a new colleague.",
            "en, de",
            "Whom to greet. For example: Ada",
            "Integer",
            "yes",
            "3",
            "kubectl mail preview welcome",
        ],
    );
    space.mail(&["templates", "broken"]).await.says(1, &["en text, line 1", "nmae is not declared"]);
    space
        .mail(&["templates", "welcom"])
        .await
        .says(1, &["there is no MessageTemplate welcom", "did you mean welcome?"]);

    let ran = space.mail(&[&["templates", "test-message", "-o", "json"][..], &wide].concat()).await;
    let entry: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(entry["source"], "mail-templates-op/test-message");
    assert_eq!(
        (&entry["origin"], &entry["overrides"]),
        (&json!("OperatorNamespace"), &json!("built-in:test-message"))
    );
    let names = space.mail(&[&["templates", "-o", "name"][..], &wide].concat()).await.stdout;
    assert!(names.lines().any(|line| line == "welcome") && !names.contains("NAME"), "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_messages_need_no_cluster() {
    let plane = cluster().await;
    for arguments in [&["templates"][..], &["templates", "test-message"], &["templates", "--builtin"]] {
        let ran = Call::new(plane, arguments).env("KUBECONFIG", "/nonexistent").run().await;
        ran.says(0, &["test-message", "built in"]);
        assert_eq!(
            ran.stderr.contains("no way to a cluster"),
            arguments != ["templates", "--builtin"],
            "{ran:?}"
        );
    }
    let ran = Call::new(plane, &["templates", "welcome"]).env("KUBECONFIG", "/nonexistent").run().await;
    ran.says(3, &["no way to a cluster"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_says_what_applies_then() {
    let (space, operator) = spaces("mail-restore").await;
    let wide = ["--operator-namespace", "mail-restore-op"];
    let restore = async |more: &[&str]| space.mail(&[&["restore"][..], more, &wide].concat()).await;
    restore(&["welcome"])
        .await
        .says(1, &["welcome is no standard message", "kubectl delete messagetemplate welcome"]);
    restore(&["test-mesage"]).await.says(1, &["did you mean test-message?"]);
    restore(&["test-message"]).await.says(0, &["nothing to restore", "built-in:test-message"]);
    operator.put(&[template("test-message", texts("Operator"))]).await;
    space.put(&[template("test-message", texts("Team"))]).await;
    // Nobody can be asked here.
    let ran = restore(&["test-message"]).await;
    ran.says(
        2,
        &["mail-restore/test-message differs in en subject from mail-restore-op/test-message", "--yes"],
    );
    assert!(!space.get("messagetemplates", "test-message").await.is_null());
    let ran = restore(&["test-message", "--yes"]).await;
    ran.says(
        0,
        &[
            "mail-restore/test-message deleted",
            "Notifications of namespace mail-restore get mail-restore-op/test-message again",
        ],
    );
    assert!(space.get("messagetemplates", "test-message").await.is_null());
    restore(&["test-message"])
        .await
        .says(0, &["nothing to restore", "kubectl mail restore test-message -n mail-restore-op"]);
    let ran =
        Call::new(space.plane, &[&["restore", "test-message", "--operator-wide", "-y"][..], &wide].concat())
            .run()
            .await;
    ran.says(
        0,
        &["mail-restore-op/test-message deleted", "of all namespaces", "get built-in:test-message again"],
    );
    assert!(operator.get("messagetemplates", "test-message").await.is_null());
}
