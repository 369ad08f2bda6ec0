//! Folders for what the started servers keep, removed when they are dropped.
//!
//! A process that is killed removes nothing, and statics are never dropped; so each new scratch
//! folder also removes those whose owner no longer lives. A locked file inside says who lives: the kernel
//! gives the lock back however its owner ended.

use crate::error::{Error, Result};
use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

const PREFIX: &str = "mail-operator-testbed-";
const LOCK: &str = ".owner";

/// A folder of our own under the system's temporary one, readable by nobody else.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a folder whose name contains `label`.
    pub fn new(label: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir();
        remove_orphans(&parent);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{label}-{}-{number}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(Error::io(format!("making {}", path.display())))?;
        let lock = File::create(path.join(LOCK)).map_err(Error::io("making a lock file"))?;
        lock.lock().map_err(Error::io("locking a scratch folder"))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only its owner can read, and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        let attempt = || format!("writing {}", path.display());
        fs::write(&path, content).map_err(Error::io(attempt()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(Error::io(attempt()))?;
        Ok(path)
    }

    /// Lets servers that give up their rights reach what is inside.
    pub(crate) fn open_to_all(&self) -> Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io(format!("opening {}", self.path.display())))
    }

    /// Gives `path`, which is this folder or something inside, to another user: `USER` or `USER:GROUP`.
    pub(crate) fn give(&self, path: &Path, owner: &str) -> Result<()> {
        let status = Command::new("chown").args(["-R", owner]).arg(path).status();
        let status = status.map_err(Error::io("running chown"))?;
        if status.success() {
            return Ok(());
        }
        let command = format!("chown {owner} {}", self.path.display());
        Err(Error::Command { command, status, stderr: "no such user?".to_owned() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A server that is just ending may still write a file between the listing and the removal.
        for _ in 0..3 {
            if fs::remove_dir_all(&self.path).is_ok() {
                return;
            }
        }
    }
}

/// Removes the scratch folders of processes that were killed.
fn remove_orphans(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_orphan(&entry.path()) {
            // Somebody else's process may be doing the same; whoever is second finds nothing.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether nobody holds the lock; a folder younger than a minute may be about to be locked.
fn is_orphan(folder: &Path) -> bool {
    let lock = folder.join(LOCK);
    let age = fs::metadata(&lock).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_mins(1))
        && File::open(&lock).is_ok_and(|f| f.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn only_folders_whose_owner_is_gone_are_removed() {
        let parent = Scratch::new("orphans").unwrap();
        let old = SystemTime::now() - Duration::from_mins(2);
        let folder = |name: &str, age: SystemTime| {
            let path = parent.join(&format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            let lock = File::create(path.join(LOCK)).unwrap();
            lock.set_modified(age).unwrap();
            (path, lock)
        };
        let (held, lock) = folder("held", old);
        lock.lock().unwrap();
        let (young, _) = folder("young", SystemTime::now());
        let (orphan, _) = folder("orphan", old);

        remove_orphans(parent.path());

        assert!(held.exists() && young.exists() && !orphan.exists());
    }
}
