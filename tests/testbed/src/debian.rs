//! Programs of Debian packages that cannot be installed beside what else a machine has: unpacked into the cache. Their
//! libraries and users are installed by `tests/setup`.

use crate::{
    cache::{cache_folder, cached},
    error::{Error, Result},
    tools,
};
use std::{fs, path::PathBuf, process::Command};

/// Only one mail server may be installed, and that is Postfix. As a file in a user's folder Exim needs no setuid bit, and
/// must have none.
const EXIM: &str = "
set -e
apt-get download -q exim4-daemon-heavy || {
  echo 'if apt knows no such package, its lists are missing: as root, apt-get update' >&2
  exit 1
}
dpkg-deb -x exim4-daemon-heavy_*.deb .
rm exim4-daemon-heavy_*.deb
chmod u-s usr/sbin/exim4
";

/// Exim, from the package exim4-daemon-heavy of the Debian that runs here: it fits that one's libraries only.
pub(crate) async fn exim() -> Result<PathBuf> {
    let release = release()?;
    let folder =
        cached(&cache_folder()?, "exim4-daemon-heavy", &release, "5 seconds", async |target, log| {
            let mut shell = Command::new("sh");
            shell.args(["-c", EXIM]).current_dir(target);
            if !tools::is_installed("apt-get") {
                let remedy = "the tests' Exim is Debian's; run them on Debian, such as in a container";
                return Err(Error::Missing { program: "apt-get".to_owned(), remedy: remedy.to_owned() });
            }
            tools::run("sh", &shell, log, "any shell will do").await
        })
        .await?;
    Ok(folder.join("usr/sbin/exim4"))
}

/// Such as `debian12`.
fn release() -> Result<String> {
    let file = "/etc/os-release";
    let text = fs::read_to_string(file).map_err(Error::io(format!("reading {file}")))?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    Ok(format!("{}{}", value("ID"), value("VERSION_ID")))
}
