//! How a command ends: its exit code, and what is said when it cannot do what it was asked to.

use std::process::ExitCode;

/// What a shell sees. Documented in `docs/kubectl-mail.md` and in `kubectl mail --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and the answer is good.
    Good,
    /// 1: done, and the answer is bad: not sent, not ready, mistakes found.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: the cluster cannot be reached, lacks what is needed, or does not permit it.
    Cluster,
    /// 4: no answer in the time given.
    TimedOut,
    /// 130: ended by Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Cluster => 3,
            Exit::TimedOut => 4,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command cannot do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was attempted and what is wrong: lower case, without a full stop.
    pub message: String,
    /// What to do about it: a command, or a sentence.
    pub next: Option<String>,
    /// Whether the API server does not permit it: what was asked for may be there all the same.
    pub is_forbidden: bool,
}

impl Failure {
    /// Without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: None, is_forbidden: false }
    }

    /// With what to do about it.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A refusal for want of a right.
    #[must_use]
    pub fn forbidden(self) -> Self {
        Self { is_forbidden: true, ..self }
    }
}
