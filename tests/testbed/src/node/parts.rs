//! The processes of a node and of its control plane, each with the options that a single node without a way out needs.

use super::{ADDRESS, HERE, NAME, READY_LIMIT, inside};
use crate::{
    certificates::{CertificateAuthority, signing_key},
    command, control_plane, debian,
    error::{Error, Result},
    http,
    process::Process,
    progress,
    scratch::Scratch,
    tools::{self, ControlPlaneTools, NodeTools},
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Who asks the API server, and its groups. Tokens are `NAME-of-the-node`; they open nothing but this one.
const IDENTITIES: [(&str, &str, &str); 5] = [
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", "system:masters"),
    ("scheduler", "system:kube-scheduler", ""),
    ("kubelet", "system:node:node", "system:nodes"),
    ("proxy", "system:kube-proxy", ""),
];
/// Where etcd is, for clients and for other members.
const ETCD: [&str; 2] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];
const KUBELET_END: Duration = Duration::from_secs(20);

/// Everything that runs beside the Pods.
pub(crate) struct Parts {
    kubelet: Mutex<Option<Process>>,
    kubelet_command: Command,
    containerd: Containerd,
    kubeconfig: PathBuf,
    logs: PathBuf,
    _others: Vec<Process>,
}

struct Containerd {
    process: Process,
    ctr: PathBuf,
    socket: PathBuf,
}

impl Parts {
    /// Builds or unpacks what is not in the cache.
    pub(crate) async fn prepare() -> Result<()> {
        tools::control_plane().await?;
        tools::node().await?;
        debian::containerd().await?;
        debian::runc().await?;
        debian::cni_plugins().await?;
        Ok(())
    }

    pub(crate) async fn start(scratch: &Scratch, logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs).map_err(Error::io(format!("making {}", logs.display())))?;
        let (plane, node) = (tools::control_plane().await?, tools::node().await?);
        let manager = plane.kube_controller_manager.clone().ok_or_else(|| Error::Missing {
            program: "kube-controller-manager".to_owned(),
            remedy: "unset KUBEBUILDER_ASSETS to build one".to_owned(),
        })?;
        let ca = CertificateAuthority::new("Throw-away CA of a node")?;
        let keys = Keys::write(scratch, &ca)?;
        let containerd = Containerd::start(scratch, logs).await?;
        let etcd_log = logs.join("etcd.log");
        let etcd = control_plane::start_etcd(&plane.etcd, scratch, ETCD, &etcd_log).await?;
        let api = start_api_server(&plane, &keys, &ca, scratch, logs).await?;
        let manager = start_controller_manager(&manager, &keys, logs)?;
        let scheduler = start_scheduler(&node, &keys, logs)?;
        containerd.import_pause(scratch).await?;
        let kubelet_command = kubelet(&node, &keys, &containerd, scratch)?;
        let proxy = start_proxy(&node, &keys, logs)?;
        let parts = Self {
            kubelet: Mutex::new(None),
            kubelet_command,
            containerd,
            kubeconfig: keys.kubeconfig("admin"),
            logs: logs.to_owned(),
            _others: vec![api, manager, scheduler, proxy, etcd],
        };
        parts.start_kubelet()?;
        Ok(parts)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) async fn import(&self, image: &Path) -> Result<()> {
        self.containerd.import(image).await
    }

    pub(crate) fn start_kubelet(&self) -> Result<()> {
        let process = Process::start("kubelet", &self.kubelet_command, &self.logs.join("kubelet.log"))?;
        *self.kubelet.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    pub(crate) async fn stop_kubelet(&self) -> Result<()> {
        let process = self.kubelet.lock().unwrap_or_else(PoisonError::into_inner).take();
        match process {
            Some(process) => process.stop(KUBELET_END).await,
            None => Ok(()),
        }
    }
}

/// Files with which the parts know each other.
struct Keys {
    folder: PathBuf,
    signing: PathBuf,
    checking: PathBuf,
    tokens: PathBuf,
    ca: PathBuf,
}

impl Keys {
    fn write(scratch: &Scratch, ca: &CertificateAuthority) -> Result<Self> {
        let (signing, checking) = signing_key()?;
        let mut tokens = Vec::new();
        for (name, user, group) in IDENTITIES {
            let token = format!("{name}-of-the-node");
            tokens.push(format!("{token},{user},{user},\"{group}\"\n"));
            let kubeconfig = control_plane::kubeconfig(&url(), ca.pem(), &token)?;
            scratch.write(&format!("{name}.kubeconfig"), kubeconfig)?;
        }
        Ok(Self {
            folder: scratch.path().to_owned(),
            signing: scratch.write("service-account.key", signing)?,
            checking: scratch.write("service-account.pub", checking)?,
            tokens: scratch.write("tokens.csv", tokens.concat())?,
            ca: scratch.write("ca.crt", ca.pem())?,
        })
    }

    fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.kubeconfig"))
    }
}

fn url() -> String {
    format!("https://{ADDRESS}:6443")
}

async fn start_api_server(
    tools: &ControlPlaneTools,
    keys: &Keys,
    ca: &CertificateAuthority,
    scratch: &Scratch,
    logs: &Path,
) -> Result<Process> {
    let names = ["127.0.0.1", "10.96.0.1", "kubernetes.default.svc"];
    let (certificate, key) = ca.server(ADDRESS, &names)?.write(scratch, "kube-apiserver")?;
    let mut command = Command::new(&tools.kube_apiserver);
    command
        .arg(format!("--etcd-servers={}", ETCD[0]))
        .args(["--bind-address=0.0.0.0", "--secure-port=6443"])
        .arg(format!("--advertise-address={ADDRESS}"))
        .arg(format!("--tls-cert-file={}", certificate.display()))
        .arg(format!("--tls-private-key-file={}", key.display()))
        .arg(format!("--cert-dir={}", scratch.join("certs").display()))
        .arg(format!("--token-auth-file={}", keys.tokens.display()))
        .args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"])
        .args(["--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=false"])
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-signing-key-file={}", keys.signing.display()))
        .arg(format!("--service-account-key-file={}", keys.checking.display()))
        // `kubectl logs` and `exec` would look the node's name up, and nobody knows it.
        .arg("--kubelet-preferred-address-types=InternalIP");
    let process = Process::start("kube-apiserver", &command, &logs.join("kube-apiserver.log"))?;
    let client = http::trusting(ca.pem())?;
    let is_ready = async || {
        let asked = client.get(format!("{}/readyz", url())).bearer_auth("admin-of-the-node").send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    };
    progress::during("starting the node's control plane", process.until_ready(READY_LIMIT, is_ready)).await?;
    Ok(process)
}

fn start_controller_manager(program: &Path, keys: &Keys, logs: &Path) -> Result<Process> {
    let mut command = Command::new(program);
    command
        .arg(format!("--kubeconfig={}", keys.kubeconfig("controller-manager").display()))
        .arg(format!("--service-account-private-key-file={}", keys.signing.display()))
        .arg(format!("--root-ca-file={}", keys.ca.display()))
        .args(["--leader-elect=false", "--secure-port=0"]);
    Process::start("kube-controller-manager", &command, &logs.join("kube-controller-manager.log"))
}

fn start_scheduler(tools: &NodeTools, keys: &Keys, logs: &Path) -> Result<Process> {
    let mut command = Command::new(&tools.kube_scheduler);
    command
        .arg(format!("--kubeconfig={}", keys.kubeconfig("scheduler").display()))
        .args(["--leader-elect=false", "--secure-port=0"]);
    Process::start("kube-scheduler", &command, &logs.join("kube-scheduler.log"))
}

fn start_proxy(tools: &NodeTools, keys: &Keys, logs: &Path) -> Result<Process> {
    let mut command = Command::new(&tools.kube_proxy);
    command
        .arg(format!("--kubeconfig={}", keys.kubeconfig("proxy").display()))
        .args(["--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/16"])
        .arg(format!("--hostname-override={NAME}"))
        // The connection table's size belongs to the whole machine.
        .args(["--conntrack-max-per-core=0", "--conntrack-min=0"])
        .args(["--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"]);
    Process::start("kube-proxy", &command, &logs.join("kube-proxy.log"))
}

fn kubelet(tools: &NodeTools, keys: &Keys, containerd: &Containerd, scratch: &Scratch) -> Result<Command> {
    let config = serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Nobody but this node's parts and Pods reaches it.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": inside::cgroup()?,
        "failCgroupV1": false,
        "failSwapOn": false,
        // `enter.sh` shows it the values that it wants; without this it would set them for the whole machine.
        "protectKernelDefaults": true,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", containerd.socket.display()),
        "resolvConf": "",
        "podLogsDir": "/var/log/pods",
        // The machine's disk is not the node's: it must not evict Pods because of it.
        "evictionHard": { "memory.available": "100Mi" },
        "imageGCHighThresholdPercent": 100,
    });
    let config = scratch.write("kubelet.yaml", config.to_string())?;
    let mut command = Command::new(&tools.kubelet);
    command
        .arg(format!("--kubeconfig={}", keys.kubeconfig("kubelet").display()))
        .arg(format!("--config={}", config.display()))
        .arg(format!("--hostname-override={NAME}"))
        .arg(format!("--node-ip={ADDRESS}"))
        .args(["--root-dir=/run/kubelet", "--cert-dir=/run/kubelet-certificates"]);
    Ok(command)
}

impl Containerd {
    async fn start(scratch: &Scratch, logs: &Path) -> Result<Self> {
        let folders = [debian::containerd().await?, debian::runc().await?];
        let programs = folders.first().cloned().unwrap_or_default();
        let socket = scratch.join("containerd.sock");
        let config = format!(
            r#"version = 2
root = "/run/containerd-root"
state = "/run/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "testbed.example/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#,
            socket = socket.display(),
            plugins = debian::cni_plugins().await?.display(),
            cni = scratch.path().display(),
        );
        // Each Pod has a link of its own to the node, so that all traffic is routed and Services see it.
        let network = r#"{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false,
            "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{"subnet": "10.244.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;
        scratch.write("10-pods.conflist", network)?;
        let mut command = Command::new(programs.join("containerd"));
        command.arg("--config").arg(scratch.write("containerd.toml", config)?);
        command.env("PATH", path_with(&folders)?);
        let process = Process::start("containerd", &command, &logs.join("containerd.log"))?;
        let containerd = Self { process, ctr: programs.join("ctr"), socket };
        let answers = async || containerd.ctr(&["version"]).await.is_ok();
        containerd.process.until_ready(READY_LIMIT, answers).await?;
        Ok(containerd)
    }

    async fn import(&self, image: &Path) -> Result<()> {
        self.ctr(&["--namespace", "k8s.io", "images", "import", &image.to_string_lossy()]).await
    }

    /// The image of the container that holds a Pod's namespaces: one small program.
    async fn import_pause(&self, scratch: &Scratch) -> Result<()> {
        let program = scratch.join("pause");
        let mut compiler = Command::new("cc");
        compiler.args(["-O", "-static", "-o"]).arg(&program).arg(format!("{HERE}/node/pause.c"));
        tools::run("cc", &compiler, &scratch.join("cc.log"), "apt-get install build-essential").await?;
        let recipe = super::Recipe::of_program("pause", false, "65535:65535");
        let image = super::image::image(scratch, "testbed.example/pause:1", &recipe, &program).await?;
        self.import(&image).await
    }

    async fn ctr(&self, arguments: &[&str]) -> Result<()> {
        let socket = self.socket.to_string_lossy();
        let all: Vec<_> = ["--address", &socket].into_iter().chain(arguments.iter().copied()).collect();
        command::run(&self.ctr, &all, &[], "").await?.success().map(drop)
    }
}

/// `PATH` with folders before those it has.
fn path_with(folders: &[PathBuf]) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folders.iter().cloned().chain(std::env::split_paths(&path)))
        .map_err(|error| Error::Unexpected(format!("making a PATH: {error}")))
}
