//! Commands that run to their end and whose output matters, such as kubectl and Helm.

use crate::error::{Error, Result};
use std::{
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::{io::AsyncWriteExt, process::Command};

/// What a command wrote, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
    command: String,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    pub fn success(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        Err(Error::Command { command: self.command, status: self.status, stderr: self.stderr })
    }
}

/// Runs `program` with `input` on its standard input; it is killed when the future is dropped.
pub(crate) async fn run(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &Path)],
    input: &str,
) -> Result<Output> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Error::io(format!("starting {name}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why by itself.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(Error::io(format!("running {name}")))?;
    Ok(Output {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
        command: format!("{name} {}", arguments.join(" ")),
    })
}
