//! The operator as a process of its own, so that it can be killed, frozen and told to end like any other.

use crate::{
    error::{Error, Result},
    http,
    ports::free_port,
    process::{Process, Signal},
    scratch::Scratch,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    binary: PathBuf,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl OperatorOptions {
    /// `mail-operator run` from this file, as whoever the kubeconfig says.
    pub fn new(binary: impl Into<PathBuf>, kubeconfig: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            kubeconfig: kubeconfig.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With these flags as well.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With this environment variable as well.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running operator; dropping it kills it.
pub struct Operator {
    process: Process,
    admin_url: String,
    log: PathBuf,
    client: reqwest::Client,
    _scratch: Scratch,
}

impl Operator {
    /// Starts it with its administrative address on a free port of 127.0.0.1; does not wait for anything.
    pub fn start(options: &OperatorOptions) -> Result<Self> {
        let scratch = Scratch::new("operator")?;
        let admin = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(&options.binary);
        command.args(["run", "--admin-address", &admin]).args(&options.arguments);
        command.env("KUBECONFIG", &options.kubeconfig);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        let log = scratch.join("operator.log");
        let process = Process::start("mail-operator", &command, &log)?;
        Ok(Self {
            process,
            admin_url: format!("http://{admin}"),
            log,
            client: http::plain()?,
            _scratch: scratch,
        })
    }

    /// Where `/livez`, `/readyz` and `/metrics` are, `http://127.0.0.1:PORT`.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Waits until `/readyz` answers with success; fails as soon as the operator has ended.
    pub async fn until_ready(&self, limit: Duration) -> Result<()> {
        self.process.until_ready(limit, async || self.ready().await).await
    }

    /// Whether `/readyz` answers with success.
    pub async fn ready(&self) -> bool {
        let answer = self.client.get(format!("{}/readyz", self.admin_url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Its metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        let attempt = "reading the operator's metrics";
        let answer = self.client.get(format!("{}/metrics", self.admin_url)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status).map_err(Error::http(attempt))?;
        answer.text().await.map_err(Error::http(attempt))
    }

    /// Kills it (SIGKILL).
    pub fn kill9(&self) -> Result<()> {
        self.process.signal(Signal::Kill)
    }

    /// Tells it to end (SIGTERM).
    pub fn term(&self) -> Result<()> {
        self.process.signal(Signal::Term)
    }

    /// Freezes it (SIGSTOP), and waits until it is frozen.
    pub async fn stop(&self, limit: Duration) -> Result<()> {
        self.process.freeze(limit).await
    }

    /// Lets a frozen one go on (SIGCONT).
    pub fn cont(&self) -> Result<()> {
        self.process.signal(Signal::Cont)
    }

    /// Waits for its end.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit).await
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Path of its log, which goes away with it.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// CPU time it has used, in milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        self.process.cpu_ms()
    }

    /// Memory it occupies, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_is_started_with_what_it_is_given_and_reported_when_it_ends() {
        // `echo` shows its arguments and ends, which an operator must not.
        let options = OperatorOptions::new("echo", "/a/kubeconfig").args(["--workers", "3"]);

        let operator = Operator::start(&options).unwrap();

        let error = operator.until_ready(LIMIT).await.unwrap_err().to_string();
        assert!(error.contains("mail-operator ended with exit status: 0"), "{error}");
        let admin = operator.admin_url().trim_start_matches("http://");
        assert_eq!(operator.log(), format!("run --admin-address {admin} --workers 3\n"));
        assert_eq!(operator.wait_exit(LIMIT).await.unwrap().code(), Some(0));
    }
}
