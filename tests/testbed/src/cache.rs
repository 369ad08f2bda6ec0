//! Where built programs are kept, outside the source tree, so that each is built once.
//!
//! `$MAIL_OPERATOR_CACHE`, else `$XDG_CACHE_HOME/mail-operator`, else `~/.cache/mail-operator` holds a folder `NAME-VERSION` for
//! each. A folder appears there complete or not at all, and two runs never build at once.

use crate::{
    error::{Error, Result},
    process::LOOK,
    progress,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The cache's own folder, which may not exist yet.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MAIL_OPERATOR_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("mail-operator")))
        .or_else(|| Some(set("HOME")?.join(".cache/mail-operator")))
        .ok_or_else(|| {
            Error::Unexpected("none of MAIL_OPERATOR_CACHE, XDG_CACHE_HOME and HOME is set".into())
        })
}

/// The folder `NAME-VERSION` of the cache. When it is not there, `build` fills an empty folder (its first argument; the second is
/// a path for its log), which then takes that place. `takes` tells the person who waits how long that takes.
pub(crate) async fn cached(
    cache: &Path,
    name: &str,
    version: &str,
    takes: &str,
    build: impl AsyncFnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache.join(format!("{name}-{version}"));
    if folder.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(cache).map_err(Error::io(format!("making {}", cache.display())))?;
    let waiting = format!("waiting for another run to build {name}");
    let _lock = progress::during(&waiting, lock(&cache.join("lock"))).await?;
    if folder.exists() {
        return Ok(folder);
    }
    // Nobody else is here while we hold the lock, so whatever is left is from a run that was killed.
    let unfinished = cache.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::io("removing an unfinished build"))?;
    }
    fs::create_dir(&unfinished).map_err(Error::io(format!("making {}", unfinished.display())))?;
    let log = cache.join("build.log");
    File::create(&log).map_err(Error::io(format!("making {}", log.display())))?;
    let what = format!("building {name} {version} (first time only, about {takes})");
    progress::during(&what, build(&unfinished, &log)).await?;
    fs::rename(&unfinished, &folder).map_err(Error::io(format!("making {}", folder.display())))?;
    Ok(folder)
}

/// A locked file; the lock ends with the file or with us.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io(format!("making {}", path.display())))?;
    while file.try_lock().is_err() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn two_who_need_the_same_build_it_once() {
        let cache = Scratch::new("cache").unwrap();
        let builds = AtomicU32::new(0);
        let get = || {
            cached(cache.path(), "tool", "1.0.0", "no time", async |folder, _| {
                builds.fetch_add(1, Ordering::Relaxed);
                // Lets the other one try.
                tokio::task::yield_now().await;
                fs::write(folder.join("tool"), "built").map_err(Error::io("building"))
            })
        };

        let (one, other) = tokio::join!(get(), get());

        assert_eq!(fs::read_to_string(one.unwrap().join("tool")).unwrap(), "built");
        assert!(other.unwrap().ends_with("tool-1.0.0"));
        assert_eq!(builds.into_inner(), 1);
    }

    #[tokio::test]
    async fn what_could_not_be_built_is_not_there_and_is_built_the_next_time() {
        let cache = Scratch::new("cache").unwrap();
        let failed = cached(cache.path(), "tool", "1.0.0", "no time", async |folder, _| {
            fs::write(folder.join("half"), "").map_err(Error::io("building"))?;
            Err(Error::Unexpected("no space left".into()))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "no space left");
        assert!(!cache.join("tool-1.0.0").exists());

        let folder = cached(cache.path(), "tool", "1.0.0", "no time", async |_, _| Ok(())).await.unwrap();

        assert!(!folder.join("half").exists());
    }
}
