//! The API server goes away at every step of a delivery, on a control plane of its own.

use crate::cluster::start;
use crate::crash::step::{Claimed, Held, hold_everywhere};
use crate::crash::{Scene, TAKEOVER, healthy, says_twice};
use crate::eventually;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use mail_operator_testbed::{ControlPlane, Operator};
use std::time::Duration;
use tokio::sync::OnceCell;

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

async fn plane() -> &'static ControlPlane {
    PLANE.get_or_init(start).await
}

/// An outcome is kept in memory until it can be stored, a claim waits until it is. Only who is killed as well
/// forgets an answer that he has had: that is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn without_api_server_at_any_step_nothing_is_sent_twice_and_no_outcome_is_lost() {
    let (survivor, victim) =
        (Scene::new(plane().await, "survivor").await, Scene::new(plane().await, "victim").await);
    let operator = survivor.operator(&[]);
    let held = hold_everywhere(&survivor, &[1]).await;
    let killed = victim.operator(&[]);
    let answered = hold_answers(&victim).await;

    plane().await.kill_api_server();
    for held in &held {
        held.release();
    }
    for (_, smtp) in &answered {
        smtp.release(Step::Dot);
    }
    until_accepted(&killed, 2).await;
    killed.kill9().unwrap();
    // What was claimed goes out all the same; nothing can be claimed. (Before DATA a claim is good for ten seconds, so
    // that what is held at RCPT may or may not go out.)
    until_accepted(&operator, 6).await;
    let copies = Held::copies;
    assert!(held.iter().filter(|held| held.known.claimed == Claimed::Yes).all(|held| copies(held) == 1));
    assert!(held.iter().filter(|held| !held.is_claimed()).all(|held| copies(held) == 0));
    plane().await.start_api_server().await.unwrap();

    for held in &held {
        held.is_sent_once(&survivor).await;
    }
    let _next = victim.operator(&[]);
    let sent = victim.until_phase("resend", "Sent").await;
    assert!(says_twice(&sent, "ada@api-server.example"), "{:#}", sent["status"]);
    victim.until_phase("hold", "InDoubt").await;
    let copies: Vec<_> = answered.iter().map(|(_, smtp)| smtp.copies_for("ada@api-server.example")).collect();
    assert_eq!(copies, [2, 1]);
    // And all goes on as before.
    let smtp = healthy().await;
    survivor.server("later", smtp.address()).await;
    survivor.notify("later", "later", &["bob@corp.example"], "Resend").await;
    survivor.until_phase("later", "Sent").await;
}

/// Two Notifications, one of each policy, whose messages the server has taken and not answered.
async fn hold_answers(scene: &Scene) -> Vec<(&'static str, ScriptedSmtp)> {
    let mut all = Vec::new();
    for (name, policy) in [("resend", "Resend"), ("hold", "Hold")] {
        let smtp = ScriptedSmtp::builder().hold(Step::Dot).start().await;
        scene.server(name, smtp.address()).await;
        scene.notify(name, name, &["ada@api-server.example"], policy).await;
        all.push((name, smtp));
    }
    for (_, smtp) in &all {
        smtp.reached(Step::Dot).await;
    }
    all
}

/// Waits until an operator has had so many acceptances.
async fn until_accepted(operator: &Operator, count: usize) {
    eventually("the answers have arrived", TAKEOVER.min(Duration::from_secs(30)), async || {
        let metrics = operator.metrics().await.unwrap_or_default();
        let accepted = metrics
            .lines()
            .filter(|line| line.starts_with("mail_operator_attempts_total") && line.contains("Accepted"));
        let count_of = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
        accepted.filter_map(count_of).sum::<usize>() >= count
    })
    .await;
}
