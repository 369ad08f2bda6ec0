//! One program that was started, with its output in a file.
//!
//! It never outlives its starter: dropping it kills its whole process group, and the kernel kills it when the
//! starter itself is killed. Waiting works by looking every few milliseconds, so that a process can be shared by
//! tests that each have a runtime of their own.

use crate::error::{Error, Result};
use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How often a process or a server is looked at while it is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A started program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Child>,
    id: u32,
    log: PathBuf,
}

/// What a process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End in good order.
    Term,
    /// End at once.
    Kill,
    /// Freeze.
    Stop,
    /// Go on after a freeze.
    Cont,
    /// What Ctrl-C sends.
    Int,
}

impl Process {
    /// Starts `command` as the leader of a process group of its own; its output is appended to `log`.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.map_err(Error::io(format!("opening {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::io("sharing a log file"))?;
        let mut guarded = ending_with_us(command);
        guarded.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = spawn_from_a_lasting_thread(guarded).map_err(Error::io(format!("starting {name}")))?;
        let id = child.id();
        Ok(Self { name: name.to_owned(), child: Mutex::new(child), id, log: log.to_owned() })
    }

    /// The process id, which is the group's id as well.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Sends a signal to it and to what it started. Nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        if child.try_wait().ok().flatten().is_some() {
            return Ok(()); // The id may belong to somebody else by now.
        }
        signal_group(self.id, signal)
    }

    /// Sends SIGSTOP and waits until each thread has stopped: the kernel answers as soon as it has told one of them,
    /// and on a busy machine the others go on for a while.
    pub async fn freeze(&self, limit: Duration) -> Result<()> {
        self.signal(Signal::Stop)?;
        let start = Instant::now();
        while !self.is_frozen() {
            if start.elapsed() > limit {
                let what = format!("{} to be frozen", self.name);
                return Err(Error::TooLate { what, limit, detail: String::new() });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether each thread is in state `T`, which follows the name in parentheses (proc_pid_stat(5)).
    fn is_frozen(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id)) else { return false };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Waits until it has ended.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() > limit {
                let what = format!("the end of {}", self.name);
                return Err(Error::TooLate { what, limit, detail: String::new() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends it in good order, or by force when that takes longer than `grace`.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::Term)?;
        if self.wait(grace).await.is_err() {
            self.signal(Signal::Kill)?;
            self.wait(grace).await?;
        }
        Ok(())
    }

    /// Waits until `probe` says yes; fails as soon as the process has ended.
    pub async fn until_ready(&self, limit: Duration, probe: impl AsyncFn() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                let (name, log, tail) = (self.name.clone(), self.log.clone(), self.log_tail(20));
                return Err(Error::Ended { name, status, log, tail });
            }
            if probe().await {
                return Ok(());
            }
            if start.elapsed() > limit {
                let detail = format!("; its log ends:\n{}", self.log_tail(20));
                return Err(Error::TooLate { what: format!("readiness of {}", self.name), limit, detail });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(lines);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// CPU time it has used, user and system together, in milliseconds; 0 when it has ended.
    pub fn cpu_ms(&self) -> u64 {
        fs::read_to_string(format!("/proc/{}/stat", self.id)).ok().and_then(|stat| cpu_ms(&stat)).unwrap_or(0)
    }

    /// Memory it occupies, in bytes (`VmRSS`); 0 when it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // No error can be reported from here, and the kernel still ends it with us.
        if self.signal(Signal::Kill).is_ok() {
            let _ = self.child().wait();
        }
    }
}

/// The same command, killed by the kernel when we end.
fn ending_with_us(command: &Command) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        guarded.current_dir(folder);
    }
    guarded
}

/// A command for a program that changes its user: the kernel then no longer kills it with us, and only its starter, a shell,
/// which another one watches and whose whole group it ends.
pub(crate) fn watched(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    let script = r#"
setpriv --pdeathsig TERM -- sh -c 'trap "kill -s KILL -- -$0" TERM; sleep infinity & wait' $$ &
"$@" & wait $!"#;
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell
}

/// The kernel means the *thread* that started a process when it speaks of its parent's death, and a test's thread ends
/// with the test; so one thread that never ends starts them all.
fn spawn_from_a_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in received {
                // The receiver below waits for exactly this.
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    ORDERS.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Signals every process of a group, by the shell since the standard library knows no signals.
fn signal_group(id: u32, signal: Signal) -> Result<()> {
    let name = match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Cont => "CONT",
        Signal::Int => "INT",
    };
    let script = format!("kill -s {name} -- -{id}");
    let output = Command::new("sh").args(["-c", &script]).output().map_err(Error::io("running sh"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Command { command: script, status: output.status, stderr })
}

/// User and system time from a line of `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of 10 ms). The second field
/// is the program's name in parentheses and may hold anything, so counting starts behind it.
fn cpu_ms(stat: &str) -> Option<u64> {
    const MS_PER_TICK: u64 = 10;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (after_name.next()?, after_name.next()?);
    Some((user.parse::<u64>().ok()? + system.parse::<u64>().ok()?) * MS_PER_TICK)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(id: &str) -> bool {
        // A killed process stays visible as a zombie until its new parent has looked.
        fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn until(condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10), "nothing happened");
            tokio::time::sleep(LOOK).await;
        }
    }

    #[tokio::test]
    async fn dropping_a_process_ends_its_children_too() {
        let scratch = Scratch::new("process").unwrap();
        let script = shell("sleep 600 & echo $!; wait");
        let process = Process::start("a shell", &script, &scratch.join("log")).unwrap();
        until(|| process.log().ends_with('\n')).await;
        let grandchild = process.log();
        assert!(is_alive(&grandchild));

        drop(process);

        until(|| !is_alive(&grandchild)).await;
    }

    /// Whether the guard has done its work and given way to `sleep`.
    fn is_sleep(id: &str) -> bool {
        fs::read_to_string(format!("/proc/{}/comm", id.trim())).is_ok_and(|name| name == "sleep\n")
    }

    #[tokio::test]
    async fn a_process_outlives_the_thread_that_asked_for_it() {
        let scratch = Scratch::new("process").unwrap();
        let log = scratch.join("log");
        let asking = thread::spawn(move || {
            let process = Process::start("sleep", &shell("exec sleep 600"), &log).unwrap();
            while !is_sleep(&process.id().to_string()) {
                thread::yield_now();
            }
            (process, fs::read_link("/proc/thread-self").unwrap())
        });
        let (process, thread) = asking.join().unwrap();
        until(|| !Path::new("/proc").join(&thread).exists()).await;

        process.signal(Signal::Term).unwrap();

        let status = process.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.signal(), Some(15), "ended by us, not with the thread");
    }

    #[tokio::test]
    async fn a_process_ends_with_a_parent_that_is_killed() {
        let scratch = Scratch::new("process").unwrap();
        // The shell plays the part of a test run: it starts a process as we do, and is killed.
        let command = ending_with_us(&shell("exec sleep 600"));
        let words: Vec<_> = command.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let script = format!("setpriv {} & echo $!; wait", words.join(" "));
        let mut parent = shell(&script).stdout(File::create(scratch.join("id")).unwrap()).spawn().unwrap();
        let id = || fs::read_to_string(scratch.join("id")).unwrap_or_default();
        until(|| is_sleep(&id())).await;

        parent.kill().unwrap();
        parent.wait().unwrap();

        until(|| !is_alive(&id())).await;
    }

    #[tokio::test]
    async fn a_watched_process_ends_with_the_shell_before_it() {
        let scratch = Scratch::new("process").unwrap();
        // Without its starter's signal, as the kernel forgets that of a program that changes its user.
        let command = watched(&shell("setpriv --pdeathsig clear sleep 600 & echo $!; wait"));
        let process = Process::start("a shell", &command, &scratch.join("log")).unwrap();
        until(|| process.log().ends_with('\n')).await;
        let grandchild = process.log();

        process.child().kill().unwrap();
        process.child().wait().unwrap();

        until(|| !is_alive(&grandchild)).await;
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_reported_with_its_last_words() {
        let scratch = Scratch::new("process").unwrap();
        let process =
            Process::start("a shell", &shell("echo no such option; exit 3"), &scratch.join("log")).unwrap();
        let error =
            process.until_ready(Duration::from_secs(10), async || false).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such option"), "{error}");
    }

    #[test]
    fn cpu_time_is_read_behind_any_program_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 7 8 20 0 1 0 100 0 0";
        assert_eq!(cpu_ms(line), Some(1750));
        assert_eq!(cpu_ms("nonsense"), None);
    }
}
