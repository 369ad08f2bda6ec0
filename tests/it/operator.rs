//! The operator inside the test process: with a runtime of its own, so that it can be dropped like a
//! process that is killed, and with waits and deadlines short enough for tests. One is shared by all tests
//! that need nothing special of it.

use crate::cluster::cluster;
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use mail_operator::delivery::Settings;
use mail_operator::evaluation::Program;
use mail_operator::process::arguments::{Arguments, Command, RunArguments};
use mail_operator::process::{STACK, operate};
use mail_operator::smtp::Deadlines;
use mail_operator_testbed::{ControlPlane, free_port};
use std::net::SocketAddr;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Threads of its runtime.
const THREADS: usize = 2;

/// An operator in this process.
pub struct InProcess {
    /// Where /livez, /readyz and /metrics are.
    pub admin: SocketAddr,
    stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    ended: Option<tokio::task::JoinHandle<()>>,
}

static SHARED: OnceCell<InProcess> = OnceCell::const_new();

/// The operator that all tests share; it looks after every namespace of the shared control plane. Waits
/// between attempts are a hundredth of the real ones (a minute is 0.6 s), each step of a session may take 3 s.
pub async fn shared() -> &'static InProcess {
    SHARED
        .get_or_init(async || InProcess::start(cluster().await, &["--metrics-server-names"], brisk).await)
        .await
}

/// Settings for tests.
pub fn brisk(settings: &mut Settings) {
    settings.pace = 0.01;
    settings.deadlines = Deadlines::all(Duration::from_secs(3));
}

impl InProcess {
    /// Starts one with further arguments, and waits until it is ready.
    pub async fn start(plane: &ControlPlane, arguments: &[&str], adjust: fn(&mut Settings)) -> Self {
        Self::start_through(plane, &plane.url(), arguments, adjust).await
    }

    /// The same with another way to the API server.
    pub async fn start_through(
        plane: &ControlPlane,
        url: &str,
        arguments: &[&str],
        adjust: fn(&mut Settings),
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let admin: SocketAddr = format!("127.0.0.1:{}", free_port().unwrap()).parse().unwrap();
        let mut line =
            vec!["mail-operator", "run", "--egress-allow", "127.0.0.0/8", "--manage-crds", "false"];
        let address = admin.to_string();
        line.extend(["--admin-address", &address]);
        line.extend(arguments);
        let Command::Run(arguments) = Arguments::try_parse_from(line).unwrap().command else {
            unreachable!()
        };
        ensure_namespace(plane, &arguments).await;
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.cluster_url = url.parse().unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).thread_stack_size(STACK).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let ended = runtime.spawn(async move {
            let adjust = |settings: &mut Settings| {
                // This process is the tests.
                settings.evaluator = Program::at(env!("CARGO_BIN_EXE_mail-operator"));
                adjust(settings);
            };
            operate(*arguments, adjust, Some(config), token).await.unwrap();
        });
        let operator = Self { admin, stop, runtime: Some(runtime), ended: Some(ended) };
        operator.until_ready().await;
        operator
    }

    /// GETs a path of the admin server; `None` while nobody listens.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// Blocks all threads of its runtime, as code does that never ends, until what is returned is dropped.
    pub fn block(&self) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel();
        let released = Arc::new(Mutex::new(released));
        let blocked = Arc::new(Barrier::new(THREADS + 1));
        for _ in 0..THREADS {
            let (released, blocked) = (released.clone(), blocked.clone());
            self.runtime.as_ref().unwrap().spawn(async move {
                blocked.wait();
                let _ = released.lock().unwrap().recv();
            });
        }
        // Each of the tasks has a thread to itself, or they would not meet here.
        blocked.wait();
        release
    }

    async fn until_ready(&self) {
        let ready = async || self.get("/readyz").await.is_some_and(|(status, _)| status == 200);
        crate::eventually("the operator is ready", Duration::from_mins(1), ready).await;
    }

    /// Ends it as SIGTERM would, and waits.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap().unwrap();
        }
    }
}

impl Drop for InProcess {
    /// Whatever it is doing stops at its next await, as if it had been killed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn ensure_namespace(plane: &ControlPlane, arguments: &RunArguments) {
    let manifest =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {} }}\n", arguments.operator_namespace);
    plane.apply_yaml(&manifest).await.unwrap();
}
