//! A Kubernetes cluster with a real node: a control plane with all controllers and a scheduler, kubelet, containerd, kube-proxy
//! and CoreDNS. Pods run, find each other by DNS and Services, and are held to their limits.
//!
//! It runs in namespaces of its own (see [`inside`]), with a network that leads nowhere and files that are gone with it; so
//! addresses and ports are always the same, and nothing has to be put in order at its end.

mod dockerfile;
mod image;
pub mod inside;
mod parts;

use crate::{
    command::{self, Output},
    error::{Error, Result},
    progress,
    scratch::Scratch,
    tools,
};
use dockerfile::Recipe;
use parts::Parts;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// The node's name.
pub const NAME: &str = "node";
/// Its address. Every server that runs beside the Pods listens here.
pub(crate) const ADDRESS: &str = "10.200.0.1";
/// Where the inbox's API is, from beside the Pods.
pub const INBOX: &str = "http://10.96.0.25";
/// The operator's image, as Helm's value.
pub const IMAGE: &str = "testbed.example/mail-operator";
const READY_LIMIT: Duration = Duration::from_mins(3);

/// A running node; what it started ends with the process that owns it.
pub struct Node {
    parts: Parts,
    kubectl: PathBuf,
    helm: PathBuf,
    scratch: Scratch,
}

impl Node {
    /// Builds what is not in the cache. Needs the machine's own network, so it comes before [`inside::enter`].
    pub async fn prepare() -> Result<()> {
        Parts::prepare().await?;
        tools::helm().await?;
        tools::mailpit().await?;
        image::prepare().await
    }

    /// Starts everything and waits until the node is ready, names are answered and the inbox takes mail. Logs are written to
    /// the folder `logs`.
    pub async fn start(logs: &Path) -> Result<Self> {
        let scratch = Scratch::new("node")?;
        let parts = Parts::start(&scratch, logs).await?;
        let kubectl = tools::control_plane().await?.kubectl;
        let node = Self { parts, kubectl, helm: tools::helm().await?, scratch };
        progress::during("starting a node", node.complete()).await?;
        Ok(node)
    }

    /// What is made through containerd and the API server.
    async fn complete(&self) -> Result<()> {
        for name in ["coredns", "mailpit"] {
            let program =
                if name == "coredns" { tools::node().await?.coredns } else { tools::mailpit().await? };
            let user = if name == "coredns" { "0:0" } else { "65532:65532" };
            let recipe = Recipe::of_program(name, true, user);
            self.import(&format!("testbed.example/{name}:1"), &recipe, &program).await?;
        }
        for file in ["coredns.yaml", "inbox.yaml"] {
            let path = format!("{HERE}/node/{file}");
            self.kubectl(&["apply", "--server-side", "-f", &path]).await?.success()?;
        }
        let ready = format!("node/{NAME}");
        self.kubectl(&["wait", "--for=condition=Ready", &ready, "--timeout=90s"]).await?.success()?;
        for namespace in ["kube-system", "inbox"] {
            let wait = ["rollout", "status", "deployment", "--namespace", namespace, "--timeout=90s"];
            self.kubectl(&wait).await?.success()?;
        }
        Ok(())
    }

    /// Makes the operator's image, as deploy/Dockerfile says and with this program, and brings it to the node as `IMAGE:tag`.
    pub async fn import_operator(&self, dockerfile: &Path, program: &Path, tag: &str) -> Result<()> {
        let text =
            fs::read_to_string(dockerfile).map_err(Error::io(format!("reading {}", dockerfile.display())))?;
        self.import(&format!("{IMAGE}:{tag}"), &Recipe::of_dockerfile(&text)?, program).await
    }

    async fn import(&self, name: &str, recipe: &Recipe, program: &Path) -> Result<()> {
        let file = image::image(&self.scratch, name, recipe, program).await?;
        self.parts.import(&file).await?;
        fs::remove_file(&file).map_err(Error::io("removing an imported image"))
    }

    /// Path of an administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.parts.kubeconfig()
    }

    /// Runs kubectl as administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs kubectl as administrator with `input` on its standard input.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        command::run(&self.kubectl, arguments, &self.environment(), input).await
    }

    /// Applies YAML text, server-side.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_with_input(&arguments, yaml).await?.success()
    }

    /// Runs Helm as administrator.
    pub async fn helm(&self, arguments: &[&str]) -> Result<Output> {
        command::run(&self.helm, arguments, &self.environment(), "").await
    }

    /// Ends the kubelet. Containers go on.
    pub async fn stop_kubelet(&self) -> Result<()> {
        self.parts.stop_kubelet().await
    }

    /// Starts it again.
    pub fn start_kubelet(&self) -> Result<()> {
        self.parts.start_kubelet()
    }

    fn environment(&self) -> [(&str, &Path); 2] {
        [("KUBECONFIG", self.kubeconfig()), ("HOME", self.scratch.path())]
    }
}
