//! Where what users wrote is evaluated: in processes of their own, the same program started with limits on memory and
//! processor time, asked through pipes, and ended when they take longer than [`TIME`]. Nothing is evaluated anywhere
//! else. Processes start when they are needed, stay while there is work, and are gone soon after.
//!
//! An evaluation that had to be ended is tried a second time, in a new process that reports each step: that confirms it
//! on a machine that is busy with other things, says where in which text it was, and costs those nothing that end in
//! time. From then on its namespace waits for its like (see [`Turns`]).

mod frame;
mod limits;
mod process;
pub mod child;

use crate::domain::evaluation::{Answer, Overrun, Question};
use crate::domain::template::{Findings, Sources, TemplateProblem};
use crate::domain::turns::{Entry, Ticket, Turns};
use jiff::Timestamp;
use process::{Ended, Process};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long one evaluation may take. A usual one takes a millisecond, the largest template a tenth of a second.
pub const TIME: Duration = Duration::from_secs(2);

/// Processes at once. One is always free for others than the namespace that uses the most.
const PROCESSES: usize = 3;

/// How long a process stays that has nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// What is started: this program, with a word that makes it a child process.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// The subcommand of both programs that makes them a child process.
    pub const SUBCOMMAND: &'static str = "evaluate";

    /// The program that runs, as it was when it was started, even if its file was replaced since.
    pub fn this() -> Self {
        let path = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().unwrap_or_default()
        };
        Self::at(path)
    }

    /// One of our programs.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: vec![Self::SUBCOMMAND.into()] }
    }
}

/// Evaluates. Cheap to clone.
#[derive(Clone)]
pub struct Evaluator(Arc<Inner>);

struct Inner {
    program: Program,
    /// How long an answer may take.
    time: Duration,
    state: Mutex<State>,
}

struct State {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    idle: Vec<(Process, Instant)>,
    is_sweeping: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It used more than it may, twice: asking again is of no use.
    #[error("{}", .0.limit)]
    Overrun(Overrun),
    /// Too many evaluations of namespaces wait that had to be ended before, or the machine has no time: ask again later.
    #[error("nothing is free to evaluate it")]
    Busy,
    /// No process can be started: ask again later.
    #[error("starting a process to evaluate it: {0}")]
    NotStarted(String),
}

impl Evaluator {
    /// Starts nothing yet.
    pub fn new(program: Program) -> Self {
        Self::within(program, TIME)
    }

    /// The same with another time for each evaluation than [`TIME`]: tests with many that run away have no patience.
    pub fn within(program: Program, time: Duration) -> Self {
        let state = State {
            turns: Turns::new(PROCESSES),
            waiting: HashMap::new(),
            idle: Vec::new(),
            is_sweeping: false,
        };
        Self(Arc::new(Inner { program, time, state: Mutex::new(state) }))
    }

    /// Asks for something of a namespace. Takes at most twice [`TIME`] once its turn has come.
    pub async fn ask(&self, namespace: &str, question: &Question) -> Result<Answer, Unanswered> {
        let was_apart = self.is_apart(namespace);
        if !was_apart {
            let _turn = self.turn(namespace).await?;
            let mut process = self.process()?;
            let began = Instant::now();
            match process.ask(question, None).await {
                Ok(answer) => {
                    self.state().turns.took(namespace, began.elapsed(), Timestamp::now());
                    self.keep(process);
                    return Ok(answer);
                }
                Err(ended) => tracing::debug!(namespace, ?ended, "evaluation ended; once more, step by step"),
            }
            self.state().turns.keep_apart(namespace, Timestamp::now());
        }
        let _turn = self.turn(namespace).await?;
        let mut process = Process::start(&self.0.program, self.0.time)?;
        let mut stage = None;
        let answer = process.ask(question, Some(&mut stage)).await;
        if let Err(Ended::By(limit)) = answer {
            tracing::info!(namespace, ?limit, "evaluation ended: it used more than it may");
            self.state().turns.keep_apart(namespace, Timestamp::now());
            return Err(Unanswered::Overrun(Overrun { limit, stage }));
        }
        if !was_apart {
            // The machine was slow, not the text.
            self.state().turns.forgive(namespace);
        }
        let answer = answer.map_err(|_| Unanswered::Busy)?;
        self.keep(process);
        Ok(answer)
    }

    /// Whether something of the namespace had to be ended lately.
    pub fn is_apart(&self, namespace: &str) -> bool {
        self.state().turns.is_apart(namespace, Timestamp::now())
    }

    /// Whether evaluations of the namespace had to be ended or took long lately, so that nothing of others should stand
    /// behind one of them.
    pub fn takes_long(&self, namespace: &str) -> bool {
        let (state, now) = (self.state(), Timestamp::now());
        state.turns.is_apart(namespace, now) || state.turns.is_slow(namespace, now)
    }

    /// Checks a template. One that had to be ended has that as its problem.
    pub async fn check(
        &self,
        namespace: &str,
        sources: Sources,
    ) -> Result<Result<Findings, Vec<TemplateProblem>>, Unanswered> {
        match self.ask(namespace, &Question::Check(sources)).await {
            Ok(Answer::Checked(found)) => Ok(found),
            // The question has no other answer; a process that gives one is as good as none.
            Ok(_) => Err(Unanswered::Busy),
            Err(Unanswered::Overrun(overrun)) => Ok(Err(vec![overrun.of_template()])),
            Err(unanswered) => Err(unanswered),
        }
    }

    /// Waits for a turn of the namespace, which lasts until it is dropped.
    async fn turn(&self, namespace: &str) -> Result<Turn<'_>, Unanswered> {
        let (ticket, begun) = {
            let mut state = self.state();
            match state.turns.enter(namespace, Timestamp::now()) {
                Entry::Go => return Ok(Turn { evaluator: self, namespace: namespace.into() }),
                Entry::Busy => return Err(Unanswered::Busy),
                Entry::Wait(ticket) => {
                    let (signal, begun) = oneshot::channel();
                    state.waiting.insert(ticket, signal);
                    (ticket, begun)
                }
            }
        };
        let waiting = Waiting { evaluator: self, ticket, namespace: Some(namespace.into()) };
        // Its sender is in the state, which outlives this.
        let _ = begun.await;
        Ok(waiting.begin())
    }

    fn process(&self) -> Result<Process, Unanswered> {
        let idle = self.state().idle.pop();
        idle.map_or_else(|| Process::start(&self.0.program, self.0.time), |(process, _)| Ok(process))
    }

    /// Keeps a process for the next question.
    fn keep(&self, process: Process) {
        let mut state = self.state();
        state.idle.push((process, Instant::now()));
        if !std::mem::replace(&mut state.is_sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn left(&self, namespace: &str) {
        let mut state = self.state();
        let begun = state.turns.leave(namespace);
        for ticket in begun {
            if let Some(begin) = state.waiting.remove(&ticket) {
                let _ = begin.send(());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends processes that have been idle for a while, until there are none.
async fn sweep(inner: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut state = inner.state();
        state.idle.retain(|(_, since)| since.elapsed() < IDLE);
        if state.idle.is_empty() && state.turns.is_idle() {
            state.is_sweeping = false;
            return;
        }
    }
}

/// The right to evaluate something now.
struct Turn<'a> {
    evaluator: &'a Evaluator,
    namespace: Arc<str>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.evaluator.left(&self.namespace);
    }
}

/// A place among those that wait, given up when it is dropped.
struct Waiting<'a> {
    evaluator: &'a Evaluator,
    ticket: Ticket,
    namespace: Option<Arc<str>>,
}

impl<'a> Waiting<'a> {
    fn begin(mut self) -> Turn<'a> {
        Turn { evaluator: self.evaluator, namespace: self.namespace.take().unwrap_or_default() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(namespace) = self.namespace.take() else { return };
        let waits = {
            let mut state = self.evaluator.state();
            state.waiting.remove(&self.ticket);
            state.turns.withdraw(self.ticket)
        };
        if !waits {
            // Its turn came in the same moment.
            self.evaluator.left(&namespace);
        }
    }
}
