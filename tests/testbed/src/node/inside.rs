//! The namespaces in which a node runs, made around a program that is started in them: processes, mounts and network are its
//! own and end with it, however it ends. Of the machine it uses a cgroup, which is removed after it.

use super::HERE;
use crate::error::{Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::Duration,
};

/// Names the cgroup to those inside; without it one is outside.
const CGROUP: &str = "MAIL_OPERATOR_NODE_CGROUP";
const PREFIX: &str = "mail-operator-node-";
const TREE: &str = "/sys/fs/cgroup";

/// What keeps a node from running on this machine, a sentence each; empty when one can run.
pub fn missing() -> Result<Vec<String>> {
    let output = Command::new(format!("{HERE}/node/probe.sh")).output();
    let output = output.map_err(Error::io("running tests/testbed/node/probe.sh"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Whether this process is inside.
pub fn is_inside() -> bool {
    std::env::var_os(CGROUP).is_some()
}

/// Starts this very program with the same arguments inside, and waits for its end.
pub fn enter() -> Result<ExitStatus> {
    remove_orphans();
    let name = format!("{PREFIX}{}", std::process::id());
    for tree in trees() {
        let folder = tree.join(&name);
        fs::create_dir_all(&folder).map_err(Error::io(format!("making the cgroup {}", folder.display())))?;
    }
    let program = std::env::current_exe().map_err(Error::io("looking up our own program"))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount"])
        .args(["--mount-proc", &format!("{HERE}/node/enter.sh")])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(CGROUP, format!("/{name}"));
    let status = command.status().map_err(Error::io("starting unshare"));
    remove_cgroup(&name);
    status
}

/// The path, from a tree's root, of the cgroup that this node's Pods are in.
pub(crate) fn cgroup() -> Result<String> {
    std::env::var(CGROUP).map_err(|_| Error::Unexpected("a node is started by inside::enter only".to_owned()))
}

/// Version 2 has one tree. Version 1 has one for each controller, and links for those that share one.
fn trees() -> Vec<PathBuf> {
    if Path::new(TREE).join("cgroup.controllers").exists() {
        return vec![PathBuf::from(TREE)];
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter_map(|words| match words.as_slice() {
            [_, path, kind, ..] if *kind == "cgroup" || *kind == "cgroup2" => Some(PathBuf::from(path)),
            _ => None,
        })
        .collect()
}

/// The kernel has killed what was in it, but may not have collected all of it.
fn remove_cgroup(name: &str) {
    for tree in trees() {
        let folder = tree.join(name);
        for _ in 0..50 {
            remove_below(&folder);
            if !folder.exists() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A cgroup's files cannot be removed, and need not be.
fn remove_below(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path());
    }
    let _ = fs::remove_dir(folder);
}

/// Those of runs that were killed.
fn remove_orphans() {
    for tree in trees() {
        for entry in fs::read_dir(tree).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(PREFIX).map(|id| Path::new("/proc").join(id));
            if owner.is_some_and(|process| !process.exists()) {
                remove_below(&entry.path());
            }
        }
    }
}
