//! Names, addresses and connections: each way in which the server's host cannot be reached, and that no other
//! server suffers from it.

use super::{Case, Mends, fails, manifest, verified};
use crate::objects::{Space, soon};
use mail_operator_testbed::free_port;
use mail_operator_testbed::scripted_smtp::{Fault, ScriptedSmtp, Step};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_cannot_be_reached_say_why_and_hinder_nobody() {
    let space = Space::new("servers-network").await;
    let plain = |host: &str, port: u16| format!("host: \"{host}\"\nport: {port}\ntls: {{ mode: Disabled }}");
    let good = ScriptedSmtp::builder().start().await;
    let silent = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Stall).start().await;
    let busy =
        ScriptedSmtp::builder().fault(Step::Greeting, Fault::reply("554 5.3.2 go away canary")).start().await;
    let closing = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Eof).start().await;
    let garbage = ScriptedSmtp::builder().fault(Step::Greeting, Fault::Garbage).start().await;
    let port = |server: &ScriptedSmtp| server.address().port();
    let itself = Mends::Itself;
    let cases: [Case<'_>; 9] = [
        (
            "unknown",
            plain("nowhere.invalid", 25),
            "NameResolved",
            "NameNotFound",
            itself,
            &["nowhere.invalid", "check the host name"],
        ),
        (
            "refused",
            plain("127.0.0.1", free_port().unwrap()),
            "Connected",
            "ConnectionRefused",
            itself,
            &["nothing accepts connections at 127.0.0.1:", "check the port"],
        ),
        (
            "silent",
            plain("127.0.0.1", port(&silent)),
            "Connected",
            "ReplyTimeout",
            itself,
            &["3 s for the greeting in vain", "set tls.mode to Implicit"],
        ),
        (
            "busy",
            plain("127.0.0.1", port(&busy)),
            "Connected",
            "ServiceUnavailable",
            itself,
            &["(server: 554 5.3.2)", "may not permit our address"],
        ),
        (
            "closing",
            plain("127.0.0.1", port(&closing)),
            "Connected",
            "ConnectionClosed",
            itself,
            &["closed the connection while we waited for the greeting"],
        ),
        (
            "garbage",
            plain("127.0.0.1", port(&garbage)),
            "Connected",
            "ProtocolViolation",
            itself,
            &["is this a mail server's port?"],
        ),
        (
            "metadata",
            plain("169.254.169.254", 80),
            "NameResolved",
            "EgressDenied",
            Mends::AChange,
            &["169.254.169.254", "egress"],
        ),
        ("loopback6", plain("::1", 25), "NameResolved", "EgressDenied", Mends::AChange, &["::1", "egress"]),
        (
            "mapped",
            plain("::ffff:169.254.169.254", 25),
            "NameResolved",
            "EgressDenied",
            Mends::AChange,
            &["169.254.169.254", "egress"],
        ),
    ];
    let manifests: String = cases.iter().map(|(name, spec, ..)| manifest(name, spec)).collect();
    space.apply(&format!("{manifests}{}", manifest("good", &plain("127.0.0.1", port(&good))))).await;
    let notification = |server: &str| {
        format!(
            "---\napiVersion: mail-operator.dev/v1alpha1\nkind: Notification\nmetadata: {{ name: through-{server} }}\nspec:\n  serverRef: {{ name: {server} }}\n  to: [{{ address: {server}@corp.example }}]\n  message: {{ content: {{ subject: Hello, text: Hello }} }}\n"
        )
    };
    let notifications: String = cases.iter().map(|(name, ..)| notification(name)).collect();
    space.apply(&format!("{notifications}{}", notification("good"))).await;

    space.until_phase("through-good", "Sent").await;
    verified(&space, "good").await;
    soon("the good one has its message", async || good.copies_for("good@corp.example") == 1).await;
    for (name, _, stage, reason, mends, words) in cases {
        fails(&space, name, stage, reason, mends, words).await;
        let waiting = space.get("notifications", &format!("through-{name}")).await;
        assert_eq!(waiting["status"]["phase"], "Pending", "{name}");
        assert!(
            waiting["status"]["observedGeneration"].is_null(),
            "{name}: what waits is not written to: {waiting}"
        );
    }
}
