//! The subcommands, a file each.

mod edit;
mod preview;
mod restore;
mod templates;
mod version;

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
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
    /// Print the versions of this program and of the operator.
    Version(version::Version),
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { flags, command } = arguments;
    match command {
        Command::Preview(command) => command.run(&flags).await,
        Command::Templates(command) => command.run(&flags).await,
        Command::Edit(command) => command.run(&flags).await,
        Command::Restore(command) => command.run(&flags).await,
        Command::Version(command) => command.run(&flags).await,
    }
}
