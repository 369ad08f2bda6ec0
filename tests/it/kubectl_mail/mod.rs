//! `kubectl mail` as people use it: the real kubectl finds the plugin on its PATH, the real API server answers, the
//! shared operator acts, and a mail server of the test takes the mail. This file holds what the tests of all files need.

mod commands;
mod edit;
mod first_contact;
mod interactive;
mod page;
mod preview;
mod references;
mod secrets;
mod stories;
mod templates;

pub use first_contact::{not_installed, older_and_not_running};

use crate::objects::Space;
use mail_operator_testbed::ControlPlane;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Where the plugin is, as the only folder besides the system's.
pub fn search_path() -> String {
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-mail")).parent().unwrap().to_owned();
    format!("{}:{}", plugin.display(), std::env::var("PATH").unwrap())
}

/// A folder for kubectl's caches, and for whoever looks for ~/.kube/config.
pub fn home() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubectl-mail-home");
    std::fs::create_dir_all(&home).unwrap();
    home
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Checks the exit code and that all these words were said, on either stream.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(
                self.stdout.contains(word) || self.stderr.contains(word),
                "{word:?} is missing: {self:#?}"
            );
        }
        self
    }
}

/// A call of `kubectl mail`.
pub struct Call {
    command: tokio::process::Command,
    input: String,
}

impl Call {
    /// As administrator of a control plane.
    pub fn new(plane: &ControlPlane, arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(plane.kubectl_path());
        command.arg("mail").args(arguments).env("PATH", search_path()).env("HOME", home());
        command.env("KUBECONFIG", plane.kubeconfig()).env("LC_ALL", "C.UTF-8");
        command.env_remove("COLUMNS").env_remove("NO_COLOR").kill_on_drop(true);
        Self { command, input: String::new() }
    }

    /// With another environment.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this on standard input.
    pub fn input(mut self, input: &str) -> Self {
        self.input = input.into();
        self
    }

    /// Runs to the end.
    pub async fn run(mut self) -> Ran {
        let input = std::mem::take(&mut self.input);
        let mut running = self.start();
        let mut stdin = running.child.stdin.take().unwrap();
        // A program that ends without reading says why by itself.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        running.end().await
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        use std::process::Stdio;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: self.command.spawn().unwrap(), stdout: String::new(), stderr: String::new() }
    }
}

/// A command that runs.
pub struct Running {
    child: tokio::process::Child,
    stdout: String,
    stderr: String,
}

impl Running {
    /// Reads standard output until the words were printed.
    pub async fn until(&mut self, words: &str) {
        read_until(self.child.stdout.as_mut().unwrap(), &mut self.stdout, words).await;
    }

    /// Reads standard error until the words were printed.
    pub async fn until_noted(&mut self, words: &str) {
        read_until(self.child.stderr.as_mut().unwrap(), &mut self.stderr, words).await;
    }

    /// Waits for the end.
    pub async fn end(self) -> Ran {
        let output = self.child.wait_with_output().await.unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: self.stdout + &String::from_utf8_lossy(&output.stdout),
            stderr: self.stderr + &String::from_utf8_lossy(&output.stderr),
        }
    }
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), seen: &mut String, words: &str) {
    let reading = async {
        while !seen.contains(words) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "ended without {words:?}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    let read = tokio::time::timeout(crate::objects::SOON, reading).await;
    assert!(read.is_ok(), "{words:?} never came: {seen}");
}

impl Space {
    /// Runs `kubectl mail` in the namespace.
    pub async fn mail(&self, arguments: &[&str]) -> Ran {
        self.mail_call(arguments).run().await
    }

    /// A call of `kubectl mail` in the namespace.
    pub fn mail_call(&self, arguments: &[&str]) -> Call {
        Call::new(self.plane, &[arguments, &["-n", &self.name]].concat())
    }
}
