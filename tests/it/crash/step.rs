//! The steps of a delivery that something is held at, each at a server of its own so that one operator can
//! be at all of them at once.

use crate::crash::{Scene, TAKEOVER, says_twice};
use crate::eventually;
use crate::objects::condition;
use mail_operator_testbed::scripted_smtp::{ScriptedSmtp, Step};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Each step with what a new operator, which knows only what is stored, makes of it.
pub const STEPS: [(&str, Step, Known); 4] = [
    ("at-rcpt", Step::Rcpt, Known { claimed: Claimed::IfResend, whole: false, taken: false }),
    ("before-data", Step::Data, Known { claimed: Claimed::Yes, whole: false, taken: false }),
    ("in-the-body", Step::Body, Known { claimed: Claimed::Yes, whole: true, taken: false }),
    ("before-answer", Step::Dot, Known { claimed: Claimed::Yes, whole: true, taken: true }),
];

/// What is true of a message that is held.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Whether the journal names it.
    pub claimed: Claimed,
    /// All of it is on its way: the server takes it once it reads on.
    pub whole: bool,
    /// The server has it.
    pub taken: bool,
}

/// Whether the journal names a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It does.
    Yes,
    /// The claim is stored while the server answers RCPT where being in doubt costs nobody's time, and after it
    /// where a person would have to look.
    IfResend,
}

/// A Notification held at a step.
pub struct Held {
    /// Its name and that of its server.
    pub name: String,
    pub policy: &'static str,
    pub known: Known,
    pub smtp: ScriptedSmtp,
    /// Its recipients, whom no other test writes to: servers of tests that are over may have had this one's port, and
    /// mail that waited for them would be counted. Several get one message: `to`, `cc`, `bcc`.
    pub to: Vec<String>,
    step: Step,
}

/// Brings a Notification for each step, policy and number of recipients to where it is held. An operator has to be at
/// work.
pub async fn hold_everywhere(scene: &Scene, recipients: &[usize]) -> Vec<Held> {
    let mut all = Vec::new();
    for count in recipients {
        for policy in ["Resend", "Hold"] {
            for (name, step, known) in STEPS {
                let smtp = ScriptedSmtp::builder().hold(step).start().await;
                let name = format!("{name}-{}-{count}", policy.to_lowercase());
                scene.server(&name, smtp.address()).await;
                let to: Vec<_> =
                    (0..*count).map(|n| format!("{name}-{n}@{}.example", scene.space.name)).collect();
                scene.notify_with(&name, &name, &[&to[0]], further(policy, &to[1..])).await;
                all.push(Held { name, policy, known, smtp, to, step });
            }
        }
    }
    for held in &all {
        held.smtp.reached(held.step).await;
        if held.is_claimed() {
            eventually("it is claimed", TAKEOVER, async || scene.names(&held.name).await).await;
        }
    }
    all
}

/// What a Notification needs for further recipients of one message: the first in `cc`, the others in `bcc`.
fn further(policy: &str, recipients: &[String]) -> Value {
    let mut spec = json!({ "delivery": { "onInDoubt": policy } });
    for (n, address) in recipients.iter().enumerate() {
        spec["delivery"]["mode"] = json!("Shared");
        let list = if n == 0 { "cc" } else { "bcc" };
        spec[list] = json!([{ "address": address }]);
    }
    spec
}

impl Held {
    /// How many copies each recipient got: all the same number.
    #[track_caller]
    pub fn copies(&self) -> usize {
        let copies: BTreeSet<_> = self.to.iter().map(|to| self.smtp.copies_for(to)).collect();
        assert_eq!(copies.len(), 1, "{}: {copies:?}", self.name);
        copies.into_iter().next().unwrap_or_default()
    }

    /// Whether the status says of each recipient that it may have arrived twice, or of none.
    #[track_caller]
    pub fn says_twice(&self, found: &Value) -> bool {
        let says: BTreeSet<_> = self.to.iter().map(|to| says_twice(found, to)).collect();
        assert_eq!(says.len(), 1, "{}: {:#}", self.name, found["status"]);
        says.contains(&true)
    }

    /// Whether the journal names it.
    pub fn is_claimed(&self) -> bool {
        self.known.claimed == Claimed::Yes || self.policy == "Resend"
    }

    /// Lets it go on, and everything after it.
    pub fn release(&self) {
        self.smtp.release(self.step);
    }

    /// The sender is dead. What the server has not read whole it never takes.
    pub fn abandon(&self) {
        if !self.known.taken {
            self.smtp.cut(self.step);
        }
        self.release();
    }

    /// What a new operator has to make of it after a crash: sent once where nothing was claimed, and where it
    /// is in doubt what the policy says. Nothing is ever lost, nothing is sent twice unless the status says so.
    pub async fn is_settled_after_a_crash(&self, scene: &Scene) {
        let Self { name, policy, known, .. } = self;
        if self.is_claimed() && *policy == "Hold" {
            let found = scene.until_phase(name, "InDoubt").await;
            let ready = condition(&found, "Ready");
            assert_eq!(ready["reason"], "AnswerLost", "{name}: {ready}");
            let message = ready["message"].as_str().unwrap();
            assert!(message.contains("mail-operator.dev/resolve=sent"), "{name}: {message}");
            assert_eq!(self.copies(), usize::from(known.taken), "{name}");
        } else {
            let found = scene.until_phase(name, "Sent").await;
            assert_eq!(self.copies(), 1 + usize::from(known.taken), "{name}");
            assert_eq!(self.says_twice(&found), self.is_claimed(), "{name}: {:#}", found["status"]);
        }
    }

    /// It went out once, and the status has no doubts.
    pub async fn is_sent_once(&self, scene: &Scene) {
        let found = scene.until_phase(&self.name, "Sent").await;
        assert_eq!(self.copies(), 1, "{}", self.name);
        assert!(!self.says_twice(&found), "{}: {:#}", self.name, found["status"]);
    }
}
