//! The editor that somebody has chosen, and the file it works on.

use crate::cli::failure::{Exit, Failure};
use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

/// The line above what was edited; everything that starts so at the top is ours.
const COMMENT: &str = "# ";

/// The editor, as kubectl finds it.
pub struct Editor {
    command: String,
}

impl Editor {
    /// `KUBE_EDITOR`, else `EDITOR`, else vi.
    pub fn from_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let default = if cfg!(windows) { "notepad" } else { "vi" };
        Self { command: set("KUBE_EDITOR").or_else(|| set("EDITOR")).unwrap_or_else(|| default.into()) }
    }

    /// Has the draft edited, with what is wrong with it at its top. Ctrl-C meanwhile is the editor's; one that fails ends
    /// it all, and the text is kept.
    pub async fn edit(&self, draft: &mut Draft, complaints: &[String]) -> Result<String, Failure> {
        let shown = draft.shown(complaints);
        draft.write(&shown)?;
        let failed =
            |draft: &mut Draft, why: String| draft.keep_if_changed(&shown, Failure::new(Exit::Failed, why));
        // A shell, since the variable may hold arguments: "code --wait".
        let mut command = if cfg!(windows) {
            let mut command = tokio::process::Command::new("cmd");
            command.arg("/C").arg(format!("{} \"{}\"", self.command, draft.path.display()));
            command
        } else {
            let mut command = tokio::process::Command::new("sh");
            command.arg("-c").arg(format!("{} \"$1\"", self.command)).arg("sh").arg(&draft.path);
            command
        };
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Err(failed(
                    draft,
                    format!("the editor {:?} cannot be started: {error}", self.command),
                ));
            }
        };
        let mut interrupted = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                // The terminal has sent it to the editor as well, which may mean something else by it.
                _ = tokio::signal::ctrl_c() => interrupted = true,
            }
        };
        // The news of the editor's end may come before that of the key that ended it.
        let interrupted = interrupted || status.as_ref().is_ok_and(|status| was_interrupted(*status));
        let why = match status {
            Ok(status) if status.success() => {
                return match std::fs::read_to_string(&draft.path) {
                    Ok(text) => Ok(without_comments(&text)),
                    Err(error) => Err(failed(draft, format!("what was edited cannot be read: {error}"))),
                };
            }
            Ok(status) => format!("not applied: the editor {:?} ended with {status}", self.command),
            Err(error) => format!("not applied: the editor {:?} failed: {error}", self.command),
        };
        let failure = failed(draft, why);
        Err(if interrupted { Failure { exit: Exit::Interrupted, ..failure } } else { failure })
    }
}

/// Whether Ctrl-C ended a program: by the signal, or told by a shell's 128 + 2.
fn was_interrupted(status: ExitStatus) -> bool {
    #[cfg(unix)]
    if std::os::unix::process::ExitStatusExt::signal(&status) == Some(2) {
        return true;
    }
    status.code() == Some(130)
}

/// The text without the comments at its top.
fn without_comments(text: &str) -> String {
    let ours = |line: &&str| line.starts_with('#') || line.trim().is_empty();
    let top: usize = text.split_inclusive('\n').take_while(ours).map(str::len).sum();
    text.get(top..).unwrap_or_default().to_owned()
}

/// What is being edited, in a file of its own folder.
pub struct Draft {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
    introduction: Vec<String>,
    text: String,
    /// Whether somebody has changed it before.
    edited: bool,
}

impl Draft {
    /// A file that only we can read.
    pub fn new(name: &str, introduction: &[String], text: &str) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("kubectl-mail-edit-").tempdir().map_err(|error| {
            Failure::new(Exit::Failed, format!("no folder for the file to edit: {error}"))
        })?;
        let path = folder.path().join(format!("{name}.yaml"));
        Ok(Self {
            folder: Some(folder),
            path,
            introduction: introduction.to_vec(),
            text: text.into(),
            edited: false,
        })
    }

    fn shown(&self, complaints: &[String]) -> String {
        let mut shown = String::new();
        let mut comment = |line: &str| {
            shown.push_str(format!("{COMMENT}{line}").trim_end());
            shown.push('\n');
        };
        if complaints.is_empty() {
            self.introduction.iter().for_each(|line| comment(line));
        } else {
            comment("Not applied yet. Correct this, or leave it as it is to give up:");
            comment("");
            complaints.iter().flat_map(|complaint| complaint.lines()).for_each(comment);
        }
        shown.push_str("#\n");
        shown + &self.text
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let written = std::fs::File::create(&self.path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| {
            Failure::new(Exit::Failed, format!("writing {} failed: {error}", self.path.display()))
        })
    }

    /// From now on this is what is edited.
    pub fn take(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.edited = true;
    }

    /// Whether the editor left it as it was.
    pub fn is_as_before(&self, text: &str) -> bool {
        self.text == text
    }

    /// It is not needed any more.
    pub fn discard(self) {
        drop(self.folder);
    }

    /// The file stays, and the failure says where.
    pub fn keep(mut self, failure: Failure) -> Failure {
        self.keep_file(failure)
    }

    /// The same where something was written, or stands in it from an earlier round.
    fn keep_if_changed(&mut self, shown: &str, failure: Failure) -> Failure {
        let untouched = std::fs::read_to_string(&self.path).is_ok_and(|text| text == shown);
        if untouched && !self.edited { failure } else { self.keep_file(failure) }
    }

    fn keep_file(&mut self, failure: Failure) -> Failure {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
        let kept = format!("what you wrote is in {}", self.path.display());
        match failure.next.clone() {
            Some(next) => failure.next(format!("{kept}\n{next}")),
            None => failure.next(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_at_the_top_are_ours_and_those_below_are_not() {
        assert_eq!(without_comments("# a\n#\n\nkind: x\n# b\n"), "kind: x\n# b\n");
        assert_eq!(without_comments("kind: x"), "kind: x");
        assert_eq!(without_comments("# a\n"), "");
    }
}
