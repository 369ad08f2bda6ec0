//! `kubectl mail edit`: a standard message or a template in an editor. What is written is checked as the operator checks
//! it before it is applied; wrong, it comes back with what is wrong at its top. Nobody's change is overwritten, and no
//! text is lost: whatever is not applied stays in a file that is named.

mod editor;
mod manifest;

use crate::api::MessageTemplate;
use crate::cli::cluster::{Cluster, Request};
use crate::cli::commands::restore::place;
use crate::cli::evaluation::check_all;
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Flags;
use crate::cli::output::{self, Mark};
use crate::cli::problems;
use crate::cli::world::World;
use crate::domain::catalog::KnownTemplate;
use crate::domain::lookup::Source;
use clap::Args;
use editor::{Draft, Editor};
use kube::api::PostParams;

/// Who wrote it, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "kubectl-mail";

/// Options of `edit`.
#[derive(Debug, Args)]
pub struct Edit {
    /// The standard message, or the template.
    #[arg(value_name = "NAME")]
    name: String,
    /// For the whole cluster: in the operator's namespace.
    #[arg(long, conflicts_with = "namespace")]
    operator_wide: bool,
}

impl Edit {
    /// Edits it until it is right, unchanged, or given up.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let flags = &place(flags, self.operator_wide);
        let editor = Editor::from_environment();
        let world = World::open(flags).await?;
        let Some(cluster) = &world.cluster else { return Ok(Exit::Failed) };
        let before = self.before(&world, cluster).await?;
        let comments = manifest::introduction(&self.name, &world, before.metadata.resource_version.is_some());
        let original = manifest::write(&before)?;
        let mut draft = Draft::new(&self.name, &comments, &original)?;
        let mut complaints: Vec<String> = Vec::new();
        loop {
            let text = editor.edit(&mut draft, &complaints).await?;
            if text.trim().is_empty() || manifest::is_same(&text, &original) {
                draft.discard();
                output::say_all(output::marked(Mark::Good, "nothing changed, nothing applied"));
                return Ok(Exit::Good);
            }
            if !complaints.is_empty() && draft.is_as_before(&text) {
                return Err(
                    draft.keep(Failure::new(Exit::Failed, "not applied: the mistakes are still there"))
                );
            }
            draft.take(&text);
            complaints = match manifest::read(&text, &before) {
                Err(wrong) => wrong,
                Ok(template) => match check(&world, &template).await? {
                    wrong if !wrong.is_empty() => wrong,
                    _ => match apply(cluster, &template).await {
                        Ok(applied) => {
                            draft.discard();
                            return tell(&world, flags, &applied, before.metadata.resource_version.is_none());
                        }
                        // What the schema refuses can be mended in the editor; everything else cannot.
                        Err(refusal) if refusal.schema => vec![refusal.failure.message],
                        Err(refusal) => return Err(draft.keep(refusal.failure)),
                    },
                },
            };
        }
    }

    /// The object to begin with: the one that is there, else one with the texts that the name has now.
    async fn before(&self, world: &World, cluster: &Cluster) -> Result<MessageTemplate, Failure> {
        // Fresh, with everything that its owner wrote.
        if let Some(found) = cluster.find::<MessageTemplate>(&world.namespace, &self.name).await? {
            return Ok(found);
        }
        let (_, known) = world.template(&self.name)?;
        let mut template = MessageTemplate::new(&self.name, (*known.spec).clone());
        template.metadata.namespace = Some(world.namespace.clone());
        Ok(template)
    }
}

/// What the operator would say of it.
async fn check(world: &World, template: &MessageTemplate) -> Result<Vec<String>, Failure> {
    let name = template.metadata.name.as_deref().unwrap_or_default();
    let mut edited = MessageTemplate::new(name, template.spec.clone());
    edited.metadata.namespace = Some(world.namespace.clone());
    let mut catalog = world.catalog.clone();
    catalog.learn(&edited);
    check_all(&world.evaluator, &mut catalog).await?;
    let known = catalog.template(&Source::object(&world.namespace, name)).cloned();
    let found = known.as_deref().map(KnownTemplate::problems).unwrap_or_default();
    let lines = found
        .iter()
        .flat_map(|problem| {
            let excerpt = problems::excerpt(problem, &template.spec, &world.catalog);
            std::iter::once(problem.to_string()).chain(excerpt).collect::<Vec<_>>()
        })
        .collect();
    Ok(lines)
}

/// Why an object was not applied.
struct Refusal {
    failure: Failure,
    /// The schema, or one of its rules.
    schema: bool,
}

/// Creates it, or replaces the version that was edited and no other.
async fn apply(cluster: &Cluster, template: &MessageTemplate) -> Result<MessageTemplate, Refusal> {
    let name = template.metadata.name.as_deref().unwrap_or_default();
    let exists = template.metadata.resource_version.is_some();
    let request = Request::new::<MessageTemplate>(if exists { "update" } else { "create" })
        .namespace(Some(&cluster.namespace))
        .name(name);
    let api = cluster.api::<MessageTemplate>();
    let parameters = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.into()) };
    let answer = if exists {
        cluster.answer(api.replace(name, &parameters, template)).await
    } else {
        cluster.answer(api.create(&parameters, template)).await
    };
    let answer = answer.map_err(|failure| Refusal { failure, schema: false })?;
    let code = match &answer {
        Err(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    let explained = cluster.ask(&request, std::future::ready(answer)).await;
    explained.map_err(|failure| Refusal {
        failure: match code {
            409 => Failure::new(
                Exit::Failed,
                format!("not applied: somebody else changed MessageTemplate {name} meanwhile"),
            )
            .next(format!("run kubectl mail edit {name} -n {} again", cluster.namespace)),
            _ => failure,
        },
        schema: matches!(code, 400 | 422),
    })
}

fn tell(world: &World, flags: &Flags, applied: &MessageTemplate, new: bool) -> Result<Exit, Failure> {
    if let Some(format) = flags.output {
        output::object(format, applied)?;
        return Ok(Exit::Good);
    }
    let name = applied.metadata.name.as_deref().unwrap_or_default();
    let source = Source::object(&world.namespace, name);
    let done = if new { "created" } else { "changed" };
    output::say_all(output::marked(Mark::Good, &format!("MessageTemplate {source} {done}")));
    if let Some((before, _)) = world.catalog.overridden(&source) {
        output::say(format_args!(
            "  to have {before} back: kubectl mail restore {name} -n {}",
            world.namespace
        ));
    }
    Ok(Exit::Good)
}
