//! An operator that can be ended at any moment: in this process, with a runtime of its own whose threads bear a name.

use clap::Parser;
use mail_operator::delivery::Settings;
use mail_operator::evaluation::Program;
use mail_operator::process::arguments::{Arguments, Command};
use mail_operator::process::{STACK, operate};
use mail_operator::smtp::Deadlines;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A running operator; dropping it is as if it were killed.
pub struct Operator(Option<tokio::runtime::Runtime>);

impl Operator {
    /// Starts one that looks after one namespace, where its own objects are, too; does not wait for it.
    pub fn start(name: &str, namespace: &str, config: kube::Config) -> Self {
        let line = ["mail-operator", "run", "--namespace", namespace, "--operator-namespace", namespace];
        let always =
            ["--egress-allow", "127.0.0.0/8", "--manage-crds", "false", "--admin-address", "127.0.0.1:0"];
        let Command::Run(arguments) = Arguments::try_parse_from(line.iter().chain(&always)).unwrap().command
        else {
            unreachable!()
        };
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_stack_size(STACK).thread_name(name).enable_all();
        let runtime = builder.build().unwrap();
        let adjust = |settings: &mut Settings| {
            settings.evaluator = Program::at(env!("CARGO_BIN_EXE_mail-operator"));
            settings.standard_messages = false;
            settings.pace = 0.01;
            settings.deadlines = Deadlines::all(Duration::from_secs(5));
        };
        runtime.spawn(async move {
            operate(*arguments, adjust, Some(config), CancellationToken::new()).await.unwrap();
        });
        Self(Some(runtime))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
