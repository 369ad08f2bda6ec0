//! Who may read the metrics, as the API server's RBAC has it, and what is left out for everybody else.

use crate::cluster::apart;
use crate::crash::{Scene, healthy};
use crate::operator::{InProcess, brisk};
use crate::probes::{line_to, of};
use mail_operator_testbed::ControlPlane;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// With a token of a ServiceAccount, or none.
async fn read(operator: &InProcess, token: Option<&str>) -> (u16, String) {
    let mut request = reqwest::Client::new().get(format!("http://{}/metrics", operator.admin));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// In the format that this `Accept` asks for: its type, and the text.
async fn accepting(operator: &InProcess, accept: &str) -> (String, String) {
    let request = reqwest::Client::new().get(format!("http://{}/metrics", operator.admin));
    let answer = request.header("accept", accept).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, answer.text().await.unwrap())
}

/// What `promtool check metrics` has to say, which is nothing about what is as it should be.
async fn complaints(metrics: &str) -> String {
    let mut promtool = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).await.unwrap();
    let answer = promtool.wait_with_output().await.unwrap();
    let said = [answer.stdout, answer.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(answer.status.success() || !said.is_empty(), "{}", answer.status);
    said
}

/// A new token of a ServiceAccount that is made for it.
async fn token(plane: &ControlPlane, namespace: &str, name: &str) -> String {
    plane.kubectl(&["create", "serviceaccount", name, "-n", namespace]).await.unwrap().success().unwrap();
    again(plane, namespace, name).await
}

async fn again(plane: &ControlPlane, namespace: &str, name: &str) -> String {
    let arguments = ["create", "token", name, "-n", namespace];
    plane.kubectl(&arguments).await.unwrap().success().unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_get_them_reads_metrics_with_names() {
    let scene = Scene::new(apart().await, "metrics-authenticated").await;
    let (plane, namespace) = (scene.space.plane, scene.space.name.clone());
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let (line, freeze) = line_to(&plane.url()).await;
    let arguments = [&of(&scene)[..], &["--metrics-authentication"]].concat();
    let operator = InProcess::start_through(plane, &line, &arguments, brisk).await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;

    let (reader, other) = (token(plane, &namespace, "reader").await, token(plane, &namespace, "other").await);
    let (role, user) =
        ("--clusterrole=metrics-authenticated", format!("--serviceaccount={namespace}:reader"));
    for arguments in [
        &["create", "clusterrole", "metrics-authenticated", "--verb=get", "--non-resource-url=/metrics"][..],
        &["create", "clusterrolebinding", "metrics-authenticated", role, &user],
    ] {
        plane.kubectl(arguments).await.unwrap().success().unwrap();
    }
    for (token, status, words) in [
        (None, 401, "Authorization: Bearer TOKEN"),
        (Some("made-up"), 401, "Authorization: Bearer TOKEN"),
        (Some(other.as_str()), 403, "nonResourceURLs [/metrics]"),
        (Some(reader.as_str()), 200, "server=\"metrics-authenticated/default\""),
    ] {
        let (found, text) = read(&operator, token).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(status == 200 || !text.contains("mail_operator_"), "{text}");
    }
    for probe in ["/livez", "/readyz"] {
        assert_eq!(operator.get(probe).await.unwrap().0, 200, "{probe} needs no token");
    }

    freeze.send(true).unwrap();
    let fresh = again(plane, &namespace, "reader").await;
    let (status, text) = read(&operator, Some(&fresh)).await;
    assert!(status == 503 && text.contains("the API server does not say"), "{status} {text}");
    freeze.send(false).unwrap();
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_metrics_name_no_server() {
    let scene = Scene::new(apart().await, "metrics-open").await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let operator = InProcess::start(scene.space.plane, &of(&scene), brisk).await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;

    let (status, text) = read(&operator, None).await;

    assert_eq!(status, 200);
    assert!(text.contains("mail_operator_attempts_total{outcome=\"Accepted\""), "{text}");
    assert!(!text.contains("server=") && !text.contains("metrics-open"), "{text}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_gets_the_format_he_asks_for() {
    let scene = Scene::new(apart().await, "metrics-formats").await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let operator =
        InProcess::start(scene.space.plane, &[&of(&scene)[..], &["--metrics-server-names"]].concat(), brisk)
            .await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;

    let (kind, text) = accepting(&operator, "text/plain;version=0.0.4;q=0.5,*/*;q=0.1").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(complaints(&text).await, "", "{text}");
    let (kind, open) = accepting(&operator, "application/openmetrics-text;version=1.0.0,*/*;q=0.1").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("# EOF\n"), "{open}");
    assert_ne!(
        complaints(&open).await,
        "",
        "promtool reads the older format only, and says what it does not like"
    );

    let described = "# HELP mail_operator_attempts_total Attempts";
    assert!(
        text.contains(described) && text.contains("\n# TYPE mail_operator_attempts_total counter\n"),
        "{text}"
    );
    assert!(open.contains("\n# TYPE mail_operator_attempts counter\n"), "{open}");
    // The same series, each with its help and its type.
    let series = |text: &str| -> Vec<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<_> = samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(series(&text), series(&open));
    let count = |text: &str, what: &str| text.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!(count(&text, "# HELP "), count(&text, "# TYPE "));
    assert_eq!(count(&text, "# TYPE "), count(&open, "# TYPE "));
    operator.stop().await;
}
