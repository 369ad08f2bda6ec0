//! One replica leads, the others wait, ready; how leadership changes hands, how a process ends, and what it
//! says of itself while it cannot work.

use crate::cluster::apart;
use crate::crash::{Scene, healthy};
use crate::eventually;
use mail_operator_testbed::Operator;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_mins(1);
const LEADS: &str = "leader_election_master_status{name=\"mail-operator\"} 1";

async fn leads(operator: &Operator) -> bool {
    operator.metrics().await.is_ok_and(|metrics| metrics.contains(LEADS))
}

/// A first operator that leads and has sent something, and a second one that waits.
async fn pair(scene: &Scene, smtp: &ScriptedSmtp) -> (Operator, Operator) {
    scene.server("default", smtp.address()).await;
    let first = scene.operator(&[]);
    eventually("the first one leads", LONG, async || leads(&first).await).await;
    let second = scene.operator(&[]);
    second.until_ready(LONG).await.unwrap();
    scene.notify("before", "default", &["before@corp.example"], "Resend").await;
    scene.until_phase("before", "Sent").await;
    assert!(!leads(&second).await, "two lead");
    (first, second)
}

/// Time from `since` until the second one leads, and until it has sent a mail.
async fn handed_over(scene: &Scene, second: &Operator, since: Instant) -> (Duration, Duration) {
    scene.notify("after", "default", &["after@corp.example"], "Resend").await;
    eventually("the second one leads", LONG, async || leads(second).await).await;
    let led = since.elapsed();
    scene.until_phase("after", "Sent").await;
    (led, since.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_leads_within_17_seconds_of_a_kill() {
    let scene = Scene::new(apart().await, "lead-kill").await;
    let smtp = healthy().await;
    let (first, second) = pair(&scene, &smtp).await;

    first.kill9().unwrap();
    let (led, sent) = handed_over(&scene, &second, Instant::now()).await;

    assert!(led < Duration::from_secs(17), "led after {led:?}");
    assert!(sent < Duration::from_secs(19), "sent after {sent:?}");
    assert_eq!(smtp.copies_for("after@corp.example"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_leads_within_2_seconds_of_a_termination() {
    let scene = Scene::new(apart().await, "lead-term").await;
    let smtp = healthy().await;
    let (first, second) = pair(&scene, &smtp).await;

    first.term().unwrap();
    let (led, sent) = handed_over(&scene, &second, Instant::now()).await;

    assert!(led < Duration::from_secs(2), "led after {led:?}");
    assert!(sent < Duration::from_secs(4), "sent after {sent:?}");
    assert_eq!(first.wait_exit(LONG).await.unwrap().code(), Some(0), "{}", first.log_tail(20));
    assert_eq!(smtp.copies_for("after@corp.example"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_data_is_finished_and_stored_before_the_process_ends() {
    let scene = Scene::new(apart().await, "drain").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Data).start().await;
    scene.server("default", smtp.address()).await;
    let operator = scene.operator(&[]);
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    smtp.reached(Step::Data).await;

    operator.term().unwrap();
    scene.notify("late", "default", &["bob@corp.example"], "Resend").await;
    eventually("it is stopping", LONG, async || operator.log().contains("stopping")).await;
    smtp.release(Step::Data);

    assert_eq!(operator.wait_exit(LONG).await.unwrap().code(), Some(0), "{}", operator.log_tail(20));
    let sent = scene.space.get("notifications", "mail").await;
    assert_eq!(sent["status"]["phase"], "Sent", "stored after the end: {:#}", sent["status"]);
    assert_eq!(smtp.copies_for("bob@corp.example"), 0, "begun after the signal");
    // The journal is let go, so that a successor need not wait.
    let journals = scene.journals().await;
    assert!(journals.iter().all(|journal| journal["holder"].is_null()), "{journals:#?}");
    let began = Instant::now();
    let _next = scene.operator(&[]);
    scene.until_phase("late", "Sent").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_termination_ends_the_process_at_once() {
    let scene = Scene::new(apart().await, "abort").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Data).start().await;
    scene.server("default", smtp.address()).await;
    let operator = scene.operator(&[]);
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    smtp.reached(Step::Data).await;

    operator.term().unwrap();
    eventually("it is stopping", LONG, async || operator.log().contains("stopping")).await;
    operator.term().unwrap();

    let status = operator.wait_exit(Duration::from_secs(5)).await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", operator.log_tail(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_is_written_anew_by_who_leads() {
    let scene = Scene::new(apart().await, "lease").await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let operator = scene.operator(&[]);
    eventually("it leads", LONG, async || leads(&operator).await).await;
    let own = scene.operator_namespace();
    let lease = ["-n", &own, "get", "lease", "mail-operator", "-o", "jsonpath={.spec.holderIdentity}"];
    let holder = scene.space.plane.kubectl(&lease).await.unwrap().success().unwrap();

    scene
        .space
        .plane
        .kubectl(&["-n", &own, "delete", "lease", "mail-operator"])
        .await
        .unwrap()
        .success()
        .unwrap();

    eventually("the lease is there again", Duration::from_secs(10), async || {
        scene.space.plane.kubectl(&lease).await.unwrap().stdout == holder
    })
    .await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;
    assert!(leads(&operator).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_api_server_it_lives_says_what_it_waits_for_and_gets_ready_by_itself() {
    let scene = Scene::new(apart().await, "no-api").await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let plane = scene.space.plane;
    let port = mail_operator_testbed::free_port().unwrap();
    let elsewhere = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    let elsewhere = elsewhere.replace(&plane.url(), &format!("https://127.0.0.1:{port}"));
    let kubeconfig = std::env::temp_dir().join(format!("mail-operator-no-api-{}", std::process::id()));
    std::fs::write(&kubeconfig, elsewhere).unwrap();

    let operator = scene.operator_with(&kubeconfig, &[]);
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", operator.admin_url())).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    // "From the first second": a process on a busy machine gets a few more to start.
    eventually("it lives", Duration::from_secs(5), async || get("/livez").await.is_some()).await;
    assert_eq!(get("/livez").await.unwrap().0, 200);
    let (status, text) = get("/readyz").await.unwrap();
    assert!(status == 503 && text.contains("kubernetes"), "{status} {text}");
    let (status, text) = get("/metrics").await.unwrap();
    assert!(status == 200 && text.contains("leader_election_master_status"), "{status} {text}");

    let address = plane.url().trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let detour = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    eventually("it is ready", LONG, async || get("/readyz").await.is_some_and(|(status, _)| status == 200))
        .await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;
    detour.abort();
    std::fs::remove_file(kubeconfig).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_usual_names() {
    let scene = Scene::new(apart().await, "metrics").await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    let operator = scene.operator(&["--metrics-server-names"]);
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;
    let text = operator.metrics().await.unwrap();
    for name in [
        "controller_runtime_reconcile_total{",
        "controller_runtime_reconcile_errors_total",
        "controller_runtime_reconcile_time_seconds_bucket{",
        "controller_runtime_active_workers{",
        "workqueue_depth{name=\"notification\"}",
        LEADS,
        "mail_operator_attempts_total{server=\"metrics/default\",outcome=\"Accepted\",phase=",
        "mail_operator_in_doubt_total ",
        "mail_operator_step_seconds_count{step=\"claim\"}",
        "mail_operator_step_seconds_count{step=\"status\"}",
        "# TYPE mail_operator_oldest_waiting_seconds gauge",
    ] {
        assert!(text.contains(name), "no {name} in\n{text}");
    }
}
