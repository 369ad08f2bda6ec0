//! The subcommands, a file each.

mod edit;
mod lint;
mod preview;
mod restore;
mod templates;
mod version;

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use clap::{Parser, Subcommand};

/// Mail of an organisation as Kubernetes objects: test servers, send, preview and check messages.
#[derive(Debug, Parser)]
#[command(name = "kubectl mail", bin_name = "kubectl mail", version, about)]
pub struct Arguments {
    /// Flags of every command.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a template or a Notification as its recipients see it, without sending anything.
    Preview(preview::Preview),
    /// List templates and standard messages, and what each takes.
    Templates(templates::Templates),
    /// Edit a standard message or a template in your editor; checked before it is applied.
    Edit(edit::Edit),
    /// Restore a standard message that was edited.
    Restore(restore::Restore),
    /// Check manifests without a cluster: what the API server and the operator would say of them.
    Lint(lint::Lint),
    /// Print the versions of this program and of the operator.
    Version(version::Version),
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { flags, command } = arguments;
    command.has(flags.output)?;
    match command {
        Command::Preview(command) => command.run(&flags).await,
        Command::Templates(command) => command.run(&flags).await,
        Command::Edit(command) => command.run(&flags).await,
        Command::Restore(command) => command.run(&flags).await,
        Command::Lint(command) => command.run(&flags),
        Command::Version(command) => command.run(&flags).await,
    }
}

impl Command {
    /// What `-o` takes.
    const fn formats(&self) -> &'static [Format] {
        match self {
            Self::Lint(_) => lint::FORMATS,
            _ => &[Format::Json, Format::Yaml, Format::Name],
        }
    }

    fn has(&self, format: Option<Format>) -> Result<(), Failure> {
        let Some(format) = format.filter(|format| !self.formats().contains(format)) else { return Ok(()) };
        let known: Vec<_> = self.formats().iter().map(|format| format.as_str()).collect();
        let message = format!("this command does not write -o {}", format.as_str());
        Err(Failure::new(Exit::Usage, message).next(format!("it writes {}", known.join(", "))))
    }
}
