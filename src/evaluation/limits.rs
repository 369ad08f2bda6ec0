//! What a child process may use, enforced by the kernel. Set by the child for itself before it reads anything; what it
//! evaluates cannot call the system. Elsewhere than on Unix only the time that its parent waits is limited.

use std::io;

/// Memory that a child process may have, in octets: 80 MiB of it are stacks that are hardly touched. The largest template that
/// can be used takes some 30 MiB.
#[cfg(unix)]
const MEMORY: u64 = 192 << 20;

/// Address space, the program's own file and libraries included.
#[cfg(unix)]
const ADDRESS_SPACE: u64 = 1 << 30;

/// Limits memory, and leaves no core file of what may hold secrets.
#[cfg(unix)]
pub(super) fn confine() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at_most = |octets| Rlimit { current: Some(octets), maximum: Some(octets) };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::As, at_most(ADDRESS_SPACE))?;
    setrlimit(Resource::Data, at_most(MEMORY))?;
    Ok(())
}

/// Gives so many seconds of processor time from now on, after which the kernel ends the process. Its parent ends it
/// sooner, unless that is gone or frozen.
#[cfg(unix)]
pub(super) fn allow_time(seconds: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or_default();
    setrlimit(Resource::Cpu, Rlimit { current: Some(used + seconds), maximum: None })?;
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn confine() -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn allow_time(_seconds: u64) -> io::Result<()> {
    Ok(())
}
