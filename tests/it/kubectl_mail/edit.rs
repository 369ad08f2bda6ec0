//! `edit` with an editor that is a script: what is right is applied, what is wrong comes back with the reason, and nothing
//! that somebody wrote or changed is lost.

use super::{Call, home};
use crate::notifications::template;
use crate::objects::Space;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// An editor that does this with the file `$1`.
fn editor(name: &str, script: &str) -> PathBuf {
    let path = home().join(format!("editor-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Edits in the namespace, which has this editor.
fn edit(space: &Space, arguments: &[&str], script: &str) -> Call {
    let editor = editor(&space.name, script);
    space.mail_call(&[&["edit"][..], arguments].concat()).env("KUBE_EDITOR", editor)
}

/// The file that a command has named, and what is in it.
fn kept(stderr: &str) -> String {
    let path = stderr.split("what you wrote is in ").nth(1).unwrap().split_whitespace().next().unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_message_becomes_an_object() {
    let space = Space::new("mail-edit").await;
    let seen = home().join("edit-seen");
    let script = format!(
        "cp \"$1\" '{}'\nsed -i 's/^  subject: .*/  subject: \"Ours: {{{{ recipient.address }}}}\"/' \"$1\"",
        seen.display()
    );
    let ran = edit(&space, &["test-message"], &script).run().await;
    ran.says(
        0,
        &["MessageTemplate mail-edit/test-message created", "kubectl mail restore test-message -n mail-edit"],
    );
    let shown = std::fs::read_to_string(&seen).unwrap();
    for words in [
        "# built-in:test-message, to become MessageTemplate mail-edit/test-message.",
        "kubectl mail restore",
        "kind: MessageTemplate",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
    let found = space.until_reason("messagetemplates", "test-message", "Ready", "Valid").await;
    assert!(found["message"].as_str().unwrap().contains("overrides built-in:test-message"), "{found}");
    let first = space.get("messagetemplates", "test-message").await;
    assert_eq!(first["spec"]["subject"], "Ours: {{ recipient.address }}");
    // The next time the object itself is edited, with what else it carries.
    space.kubectl(&["label", "mt/test-message", "team=hr"]).await;
    let ran = edit(
        &space,
        &["test-message", "-o", "name"],
        &format!("cp \"$1\" '{}'\nsed -i 's/Ours:/Still ours:/' \"$1\"", seen.display()),
    )
    .run()
    .await;
    ran.says(0, &["messagetemplate.mail-operator.dev/test-message"]);
    assert!(std::fs::read_to_string(&seen).unwrap().contains("which stands for built-in:test-message"));
    let second = space.get("messagetemplates", "test-message").await;
    assert_eq!(second["spec"]["subject"], "Still ours: {{ recipient.address }}");
    assert_eq!(second["metadata"]["labels"]["team"], "hr");
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_or_empty_nothing_happens() {
    let space = Space::new("mail-edit-nothing").await;
    for script in
        ["true", "printf '# only\\n' > \"$1\"", ": > \"$1\"", "echo '# a comment at the end' >> \"$1\""]
    {
        edit(&space, &["test-message"], script).run().await.says(0, &["nothing changed, nothing applied"]);
    }
    assert!(space.get("messagetemplates", "test-message").await.is_null());
    edit(&space, &["test-mesage"], "true").run().await.says(1, &["did you mean test-message?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_comes_back_until_it_is_right() {
    let space = Space::new("mail-edit-wrong").await;
    let (round, seen) = (home().join("edit-round"), home().join("edit-complaints"));
    std::fs::write(&round, "0").unwrap();
    let _ = std::fs::remove_file(&seen);
    // Round by round: no YAML, a name that nobody declared, what only the API server knows, right.
    let script = format!(
        r#"
n=$(cat '{round}'); echo $((n + 1)) > '{round}'
sed -n '/^#/p' "$1" >> '{seen}'
case $n in
  0) sed -i 's/^  subject:.*/  subject: [/' "$1" ;;
  1) sed -i 's/^  subject:.*/  subject: "For {{{{ nmae }}}}"/' "$1" ;;
  2) sed -i 's/^  subject:.*/  subject: "Fine"/; s/^  locale:.*/  locale: en_US/' "$1" ;;
  3) sed -i 's/^  locale:.*/  locale: en/; s/^spec:/spec:\n  colour: red/' "$1" ;;
  4) sed -i '/^  colour:/d' "$1" ;;
esac"#,
        round = round.display(),
        seen = seen.display()
    );
    let ran = edit(&space, &["test-message"], &script).run().await;
    ran.says(0, &["created"]);
    let complaints = std::fs::read_to_string(&seen).unwrap();
    for words in [
        "Not applied yet",
        "this is not YAML",
        "en subject, line 1, column 8: nmae is not declared",
        "#   1 | For {{ nmae }}",
        "locale",
        "spec.colour: there is no such field",
    ] {
        assert!(complaints.contains(words), "{words}: {complaints}");
    }
    assert_eq!(std::fs::read_to_string(&round).unwrap().trim(), "5");
    assert_eq!(space.get("messagetemplates", "test-message").await["spec"]["subject"], "Fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_kept_in_a_file() {
    let space = Space::new("mail-edit-kept").await;
    let wrong = "sed -i 's/^  subject:.*/  subject: \"{{ precious }}\"/' \"$1\"";
    // Left as it was when it came back.
    let ran = edit(&space, &["test-message"], wrong).run().await;
    ran.says(1, &["the mistakes are still there", "what you wrote is in"]);
    assert!(kept(&ran.stderr).contains("{{ precious }}"));
    // The editor fails, after something was written and before.
    let ran = edit(&space, &["test-message"], &format!("{wrong}; exit 3")).run().await;
    ran.says(1, &["the editor", "ended with exit status: 3", "what you wrote is in"]);
    assert!(kept(&ran.stderr).contains("{{ precious }}"));
    let ran = edit(&space, &["test-message"], "exit 3").run().await;
    ran.says(1, &["ended with exit status: 3"]);
    assert!(!ran.stderr.contains("what you wrote"), "{ran:?}");
    let ran =
        space.mail_call(&["edit", "test-message"]).env("KUBE_EDITOR", "/nonexistent/editor").run().await;
    ran.says(1, &["/nonexistent/editor"]);
    // Ctrl-C: the terminal sends it to both.
    let ran = edit(&space, &["test-message"], &format!("{wrong}; kill -INT $PPID; sleep 0.2; kill -INT $$"))
        .run()
        .await;
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(kept(&ran.stderr).contains("{{ precious }}"));
    assert!(space.get("messagetemplates", "test-message").await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_change_is_overwritten() {
    let space = Space::new("mail-edit-race").await;
    let spec = |subject: &str| json!({ "subject": subject, "text": "x" });
    space.put(&[template("test-message", spec("Before"))]).await;
    // Somebody else is faster.
    let kubectl = format!(
        "'{}' --kubeconfig '{}'",
        space.plane.kubectl_path().display(),
        space.plane.kubeconfig().display()
    );
    let other = format!(
        "{kubectl} -n mail-edit-race patch mt test-message --type merge -p '{{\"spec\":{{\"subject\":\"Theirs\"}}}}' >&2\nsed -i 's/Before/Ours/' \"$1\""
    );
    let ran = edit(&space, &["test-message"], &other).run().await;
    ran.says(
        1,
        &[
            "somebody else changed MessageTemplate test-message meanwhile",
            "kubectl mail edit test-message",
            "what you wrote is in",
        ],
    );
    assert!(kept(&ran.stderr).contains("Ours"));
    assert_eq!(space.get("messagetemplates", "test-message").await["spec"]["subject"], "Theirs");
    // The same with one that did not exist.
    space.kubectl(&["delete", "mt/test-message"]).await;
    let theirs = template("test-message", spec("Theirs")).to_string();
    let other = format!(
        "echo '{theirs}' | {kubectl} -n mail-edit-race create -f - >&2\nsed -i 's/^  subject:.*/  subject: Ours/' \"$1\""
    );
    edit(&space, &["test-message"], &other).run().await.says(1, &["somebody else", "what you wrote is in"]);
    assert_eq!(space.get("messagetemplates", "test-message").await["spec"]["subject"], "Theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn for_the_whole_cluster() {
    let space = Space::new("mail-edit-wide").await;
    let operator = Space::new("mail-edit-wide-op").await;
    let wide = ["--operator-namespace", "mail-edit-wide-op"];
    let script = "sed -i 's/^  subject:.*/  subject: For all/' \"$1\"";
    let arguments = [&["edit", "test-message", "--operator-wide"][..], &wide].concat();
    let call =
        Call::new(space.plane, &arguments).env("EDITOR", editor("wide", script)).env("KUBE_EDITOR", "");
    call.run().await.says(0, &["MessageTemplate mail-edit-wide-op/test-message created"]);
    assert_eq!(operator.get("messagetemplates", "test-message").await["spec"]["subject"], "For all");
    // A team begins with the text that it has now.
    let script = "grep -q 'subject: For all' \"$1\"; sed -i 's/For all/For us/' \"$1\"";
    edit(&space, &[&["test-message"][..], &wide].concat(), script)
        .run()
        .await
        .says(0, &["to have mail-edit-wide-op/test-message back"]);
    let found: Value = space.get("messagetemplates", "test-message").await;
    assert_eq!(found["spec"]["subject"], "For us");
    operator.kubectl(&["delete", "mt/test-message"]).await;
}
