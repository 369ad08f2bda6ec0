//! The kube-apiserver of a control plane: it can be stopped, killed, frozen, and started again on the same port with the same
//! data.

use crate::{
    certificates::{CertificateAuthority, signing_key},
    error::{Error, Result},
    http,
    ports::free_port,
    process::{Process, Signal},
    scratch::Scratch,
};
use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// It takes 4 s on two idle cores.
const START_LIMIT: Duration = Duration::from_mins(3);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Whoever holds it may do everything; it opens nothing but this API server.
pub(crate) const ADMIN_TOKEN: &str = "admin-of-the-testbed";

/// A kube-apiserver, running or not.
pub(crate) struct ApiServer {
    process: Mutex<Option<Process>>,
    command: Command,
    log: PathBuf,
    port: u16,
    client: reqwest::Client,
}

impl ApiServer {
    /// Starts `program` on a free port with its files in `scratch`, its data in the etcd at `etcd_url`, and a certificate
    /// from `ca`.
    pub(crate) async fn start(
        program: &PathBuf,
        scratch: &Scratch,
        ca: &CertificateAuthority,
        etcd_url: &str,
    ) -> Result<Self> {
        let port = free_port()?;
        let server = Self {
            process: Mutex::new(None),
            command: command(program, scratch, ca, etcd_url, port)?,
            log: scratch.join("kube-apiserver.log"),
            port,
            client: http::trusting(ca.pem())?,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Its address, `https://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn start_again(&self) -> Result<()> {
        let process = Process::start("kube-apiserver", &self.command, &self.log)?;
        process.until_ready(START_LIMIT, async || self.get("/readyz").await.is_ok()).await?;
        *self.process() = Some(process);
        Ok(())
    }

    pub(crate) async fn stop(&self) -> Result<()> {
        let process = self.process().take();
        match process {
            Some(process) => process.stop(STOP_LIMIT).await,
            None => Ok(()),
        }
    }

    pub(crate) fn kill(&self) {
        drop(self.process().take());
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process().as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    pub(crate) fn cpu_ms(&self) -> u64 {
        self.process().as_ref().map_or(0, Process::cpu_ms)
    }

    /// The text behind a path, asked for as administrator.
    pub(crate) async fn get(&self, path: &str) -> Result<String> {
        let attempt = || format!("asking the API server for {path}");
        let request = self.client.get(format!("{}{path}", self.url())).bearer_auth(ADMIN_TOKEN);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map_err(Error::http(attempt()))?.text().await.map_err(Error::http(attempt()))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command line; writes the files that it names.
fn command(
    program: &PathBuf,
    scratch: &Scratch,
    ca: &CertificateAuthority,
    etcd_url: &str,
    port: u16,
) -> Result<Command> {
    let (certificate, key) =
        ca.server("127.0.0.1", &["localhost", "kubernetes.default.svc"])?.write(scratch, "kube-apiserver")?;
    let (signing, checking) = signing_key()?;
    let signing = scratch.write("service-account.key", signing)?;
    let checking = scratch.write("service-account.pub", checking)?;
    let tokens = scratch.write("tokens.csv", format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n"))?;
    let mut command = Command::new(program);
    command
        // About half again as fast; memory is not short in tests.
        .env("GOGC", "400")
        .arg(format!("--etcd-servers={etcd_url}"))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={port}"))
        .arg(format!("--tls-cert-file={}", certificate.display()))
        .arg(format!("--tls-private-key-file={}", key.display()))
        .arg(format!("--cert-dir={}", scratch.join("certs").display()))
        .arg(format!("--token-auth-file={}", tokens.display()))
        .arg("--authorization-mode=RBAC")
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-signing-key-file={}", signing.display()))
        .arg(format!("--service-account-key-file={}", checking.display()))
        // It would refuse every Pod until the controller manager has made the namespace's ServiceAccount.
        .arg("--disable-admission-plugins=ServiceAccount");
    Ok(command)
}
