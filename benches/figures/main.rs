//! What the operator costs, measured against peers in the same run: ratios, printed as a table and written to
//! `target/bench/results.json`. Nothing here passes or fails. `docs/performance.md` says how to read it.
//!
//! `make bench`, or `cargo bench --bench figures -- smtp evaluation delivery latency memory` for some of it. `FIGURES_SCALE=0.05`
//! takes a twentieth of the messages and objects: good for trying the program, not for figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::cast_precision_loss, reason = "counts become ratios, and stay far below 2^52")]

mod counters;
mod delivery;
mod evaluation;
mod latency;
mod memory;
mod report;
mod sample;
mod smtp;
mod stage;

use alloc_counter::AllocCounter;
use mail_operator_testbed::certificates::CertificateAuthority;
use report::Report;
use sample::Scale;
use stage::Stage;
use std::time::Instant;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// The operator's own, so that the session is measured as it runs there; counted by threads.
#[global_allocator]
static ALLOCATOR: AllocCounter<Jemalloc> = AllocCounter(Jemalloc);

/// The parts of the programme, in their order.
const PARTS: [&str; 5] = ["smtp", "evaluation", "delivery", "latency", "memory"];

fn main() {
    // Before anything else: with two providers in the tree rustls would refuse to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if std::env::args().nth(1).as_deref() == Some(smtp::SERVE) {
        return smtp::serve();
    }
    // Cargo passes `--bench`.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = chosen.iter().find(|word| !PARTS.contains(&word.as_str())) {
        eprintln!("there is no part {unknown}; the parts are {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|word| word == part);
    // The mail server has threads of its own, like the process that it is elsewhere.
    let servers = Runtime::new().unwrap();
    let report = Runtime::new().unwrap().block_on(measure(&servers, wanted));
    report.print();
    println!("\nwritten to {}", report.write().display());
    servers.shutdown_background();
}

async fn measure(servers: &Runtime, wanted: impl Fn(&str) -> bool) -> Report {
    let scale = Scale::from_environment();
    let authority = CertificateAuthority::new("Throw-away CA of the figures").unwrap();
    let mut report = Report::default();
    let started = Instant::now();
    if wanted("smtp") {
        smtp::measure(scale, &mut report).await;
    }
    if wanted("evaluation") {
        evaluation::measure(scale, &mut report).await;
    }
    if PARTS[2..].iter().any(|part| wanted(part)) {
        let stage = Stage::start(servers, authority).await;
        if wanted("delivery") {
            delivery::measure(&stage, scale, &mut report).await;
        }
        if wanted("latency") {
            latency::measure(&stage, scale, &mut report).await;
        }
        if wanted("memory") {
            memory::measure(&stage, scale, &mut report).await;
        }
    }
    report.set("seconds", started.elapsed().as_secs_f64());
    report
}
