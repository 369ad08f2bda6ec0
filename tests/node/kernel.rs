//! What the kernel says about the processes of Pods: they share our process namespace's tree, so /proc shows them.

use crate::Failure;
use std::{fs, path::PathBuf, process::Command};

/// A process of a container.
pub struct Process {
    proc: PathBuf,
}

/// What it may and may not.
#[derive(Debug, PartialEq, Eq)]
pub struct Restrictions {
    pub user: u32,
    pub capabilities: u64,
    pub no_new_privileges: bool,
    pub filters_system_calls: bool,
    pub root_is_read_only: bool,
    /// Of its container, in bytes.
    pub memory_limit: u64,
}

/// The first processes of all containers whose program has this name. (What a program starts under its own name is left out.)
pub fn processes(name: &str) -> Result<Vec<Process>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let process = Process { proc: entry.path() };
        let is_first = process.status("NSpid").is_ok_and(|ids| ids.split_whitespace().last() == Some("1"));
        if is_first && process.status("Name").is_ok_and(|comm| comm == name) {
            found.push(process);
        }
    }
    Ok(found)
}

/// The first process of a Pod's container of this program. A Pod's name is the host name of its processes.
pub fn process_of_pod(name: &str, pod: &str) -> Result<Process, Failure> {
    let found =
        processes(name)?.into_iter().find(|process| process.environment("HOSTNAME").as_deref() == Some(pod));
    found.ok_or_else(|| format!("Pod {pod} has no process").into())
}

impl Process {
    /// SIGKILL.
    pub fn kill(&self) -> Result<(), Failure> {
        let id = self.proc.file_name().ok_or("a process without an id")?;
        let status = Command::new("kill").arg("-KILL").arg(id).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill ended with {status}").into()) }
    }

    fn environment(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.proc.join("environ")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    }

    pub fn restrictions(&self) -> Result<Restrictions, Failure> {
        let users = self.status("Uid")?;
        let user = users.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(Restrictions {
            user,
            capabilities: u64::from_str_radix(&self.status("CapBnd")?, 16)?,
            no_new_privileges: self.status("NoNewPrivs")? == "1",
            filters_system_calls: self.status("Seccomp")? == "2",
            root_is_read_only: self.root_is_read_only()?,
            memory_limit: self.memory_limit()?,
        })
    }

    /// A line of proc_pid_status(5).
    fn status(&self, name: &str) -> Result<String, Failure> {
        let text = fs::read_to_string(self.proc.join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.ok_or_else(|| format!("/proc tells no {name}"))?.trim().to_owned())
    }

    /// proc_pid_mountinfo(5): the fifth field is the place, the sixth the options.
    fn root_is_read_only(&self) -> Result<bool, Failure> {
        let text = fs::read_to_string(self.proc.join("mountinfo"))?;
        let mut root = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = root.find(|words| words.get(4) == Some(&"/")).ok_or("a process without a root")?;
        Ok(root.get(5).is_some_and(|options| options.split(',').any(|option| option == "ro")))
    }

    fn memory_limit(&self) -> Result<u64, Failure> {
        self.memory("limit_in_bytes", "max")
    }

    /// The most that its container has taken, in bytes.
    pub fn memory_peak(&self) -> Result<u64, Failure> {
        self.memory("max_usage_in_bytes", "peak")
    }

    /// A number of its container's cgroup, by its name in either version of cgroups.
    fn memory(&self, version_1: &str, version_2: &str) -> Result<u64, Failure> {
        let text = fs::read_to_string(self.proc.join("cgroup"))?;
        let of = |begin: &str| text.lines().find_map(|line| line.split_once(begin).map(|(_, path)| path));
        let file = if let Some(path) = of(":memory:") {
            format!("/sys/fs/cgroup/memory{path}/memory.{version_1}")
        } else {
            let path = of("0::").ok_or("a process without a cgroup")?;
            format!("/sys/fs/cgroup{path}/memory.{version_2}")
        };
        Ok(fs::read_to_string(file)?.trim().parse()?)
    }
}
