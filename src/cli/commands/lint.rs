//! `kubectl mail lint`: what is to be read, and how the findings are shown.

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::lint::{self, Format, Options, Severity};
use clap::Args;
use jiff::Timestamp;
use std::path::PathBuf;

/// Options of `lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Files, folders (everything below that ends in .yaml, .yml or .json), or - for standard input.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
    /// How the findings are written. Default: for people.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// References to objects that are not among the files are errors.
    #[arg(long)]
    strict_references: bool,
    /// Show findings of this severity and graver ones only.
    #[arg(long, value_enum, value_name = "SEVERITY", default_value = "note")]
    severity: Severity,
    /// `error`: warnings are errors.
    #[arg(short = 'W', long = "warnings", value_name = "error", value_parser = ["error"])]
    warnings: Option<String>,
}

impl Lint {
    /// Reads, judges and prints. No cluster is asked anything.
    pub fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let options = Options {
            namespace: flags.cluster.namespace.clone().unwrap_or_else(|| "default".into()),
            operator_namespace: flags.cluster.operator_namespace.clone(),
            strict_references: self.strict_references,
            warnings_are_errors: self.warnings.is_some(),
            severity: self.severity,
            now: Timestamp::now(),
        };
        let report = lint::lint(lint::read(&self.paths)?, &options)?;
        anstream::print!("{}", report.write(self.output));
        Ok(report.exit())
    }
}
