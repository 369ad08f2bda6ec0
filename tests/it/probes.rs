//! `/livez` fails when our own code does not go on, says where, and never fails because of others: for each promise the
//! real operator, on a runtime whose threads are blocked, or with an API server that takes connections and says nothing.

use crate::cluster::apart;
use crate::crash::{Scene, healthy};
use crate::eventually;
use crate::operator::{InProcess, brisk};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A busy machine adds to the 30 s of silence after which the event loop is called stuck.
const SILENT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_event_loop_fails_livez_in_words_while_all_else_is_answered() {
    let scene = Scene::new(apart().await, "blocked").await;
    let operator = InProcess::start(scene.space.plane, &of(&scene), brisk).await;
    assert_eq!(operator.get("/livez").await, Some((200, "ok\n".into())));

    let release = operator.block();

    eventually("livez fails", SILENT, async || operator.get("/livez").await.unwrap().0 == 503).await;
    let (_, words) = operator.get("/livez").await.unwrap();
    assert!(
        words.starts_with("event loop: no progress for 3") && words.contains("30 s are allowed"),
        "{words}"
    );
    assert!(operator.get("/readyz").await.is_some());
    assert!(operator.get("/metrics").await.unwrap().1.contains("leader_election_master_status"));
    drop(release);
    eventually("livez is well again", SILENT, async || operator.get("/livez").await.unwrap().0 == 200).await;
    let smtp = healthy().await;
    scene.server("default", smtp.address()).await;
    scene.notify("mail", "default", &["ada@corp.example"], "Resend").await;
    scene.until_phase("mail", "Sent").await;
    operator.stop().await;
}

/// Two operators, whose only difference is how long a unit of work may take: for the one less than a request that is
/// never answered, which shows that it is measured; for the other less than the outage, as five minutes are less than an
/// outage of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_api_server_never_fails_livez() {
    let (scene, hasty) =
        (Scene::new(apart().await, "frozen-api").await, Scene::new(apart().await, "frozen-hasty").await);
    let (line, freeze) = line_to(&scene.space.plane.url()).await;
    let smtp = healthy().await;
    let mut operators = Vec::new();
    for (scene, adjust) in [
        (&scene, patient as fn(&mut mail_operator::delivery::Settings)),
        (&hasty, hurried as fn(&mut mail_operator::delivery::Settings)),
    ] {
        scene.server("default", smtp.address()).await;
        operators.push(InProcess::start_through(scene.space.plane, &line, &of(scene), adjust).await);
        scene.notify("before", "default", &["ada@corp.example"], "Resend").await;
        scene.until_phase("before", "Sent").await;
        // So that lanes, journals, servers and templates are all at it.
        scene.space.apply(TEMPLATES).await;
        for n in 0..5 {
            scene.notify(&format!("mail-{n}"), "default", &["bob@corp.example"], "Resend").await;
        }
    }

    freeze.send(true).unwrap();
    let (frozen, mut noticed) = (Instant::now(), Vec::new());
    while frozen.elapsed() < PATIENCE + Duration::from_secs(20) {
        assert_eq!(operators[0].get("/livez").await, Some((200, "ok\n".into())), "{:?}", frozen.elapsed());
        let (status, words) = operators[1].get("/livez").await.unwrap();
        if status == 503 {
            noticed.extend(words.lines().map(|line| line.split(':').next().unwrap().to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    freeze.send(false).unwrap();

    for loop_ in ["lease", "journal"] {
        assert!(noticed.iter().any(|noticed| noticed == loop_), "{loop_} is not measured: {noticed:?}");
    }
    for (scene, operator) in [&scene, &hasty].into_iter().zip(&operators) {
        eventually("livez is well", SILENT, async || operator.get("/livez").await.unwrap().0 == 200).await;
        scene.notify("after", "default", &["ada@corp.example"], "Resend").await;
        scene.until_phase("after", "Sent").await;
    }
}

/// Longer than the longest unit of work takes here while no request is answered, which is three requests and their pauses.
const PATIENCE: Duration = Duration::from_secs(50);

fn patient(settings: &mut mail_operator::delivery::Settings) {
    brisk(settings);
    settings.patience = PATIENCE;
}

fn hurried(settings: &mut mail_operator::delivery::Settings) {
    brisk(settings);
    settings.patience = Duration::from_secs(4);
}

const TEMPLATES: &str = "
apiVersion: mail-operator.dev/v1alpha1
kind: MessageTemplate
metadata: { name: good }
spec: { subject: s, text: t }
---
apiVersion: mail-operator.dev/v1alpha1
kind: MessageTemplate
metadata: { name: bad }
spec: { subject: s, text: '{{ nobody }}' }
";

/// Arguments of an operator that sees nothing but this scene.
pub fn of(scene: &Scene) -> [&str; 4] {
    let own: &'static str = scene.operator_namespace().leak();
    ["--namespace", &scene.space.name, "--operator-namespace", own]
}

/// A line to an API server, and whether it is frozen: then it takes connections and bytes and answers none.
pub async fn line_to(url: &str) -> (String, watch::Sender<bool>) {
    let server: SocketAddr = url.trim_start_matches("https://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = format!("https://{}", listener.local_addr().unwrap());
    let (freeze, frozen) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let frozen = frozen.clone();
            tokio::spawn(async move {
                let far = TcpStream::connect(server).await?;
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                tokio::try_join!(
                    carry(&mut near_in, &mut far_out, frozen.clone()),
                    carry(&mut far_in, &mut near_out, frozen)
                )
            });
        }
    });
    (line, freeze)
}

async fn carry(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut frozen: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let _ = frozen.wait_for(|frozen| !frozen).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..length]).await?;
    }
}
