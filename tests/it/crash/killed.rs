//! kill -9 at every step of a delivery, and a new operator.

use crate::cluster::apart;
use crate::crash::step::{Held, hold_everywhere};
use crate::crash::{Scene, healthy, says_twice};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_nothing_is_lost_and_only_what_is_in_doubt_is_sent_again() {
    let scene = Scene::new(apart().await, "killed").await;
    let operator = scene.operator(&[]);
    let held = hold_everywhere(&scene).await;

    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    held.iter().for_each(Held::abandon);
    let _next = scene.operator(&[]);

    let bystander = healthy().await;
    scene.server("bystander", bystander.address()).await;
    scene.notify("bystander", "bystander", &["bob@corp.example"], "Resend").await;
    for held in &held {
        held.is_settled_after_a_crash(&scene).await;
    }
    scene.until_phase("bystander", "Sent").await;
    assert_eq!(bystander.copies_for("bob@corp.example"), 1);
}

/// What the journal has noted of earlier chunks is never sent again; the chunk under way is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_chunks_only_the_last_one_is_in_doubt() {
    const TO: [&str; 4] = ["r1@corp.example", "r2@corp.example", "r3@corp.example", "r4@corp.example"];
    let scene = Scene::new(apart().await, "chunks").await;
    let operator = scene.operator(&[]);
    let mut servers = Vec::new();
    for policy in ["Resend", "Hold"] {
        let smtp = ScriptedSmtp::builder().hold(Step::Dot).start().await;
        let name = policy.to_lowercase();
        scene.server(&name, smtp.address()).await;
        scene.notify(&name, &name, &TO, policy).await;
        servers.push(smtp);
    }
    for smtp in &servers {
        smtp.reached(Step::Dot).await;
    }
    // A server that takes so long for a message gets one recipient a chunk.
    tokio::time::sleep(Duration::from_millis(700)).await;
    for smtp in &servers {
        smtp.hold(Step::Rcpt);
        smtp.release(Step::Dot);
        smtp.reached_times(Step::Rcpt, 2).await;
        smtp.hold(Step::Dot);
        smtp.release(Step::Rcpt);
        smtp.reached_times(Step::Dot, 2).await;
        smtp.hold(Step::Rcpt);
        smtp.release(Step::Dot);
        smtp.reached_times(Step::Rcpt, 3).await;
    }

    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    for smtp in &servers {
        smtp.release(Step::Rcpt);
    }
    let _next = scene.operator(&[]);

    let copies = |smtp: &ScriptedSmtp| TO.map(|to| smtp.copies_for(to));
    let sent = scene.until_phase("resend", "Sent").await;
    assert_eq!(copies(&servers[0]), [1, 2, 1, 1]);
    assert_eq!(TO.map(|to| says_twice(&sent, to)), [false, true, false, false]);
    let in_doubt = scene.until_phase("hold", "InDoubt").await;
    assert_eq!(copies(&servers[1]), [1, 1, 1, 1]);
    assert_eq!(in_doubt["status"]["accepted"], "3/4", "{:#}", in_doubt["status"]);
}
