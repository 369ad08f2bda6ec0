//! `make try`: from an empty cache to a message in an inbox, through a real API server, and then on as long as one likes.
//!
//! The operator runs under the chart's own `ServiceAccount`, so that the chart's rights are proved. With `ONCE` set it
//! ends after the first mail, with the reason when there was none.

mod quickstart;
mod scene;

use quickstart::Outcome;
use scene::Scene;
use std::{error::Error, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let once = std::env::var_os("ONCE").is_some_and(|value| !value.is_empty());
    tokio::select! {
        result = first_mail(once) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("\n{error}");
                ExitCode::FAILURE
            }
        },
        // Everything that runs is owned by the other branch, and ends with it.
        () = interrupted() => {
            println!("\nEverything has ended.");
            ExitCode::SUCCESS
        }
    }
}

async fn first_mail(once: bool) -> Result<()> {
    let scene = Scene::set().await?;
    println!("Applying examples/quickstart/ with the inbox's address and login filled in");
    quickstart::apply(&scene).await?;
    match quickstart::outcome(&scene).await? {
        Outcome::Sent => quickstart::show_message(&scene).await?,
        Outcome::NotSent(why) if once => return Err(why.into()),
        Outcome::NotSent(why) => eprintln!("\n{why}"),
    }
    quickstart::show_objects(&scene).await?;
    if once {
        return scene.end().await;
    }
    println!("\n{}", scene.how_to_go_on());
    std::future::pending().await
}

/// Ctrl-C, an end requested by another process, or the end of the terminal.
async fn interrupted() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
        // Without handlers the signals end us, and the kernel everything that we started.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
