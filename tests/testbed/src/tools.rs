//! The programs the testbed needs and nobody has installed: built once from pinned sources, then kept.
//!
//! What is pinned, and to which sums, stands in the `go.mod` and `package-lock.json` beside this crate's `src`, nowhere else.

use crate::{
    cache::{cache_folder, cached},
    error::{Error, Result},
    process::Process,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Go's `-ldflags`: small binaries, and the version that Helm and kubectl ask the API server for.
const STRIPPED: &str = "-s -w";

/// A program that `go build` makes from one of our tools modules.
struct GoTool {
    name: &'static str,
    /// Folder of the tools module, beside `src`.
    module: &'static str,
    /// What to build.
    package: &'static str,
    /// The requirement in `go.mod` whose version is the tool's.
    versioned_by: &'static str,
    /// How long it takes on two cores, for the person who waits.
    takes: &'static str,
}

const ETCD: GoTool = GoTool {
    name: "etcd",
    module: "kube",
    package: "go.etcd.io/etcd/server/v3",
    versioned_by: "go.etcd.io/etcd/server/v3",
    takes: "a minute",
};
const KUBE_APISERVER: GoTool =
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "5 minutes");
const KUBE_CONTROLLER_MANAGER: GoTool =
    kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", "2 minutes");
const KUBECTL: GoTool = kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl", "a minute");
const KUBE_SCHEDULER: GoTool =
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", "a minute");
const KUBELET: GoTool = kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet", "2 minutes");
const KUBE_PROXY: GoTool = kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", "a minute");
const COREDNS: GoTool = GoTool {
    name: "coredns",
    module: "coredns",
    package: "github.com/coredns/coredns",
    versioned_by: "github.com/coredns/coredns",
    takes: "2 minutes",
};
const HELM: GoTool = GoTool {
    name: "helm",
    module: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    versioned_by: "helm.sh/helm/v4",
    takes: "2 minutes",
};
const MAILPIT: GoTool = GoTool {
    name: "mailpit",
    module: "mailpit",
    package: "github.com/axllent/mailpit",
    versioned_by: "github.com/axllent/mailpit",
    takes: "a minute",
};

const fn kubernetes(name: &'static str, package: &'static str, takes: &'static str) -> GoTool {
    GoTool { name, module: "kube", package, versioned_by: "k8s.io/kubernetes", takes }
}

/// Paths of the programs that make a control plane.
#[derive(Debug, Clone)]
pub struct ControlPlaneTools {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager; absent when `KUBEBUILDER_ASSETS` has none, as is usual there.
    pub kube_controller_manager: Option<PathBuf>,
    /// kubectl.
    pub kubectl: PathBuf,
}

/// The control plane's programs, from `KUBEBUILDER_ASSETS` (the convention of envtest) when it is set.
pub async fn control_plane() -> Result<ControlPlaneTools> {
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
        return from_kubebuilder_assets(Path::new(&folder));
    }
    Ok(ControlPlaneTools {
        kube_apiserver: go_tool(&KUBE_APISERVER).await?,
        kube_controller_manager: Some(go_tool(&KUBE_CONTROLLER_MANAGER).await?),
        kubectl: go_tool(&KUBECTL).await?,
        etcd: go_tool(&ETCD).await?,
    })
}

/// Paths of the programs that make a node of a control plane.
#[derive(Debug, Clone)]
pub(crate) struct NodeTools {
    pub(crate) kube_scheduler: PathBuf,
    pub(crate) kubelet: PathBuf,
    pub(crate) kube_proxy: PathBuf,
    pub(crate) coredns: PathBuf,
}

/// The node's programs. Those of `KUBEBUILDER_ASSETS` are none of them.
pub(crate) async fn node() -> Result<NodeTools> {
    Ok(NodeTools {
        kube_scheduler: go_tool(&KUBE_SCHEDULER).await?,
        kubelet: go_tool(&KUBELET).await?,
        kube_proxy: go_tool(&KUBE_PROXY).await?,
        coredns: go_tool(&COREDNS).await?,
    })
}

/// Helm.
pub async fn helm() -> Result<PathBuf> {
    go_tool(&HELM).await
}

/// Mailpit.
pub async fn mailpit() -> Result<PathBuf> {
    go_tool(&MAILPIT).await
}

/// The `node_modules` folder that holds npm's oidc-provider.
pub async fn oidc_provider() -> Result<PathBuf> {
    npm_tool("oidc", "oidc-provider").await
}

/// The `node_modules` folder that holds Haraka.
pub async fn haraka() -> Result<PathBuf> {
    npm_tool("haraka", "Haraka").await
}

/// The Nu HTML checker, for Java.
pub async fn nu_checker() -> Result<PathBuf> {
    Ok(npm_tool("vnu", "vnu-jar").await?.join("vnu-jar/build/dist/vnu.jar"))
}

/// The `node_modules` folder that holds a package, as the lock file in our folder says.
async fn npm_tool(folder: &str, package: &str) -> Result<PathBuf> {
    let file = format!("{folder}/package-lock.json");
    let folder = Path::new(HERE).join(folder);
    let lock = fs::read(folder.join("package-lock.json")).map_err(Error::io(format!("reading {file}")))?;
    let lock: serde_json::Value =
        serde_json::from_slice(&lock).map_err(|e| Error::Unexpected(format!("reading {file}: {e}")))?;
    let version = lock.pointer(&format!("/packages/node_modules~1{package}/version"));
    let version = version.and_then(serde_json::Value::as_str);
    let version = version.ok_or_else(|| Error::Unexpected(format!("{file} names no {package}")))?;
    let (name, cache) = (package.to_lowercase(), cache_folder()?);
    let installed = cached(&cache, &name, version, "half a minute", async |target, log| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(folder.join(file), target.join(file)).map_err(Error::io(format!("copying {file}")))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let remedy = "install Node.js 18 or newer with npm (Debian: apt-get install nodejs npm)";
        run("npm", npm.current_dir(target), log, remedy).await
    });
    Ok(installed.await?.join("node_modules"))
}

fn from_kubebuilder_assets(folder: &Path) -> Result<ControlPlaneTools> {
    let existing = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let required = |name: &str| {
        let remedy =
            || format!("KUBEBUILDER_ASSETS is {} and has none; unset it to build one", folder.display());
        existing(name).ok_or_else(|| Error::Missing { program: name.to_owned(), remedy: remedy() })
    };
    Ok(ControlPlaneTools {
        etcd: required("etcd")?,
        kube_apiserver: required("kube-apiserver")?,
        kube_controller_manager: existing("kube-controller-manager"),
        kubectl: required("kubectl")?,
    })
}

/// The path of a Go tool, which is built when it is not in the cache.
async fn go_tool(tool: &GoTool) -> Result<PathBuf> {
    let module = Path::new(HERE).join(tool.module);
    let go_mod = fs::read_to_string(module.join("go.mod"))
        .map_err(Error::io(format!("reading {}/go.mod", tool.module)))?;
    let version = version_in(&go_mod, tool.versioned_by).ok_or_else(|| {
        Error::Unexpected(format!("{}/go.mod does not require {}", tool.module, tool.versioned_by))
    })?;
    let folder = cached(&cache_folder()?, tool.name, version, tool.takes, async |target, log| {
        let mut go = Command::new("go");
        go.args(["build", "-mod=readonly", "-trimpath", "-ldflags", &link_flags(tool, version), "-o"]);
        go.arg(target.join(tool.name)).arg(tool.package).current_dir(&module);
        run("go", &go, log, "install Go 1.26 or newer from https://go.dev/dl/").await
    })
    .await?;
    Ok(folder.join(tool.name))
}

/// Kubernetes' programs are told their version; they would call themselves v0.0.0 otherwise, and Helm and kubectl parse it.
fn link_flags(tool: &GoTool, version: &str) -> String {
    if tool.versioned_by != "k8s.io/kubernetes" {
        return STRIPPED.to_owned();
    }
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    [
        STRIPPED.to_owned(),
        set("gitVersion", &format!("v{version}")),
        set("gitMajor", major),
        set("gitMinor", minor),
        set("gitTreeState", "clean"),
    ]
    .concat()
}

/// The version, without its `v`, that a `go.mod` requires of a module.
fn version_in<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        line.strip_prefix(module)?.strip_prefix(" v")?.split_whitespace().next()
    })
}

/// Runs a command to its successful end; `remedy` says how to get it when it is not installed.
pub(crate) async fn run(program: &str, command: &Command, log: &Path, remedy: &str) -> Result<()> {
    if !is_installed(program) {
        return Err(Error::Missing { program: program.to_owned(), remedy: remedy.to_owned() });
    }
    let process = Process::start(program, command, log)?;
    // A slow machine without any cached package needs long, but not this long.
    let status = process.wait(Duration::from_hours(1)).await?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Ended { name: program.to_owned(), status, log: log.to_owned(), tail: process.log_tail(20) })
}

/// Whether a program is found in `PATH`.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn every_tool_is_pinned_in_its_module() {
        let control_plane = [ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBECTL];
        let node = [KUBE_SCHEDULER, KUBELET, KUBE_PROXY, COREDNS];
        for tool in control_plane.into_iter().chain(node).chain([HELM, MAILPIT]) {
            let go_mod = fs::read_to_string(Path::new(HERE).join(tool.module).join("go.mod")).unwrap();
            let version = version_in(&go_mod, tool.versioned_by)
                .unwrap_or_else(|| panic!("{} is not pinned", tool.name));
            assert_eq!(version.split('.').count(), 3, "{version}");
            assert!(
                go_mod.contains(&format!("\t{}", tool.package))
                    || go_mod.contains(&format!("tool {}", tool.package))
            );
        }
    }

    #[test]
    fn kubernetes_programs_know_their_version() {
        let flags = link_flags(&KUBECTL, "1.36.3");
        for part in ["gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"] {
            assert!(flags.contains(part), "{flags}");
        }
        assert_eq!(link_flags(&HELM, "4.3.1"), STRIPPED);
    }

    #[test]
    fn kubebuilder_assets_need_no_controller_manager_but_the_rest() {
        let assets = Scratch::new("assets").unwrap();
        for name in ["etcd", "kube-apiserver"] {
            assets.write(name, "").unwrap();
        }
        let error = from_kubebuilder_assets(assets.path()).unwrap_err().to_string();
        assert!(error.starts_with("kubectl is missing"), "{error}");

        assets.write("kubectl", "").unwrap();
        let tools = from_kubebuilder_assets(assets.path()).unwrap();
        assert_eq!((tools.etcd, tools.kube_controller_manager), (assets.join("etcd"), None));
    }
}
