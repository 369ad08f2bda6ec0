//! `kubectl mail`: kubectl finds the program by its name, `kubectl-mail`.

use clap::Parser;
use mail_operator::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: with two providers in the tree rustls would refuse to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::main(cli::Arguments::parse())
}
