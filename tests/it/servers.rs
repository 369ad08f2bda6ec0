//! What a user sees of his MailServerConfig, whatever is the matter with it: the stage that fails, its reason,
//! and a message with the way out. Real parts, and a scripted server where no good one would do.

#![allow(clippy::too_many_lines, reason = "tables are long")]

mod admission;
mod broken_secrets;
mod credentials;
mod encryption;
mod exchange_online;
mod grants;
mod lockdown;
mod network;
mod proxies;
mod rotation;
mod tokens;
mod upgrade;
mod upkeep;

use crate::objects::{Space, condition};
use serde_json::Value;

/// The resource's name in paths.
pub const SERVERS: &str = "mailserverconfigs";
/// A password as tests know it.
pub const PASSWORD: &str = "canary-password";
/// Who logs in.
pub const USER: &str = "it@corp.example";

/// The stages in their order.
const STAGES: [&str; 6] =
    ["CredentialsResolved", "TokenAcquired", "NameResolved", "Connected", "Secured", "Authenticated"];

/// What may mend a failure, and so what kstatus makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mends {
    /// It is tried again: `Reconciling`, in progress.
    Itself,
    /// Somebody has to change something: `Stalled`, failed.
    AChange,
}

/// A row of a table: a server's name, its spec, the stage that fails (for tokens: their endpoint and its CA), the
/// reason, what mends it, and words of the message.
pub type Case<'a> = (&'a str, String, &'a str, &'a str, Mends, &'a [&'a str]);

/// Applies a MailServerConfig with these lines in its spec, beside a sender.
pub async fn server(space: &Space, name: &str, spec: &str) {
    space.apply(&manifest(name, spec)).await;
}

/// A MailServerConfig with these lines in its spec, beside a sender.
pub fn manifest(name: &str, spec: &str) -> String {
    let lines = format!("  {}\n", spec.trim().replace('\n', "\n  "));
    format!(
        "---\napiVersion: mail-operator.dev/v1alpha1\nkind: MailServerConfig\nmetadata: {{ name: {name} }}\nspec:\n  \
         sender: {{ address: {USER} }}\n{lines}"
    )
}

/// `auth` with a password in the Secret `login`.
pub fn basic() -> String {
    format!("auth: {{ basic: {{ username: {USER}, passwordSecretRef: {{ name: login, key: password }} }} }}")
}

/// Waits until `stage` has failed for `reason`, and checks all that the status has to say then: the earlier
/// stages hold, the later ones were not tried, `Ready` says the same as the stage, kstatus reads it right, and
/// the message has every one of `words`. Returns the message.
pub async fn fails(
    space: &Space,
    name: &str,
    stage: &str,
    reason: &str,
    mends: Mends,
    words: &[&str],
) -> String {
    let what = format!("{stage}=False with reason {reason}");
    let object = space
        .until(SERVERS, name, &what, |object| {
            let found = condition(object, stage);
            found["status"] == "False" && found["reason"] == reason
        })
        .await;
    let failed_at = STAGES.iter().position(|known| *known == stage).unwrap();
    for (at, other) in STAGES.iter().enumerate() {
        let found = condition(&object, other);
        if found.is_null() {
            assert_eq!(*other, "TokenAcquired", "{name}: only a server without OAuth2 lacks a stage");
        } else if at < failed_at {
            assert_eq!(found["status"], "True", "{name}: {found}");
        } else if at > failed_at {
            assert_eq!(
                (&found["status"], &found["reason"]),
                (&"Unknown".into(), &"Pending".into()),
                "{name}: {found}"
            );
            assert_eq!(found["message"], format!("not tried, because {stage} failed"), "{name}");
        }
    }
    let (failed, ready) = (condition(&object, stage), condition(&object, "Ready"));
    assert_eq!(ready["status"], "False", "{name}: {ready}");
    assert_eq!((&ready["reason"], &ready["message"]), (&failed["reason"], &failed["message"]), "{name}");
    let expected = if mends == Mends::Itself { ["True", "absent"] } else { ["absent", "True"] };
    assert_eq!(["Reconciling", "Stalled"].map(|type_| state(&object, type_)), expected, "{name}: {ready}");
    let message = ready["message"].as_str().unwrap().to_owned();
    for word in words {
        assert!(message.contains(word), "{name}: `{word}` is missing in: {message}");
    }
    shows_no_secret(&object);
    message
}

/// Whether a verification that somebody asked for is at one of its stages: `Ready` then says what the last one found.
fn is_being_verified(object: &Value) -> bool {
    STAGES
        .iter()
        .any(|stage| ["Verifying", "Pending"].map(Value::from).contains(&condition(object, stage)["reason"]))
}

/// Waits until a server is ready, checks that nothing abnormal is left, and returns the object.
pub async fn verified(space: &Space, name: &str) -> Value {
    let object = space
        .until(SERVERS, name, "Ready", |object| {
            condition(object, "Ready")["reason"] == "Verified" && !is_being_verified(object)
        })
        .await;
    for type_ in STAGES {
        let found = condition(&object, type_);
        assert!(
            found.is_null() || found["status"] == "True" || found["reason"] == "TLSDisabled",
            "{name}: {found}"
        );
    }
    assert_eq!(
        ["Ready", "Reconciling", "Stalled"].map(|type_| state(&object, type_)),
        ["True", "absent", "absent"]
    );
    shows_no_secret(&object);
    object
}

/// The status of a condition, or `absent`.
pub fn state(object: &Value, type_: &str) -> String {
    condition(object, type_)["status"].as_str().unwrap_or("absent").into()
}

/// Every secret of these tests is a canary.
pub fn shows_no_secret(object: &Value) {
    assert!(!object["status"].to_string().contains("canary"), "{}", object["status"]);
}

/// Changes an annotation of a server.
pub async fn annotate(space: &Space, kind: &str, name: &str, annotation: &str) {
    space.kubectl(&["annotate", "--overwrite", kind, name, annotation]).await;
}
