//! The figures: what each is, what it aims at, what is known to hold it back; the table and the file they go into.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A figure that has an aim.
struct Figure {
    key: &'static str,
    aim: Aim,
    what: &'static str,
    /// Printed when the aim is missed: what holds it back, as far as has been found out.
    held_back_by: &'static str,
}

/// Which way is better, and how far is far enough.
#[derive(Clone, Copy)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

use Aim::{AtLeast, AtMost};

/// The sink and the machine are the same for both.
const TLS: &str = "the encryption, which smtp-source does without";
const NAGLE: &str = "lettre waits 40 ms a message for a delayed acknowledgement; on more connections these waits overlap, \
    while ours already use all of the CPU, which they share with the mail server";
/// On a machine where everything shares the cores, each part's CPU is in every figure.
const CORES: &str = "CPU: API server, etcd, operator and mail server share this machine. One of the loop's two writes is \
    saved; instead come a fresh read, a share of the journal, a watch event, rendering and TLS";
const BATCH: &str = "a session waits for its claim, so a journal write holds no more claims than there are sessions: at \
    best 1/8 and 1/16; Lease and mail server's status weigh more with a small FIGURES_SCALE";
const API_CPU: &str = "besides the one status write: the fresh read before a message is sent (a fifth of such a write), \
    its share of the journal, and the watch event of its result";
const HEAP: &str = "what the allocator keeps after its peak: nothing is kept of a finished Notification";

/// In the order of the table.
const FIGURES: &[Figure] = &[
    Figure {
        key: "smtp_tls_over_smtp_source_1",
        aim: AtLeast(1.0),
        what: "messages/s, our session with TLS over Postfix's smtp-source without, 1 connection",
        held_back_by: TLS,
    },
    Figure {
        key: "smtp_tls_over_smtp_source_4",
        aim: AtLeast(1.0),
        what: "4 connections",
        held_back_by: TLS,
    },
    Figure {
        key: "smtp_tls_over_smtp_source_10",
        aim: AtLeast(1.0),
        what: "10 connections",
        held_back_by: TLS,
    },
    Figure {
        key: "smtp_tls_over_lettre_pool_1",
        aim: AtLeast(100.0),
        what: "messages/s, our session over lettre's pool, both with TLS, 1 connection",
        held_back_by: NAGLE,
    },
    Figure {
        key: "smtp_tls_over_lettre_pool_4",
        aim: AtLeast(100.0),
        what: "4 connections",
        held_back_by: NAGLE,
    },
    Figure {
        key: "smtp_tls_over_lettre_pool_10",
        aim: AtLeast(100.0),
        what: "10 connections",
        held_back_by: NAGLE,
    },
    Figure {
        key: "delivery_over_two_writes_8",
        aim: AtLeast(1.3),
        what: "Notifications/s to Sent over a bare loop of two status writes each, 8 writers",
        held_back_by: CORES,
    },
    Figure { key: "delivery_over_two_writes_16", aim: AtLeast(1.3), what: "16 writers", held_back_by: CORES },
    Figure {
        key: "status_writes_per_message",
        aim: AtMost(1.0),
        what: "writes of a Notification's status, under load",
        held_back_by: "",
    },
    Figure {
        key: "other_writes_per_message",
        aim: AtMost(0.2),
        what: "all other writes under load: journal, Lease, Events",
        held_back_by: BATCH,
    },
    Figure {
        key: "api_server_cpu_over_two_writes",
        aim: AtMost(0.7),
        what: "CPU of kube-apiserver a message, over the bare loop's",
        held_back_by: API_CPU,
    },
    Figure {
        key: "operator_cpu_ms_per_message",
        aim: AtMost(2.0),
        what: "the operator's own CPU",
        held_back_by: "",
    },
    Figure {
        key: "api_writes_per_1000_recipients",
        aim: AtMost(10.0),
        what: "all writes for one Notification with 1,000 recipients",
        held_back_by: "",
    },
    Figure {
        key: "idle_latency_over_parts_p50",
        aim: AtMost(1.5),
        what: "created to Sent, over the sum of its parts measured alone",
        held_back_by: "",
    },
    Figure {
        key: "bytes_per_waiting_notification",
        aim: AtMost(2500.0),
        what: "resident memory with 20,000 waiting behind a dead server",
        held_back_by: "",
    },
    Figure {
        key: "writes_while_waiting",
        aim: AtMost(0.0),
        what: "writes to them and to journals, from their creation on",
        held_back_by: "",
    },
    Figure {
        key: "bytes_per_finished_notification",
        aim: AtMost(200.0),
        what: "resident memory with 20,000 finished",
        held_back_by: HEAP,
    },
    Figure {
        key: "listed_at_restart",
        aim: AtMost(0.0),
        what: "finished Notifications that a restart lists",
        held_back_by: "",
    },
    Figure {
        key: "writes_at_restart",
        aim: AtMost(0.0),
        what: "writes of a restart to Notifications and journals",
        held_back_by: "",
    },
];

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            AtLeast(aim) => rounded(value) >= aim,
            AtMost(aim) => rounded(value) <= aim,
        }
    }

    fn text(self) -> String {
        match self {
            AtLeast(aim) => format!("≥ {aim}"),
            AtMost(aim) => format!("≤ {aim}"),
        }
    }
}

/// What has been measured.
#[derive(Default)]
pub struct Report(BTreeMap<String, f64>);

impl Report {
    /// Adds a number, and shows it at once since the rest takes minutes.
    pub fn set(&mut self, key: &str, value: f64) {
        println!("  {key:<40} {}", shown(value));
        self.0.insert(key.to_owned(), value);
    }

    /// The figures with their aims, then everything else that was measured.
    pub fn print(&self) {
        let mut text = String::new();
        let _ = writeln!(text, "\n{:<34} {:>9}  {:<8}  ", "figure", "", "aim");
        for figure in FIGURES {
            let Some(value) = self.0.get(figure.key) else { continue };
            let _ = writeln!(
                text,
                "{:<34} {:>9}  {:<8}  {}",
                figure.key,
                shown(*value),
                figure.aim.text(),
                figure.what
            );
            if !figure.aim.is_met(*value) {
                let why =
                    if figure.held_back_by.is_empty() { "not found out yet" } else { figure.held_back_by };
                let _ = writeln!(text, "{:<34} {:>9}  short of its aim. What holds it back: {why}", "", "");
            }
        }
        let _ = writeln!(text, "\nwhat they are made of");
        for (key, value) in &self.0 {
            if FIGURES.iter().all(|figure| figure.key != key) {
                let _ = writeln!(text, "{key:<44} {:>9}", shown(*value));
            }
        }
        print!("{text}");
    }

    /// Writes all numbers as one flat object; returns where.
    pub fn write(&self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let folder = target.join("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("results.json");
        let numbers: BTreeMap<_, _> = self.0.iter().map(|(key, value)| (key, rounded(*value))).collect();
        std::fs::write(&path, serde_json::to_string_pretty(&numbers).unwrap() + "\n").unwrap();
        path
    }
}

/// Three digits behind the point: more would pretend.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn shown(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{}", (value * 100.0).round() / 100.0) }
}
