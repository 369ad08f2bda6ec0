//! One child process, as its parent sees it. Dropping it ends it.

use super::frame::{self, Request, Said};
use super::{Program, Unanswered};
use crate::domain::evaluation::{Answer, Limit, Question};
use crate::domain::template::{Sources, Stage};
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

/// Part of its time that an evaluation gets on a processor unless the machine is busy with something else.
const FAIR: f64 = 0.5;

/// So many times as long the second try waits for that much time on a processor.
const PATIENCE: u32 = 5;

/// A child process that waits for a question.
pub(super) struct Process {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    errors: ChildStderr,
    /// Whether this is its first question, so that all its processor time belongs to it.
    is_new: bool,
    /// How long an answer may take.
    time: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The evaluation used more than it may.
    By(Limit),
    /// It was over its time, but hardly got to use a processor.
    Starved,
}

impl Process {
    /// Starts one. It inherits nothing of the environment, which may name credentials.
    pub(super) fn start(program: &Program, time: Duration) -> Result<Self, Unanswered> {
        let failed = |error: &dyn std::fmt::Display| Unanswered::NotStarted(error.to_string());
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(errors)) = pipes else { return Err(failed(&"it has no pipes")) };
        Ok(Self { child, to, from, errors, is_new: true, time })
    }

    /// Asks it something. `stage` is told each text that is worked on, if that is wanted. After an error the process
    /// is gone.
    pub(super) async fn ask(
        &mut self,
        question: &Question,
        mut stage: Option<&mut Option<Stage>>,
    ) -> Result<Answer, Ended> {
        let is_new = std::mem::replace(&mut self.is_new, false);
        let time = self.time;
        let patience = if is_new && stage.is_some() { time * PATIENCE } else { time };
        let process = self.child.id();
        let asking = async {
            // A new one has compiled nothing yet.
            let sources = if is_new { question.sources() } else { None };
            let answer = self.exchange(question, sources, stage.as_deref_mut()).await?;
            match (answer, question.sources()) {
                (Answer::NotLoaded, Some(sources)) => {
                    self.exchange(question, Some(sources), stage.as_deref_mut()).await
                }
                (answer, _) => Ok(answer),
            }
        };
        let outcome = {
            let mut asking = std::pin::pin!(asking);
            let began = Instant::now();
            loop {
                if let Ok(outcome) = tokio::time::timeout(time, &mut asking).await {
                    break Ok(outcome);
                }
                let starved =
                    is_new && process.and_then(processor_time).is_some_and(|used| used < time.mul_f64(FAIR));
                if !starved || began.elapsed() >= patience {
                    break Err(if starved { Ended::Starved } else { Ended::By(Limit::Time) });
                }
            }
        };
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Ended::By(self.cause().await)),
            Err(ended) => {
                let _ = self.child.kill().await;
                Err(ended)
            }
        }
    }

    async fn exchange(
        &mut self,
        question: &Question,
        sources: Option<&Sources>,
        mut stage: Option<&mut Option<Stage>>,
    ) -> io::Result<Answer> {
        let request = Request { question, sources, step_by_step: stage.is_some() };
        self.to.write_all(&frame::encode(&request)?).await?;
        loop {
            let mut head = [0; 4];
            self.from.read_exact(&mut head).await?;
            let mut body = vec![0; frame::length(head)?];
            self.from.read_exact(&mut body).await?;
            match frame::decode(&body)? {
                Said::Done(answer) => return Ok(answer),
                Said::Step(step) => {
                    if let Some(stage) = stage.as_deref_mut() {
                        *stage = Some(step);
                    }
                }
            }
        }
    }

    /// Why the process has closed its pipes.
    async fn cause(&mut self) -> Limit {
        let Ok(Ok(status)) = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await else {
            let _ = self.child.kill().await;
            return Limit::Crash;
        };
        let mut last_words = [0; 4096];
        let read = tokio::time::timeout(Duration::from_millis(100), self.errors.read(&mut last_words)).await;
        let length = read.ok().and_then(Result::ok).unwrap_or_default();
        let last_words = String::from_utf8_lossy(last_words.get(..length).unwrap_or_default());
        cause(status, &last_words)
    }
}

/// Time that a process was on a processor since it was started, where that can be told.
fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // proc_pid_stat(5): utime and stime are the 14th and 15th field, the second is the name in parentheses; in
    // hundredths of a second on all architectures.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map_while(|ticks| ticks.parse::<u64>().ok());
    Some(Duration::from_millis(10 * (ticks.next()? + ticks.next()?)))
}

/// What ended a process.
fn cause(status: ExitStatus, last_words: &str) -> Limit {
    // What the standard library says when it has no memory, or its stack has no room for what contains itself; such a
    // process is ended by SIGABRT, or by SIGKILL where the memory of the container is used up.
    if last_words.contains("memory allocation of") || last_words.contains("overflowed its stack") {
        return Limit::Memory;
    }
    by_signal(status).unwrap_or(Limit::Crash)
}

#[cfg(unix)]
fn by_signal(status: ExitStatus) -> Option<Limit> {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt;
    match status.signal()? {
        signal if signal == Signal::XCPU.as_raw() => Some(Limit::Time),
        signal if signal == Signal::KILL.as_raw() => Some(Limit::Memory),
        // A stack without room for what contains itself. Nothing else does this, since there is no unsafe code.
        signal if signal == Signal::SEGV.as_raw() || signal == Signal::BUS.as_raw() => Some(Limit::Memory),
        _ => None,
    }
}

#[cfg(not(unix))]
fn by_signal(_: ExitStatus) -> Option<Limit> {
    None
}
