//! The walk-throughs of `docs/providers/` can be followed to the end: their YAML is applied and their commands are run, in the
//! order of the page and in one shell, against a real API server. The providers' own programs are played by a stand-in, so
//! nothing outside of this machine is asked. Blocks marked `console` are for reading and are not run.

use super::{page, pages};
use crate::cluster::namespace;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads what it is given, as the real ones would, and answers something that fits into a Secret.
const STAND_IN: &str = r#"#!/bin/sh
for argument; do
  case $argument in
  *.json)
    file=${argument#file://}
    [ -e "$file" ] || echo '{}' >"$file"
    python3 -m json.tool "$file" >/dev/null || exit 1 ;;
  @*) [ -s "${argument#@}" ] || exit 1 ;;
  esac
done
case $0 in
*/aws) printf 'AKIAIOSFODNN7EXAMPLE\tsecret\n' ;;
*) echo 11111111-2222-3333-4444-555555555555 ;;
esac
"#;

#[tokio::test]
async fn each_can_be_followed_to_the_end() {
    let pages: Vec<_> = pages().into_iter().filter(|page| page.starts_with("docs/providers/")).collect();
    assert!(pages.len() >= 4, "{pages:?}");
    for path in pages {
        let name = Path::new(&path).file_stem().unwrap().display().to_string();
        let plane = namespace(&name).await;
        let folder = workplace(&name);
        program(&folder, "kubectl", &kubectl(plane.kubectl_path(), plane.kubeconfig(), &folder, &name));
        for provider in ["az", "aws", "gcloud", "curl"] {
            program(&folder, provider, STAND_IN);
        }
        std::fs::write(folder.join("ca.crt"), "the company's CA").unwrap();
        let script = script(&page(&path));
        std::fs::write(folder.join("script"), &script.text).unwrap();
        let mut bash = tokio::process::Command::new("bash");
        let search = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        bash.args(["-eux", "script"]).current_dir(&folder).env("PATH", search).kill_on_drop(true);
        let ended = bash.output().await.unwrap();
        assert!(ended.status.success(), "{path}:\n{}", String::from_utf8_lossy(&ended.stderr));
        assert!(script.yaml >= 1 && script.commands >= 3, "{path}: hardly anything was found to try");
    }
}

/// What to do on a page.
#[derive(Default)]
struct Script {
    text: String,
    yaml: usize,
    commands: usize,
}

/// A page's blocks of YAML and commands, as one script.
fn script(page: &str) -> Script {
    let mut script = Script::default();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let body: Vec<_> = (&mut lines)
            .take_while(|line| line.trim_start() != "```")
            .map(|line| line.get(indent..).unwrap_or_default())
            .collect();
        let body = body.join("\n");
        match language {
            "sh" => {
                writeln!(script.text, "{body}").unwrap();
                script.commands += 1;
            }
            "yaml" => {
                // Suspended, since an operator is there that would go and ask the real servers.
                let body = body.replace("\nspec:\n", "\nspec:\n  suspend: true\n");
                writeln!(script.text, "kubectl apply -f - <<'YAML'\n{body}\nYAML").unwrap();
                script.yaml += 1;
            }
            "console" | "powershell" | "text" => {}
            other => panic!("a block is marked {other:?}, which nobody tries"),
        }
    }
    script
}

/// An empty folder.
fn workplace(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walk-throughs").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// kubectl as an administrator has it whose current namespace is this one.
fn kubectl(program: &Path, kubeconfig: &Path, home: &Path, namespace: &str) -> String {
    let (program, kubeconfig, home) = (program.display(), kubeconfig.display(), home.display());
    format!(
        "#!/bin/sh\nHOME='{home}' KUBECONFIG='{kubeconfig}' exec '{program}' --namespace '{namespace}' \"$@\"\n"
    )
}

fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
