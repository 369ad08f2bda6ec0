//! `kubectl mail lint`: what is to be read, and how the findings are shown.

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use crate::cli::lint::{self, Options, Severity};
use crate::cli::output;
use crate::evaluation::{Evaluator, Program};
use clap::Args;
use jiff::Timestamp;
use std::path::PathBuf;

/// What `-o` takes.
pub const FORMATS: &[Format] = &[Format::Json, Format::Sarif, Format::Github];

/// Options of `lint`.
#[derive(Debug, Args)]
#[command(
    after_help = "-o json, sarif or github; without it the output is for people.\nExit code 0: no errors, 1: errors, 2: wrong arguments or unreadable files."
)]
pub struct Lint {
    /// Files, folders (everything below that ends in .yaml, .yml or .json), or - for standard input.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
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
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let options = Options {
            namespace: flags.cluster.namespace.clone().unwrap_or_else(|| "default".into()),
            operator_namespace: flags.cluster.operator_namespace.clone(),
            strict_references: self.strict_references,
            warnings_are_errors: self.warnings.is_some(),
            severity: self.severity,
            now: Timestamp::now(),
        };
        let evaluator = Evaluator::new(Program::this());
        let report = lint::lint(lint::read(&self.paths)?, &options, &evaluator).await?;
        output::findings(flags.output, &report.write(flags.output));
        Ok(report.exit())
    }
}
