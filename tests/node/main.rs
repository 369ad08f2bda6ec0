//! What only a real node shows: the image, the chart and the operator in Pods, through updates, kills and a stopped kubelet.
//!
//! One cluster for all scenarios, which run one after the other and leave the operator working. It needs root and some of the
//! kernel; without them nothing runs, what is missing is written to `target/node/missing`, and `make test` ends with it. Where
//! `CI` is set that is a failure. Arguments choose scenarios by a part of their name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod first_mail;
mod inbox;
mod kernel;
mod kill;
mod kubelet;
mod load;
mod memory;
mod scene;
mod update;
mod upgrade;

use mail_operator_testbed::{
    Node,
    node::inside,
    progress::{self, shown},
};
use scene::Scene;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    time::Instant,
};

/// Why a scenario failed, for a person.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// A scenario's end: what was measured, or why it failed.
pub type Outcome = Result<String, Failure>;

type Scenario = for<'a> fn(&'a Scene) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// In the order in which they run.
const SCENARIOS: [(&str, Scenario); 7] = [
    ("first_mail", |scene| Box::pin(first_mail::run(scene))),
    ("update", |scene| Box::pin(update::run(scene))),
    ("kill", |scene| Box::pin(kill::run(scene))),
    ("kubelet", |scene| Box::pin(kubelet::run(scene))),
    ("restart", |scene| Box::pin(kill::restart(scene))),
    ("memory", |scene| Box::pin(memory::run(scene))),
    // Takes the others' objects away.
    ("upgrade", |scene| Box::pin(upgrade::run(scene))),
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in SCENARIOS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let words: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let chosen: Vec<_> = SCENARIOS.into_iter().filter(|(name, _)| chosen(name)).collect();
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let result = if inside::is_inside() { run(&chosen).await } else { outside().await };
    result.unwrap_or_else(|failure| {
        println!("node: {failure}");
        ExitCode::FAILURE
    })
}

/// Where logs are, and what was missing.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("node")
}

async fn outside() -> Result<ExitCode, Failure> {
    let note = folder().join("missing");
    forget(&folder())?;
    fs::create_dir_all(folder())?;
    let missing = inside::missing()?;
    if missing.is_empty() {
        Node::prepare().await?;
        let status = inside::enter()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let missing = missing.join("; ");
    if env::var_os("CI").is_some_and(|value| !value.is_empty()) {
        return Err(format!("no node can run here, and in CI one has to: {missing}").into());
    }
    fs::write(note, &missing)?;
    println!("node: nothing was tested on a real node: {missing}");
    Ok(ExitCode::SUCCESS)
}

/// What an earlier run left.
fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn run(scenarios: &[(&str, Scenario)]) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let scene = match Scene::set().await {
        Ok(scene) => scene,
        Err(failure) => return Err(format!("{failure}\nThe logs are in {}", folder().display()).into()),
    };
    println!("node ready and the chart installed in {}", shown(start.elapsed()));
    for (name, scenario) in scenarios {
        let begun = Instant::now();
        match progress::during(&format!("node: {name}"), scenario(&scene)).await {
            Ok(measured) => println!("node: {name} ... ok ({}) {measured}", shown(begun.elapsed())),
            Err(failure) => {
                scene.explain().await;
                println!("node: {name} ... FAILED: {failure}");
                println!("The logs are in {}", folder().display());
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    println!("node: all in {}", shown(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}
