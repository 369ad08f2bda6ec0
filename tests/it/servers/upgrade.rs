//! MailServerConfigs that an earlier version called `Ready` with what needs permission by now.

use super::{Mends, PASSWORD, SERVERS, USER, annotate, basic, fails, server, verified};
use crate::cluster::apart;
use crate::crash::Scene;
use crate::objects::{Space, condition, soon};
use crate::operator::{InProcess, brisk};
use crate::probes::of;
use mail_operator_testbed::certificates::CertificateAuthority;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};

/// A status as a version before wrote it.
async fn was_ready(space: &Space, name: &str) {
    let status = json!({ "status": { "observedGeneration": 1, "conditions": [{
        "type": "Ready", "status": "True", "reason": "Verified", "message": "takes mail",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"
    }] } });
    space
        .kubectl(&["patch", "msc", name, "--subresource=status", "--type=merge", "-p", &status.to_string()])
        .await;
}

async fn warned(space: &Space) -> Value {
    let has = |object: &Value| condition(object, "ConsentMissing")["status"] == "True";
    space.until(SERVERS, "mail", "told that its consent is missing", has).await
}

/// The operator starts once the configs have their past.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_ready_goes_on_for_one_version_and_says_what_is_missing() {
    let scene = Scene::new(apart().await, "servers-upgrade").await;
    let (space, own) = (&scene.space, of(&scene));
    let authority = CertificateAuthority::new("Corp CA").unwrap();
    let certificate = authority.server("localhost", &["127.0.0.1"]).unwrap();
    let smtp = ScriptedSmtp::builder()
        .starttls(certificate.server_config().unwrap())
        .login(USER, PASSWORD)
        .start()
        .await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "login", "annotations": { "mail-operator.dev/allowed-hosts": "127.0.0.1" } },
        "stringData": { "password": PASSWORD }
    });
    space.apply(&secret.to_string()).await;
    space.ca("ca", authority.pem()).await;
    let spec = format!(
        "host: 127.0.0.1\nport: {}\ntls: {{ caRef: {{ name: ca }} }}\n{}",
        smtp.address().port(),
        basic()
    );
    server(space, "mail", &spec).await;
    was_ready(space, "mail").await;
    // The same without a past.
    server(space, "new", &spec).await;

    let operator = InProcess::start(space.plane, &own, brisk).await;
    let words = ["where only the private CA of ConfigMap ca", "kubectl annotate"];
    fails(space, "new", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    let object = warned(space).await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "{object:#}");
    let warning = condition(&object, "ConsentMissing")["message"].as_str().unwrap().to_owned();
    assert!(warning.contains("by this version of the operator only"), "{warning}");
    space
        .apply("apiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: { name: hello }\nspec: { serverRef: { name: mail }, to: [{ address: a@corp.example }], message: { content: { subject: s, text: t } } }")
        .await;
    space.until_phase("hello", "Sent").await;
    operator.stop().await;

    // It is known after a restart, and for this CA alone.
    let operator = InProcess::start(space.plane, &own, brisk).await;
    annotate(space, "msc", "mail", "mail-operator.dev/verify-requested-at=1").await;
    let asked = |object: &Value| object["status"]["lastHandledVerifyRequest"] == "1";
    let object = space.until(SERVERS, "mail", "asked again", asked).await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "{object:#}");
    assert_eq!(condition(&object, "ConsentMissing")["message"], warning.as_str());
    let logins = smtp.count(Step::Auth);
    space.ca("ca", CertificateAuthority::new("Another CA").unwrap().pem()).await;
    // It would be noticed within 30 s.
    annotate(space, "msc", "mail", "mail-operator.dev/verify-requested-at=2").await;
    fails(space, "mail", "CredentialsResolved", "SecretNotBound", Mends::AChange, &words).await;
    assert_eq!(smtp.count(Step::Auth), logins);
    space.ca("ca", authority.pem()).await;
    warned(space).await;

    // The command it gives ends it.
    space.types(warning.split_at(warning.find("kubectl ").unwrap()).1).await;
    annotate(space, "msc", "mail", "mail-operator.dev/verify-requested-at=3").await;
    soon("the warning is gone", async || {
        let object = space.get(SERVERS, "mail").await;
        condition(&object, "ConsentMissing").is_null() && object["status"]["consent"]["rules"] == 2
    })
    .await;
    verified(space, "mail").await;
    operator.stop().await;
}
