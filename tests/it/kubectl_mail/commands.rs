//! `test`, `send`, `explain`, `completion`, `version`, and output for machines.

use super::Call;
use crate::cluster::cluster;
use crate::notifications::{server, template};
use crate::objects::{Space, condition};
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn test_shows_each_stage_with_its_way_out() {
    let space = Space::new("mail-test").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut down = server(dead, json!({}));
    down["metadata"]["name"] = json!("down");
    let mut resting = server(smtp.address(), json!({ "suspend": true }));
    resting["metadata"]["name"] = json!("resting");
    space.put(&[server(smtp.address(), json!({})), down, resting]).await;

    let ran = space.mail(&["test"]).await;
    let host = format!("Testing default (127.0.0.1:{})", smtp.address().port());
    ran.says(
        0,
        &[
            &host,
            "✓ CredentialsResolved",
            "✓ NameResolved",
            "✓ Connected",
            "✓ Authenticated",
            "✓ default is ready",
        ],
    );
    // The request was answered by a verification of its own.
    let seen = space.get("mailserverconfigs", "default").await;
    let asked = &seen["metadata"]["annotations"]["mail-operator.dev/verify-requested-at"];
    assert_eq!(&seen["status"]["lastHandledVerifyRequest"], asked);

    let ran = space.mail(&["test", "down"]).await;
    ran.says(
        1,
        &[
            "✓ NameResolved",
            "✗ Connected           ConnectionRefused: ",
            "- Secured",
            "✗ down is not ready: ConnectionRefused",
            "kubectl mail explain ConnectionRefused",
        ],
    );
    let ran = space.mail(&["test", "resting"]).await;
    ran.says(
        1,
        &[
            "resting is suspended",
            "kubectl patch msc resting -n mail-test",
            r#"'{"spec":{"suspend":false}}'"#,
        ],
    );
    let ran = space.mail(&["test", "--all"]).await;
    ran.says(1, &["default is ready", "down is not ready", "resting is suspended"]);
    let ran = space.mail(&["test", "-o", "json"]).await;
    let object: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(object["kind"], "MailServerConfig");
    assert!(object["metadata"]["managedFields"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn test_shows_a_stage_before_the_next_one_is_through() {
    let space = Space::new("mail-test-live").await;
    let smtp = ScriptedSmtp::builder().start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "Verified").await;
    // The next session does not get past the greeting, for a while.
    smtp.hold(Step::Greeting);
    let mut testing = space.mail_call(&["test"]).start();
    testing.until("✓ NameResolved").await;
    let seen = space.get("mailserverconfigs", "default").await;
    let reason = |type_| condition(&seen, type_)["reason"].clone();
    assert_eq!((reason("Connected"), reason("Secured")), (json!("Verifying"), json!("Pending")));
    assert_eq!(reason("Ready"), "Verified", "what is known of it counts until something else is known");
    smtp.release(Step::Greeting);
    testing.end().await.says(0, &["✓ Connected", "✓ default is ready"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn test_gives_up_in_time() {
    let space = Space::new("mail-test-late").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Greeting).start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let ran = space.mail(&["test", "--timeout", "1s"]).await;
    ran.says(4, &["default was not verified within 1s", "kubectl -n mail-operator logs"]);
    smtp.release(Step::Greeting);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_follows_to_the_end() {
    let space = Space::new("mail-send").await;
    let smtp = ScriptedSmtp::builder().recipient("gone@corp.example", "550 5.1.1 No such user").start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let message = ["--subject", "Hello", "--text", "Good morning."];
    let arguments =
        ["send", "--to", "Ada Lovelace <ada@corp.example>", "--to", "bob@corp.example", "--name", "good"];
    let ran = space.mail(&[&arguments[..], &message].concat()).await;
    ran.says(
        0,
        &[
            "✓ Notification good created in namespace mail-send",
            "✓ ada@corp.example accepted (250",
            "✓ bob@corp.example accepted",
            "✓ Sent: accepted by the mail server for 2 of 2 recipients",
        ],
    );
    let good = space.get("notifications", "good").await;
    assert_eq!(
        good["spec"]["to"][0],
        json!({ "address": "ada@corp.example", "displayName": "Ada Lovelace" })
    );
    assert_eq!(smtp.ledger().len(), 2);

    let arguments = ["send", "--to", "gone@corp.example", "--to", "eve@corp.example", "--name", "half"];
    let ran = space.mail(&[&arguments[..], &message].concat()).await;
    ran.says(
        1,
        &[
            "✗ gone@corp.example refused: RecipientRefused: ",
            "✓ eve@corp.example accepted",
            "✗ PartiallySent: 1 of 2 recipients accepted",
            "kubectl mail explain PartiallyAccepted",
            "kubectl mail retry half -n mail-send",
        ],
    );
    // Nothing to follow, and no time to follow.
    let left = space
        .mail(&[&["send", "--to", "x@corp.example", "--no-wait", "-o", "name"][..], &message].concat())
        .await;
    left.says(0, &["notification.mail-operator.dev/mail-"]);
    let ran =
        space.mail(&[&["send", "--to", "x@corp.example", "--name", "good"][..], &message].concat()).await;
    ran.says(1, &["Notification good exists already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_says_what_it_waits_for() {
    let space = Space::new("mail-send-waits").await;
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    space.put(&[server(dead, json!({}))]).await;
    space.until_reason("mailserverconfigs", "default", "Ready", "ConnectionRefused").await;
    let arguments = [
        "send",
        "--to",
        "x@corp.example",
        "--subject",
        "x",
        "--text",
        "x",
        "--timeout",
        "4s",
        "--name",
        "waits",
    ];
    let ran = space.mail(&arguments).await;
    ran.says(
        4,
        &[
            "waiting for the mail server mail-send-waits/default, which is not ready: ConnectionRefused",
            "Notification waits is not finished after 4s",
            "it goes on by itself: kubectl mail status waits -n mail-send-waits",
        ],
    );
    assert!(!ran.stderr.contains("does not run"), "the operator runs: {ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_reads_values_as_the_template_wants() {
    let space = Space::new("mail-send-values").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let order = template(
        "order",
        json!({
            "subject": "Order {{ number }}", "text": "{{ name }}: {% for item in items %}{{ item }} {% endfor %}",
            "variables": [
                { "name": "number", "type": "Integer", "required": true },
                { "name": "name", "required": true },
                { "name": "items", "type": "List" }
            ]
        }),
    );
    space.put(&[server(smtp.address(), json!({})), order]).await;
    space.until_reason("messagetemplates", "order", "Ready", "Valid").await;
    let send = ["send", "--to", "ada@corp.example", "--template", "order"];
    let values = ["--value", "number=7", "--values", "-", "--name", "order"];
    let call =
        space.mail_call(&[&send[..], &values].concat()).input("name: Ada\nitems: [tea, cups]\nnumber: 1\n");
    call.run().await.says(0, &["✓ Sent"]);
    let spec = space.get("notifications", "order").await["spec"]["message"]["values"].clone();
    assert_eq!(spec, json!({ "number": 7, "name": "Ada", "items": ["tea", "cups"] }));

    let ran = space.mail(&[&send[..], &["--value", "number=seven", "--value", "nmae=Ada"]].concat()).await;
    ran.says(1, &["the values do not fit the template", "number", "a whole number", "did you mean name?"]);
    // The same from nothing but a file on disk, for nobody: no cluster is needed.
    let nowhere = space.mail_call(&[
        "send",
        "--to",
        "a@b.example",
        "--cc",
        "c@d.example",
        "--subject",
        "x",
        "--text-file",
        "-",
        "--dry-run",
    ]);
    let ran = nowhere.env("KUBECONFIG", "/nonexistent").input("Line one\n").run().await;
    let manifest: Value = serde_yaml::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&manifest["spec"]["delivery"]["mode"], &manifest["kind"]),
        (&json!("Shared"), &json!("Notification"))
    );
    assert_eq!(manifest["spec"]["message"]["content"]["text"], "Line one\n");
    assert_eq!(manifest["metadata"]["generateName"], "mail-");
    let ran = space
        .mail(
            &[&send[..], &["--value", "number=1", "--value", "name=A", "--dry-run=server", "--name", "dry"]]
                .concat(),
        )
        .await;
    ran.says(0, &["dry would be created (server dry run)"]);
    assert!(space.get("notifications", "dry").await.is_null());
    for (wrong, words) in [
        (&["--to", "ada", "--subject", "x", "--text", "x"][..], "is not an e-mail address"),
        (
            &["--to", "a@b.example, c@d.example", "--subject", "x", "--text", "x"],
            "one address for each --to: --to 'a@b.example' --to 'c@d.example'",
        ),
        (&["--to", "a@b.example", "--subject", "x"], "--text"),
        (&["--to", "a@b.example", "--text", "x"], "--subject"),
    ] {
        space.mail(&[&["send"][..], wrong].concat()).await.says(2, &[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_stops_where_a_person_has_to_decide() {
    let space = Space::new("mail-send-doubt").await;
    let smtp = ScriptedSmtp::builder().fault_at(Step::Dot, 1, Fault::TakeThenEof).start().await;
    space.put(&[server(smtp.address(), json!({}))]).await;
    let manifest = space
        .mail(&[
            "send",
            "--to",
            "ada@corp.example",
            "--subject",
            "x",
            "--text",
            "x",
            "--name",
            "doubt",
            "--dry-run",
        ])
        .await;
    let mut manifest: Value = serde_yaml::from_str(&manifest.stdout).unwrap();
    manifest["spec"]["delivery"]["onInDoubt"] = json!("Hold");
    space.put(&[manifest]).await;
    space.until_phase("doubt", "InDoubt").await;
    let ran = space.mail(&["status", "doubt"]).await;
    ran.says(
        1,
        &[
            "! InDoubt: AnswerLost",
            "! ada@corp.example in doubt",
            "Message-ID",
            "kubectl mail resolve doubt -n mail-send-doubt --sent, or --resend",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_knows_reasons_and_codes() {
    let plane = cluster().await;
    // Without any cluster.
    let explain = async |word: &[&str]| {
        let arguments = [&["explain"][..], word].concat();
        Call::new(plane, &arguments).env("KUBECONFIG", "/nonexistent").run().await
    };
    explain(&["SecretNotBound"])
        .await
        .says(0, &["SecretNotBound\n", "does not name the host", "kubectl annotate secret"]);
    assert!(
        !explain(&["SecretNotBound"]).await.stdout.contains("](mailserverconfig.md"),
        "links are for browsers"
    );
    explain(&["535"]).await.says(0, &["AuthenticationFailed\n", "app password"]);
    let words = ["RecipientRefused (as the answer to a recipient)", "MessageRefused (as the answer"];
    explain(&["550 5.1.1 No such user"]).await.says(0, &words);
    explain(&["550 5.7.60 not permitted"]).await.says(0, &["SendAsDenied"]);
    explain(&["SecretNotBund"]).await.says(1, &["did you mean SecretNotBound?"]);
    explain(&["250"]).await.says(2, &["such answers begin with 4 or 5"]);
    let all = explain(&[]).await;
    for reason in mail_operator::api::Reason::ALL {
        assert!(all.stdout.contains(reason.as_str()), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_for_shells_and_for_kubectl() {
    let space = Space::new("mail-completion").await;
    let smtp = ScriptedSmtp::builder().start().await;
    let mut relay = server(smtp.address(), json!({}));
    relay["metadata"]["name"] = json!("relay-one");
    space.put(&[relay]).await;
    for shell in ["bash", "zsh", "fish", "powershell"] {
        space.mail(&["completion", shell]).await.says(0, &["kubectl-mail"]);
    }
    // The script, where kubectl looks for it.
    let folder = super::home().join("complete");
    std::fs::create_dir_all(&folder).unwrap();
    let script = space.mail(&["completion", "kubectl"]).await.stdout;
    let path = folder.join("kubectl_complete-mail");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let complete = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(space.plane.kubectl_path());
        command.arg("__complete").arg("mail").args(words).env("HOME", super::home());
        command.env("PATH", format!("{}:{}", folder.display(), super::search_path()));
        command.env("KUBECONFIG", space.plane.kubeconfig());
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    };
    let holds = |text: String, words: &[&str]| crate::notifications::holds(&text, words);
    holds(complete(&["st"]).await, &["status\t", ":4"]);
    holds(complete(&["test", "-n", "mail-completion", "re"]).await, &["relay-one"]);
    holds(complete(&["send", "-n", "mail-completion", "--server", ""]).await, &["relay-one"]);
    holds(complete(&["send", "--template", "test"]).await, &["test-message"]);
    holds(complete(&["explain", "SecretNot"]).await, &["SecretNotBound", "SecretNotFound"]);
    holds(complete(&["send", "--rep"]).await, &["--reply-to\t"]);
    holds(complete(&["status", "-o", ""]).await, &["yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_compared() {
    let plane = cluster().await;
    let ran = Call::new(plane, &["version", "--client"]).env("KUBECONFIG", "/nonexistent").run().await;
    ran.says(0, &["kubectl-mail   0.1.0 (schema 3)"]);
    let ran = Call::new(plane, &["version"]).run().await;
    ran.says(
        0,
        &[
            "CRDs           schema 3",
            "operator       unknown: there is no Deployment",
            "--operator-namespace",
        ],
    );
    let ran = Call::new(plane, &["version", "-o", "json"]).run().await;
    let versions: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(versions["client"]["version"], "0.1.0");
    let ran = Call::new(plane, &["--help"]).run().await;
    ran.says(0, &["Exit codes:", "130  ended by Ctrl-C"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_failure() {
    let plane = cluster().await;
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(format!("'{}' mail explain | head -n 1", plane.kubectl_path().display()));
    command.env("PATH", super::search_path()).env("HOME", super::home());
    let ended = tokio::time::timeout(Duration::from_secs(20), command.output()).await.unwrap().unwrap();
    assert!(ended.stderr.is_empty(), "{ended:?}");
}
