//! A long Notification cut short between two chunks: what the journal has noted of earlier chunks is never sent
//! again, and the chunk under way is in doubt.

use crate::cluster::{apart, start};
use crate::crash::{LogsOnFailure, Scene, TAKEOVER, says_twice};
use crate::eventually;
use mail_operator_testbed::ControlPlane;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Whom no other test writes to: servers of tests that are over may have had the ports of these, and mail that waited
/// for them would be counted.
const TO: [&str; 4] = ["c1@chunks.example", "c2@chunks.example", "c3@chunks.example", "c4@chunks.example"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_chunks_only_the_last_one_is_in_doubt() {
    let scene = Scene::new(apart().await, "chunks").await;
    let operator = scene.operator(&[]);
    let servers = between_chunks(&scene).await;

    operator.kill9().unwrap();
    operator.wait_exit(Duration::from_secs(10)).await.unwrap();
    go_on(&servers);
    let _next = scene.operator(&[]);

    is_sent_with_one_in_doubt(&scene, &servers[0]).await;
    let in_doubt = scene.until_phase("hold", "InDoubt").await;
    assert_eq!(copies(&servers[1]), [1, 1, 1, 1]);
    assert_eq!(in_doubt["status"]["accepted"], "3/4", "{:#}", in_doubt["status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_between_two_chunks_the_first_one_adds_only_what_it_knows() {
    let scene = Scene::new(apart().await, "chunks-frozen").await;
    let first = scene.operator(&[]);
    let servers = between_chunks(&scene).await;
    let second = scene.operator(&[]);
    second.until_ready(TAKEOVER).await.unwrap();
    let _logs = LogsOnFailure(vec![&first, &second]);

    first.stop(TAKEOVER).await.unwrap();
    go_on(&servers);
    is_sent_with_one_in_doubt(&scene, &servers[0]).await;
    scene.until_phase("hold", "InDoubt").await;
    assert_eq!(copies(&servers[1]), [1, 1, 1, 1]);
    first.cont().unwrap();

    // It had heard the answer for the second recipient, which ends the doubt; it sends nothing more.
    scene.until_phase("hold", "Sent").await;
    assert_eq!(copies(&servers[1]), [1, 1, 1, 1]);
    is_sent_with_one_in_doubt(&scene, &servers[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_api_server_between_two_chunks_the_next_one_waits_for_its_claim() {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let plane = PLANE.get_or_init(start).await;
    let scene = Scene::new(plane, "chunks-alone").await;
    let _operator = scene.operator(&[]);
    let servers = between_chunks(&scene).await;

    plane.kill_api_server();
    go_on(&servers);
    plane.start_api_server().await.unwrap();

    for (name, smtp) in ["resend", "hold"].into_iter().zip(&servers) {
        let sent = scene.until_phase(name, "Sent").await;
        assert_eq!(copies(smtp), [1, 1, 1, 1], "{name}");
        assert_eq!(TO.map(|to| says_twice(&sent, to)), [false; 4], "{name}");
    }
}

/// Begins one Notification for each policy, through a server of its own, and stops at the third recipient's RCPT.
/// With `Hold` the first recipient's outcome stands in the journal and the second's is known to the process only; with
/// `Resend` the third is claimed already, and with that claim went what was known of the second.
async fn between_chunks(scene: &Scene) -> Vec<ScriptedSmtp> {
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
    tokio::time::sleep(Duration::from_millis(1300)).await;
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
    eventually("the third is claimed", TAKEOVER, async || scene.claims(TO[2]).await).await;
    servers
}

fn go_on(servers: &[ScriptedSmtp]) {
    for smtp in servers {
        smtp.release(Step::Rcpt);
    }
}

async fn is_sent_with_one_in_doubt(scene: &Scene, smtp: &ScriptedSmtp) {
    let sent = scene.until_phase("resend", "Sent").await;
    assert_eq!(copies(smtp), [1, 1, 1, 1], "{:#?}", smtp.commands());
    assert_eq!(TO.map(|to| says_twice(&sent, to)), [false, false, true, false]);
}

fn copies(smtp: &ScriptedSmtp) -> [usize; 4] {
    TO.map(|to| smtp.copies_for(to))
}
