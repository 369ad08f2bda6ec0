//! What the session costs besides time: CPU of this process, allocations of one thread, and handshakes.

use super::far_end::FarEnd;
use super::senders::{self, Way};
use super::{Size, message, target};
use crate::report::Report;
use crate::sample::{Scale, median};
use alloc_counter::count_alloc;
use mail_operator::smtp::{Target, TlsMode};
use rustls::client::Resumption;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tokio::runtime::Builder;

/// Messages that are counted, after the first have grown the buffers: so many that what is spent once does not show.
const COUNTED: usize = 5000;
const WARM_UP: usize = 20;
const HANDSHAKES: usize = 200;
const ROUNDS: usize = 5;

/// CPU time in microseconds that this process has used, its children apart. The scheduler's own count: `/proc/self/stat`
/// counts in steps of 10 ms.
pub fn own_cpu_us() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        // A thread may end between the listing and the reading.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1000.0
}

/// CPU time in microseconds of the children that have ended, in steps of 10 ms.
pub fn children_cpu_us() -> f64 {
    const TICK_US: f64 = 10_000.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may hold blanks; cutime and cstime are the 14th and 15th field behind it.
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(13).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() * TICK_US
}

/// Allocations of a session that has found its pace: on a thread and a runtime of its own, so that nothing else counts.
pub fn allocations(server: &FarEnd, report: &mut Report) {
    for size in Size::ALL {
        for tls in [false, true] {
            let way = Way { server: server.offer.near, ca: server.offer.ca.as_str().into(), tls };
            let kind = if tls { "_tls" } else { "" };
            let ours = thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                let message = message(size.bytes());
                let mut session = runtime.block_on(senders::open_over(&way));
                runtime.block_on(senders::send(&mut session, WARM_UP, &message));
                let counted =
                    count_alloc(|| runtime.block_on(senders::send(&mut session, COUNTED, &message))).0;
                runtime.block_on(session.quit());
                let mut peer = runtime.block_on(senders::open_lettre(&way));
                runtime.block_on(senders::send_by_lettre(&mut peer, WARM_UP, &message));
                let others =
                    count_alloc(|| runtime.block_on(senders::send_by_lettre(&mut peer, COUNTED, &message))).0;
                drop(runtime.block_on(peer.quit()));
                [counted, others].map(|(new, grown, _)| (new + grown) as f64 / COUNTED as f64)
            });
            let [ours, lettre] = ours.join().unwrap();
            report.set(&format!("smtp{kind}_allocations_per_message_{size}"), ours);
            report.set(&format!("lettre{kind}_allocations_per_message_{size}"), lettre);
        }
    }
}

/// Connection, TLS, EHLO and QUIT, one after the other: without TLS, with a session that the server knows again, and with
/// one that it does not.
pub async fn handshakes(server: &FarEnd, scale: Scale, report: &mut Report) {
    let count = scale.of(HANDSHAKES);
    // What a session may be resumed with is kept in the config that all its users share.
    let resumed = target(server.offer.near, &server.offer.ca);
    let mut forgetful = (*resumed.tls_config).clone();
    forgetful.resumption = Resumption::disabled();
    let kinds = [
        ("plain", Target { tls: TlsMode::Disabled, ..resumed.clone() }),
        ("full", Target { tls_config: Arc::new(forgetful), ..resumed.clone() }),
        ("resumed", resumed),
    ];
    let (mut rates, mut costs) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for _ in 0..ROUNDS {
        for (kind, (_, target)) in kinds.iter().enumerate() {
            let (start, cpu) = (Instant::now(), own_cpu_us());
            for _ in 0..count {
                senders::open(target).await.quit().await;
            }
            rates[kind].push(count as f64 / start.elapsed().as_secs_f64());
            costs[kind].push((own_cpu_us() - cpu) / count as f64);
        }
    }
    for (kind, (name, _)) in kinds.iter().enumerate() {
        report.set(&format!("handshakes_per_second_{name}"), median(&rates[kind]));
        report.set(&format!("handshake_cpu_us_{name}"), median(&costs[kind]));
    }
    let over = |a: &[f64], b: &[f64]| median(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
    report.set("handshakes_resumed_over_full", over(&rates[2], &rates[1]));
    report.set("handshake_cpu_resumed_over_full", over(&costs[2], &costs[1]));
}
