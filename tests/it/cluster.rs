//! The control plane that the whole binary shares, with our CRDs in it. It starts with the first test that asks for it; each
//! test works in namespaces of its own.

use mail_operator_testbed::ControlPlane;
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();

/// The shared control plane. It ends with the process.
pub async fn cluster() -> &'static ControlPlane {
    CLUSTER.get_or_init(start).await
}

static APART: OnceCell<ControlPlane> = OnceCell::const_new();

/// A second control plane, for tests that start operators of their own which must be the only ones to act: on the first
/// one the shared operator looks after every namespace.
pub async fn apart() -> &'static ControlPlane {
    APART.get_or_init(start).await
}

/// Starts a control plane with our CRDs in it.
pub async fn start() -> ControlPlane {
    let plane = ControlPlane::start().await.unwrap();
    plane.install_crds(&in_repository("crds")).await.unwrap();
    plane
}

/// Makes a namespace in the shared control plane. Names are the test's own, so that a failure shows whose it was.
pub async fn namespace(name: &str) -> &'static ControlPlane {
    let plane = cluster().await;
    plane.kubectl(&["create", "namespace", name]).await.unwrap().success().unwrap();
    plane
}

/// A path of the source tree.
pub fn in_repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
