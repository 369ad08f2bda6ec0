//! `mail-operator run` and `mail-operator crds`; and the child that `run` starts.

use clap::Parser;
use mail_operator::api::crds;
use mail_operator::evaluation::child;
use mail_operator::process::arguments::{Arguments, Command};
use mail_operator::process::{self, Fatal};
use std::process::ExitCode;

/// Two fifths more reconciles a second than with the system's allocator, and memory goes back to the system
/// after a peak.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything else: with two providers in the tree rustls would refuse to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match Arguments::parse().command {
        Command::Crds => print_crds(),
        Command::Evaluate { .. } => return child::run(),
        Command::Run(arguments) => tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(process::STACK)
            .enable_all()
            .build()
            .map_err(Fatal::from)
            .and_then(|runtime| runtime.block_on(process::run(*arguments))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mail-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "printing is what the command is for")]
fn print_crds() -> Result<(), Fatal> {
    for crd in crds::all() {
        println!("---\n{}", crds::to_yaml(&crd)?.trim_end());
    }
    Ok(())
}
