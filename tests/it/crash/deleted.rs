//! Somebody deletes the journal while it is in use.

use crate::cluster::apart;
use crate::crash::{Scene, TAKEOVER};
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_journal_is_written_anew_before_anything_else_is_sent() {
    let scene = Scene::new(apart().await, "deleted").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Dot).start().await;
    scene.server("default", smtp.address()).await;
    let _operator = scene.operator(&[]);
    scene.notify("first", "default", &["first@corp.example"], "Resend").await;
    smtp.reached(Step::Dot).await;

    smtp.hold(Step::Data);
    scene.delete_journals().await;
    scene.notify("second", "default", &["second@corp.example"], "Resend").await;
    smtp.reached_times(Step::Data, 2).await;

    assert!(scene.claims("second@corp.example").await, "at DATA, and not in the journal");
    assert!(scene.claims("first@corp.example").await, "what was in flight has been forgotten");
    smtp.release(Step::Data);
    smtp.release(Step::Dot);
    for (name, to) in [("first", "first@corp.example"), ("second", "second@corp.example")] {
        scene.until_phase(name, "Sent").await;
        assert_eq!(smtp.copies_for(to), 1, "{name}");
    }
}

/// Another process that has seen the journal does not take its absence for a fresh start: it gives the
/// living holder the time to write it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_journal_does_not_fall_to_another_while_its_holder_lives() {
    let scene = Scene::new(apart().await, "deleted-two").await;
    let smtp = ScriptedSmtp::builder().hold(Step::Dot).start().await;
    scene.server("default", smtp.address()).await;
    let _first = scene.operator(&["--leader-election", "false"]);
    scene.notify("mail", "default", &["ada@deleted.example"], "Resend").await;
    smtp.reached(Step::Dot).await;
    let second = scene.operator(&["--leader-election", "false"]);
    crate::eventually("the second one has seen the journal", TAKEOVER, async || {
        second.log().contains("journal is held")
    })
    .await;
    let holder = scene.journals().await[0]["holder"].clone();

    scene.delete_journals().await;
    crate::eventually("the journal is there again", Duration::from_secs(20), async || {
        !scene.journals().await.is_empty()
    })
    .await;

    let journals = scene.journals().await;
    assert_eq!(journals[0]["holder"], holder, "{journals:#?}");
    assert!(scene.claims("ada@deleted.example").await);
    smtp.release(Step::Dot);
    scene.until_phase("mail", "Sent").await;
    assert_eq!(smtp.copies_for("ada@deleted.example"), 1);
}
