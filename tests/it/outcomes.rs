//! What becomes of mail when a server misbehaves: each place of a session × each fault × each TLS mode,
//! against the scripted server. What is expected is written down in `rules`, from the RFCs and from what
//! is promised; what happens comes from real sessions; the table of both is `docs/outcomes.md`.

mod cells;
mod page;
mod rules;
mod run;

use cells::{Fault, Mode, Place};
use rules::Expected;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// One case, and so one row or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    place: Place,
    fault: Fault,
    mode: Mode,
    expected: Expected,
}

/// All that are possible, in the order of the page.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for place in Place::ALL {
        for fault in Fault::ALL {
            for mode in Mode::ALL {
                if rules::possible(place, fault, mode) {
                    let expected = rules::expected(place, fault, mode);
                    cells.push(Cell { place, fault, mode, expected });
                }
            }
        }
    }
    cells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_has_its_outcome() {
    let cells = cells();
    assert!(cells.len() >= 400, "only {} cells", cells.len());
    let world = Arc::new(run::World::new());
    // Most of the time of a cell is waiting.
    let turns = Arc::new(Semaphore::new(64));
    let running = cells.into_iter().map(|cell| {
        let (world, turns) = (world.clone(), turns.clone());
        tokio::spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let observed = run::observe(&world, cell).await;
            (observed != Ok(cell.expected)).then(|| format!("{cell:?}\n    was {observed:?}"))
        })
    });
    let mut wrong = Vec::new();
    for cell in running.collect::<Vec<_>>() {
        wrong.extend(cell.await.unwrap());
    }
    assert!(wrong.is_empty(), "{} cells are otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// `docs/outcomes.md`, compared with the file by `generated`.
pub fn page() -> String {
    page::write(&cells())
}
