//! `kubectl mail templates`: which names a Notification of a namespace can use, where each comes from, and what it takes.

use crate::api::message_template::{Variable, VariableType};
use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::{Flags, Format};
use crate::cli::output::{self, Cell, Mark, Table};
use crate::cli::world::World;
use crate::domain::catalog::KnownTemplate;
use crate::domain::lookup::{Found, Source};
use crate::domain::standard;
use clap::Args;
use serde::Serialize;

/// Options of `templates`.
#[derive(Debug, Args)]
pub struct Templates {
    /// Show one with all it takes.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Ask no cluster: the standard messages as they are built in.
    #[arg(long)]
    builtin: bool,
}

/// A template for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    source: String,
    origin: &'static str,
    ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    locales: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layouts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<String>,
    variables: Vec<Variable>,
}

impl Templates {
    /// Lists them, or shows one. Bad if the one that is shown cannot be used.
    pub async fn run(self, flags: &Flags) -> Result<Exit, Failure> {
        let enough = self.name.as_deref().is_none_or(|name| standard::find(name).is_some());
        let world = if self.builtin {
            World::built_in(flags).await?
        } else {
            World::open_or_built_in(flags, enough).await?
        };
        match &self.name {
            Some(name) => show(&world, &world.template(name)?, flags.output),
            None => list(&world, flags.output),
        }
    }
}

fn list(world: &World, format: Option<Format>) -> Result<Exit, Failure> {
    let all: Vec<_> =
        world.names().iter().filter_map(|name| world.catalog.look_up(&world.namespace, name)).collect();
    let entries: Vec<_> = all.iter().map(|found| entry(world, found)).collect();
    if let Some(format) = format {
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        output::document(format, &names.join("\n"), &entries)?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(&["NAME", "ORIGIN", "LOCALES", "OVERRIDES", "STATUS"]);
    for ((source, known), entry) in all.iter().zip(&entries) {
        let status = match (known.template(), &known.overrides) {
            (None, _) => Cell::new(entry.problems.first().cloned().unwrap_or_default(), output::BAD),
            (Some(template), _) if template.is_layout() => Cell::new("layout", output::DIM),
            (Some(_), Some((_, differs))) if differs.is_empty() => "differs nowhere".into(),
            (Some(_), Some((_, differs))) => format!("differs in {}", differs.join(", ")).into(),
            (Some(_), None) => Cell::default(),
        };
        table.row([
            entry.name.clone().into(),
            world.origin(source).into(),
            entry.locales.join(",").into(),
            entry.overrides.clone().unwrap_or_default().into(),
            status,
        ]);
    }
    output::say_all(table.into_lines());
    Ok(Exit::Good)
}

fn show(world: &World, found: &Found, format: Option<Format>) -> Result<Exit, Failure> {
    let (source, known) = found;
    let entry = entry(world, found);
    let exit = if entry.ready { Exit::Good } else { Exit::Failed };
    if let Some(format) = format {
        output::document(format, &entry.name, &entry)?;
        return Ok(exit);
    }
    output::say(format_args!("{}  {}", output::paint(output::BOLD, &entry.name), world.origin(source)));
    if let Some(description) = &entry.description {
        for line in output::wrap(description, 0) {
            output::say(line);
        }
    }
    let mut facts = Table::new(&[]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.row([Cell::new(name, output::DIM), value.into()]);
        }
    };
    fact("Locales", entry.locales.join(", "));
    fact("Layouts", entry.layouts.join(", "));
    fact("Overrides", entry.overrides.clone().unwrap_or_default());
    fact("Differs in", entry.differs.join(", "));
    output::say("");
    output::say_all(facts.into_lines());
    for problem in &entry.problems {
        output::say_all(output::marked(Mark::Bad, problem));
    }
    variables(&entry.variables);
    hints(world, source, known);
    Ok(exit)
}

/// What Notifications may and must give.
fn variables(variables: &[Variable]) {
    output::say("");
    if variables.is_empty() {
        output::say("It takes no values.");
        return;
    }
    let mut table = Table::new(&["VARIABLE", "TYPE", "REQUIRED", "DEFAULT", "DESCRIPTION"]);
    for variable in variables {
        let Variable { name, type_, required, default, example, description } = variable;
        let default = default.as_ref().map(shown).unwrap_or_default();
        let example = example.as_ref().map(|example| format!("For example: {}", shown(example)));
        let words = [description.clone(), example].into_iter().flatten().collect::<Vec<_>>();
        table.row([
            name.clone().into(),
            type_name(*type_).into(),
            if *required { "yes" } else { "" }.into(),
            default.into(),
            words.join(" ").into(),
        ]);
    }
    output::say_all(table.into_lines());
}

fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn type_name(type_: VariableType) -> String {
    serde_json::to_value(type_).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What to do next.
fn hints(world: &World, source: &Source, known: &KnownTemplate) {
    let (name, namespace) = (source.name(), &world.namespace);
    output::say("");
    output::say(format_args!("  see it:   kubectl mail preview {name} -n {namespace}"));
    output::say(format_args!("  edit it:  kubectl mail edit {name} -n {namespace}"));
    let restorable = standard::find(name).is_some() && known.overrides.is_some();
    if let (Source::Object(key), true) = (source, restorable) {
        output::say(format_args!("  restore:  kubectl mail restore {name} -n {}", key.namespace));
    }
}

fn entry(world: &World, (source, known): &Found) -> Entry {
    let origin = match source {
        Source::BuiltIn(_) => "BuiltIn",
        Source::Object(key) if *key.namespace == *world.namespace => "Namespace",
        Source::Object(_) => "OperatorNamespace",
    };
    let spec = &known.spec;
    let template = known.template();
    let written = || std::iter::once(&spec.locale).chain(spec.translations.iter().map(|text| &text.locale));
    let (overrides, differs) = known
        .overrides
        .clone()
        .map_or((None, Vec::new()), |(source, differs)| (Some(source.to_string()), differs));
    Entry {
        name: source.name().into(),
        source: source.to_string(),
        origin,
        ready: template.is_some(),
        problems: known.problems().iter().map(ToString::to_string).collect(),
        description: spec.description.clone(),
        locales: template.map_or_else(
            || written().cloned().collect(),
            |template| template.locales().map(|locale| locale.as_str().to_owned()).collect(),
        ),
        layouts: known.layouts.iter().map(Source::to_string).collect(),
        overrides,
        differs,
        variables: all_variables(world, known),
    }
}

/// Its own variables, and those that only its layouts declare.
fn all_variables(world: &World, known: &KnownTemplate) -> Vec<Variable> {
    let mut all = known.spec.variables.clone();
    for layout in known.layouts.iter().filter_map(|layout| world.catalog.template(layout)) {
        for variable in &layout.spec.variables {
            if !all.iter().any(|known| known.name == variable.name) {
                all.push(variable.clone());
            }
        }
    }
    all
}
