//! From an earlier chart, with its CRDs and rights, to this one, with objects in every phase: what is finished stays as it is, what
//! waits is sent, once. The program is the same in both, since an earlier one would have to be built.
//!
//! `chart-of-schema-2.tgz` is the chart as `helm package` made it before the last change of the schemas; there was no release of
//! it. The next release's takes its place.

use crate::{
    Failure, Outcome, inbox,
    scene::{OPERATOR, Scene, in_repository, until},
};
use mail_operator_testbed::node::IMAGE;
use std::time::Duration;

const CRDS: [&str; 3] = ["mailserverconfigs", "messagetemplates", "notifications"];
const LIMIT: Duration = Duration::from_mins(1);
/// Objects, and the phases that they have before and after.
const PHASES: [(&str, &str, &str); 7] = [
    ("sent", "Sent", "Sent"),
    ("failed", "Failed", "Failed"),
    ("partly", "PartiallySent", "PartiallySent"),
    ("expired", "Expired", "Expired"),
    ("scheduled", "Pending", "Pending"),
    ("waits-for-server", "Pending", "Sent"),
    ("waits-for-template", "Pending", "Sent"),
];
/// Who is to have one message in the end.
const GOT_ONE: [&str; 4] = ["sent", "partly", "waits-for-server", "waits-for-template"];

pub async fn run(scene: &Scene) -> Outcome {
    earlier(scene).await?;
    scene.node.apply_yaml(OBJECTS).await?;
    for (name, before, _) in PHASES {
        scene.until_phase("upgrade", name, before, LIMIT).await?;
    }
    let finished = statuses(scene).await?;

    scene.install("one", &[]).await?;
    for kind in CRDS {
        let crd = format!("crd/{kind}.mail-operator.dev");
        until("the CRDs are those of this version", LIMIT, async || {
            let version = r"{.metadata.annotations.mail-operator\.dev/schema-version}";
            Ok(scene.field(&[&crd], version).await? == current_schema()?)
        })
        .await?;
    }
    scene.suspend("upgrade", "suspended", false).await?;
    scene.node.apply_yaml(TEMPLATE).await?;
    for (name, _, after) in PHASES {
        scene.until_phase("upgrade", name, after, LIMIT).await?;
    }
    let now = statuses(scene).await?;
    if now != finished {
        return Err(format!("the statuses of what was finished were\n{finished:?}\nand are\n{now:?}").into());
    }
    let mut arrived: Vec<_> =
        inbox::arrivals("upgrade").await?.into_iter().map(|(address, _)| address).collect();
    arrived.sort_unstable();
    let mut expected = GOT_ONE.map(|name| format!("upgrade-{name}@corp.example"));
    expected.sort_unstable();
    if arrived != expected {
        return Err(format!("messages went to {arrived:?} instead of {expected:?}").into());
    }
    Ok("finished ones as they were, waiting ones sent once".to_owned())
}

/// Nothing of this version's chart and CRDs, but an earlier one's, whose operator leaves its CRDs alone.
async fn earlier(scene: &Scene) -> Result<(), Failure> {
    scene.node.helm(&["uninstall", OPERATOR, "--namespace", OPERATOR, "--wait"]).await?.success()?;
    for kind in CRDS {
        let crd = format!("{kind}.mail-operator.dev");
        scene.node.kubectl(&["delete", "crd", &crd, "--timeout=120s"]).await?.success()?;
    }
    let chart = in_repository("tests/node/chart-of-schema-2.tgz").to_string_lossy().into_owned();
    let image = format!("image.repository={IMAGE},image.tag=one,manageCRDs=false");
    let install = ["install", OPERATOR, &chart, "--namespace", OPERATOR, "--wait", "--set", &image];
    scene.node.helm(&install).await?.success()?;
    Ok(())
}

/// Of those that were finished before.
async fn statuses(scene: &Scene) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for (name, before, _) in PHASES {
        if before != "Pending" {
            let object = format!("notification/{name}");
            all.push(scene.field(&[&object, "-n", "upgrade"], "{.status}").await?);
        }
    }
    Ok(all)
}

/// As `crds/` has it.
fn current_schema() -> Result<String, Failure> {
    let text = std::fs::read_to_string(in_repository("crds/notifications.mail-operator.dev.yaml"))?;
    let version =
        text.lines().find_map(|line| line.trim().strip_prefix("mail-operator.dev/schema-version: "));
    Ok(version.ok_or("crds/ names no version of its schema")?.trim_matches('\'').to_owned())
}

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: upgrade}
---
apiVersion: mail-operator.dev/v1alpha1
kind: MailServerConfig
metadata: {name: default, namespace: upgrade}
spec:
  host: inbox.inbox.svc.cluster.local
  port: 25
  tls: {mode: Disabled}
  sender: {address: noreply@corp.example}
---
apiVersion: mail-operator.dev/v1alpha1
kind: MailServerConfig
metadata: {name: suspended, namespace: upgrade}
spec:
  suspend: true
  host: 10.96.0.25
  port: 25
  tls: {mode: Disabled}
  sender: {address: noreply@corp.example}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: sent, namespace: upgrade}
spec:
  to: [{address: upgrade-sent@corp.example}]
  message: {content: {subject: Sent, text: Before.}}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: failed, namespace: upgrade}
spec:
  to: [{address: upgrade-failed@refused.example}]
  message: {content: {subject: Failed, text: Before.}}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: partly, namespace: upgrade}
spec:
  to: [{address: upgrade-partly@corp.example}, {address: upgrade-partly@refused.example}]
  message: {content: {subject: Partly, text: Before.}}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: expired, namespace: upgrade}
spec:
  serverRef: {name: suspended}
  to: [{address: upgrade-expired@corp.example}]
  message: {content: {subject: Expired, text: Never.}}
  delivery: {expireAfter: 1s}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: scheduled, namespace: upgrade}
spec:
  to: [{address: upgrade-scheduled@corp.example}]
  message: {content: {subject: Scheduled, text: Much later.}}
  delivery: {sendAt: "2099-01-01T00:00:00Z"}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: waits-for-server, namespace: upgrade}
spec:
  serverRef: {name: suspended}
  to: [{address: upgrade-waits-for-server@corp.example}]
  message: {content: {subject: Waits, text: Afterwards.}}
---
apiVersion: mail-operator.dev/v1alpha1
kind: Notification
metadata: {name: waits-for-template, namespace: upgrade}
spec:
  to: [{address: upgrade-waits-for-template@corp.example}]
  message: {templateRef: {name: later}}
"#;

const TEMPLATE: &str = r"
apiVersion: mail-operator.dev/v1alpha1
kind: MessageTemplate
metadata: {name: later, namespace: upgrade}
spec: {subject: Later, text: Afterwards.}
";
