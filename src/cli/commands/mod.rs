//! The subcommands, a file each.

mod completion;
mod explain;
mod resolve;
mod retry;
mod secret;
mod send;
mod status;
mod test;
mod edit;
mod lint;
mod preview;
mod restore;
mod templates;
mod version;

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use clap::{Parser, Subcommand};

/// Shown below the help.
const EXIT_CODES: &str = "\
Exit codes:
  0    done, and the answer is good
  1    done, and the answer is bad: not sent, not ready, mistakes found
  2    the command line is wrong
  3    the cluster cannot be reached, lacks what is needed, or does not permit it
  4    no answer in the time given
  130  ended by Ctrl-C";

/// Mail of an organisation as Kubernetes objects: test servers, send, preview and check messages.
#[derive(Debug, Parser)]
#[command(name = "kubectl mail", bin_name = "kubectl mail", version, after_help = EXIT_CODES, max_term_width = 110)]
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
    /// Have the operator verify a mail server now, and show the stages as they pass or fail.
    Test(test::Test),
    /// Send a message: write a Notification and follow it to the end.
    Send(Box<send::Send>),
    /// Show servers and what waits behind them, or the story of a Notification.
    Status(status::Status),
    /// Try again, with another Notification, for the recipients that were not accepted.
    Retry(retry::Retry),
    /// Decide about a Notification that is in doubt: it was sent, or it is to be sent again.
    Resolve(resolve::Resolve),
    /// Create Secrets that say where they may be sent.
    Secret(secret::SecretCommand),
    /// Explain a reason of a condition, or a mail server's answer.
    Explain(explain::Explain),
    /// Print what a shell, or kubectl, needs to complete commands and names.
    Completion(completion::Completion),
    /// What kubectl asks for completion.
    #[command(hide = true)]
    Complete(completion::Complete),
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
    /// What this program starts to evaluate templates.
    #[command(hide = true)]
    Evaluate,
    /// Print the versions of this program, of the operator and of the CustomResourceDefinitions.
    Version(version::Version),
}

/// Does it.
pub async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { flags, command } = arguments;
    command.has(flags.output)?;
    match command {
        Command::Test(command) => command.run(&flags).await,
        Command::Send(command) => command.run(&flags).await,
        Command::Status(command) => command.run(&flags).await,
        Command::Retry(command) => command.run(&flags).await,
        Command::Resolve(command) => command.run(&flags).await,
        Command::Secret(command) => command.run(&flags).await,
        Command::Explain(command) => command.run(&flags),
        Command::Completion(command) => command.run(),
        Command::Complete(command) => command.run().await,
        Command::Preview(command) => command.run(&flags).await,
        Command::Templates(command) => command.run(&flags).await,
        Command::Edit(command) => command.run(&flags).await,
        Command::Restore(command) => command.run(&flags).await,
        Command::Lint(command) => command.run(&flags).await,
        Command::Evaluate => Ok(Exit::Good),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
