//! `kubectl mail`: what people type. Each subcommand is a file with its arguments and what it does; beside them stands
//! what they share: the flags of kubectl, the way to the cluster, output and errors. Whatever is checked or rendered
//! here is checked and rendered by the domain, as the operator does it.

mod cluster;
mod commands;
mod evaluation;
mod failure;
mod flags;
mod following;
mod interrupt;
pub mod lint;
mod output;
mod problems;
mod story;
mod values;
mod world;

pub use commands::{Arguments, Command};
pub use failure::{Exit, Failure};
pub use flags::Format;

use std::process::ExitCode;

/// Stack of the threads that work, as in the operator: compiling a template may nest deeply.
const STACK: usize = 8 * 1024 * 1024;

/// Does what was typed. The exit code is that of [`Exit`].
pub fn main(arguments: Arguments) -> ExitCode {
    if matches!(arguments.command, Command::Evaluate) {
        return crate::evaluation::child::run();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build();
    let result = runtime
        .map_err(|error| Failure::new(Exit::Failed, format!("starting failed: {error}")))
        .and_then(|runtime| runtime.block_on(commands::run(arguments)));
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::explain_failure(&failure);
            failure.exit.into()
        }
    }
}
