//! `kubectl mail completion`: completion for a shell, or the script by which kubectl itself asks for it. Names of
//! objects are completed too; a cluster that does not answer at once completes nothing.

use crate::api::{MailServerConfig, MessageTemplate, Notification, Reason};
use crate::cli::cluster::{Cluster, Kind};
use crate::cli::commands::Arguments;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{ClusterFlags, Flags};
use crate::cli::output;
use crate::domain::standard;
use clap::{Arg, Args, Command, CommandFactory, ValueEnum};
use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

/// Nobody waits longer for a name.
const PATIENCE: Duration = Duration::from_secs(2);

/// What kubectl looks for on the PATH as `kubectl_complete-mail`.
const KUBECTL: &str = "#!/bin/sh\n# Put this on your PATH as kubectl_complete-mail, executable: kubectl then completes `kubectl mail`.\nexec kubectl-mail complete \"$@\"\n";

/// Options of `completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// For whom.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// For whom completion is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    /// For `kubectl mail`: a script to be put on the PATH as kubectl_complete-mail.
    Kubectl,
    /// For `kubectl-mail` typed by itself in bash.
    Bash,
    /// In zsh.
    Zsh,
    /// In fish.
    Fish,
    /// In PowerShell.
    Powershell,
}

impl Completion {
    /// Prints it.
    pub fn run(self) -> Result<Exit, Failure> {
        let shell = match self.shell {
            Shell::Kubectl => {
                output::say(KUBECTL.trim_end());
                return Ok(Exit::Good);
            }
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Powershell => clap_complete::Shell::PowerShell,
        };
        let mut command = Arguments::command().bin_name("kubectl-mail");
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "kubectl-mail", &mut script);
        let written = std::io::stdout().lock().write_all(&script);
        written.map_err(|error| Failure::new(Exit::Failed, format!("writing the script failed: {error}")))?;
        Ok(Exit::Good)
    }
}

/// What kubectl asks for: the words typed after `kubectl mail`, the last one unfinished.
#[derive(Debug, Args)]
pub struct Complete {
    /// The words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Complete {
    /// Prints the words that would fit, one a line, in the form that kubectl reads.
    pub async fn run(self) -> Result<Exit, Failure> {
        let words: Vec<String> = self.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let root = Arguments::command();
        let (typed, before) = match words.split_last() {
            Some((typed, before)) => (typed.as_str(), before),
            None => ("", Default::default()),
        };
        for candidate in candidates(&root, before, typed).await {
            if candidate.starts_with(typed) {
                output::say(candidate);
            }
        }
        // 4: no names of files, except after a flag that wants one.
        let files = before.last().and_then(|flag| wanted_value(&root, before, flag)).is_some_and(|arg| {
            arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "FILE"))
        });
        output::say(if files { ":0" } else { ":4" });
        Ok(Exit::Good)
    }
}

/// The subcommand that the words lead to.
fn subcommand<'a>(root: &'a Command, words: &[String]) -> &'a Command {
    words.iter().fold(root, |command, word| command.find_subcommand(word).unwrap_or(command))
}

/// The argument of a flag that waits for its value.
fn wanted_value<'a>(root: &'a Command, words: &[String], flag: &str) -> Option<&'a Arg> {
    let command = subcommand(root, words);
    let flags = command.get_arguments().chain(root.get_arguments());
    let matches = |arg: &&Arg| {
        arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long))
            || arg.get_short().is_some_and(|short| flag.strip_prefix('-') == Some(short.to_string().as_str()))
    };
    flags.filter(|arg| arg.get_action().takes_values()).find(matches)
}

async fn candidates(root: &Command, before: &[String], typed: &str) -> Vec<String> {
    let command = subcommand(root, before);
    if let Some(arg) = before.last().and_then(|flag| wanted_value(root, before, flag)) {
        let values = arg.get_possible_values();
        if !values.is_empty() {
            return values.iter().map(|value| value.get_name().to_owned()).collect();
        }
        return names(arg.get_long().unwrap_or_default(), before).await;
    }
    if typed.starts_with('-') {
        let flags = command.get_arguments().chain(root.get_arguments()).filter(|arg| !arg.is_hide_set());
        let mut flags: Vec<_> = flags
            .filter_map(|arg| Some(described(&format!("--{}", arg.get_long()?), arg.get_help())))
            .collect();
        flags.sort();
        flags.dedup();
        return flags;
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        return shown.map(|command| described(command.get_name(), command.get_about())).collect();
    }
    let positional = command.get_positionals().next();
    match positional {
        Some(arg) if !arg.get_possible_values().is_empty() => {
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        }
        Some(arg) => {
            let what = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
            names(&what.unwrap_or_default().to_ascii_lowercase(), before).await
        }
        None => Vec::new(),
    }
}

fn described(word: &str, about: Option<&clap::builder::StyledStr>) -> String {
    let about = about.map(ToString::to_string).unwrap_or_default();
    let first = about.lines().next().unwrap_or_default();
    if first.is_empty() { word.to_owned() } else { format!("{word}\t{first}") }
}

/// Names of what a flag or an argument of this name stands for.
async fn names(what: &str, words: &[String]) -> Vec<String> {
    let asked = async {
        let flags = cluster_flags(words);
        match what {
            "reason" => Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect(),
            "server" | "for" => objects::<MailServerConfig>(&flags).await,
            "notification" => objects::<Notification>(&flags).await,
            "template" => {
                let mut all = objects::<MessageTemplate>(&flags).await;
                all.extend(standard::all().map(|(name, _)| name.to_owned()));
                all
            }
            _ => Vec::new(),
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_default()
}

async fn objects<K: Kind>(flags: &ClusterFlags) -> Vec<String> {
    let Ok(cluster) = Cluster::open(flags).await else { return Vec::new() };
    let found: Vec<K> = cluster.list(Some(&cluster.namespace), "").await.unwrap_or_default();
    found.iter().filter_map(|object| object.meta().name.clone()).collect()
}

/// The flags among the words that lead to the cluster. The whole line is not finished, so clap would refuse it.
fn cluster_flags(words: &[String]) -> ClusterFlags {
    use clap::Parser;
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        flags: Flags,
    }
    let known = Only::command();
    let mut line = vec!["kubectl-mail".to_owned()];
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if wanted_value(&known, &[], name).is_some() {
            line.push(word.clone());
            if !word.contains('=') {
                line.extend(words.next().cloned());
            }
        }
    }
    Only::try_parse_from(line).map(|only| only.flags.cluster).unwrap_or_default()
}
