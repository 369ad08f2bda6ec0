//! Programs of Debian packages that cannot be installed beside what else a machine has: unpacked into the cache. Their
//! libraries and users are installed by `tests/setup`.

use crate::{
    cache::{cache_folder, cached},
    error::{Error, Result},
    tools,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A file in a user's folder needs no setuid bit, and must have none.
const UNPACK: &str = "
set -e
apt-get download -q \"$1\" || {
  echo 'if apt knows no such package, its lists are missing: as root, apt-get update' >&2
  exit 1
}
dpkg-deb -x \"$1\"_*.deb .
rm \"$1\"_*.deb
chmod u-s \"$2\"
";

/// Exim. Only one mail server may be installed, and that is Postfix.
pub(crate) async fn exim() -> Result<PathBuf> {
    unpacked("exim4-daemon-heavy", "usr/sbin/exim4").await
}

/// microsocks, without the service that its package starts.
pub(crate) async fn microsocks() -> Result<PathBuf> {
    unpacked("microsocks", "usr/bin/microsocks").await
}

/// tinyproxy, without the service that its main package starts.
pub(crate) async fn tinyproxy() -> Result<PathBuf> {
    unpacked("tinyproxy-bin", "usr/bin/tinyproxy").await
}

/// containerd with `ctr` and its shim: this is a folder to put into `PATH`. A machine's own one stays what it is.
pub(crate) async fn containerd() -> Result<PathBuf> {
    folder_of(&unpacked("containerd", "usr/bin/containerd").await?)
}

/// runc, likewise a folder.
pub(crate) async fn runc() -> Result<PathBuf> {
    folder_of(&unpacked("runc", "usr/sbin/runc").await?)
}

/// The folder of CNI's plugins.
pub(crate) async fn cni_plugins() -> Result<PathBuf> {
    folder_of(&unpacked("containernetworking-plugins", "usr/lib/cni/ptp").await?)
}

fn folder_of(program: &Path) -> Result<PathBuf> {
    let folder = program.parent().map(PathBuf::from);
    folder.ok_or_else(|| Error::Unexpected(format!("{} is in no folder", program.display())))
}

/// A program of a package of the Debian that runs here: it fits that one's libraries only.
async fn unpacked(package: &str, program: &str) -> Result<PathBuf> {
    let folder = cached(&cache_folder()?, package, &release()?, "5 seconds", async |target, log| {
        let mut shell = Command::new("sh");
        shell.args(["-c", UNPACK, "sh", package, program]).current_dir(target);
        if !tools::is_installed("apt-get") {
            let remedy =
                "some of the tests' programs are Debian's; run them on Debian, such as in a container";
            return Err(Error::Missing { program: "apt-get".to_owned(), remedy: remedy.to_owned() });
        }
        tools::run("sh", &shell, log, "any shell will do").await
    })
    .await?;
    Ok(folder.join(program))
}

/// Such as `debian12`.
pub(crate) fn release() -> Result<String> {
    let file = "/etc/os-release";
    let text = fs::read_to_string(file).map_err(Error::io(format!("reading {file}")))?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    Ok(format!("{}{}", value("ID"), value("VERSION_ID")))
}
