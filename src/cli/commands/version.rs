//! `kubectl mail version`.

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use clap::Args;

/// Options of `version`.
#[derive(Debug, Args)]
pub struct Version {}

impl Version {
    /// Prints it.
    #[expect(clippy::unused_async, reason = "the operator's version has to be asked for")]
    pub async fn run(self, _flags: &Flags) -> Result<Exit, Failure> {
        anstream::println!("kubectl-mail {}", env!("CARGO_PKG_VERSION"));
        Ok(Exit::Good)
    }
}
