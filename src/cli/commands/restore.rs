//! `kubectl mail restore`: deletes what edits a standard message, so that the text before it is sent again.

use crate::api::MessageTemplate;
use crate::cli::cluster::Request;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output::{self, Mark};
use crate::cli::world::World;
use crate::domain::likeness::nearest;
use crate::domain::lookup::Source;
use crate::domain::standard;
use clap::Args;
use kube::api::{DeleteParams, Preconditions};
use std::io::{BufRead, IsTerminal, Write};

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The standard message.
    #[arg(value_name = "NAME")]
    name: String,
    /// For the whole cluster: what was edited in the operator's namespace.
    #[arg(long, conflicts_with = "namespace")]
    operator_wide: bool,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Restore {
    /// Deletes the MessageTemplate that edits the message, after asking.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let name = &self.name;
        if standard::find(name).is_none() {
            let failure = Failure::new(
                Exit::Failed,
                format!("{name} is no standard message, so there is no text to restore"),
            );
            return Err(match nearest(name, standard::all().map(|(name, _)| name)) {
                Some(meant) => failure.next(format!("did you mean {meant}?")),
                None => {
                    failure.next(format!("kubectl delete messagetemplate {name} deletes a template for good"))
                }
            });
        }
        let flags = &place(flags, self.operator_wide);
        let world = World::open(flags).await?;
        let Some(cluster) = &world.cluster else { return Ok(Exit::Failed) };
        let namespace = &world.namespace;
        let source = Source::object(namespace, name);
        let Some(known) = world.catalog.template(&source).cloned() else {
            let (meaning, _) = world.template(name)?;
            output::say_all(output::marked(
                Mark::Good,
                &format!(
                    "nothing to restore: {name} is not edited in namespace {namespace}, where it is {meaning}"
                ),
            ));
            if let Source::Object(key) = meaning {
                output::say(format_args!(
                    "  for the whole cluster: kubectl mail restore {name} -n {}",
                    key.namespace
                ));
            }
            return Ok(Exit::Good);
        };
        let Some((before, differs)) = &known.overrides else { return Ok(Exit::Failed) };
        let differences = if differs.is_empty() {
            "does not differ".to_owned()
        } else {
            format!("differs in {}", differs.join(", "))
        };
        output::note(&format!(
            "MessageTemplate {source} {differences} from {before}; deleted, its text is lost"
        ));
        if !self.yes && !confirmed(&format!("Delete {source} and restore {before}?"))? {
            output::note("nothing was deleted");
            return Ok(Exit::Failed);
        }
        // That one, as it was shown, and no later one.
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: known.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let request = Request::new::<MessageTemplate>("delete").namespace(Some(namespace)).name(name);
        cluster.ask(&request, cluster.api::<MessageTemplate>().delete(name, &parameters)).await?;
        let whose = if *namespace == world.catalog.operator_namespace() {
            "Notifications of all namespaces that do not edit it themselves".into()
        } else {
            format!("Notifications of namespace {namespace}")
        };
        output::say_all(output::marked(Mark::Good, &format!("{source} deleted: {whose} get {before} again")));
        Ok(Exit::Good)
    }
}

/// The flags for the namespace where a standard message is edited.
pub(super) fn place(flags: &Flags, operator_wide: bool) -> Flags {
    let mut flags = flags.clone();
    if operator_wide {
        flags.cluster.namespace = Some(flags.cluster.operator_namespace.clone());
    }
    flags
}

/// Asks on the terminal; where there is none, nobody can agree.
fn confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "there is no terminal on which to ask")
            .next("--yes says it beforehand"));
    }
    let _ = write!(anstream::stderr().lock(), "{question} [y/N] ");
    let _ = anstream::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
