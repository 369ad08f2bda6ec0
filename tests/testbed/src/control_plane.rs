//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.
//!
//! It has no nodes, so Pods never run; everything else (schemas, CEL, RBAC, `ServiceAccount` tokens, garbage collection, the end
//! of namespaces) is what any cluster does.

use crate::{
    api_server::{ADMIN_TOKEN, ApiServer},
    certificates::CertificateAuthority,
    command::{self, Output},
    error::{Error, Result},
    http,
    ports::free_port,
    process::{Process, Signal},
    progress,
    scratch::Scratch,
    tools::{self, ControlPlaneTools},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// etcd is there within a second on an idle machine.
const ETCD_LIMIT: Duration = Duration::from_mins(1);

/// A running control plane; dropping it ends it and removes its data.
pub struct ControlPlane {
    // Fields are dropped in this order, and it matters: an API server without etcd hangs in its own shutdown.
    api_server: ApiServer,
    _controller_manager: Option<Process>,
    etcd: Process,
    ca: CertificateAuthority,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    scratch: Scratch,
}

impl ControlPlane {
    /// Builds what is not in the cache, starts everything and waits until the API server is ready.
    pub async fn start() -> Result<Self> {
        let tools = tools::control_plane().await?;
        progress::during("starting a Kubernetes control plane", Self::start_with(tools)).await
    }

    async fn start_with(tools: ControlPlaneTools) -> Result<Self> {
        let scratch = Scratch::new("kubernetes")?;
        let ca = CertificateAuthority::new("Throw-away CA of a Kubernetes control plane")?;
        let url = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let etcd = start_etcd(&tools.etcd, &scratch, [&url, &peer], &scratch.join("etcd.log")).await?;
        let api_server = ApiServer::start(&tools.kube_apiserver, &scratch, &ca, &url).await?;
        let kubeconfig =
            scratch.write("kubeconfig", kubeconfig(&api_server.url(), ca.pem(), ADMIN_TOKEN)?)?;
        let manager = tools.kube_controller_manager.as_deref();
        let manager = manager
            .map(|program| start_controller_manager(program, &scratch, &ca, &kubeconfig))
            .transpose()?;
        Ok(Self {
            api_server,
            _controller_manager: manager,
            etcd,
            ca,
            kubeconfig,
            kubectl: tools.kubectl,
            scratch,
        })
    }

    /// Path of an administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Path of the kubectl that fits this API server.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// The API server's address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.api_server.url()
    }

    /// The authority behind the API server's certificate.
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// Runs kubectl as administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs kubectl as administrator with `input` on its standard input.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        command::run(&self.kubectl, arguments, &self.environment(), input).await
    }

    /// Runs Helm as administrator; builds it when it is not in the cache.
    pub async fn helm(&self, arguments: &[&str]) -> Result<Output> {
        command::run(&tools::helm().await?, arguments, &self.environment(), "").await
    }

    /// The text behind a path of the API, such as `/api/v1/namespaces`, asked for as administrator.
    pub async fn get(&self, path: &str) -> Result<String> {
        self.api_server.get(path).await
    }

    /// Applies a file, or every file of a folder, server-side; returns what kubectl says.
    pub async fn apply(&self, path: &Path) -> Result<String> {
        let path = path.to_string_lossy();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &path]).await?.success()
    }

    /// Applies a folder of CRDs and waits until the API server serves their kinds.
    pub async fn install_crds(&self, folder: &Path) -> Result<()> {
        self.apply(folder).await?;
        let folder = folder.to_string_lossy();
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f", &folder];
        self.kubectl(&wait).await?.success()?;
        Ok(())
    }

    /// Applies YAML text, server-side; returns what kubectl says.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_with_input(&arguments, yaml).await?.success()
    }

    /// Writes a kubeconfig that acts as a `ServiceAccount`, with a token of a day, and returns its path.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let arguments = ["create", "token", name, "--namespace", namespace, "--duration", "24h"];
        let token = self.kubectl(&arguments).await?.success()?;
        let content = kubeconfig(&self.url(), self.ca.pem(), token.trim())?;
        self.scratch.write(&format!("kubeconfig-{namespace}-{name}"), content)
    }

    /// Starts the API server after [`stop_api_server`](Self::stop_api_server) or
    /// [`kill_api_server`](Self::kill_api_server), on the same port, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        self.api_server.start_again().await
    }

    /// Ends the API server in good order: it finishes the requests that it is working on. Watches are cut off after 3 s.
    pub async fn stop_api_server(&self) -> Result<()> {
        self.api_server.stop().await
    }

    /// Ends the API server at once, with whatever it was doing.
    pub fn kill_api_server(&self) {
        self.api_server.kill();
    }

    /// Freezes the API server: connections stay open, nothing is answered.
    pub fn freeze_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::Stop)
    }

    /// Lets a frozen API server go on.
    pub fn thaw_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::Cont)
    }

    /// CPU time that the API server has used since it started, in milliseconds.
    pub fn api_server_cpu_ms(&self) -> u64 {
        self.api_server.cpu_ms()
    }

    /// CPU time that etcd has used, in milliseconds.
    pub fn etcd_cpu_ms(&self) -> u64 {
        self.etcd.cpu_ms()
    }

    /// The API server's own metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    /// HOME: kubectl and Helm keep there what they know of the API, by address, and another control plane will have this one's.
    fn environment(&self) -> [(&str, &Path); 2] {
        [("KUBECONFIG", &self.kubeconfig), ("HOME", self.scratch.path())]
    }
}

/// Starts etcd with these URLs, for clients and for other members, and waits until it answers.
pub(crate) async fn start_etcd(
    program: &Path,
    scratch: &Scratch,
    [url, peer]: [&str; 2],
    log: &Path,
) -> Result<Process> {
    let mut command = Command::new(program);
    command
        .arg(format!("--data-dir={}", scratch.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        // The data must survive a killed process, not a power cut.
        .args(["--unsafe-no-fsync", "--log-level=warn"]);
    let process = Process::start("etcd", &command, log)?;
    let (client, health) = (http::plain()?, format!("{url}/health"));
    let is_ready = async || client.get(&health).send().await.is_ok_and(|answer| answer.status().is_success());
    process.until_ready(ETCD_LIMIT, is_ready).await?;
    Ok(process)
}

/// Only the controllers that matter without nodes.
fn start_controller_manager(
    program: &Path,
    scratch: &Scratch,
    ca: &CertificateAuthority,
    kubeconfig: &Path,
) -> Result<Process> {
    let controllers = [
        "namespace-controller",
        "garbage-collector-controller",
        "serviceaccount-controller",
        "root-ca-certificate-publisher-controller",
        "clusterrole-aggregation-controller",
    ];
    let root_ca = scratch.write("ca.crt", ca.pem())?;
    let mut command = Command::new(program);
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .args(["--leader-elect=false", "--secure-port=0"])
        .arg(format!("--controllers={}", controllers.join(",")))
        .arg(format!("--root-ca-file={}", root_ca.display()));
    Process::start("kube-controller-manager", &command, &scratch.join("kube-controller-manager.log"))
}

/// A kubeconfig is YAML, and JSON is YAML.
pub(crate) fn kubeconfig(server: &str, ca_pem: &str, token: &str) -> Result<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "testbed",
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(ca_pem) },
        }],
        "users": [{ "name": "testbed", "user": { "token": token } }],
        "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": "testbed" } }],
        "current-context": "testbed",
    });
    serde_json::to_string_pretty(&config)
        .map_err(|error| Error::Unexpected(format!("writing a kubeconfig: {error}")))
}
