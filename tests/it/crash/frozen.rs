//! The leader is frozen (SIGSTOP) at every step for longer than a takeover, another one takes over, and the
//! first goes on where it was.

use crate::cluster::apart;
use crate::crash::step::{Held, hold_everywhere};
use crate::crash::{LogsOnFailure, Scene, TAKEOVER, healthy};
use crate::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_wakes_up_after_a_takeover_sends_nothing_new() {
    let scene = Scene::new(apart().await, "frozen").await;
    let first = scene.operator(&[]);
    let held = hold_everywhere(&scene, &[1, 3]).await;
    let second = scene.operator(&[]);
    second.until_ready(TAKEOVER).await.unwrap();
    let _logs = LogsOnFailure(vec![&first, &second]);

    first.stop(TAKEOVER).await.unwrap();
    held.iter().for_each(Held::release);
    for held in &held {
        held.is_settled_by_another(&scene).await;
    }
    first.cont().unwrap();
    for held in &held {
        held.is_settled_in_the_end(&scene).await;
    }

    // It has learnt that it leads no more, and does no harm.
    eventually("the first one waits", TAKEOVER, async || {
        first
            .metrics()
            .await
            .is_ok_and(|metrics| metrics.contains("leader_election_master_status{name=\"mail-operator\"} 0"))
    })
    .await;
    let smtp = healthy().await;
    scene.server("later", smtp.address()).await;
    scene.notify("later", "later", &["later@frozen.example"], "Resend").await;
    scene.until_phase("later", "Sent").await;
    assert_eq!(smtp.copies_for("later@frozen.example"), 1);
}

impl Held {
    /// While its first sender is frozen it is as after a crash, except that the server waits for the rest.
    async fn is_settled_by_another(&self, scene: &Scene) {
        let in_doubt = self.is_claimed() && self.policy == "Hold";
        scene.until_phase(&self.name, if in_doubt { "InDoubt" } else { "Sent" }).await;
        let copies = usize::from(self.known.whole) + usize::from(!in_doubt);
        assert_eq!(self.copies(), copies, "{}: {:#?}", self.name, self.smtp.commands());
    }

    /// What the first sender had begun it finishes, once; its answer ends the doubt. What it had not claimed
    /// it leaves alone.
    async fn is_settled_in_the_end(&self, scene: &Scene) {
        let found = scene.until_phase(&self.name, "Sent").await;
        if !self.is_claimed() || self.policy == "Hold" {
            assert_eq!(self.copies(), 1, "{}: {:#}", self.name, found["status"]);
        } else {
            assert!(self.copies() <= 2, "{}", self.name);
            assert!(self.says_twice(&found), "{}: {:#}", self.name, found["status"]);
        }
    }
}
