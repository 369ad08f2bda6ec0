//! Images without a daemon, a registry or a download of one: a layer with what distroless takes from Debian, one with our
//! program, and the three files that describe them, as `docker load` and containerd read them.

use super::dockerfile::Recipe;
use crate::{
    cache::{cache_folder, cached},
    debian,
    error::{Error, Result},
    scratch::Scratch,
    tools,
};
use serde_json::json;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What `gcr.io/distroless/cc` has of Debian.
const PACKAGES: &str =
    "base-files ca-certificates libc6 libgcc-s1 libgomp1 libssl3 libstdc++6 media-types netbase tzdata";

/// Distroless sets these two.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const AUTHORITIES: &str = "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt";

/// Unpacks the packages and adds what distroless makes itself: users, a home, `/tmp`, one file with all public authorities.
const MAKE_BASE: &str = r#"
set -e
mkdir root
for package in $1; do
  apt-get download -q "$package"
  dpkg-deb -x "$package"_*.deb root
  rm "$package"_*.deb
done
mkdir -p root/etc/ssl/certs root/home/nonroot root/root root/tmp
cat root/usr/share/ca-certificates/mozilla/*.crt >root/etc/ssl/certs/ca-certificates.crt
cat >root/etc/passwd <<END
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
END
cat >root/etc/group <<END
root:x:0:
nobody:x:65534:
tty:x:5:
staff:x:50:
nonroot:x:65532:
END
rm -rf root/usr/share/doc root/usr/share/man
chmod 1777 root/tmp
chown -R 65532:65532 root/home/nonroot
tar --create --file base.tar --numeric-owner --sort=name --directory root .
rm -rf root
"#;

/// An image as a file that containerd imports under `name`. `program` is the file that the recipe copies from its build.
pub(crate) async fn image(scratch: &Scratch, name: &str, recipe: &Recipe, program: &Path) -> Result<PathBuf> {
    let folder = scratch.join(&format!("image-{}", name.replace(['/', ':'], "-")));
    fs::create_dir_all(&folder).map_err(Error::io(format!("making {}", folder.display())))?;
    let mut layers = Vec::new();
    if recipe.base {
        layers.push(copy(&base().await?, &folder.join("base.tar"))?);
    }
    layers.push(program_layer(&folder, recipe, program).await?);
    describe(&folder, name, recipe, &layers)?;
    let file = scratch.join(&format!("{}.tar", name.replace(['/', ':'], "-")));
    tar(&file, &folder, scratch).await?;
    fs::remove_dir_all(&folder).map_err(Error::io("removing an image's parts"))?;
    Ok(file)
}

/// Makes the shared layer when it is not in the cache, which needs the network.
pub(crate) async fn prepare() -> Result<()> {
    base().await.map(drop)
}

/// The layer that all images share.
async fn base() -> Result<PathBuf> {
    let (cache, release) = (cache_folder()?, debian::release()?);
    let folder = cached(&cache, "node-base", &release, "10 seconds", async |target, log| {
        let mut shell = Command::new("sh");
        shell.args(["-c", MAKE_BASE, "sh", PACKAGES]).current_dir(target);
        tools::run("sh", &shell, log, "any shell will do").await
    });
    Ok(folder.await?.join("base.tar"))
}

/// The program where the recipe puts it, without what only a debugger reads: a Pod's files are in memory here.
async fn program_layer(folder: &Path, recipe: &Recipe, program: &Path) -> Result<PathBuf> {
    let script = r#"
set -e
install -D -m 755 "$1" "$2/root$3"
strip --strip-debug "$2/root$3"
tar --create --file "$2/program.tar" --owner=0 --group=0 --sort=name --directory "$2/root" .
rm -rf "$2/root""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program).arg(folder).arg(&recipe.program);
    tools::run("sh", &shell, &folder.with_extension("log"), "any shell will do").await?;
    Ok(folder.join("program.tar"))
}

/// Writes `config.json` and `manifest.json` (the image specification of Docker, version 1.2).
fn describe(folder: &Path, name: &str, recipe: &Recipe, layers: &[PathBuf]) -> Result<()> {
    let mut diff_ids = Vec::new();
    for layer in layers {
        let bytes = fs::read(layer).map_err(Error::io("reading a layer"))?;
        let mut id = "sha256:".to_owned();
        for byte in ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref() {
            // A String takes whatever is written to it.
            let _ = write!(id, "{byte:02x}");
        }
        diff_ids.push(id);
    }
    let ports: serde_json::Map<_, _> =
        recipe.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": recipe.user,
            "Entrypoint": recipe.entrypoint,
            "Cmd": recipe.arguments,
            "ExposedPorts": ports,
            "Env": [PATH, AUTHORITIES],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let names: Vec<_> = layers.iter().filter_map(|layer| layer.file_name()?.to_str()).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    for (file, content) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(folder.join(file), content.to_string()).map_err(Error::io(format!("writing {file}")))?;
    }
    Ok(())
}

/// Go's name for it, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn tar(file: &Path, folder: &Path, scratch: &Scratch) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(file).arg("--directory").arg(folder).arg(".");
    // containerd finds the parts by their names without `./`.
    tar.args(["--transform", r"s,^\./,,"]);
    tools::run("tar", &tar, &scratch.join("tar.log"), "apt-get install tar").await
}

fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    fs::copy(from, to).map_err(Error::io(format!("copying {}", from.display())))?;
    Ok(to.to_owned())
}
