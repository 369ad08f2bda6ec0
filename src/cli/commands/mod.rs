//! The subcommands, a file each.

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
    /// Print the versions of this program and of the operator.
    Version(version::Version),
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { flags, command } = arguments;
    match command {
        Command::Version(command) => command.run(&flags).await,
    }
}
