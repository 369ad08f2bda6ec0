//! The figures: what each is, what it aims at, what is known to hold it back; the table and the file they go into.

use std::borrow::Cow::{self, Borrowed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Connections with which the session is measured.
pub const CONNECTIONS: [usize; 3] = [1, 4, 10];

/// A figure that has an aim.
struct Figure {
    key: Cow<'static, str>,
    /// It was measured with so many connections each time, and the key goes on with them.
    connections: &'static [usize],
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

/// The mail server and the machine are the same for both.
const TLS: &str = "the encryption, which smtp-source does without, at both ends of the connection";
const CPU: &str =
    "on several connections the mail server, whose work is the same for all, takes most of the CPU";
const LINE: &str = "who wakes up late: neither the line's threads nor ours get a busy core at once";
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

/// The session alone, in the order of the table.
fn session() -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |key: String, aim, what, held_back_by| {
        figures.push(Figure { key: key.into(), connections: &CONNECTIONS, aim, what, held_back_by });
    };
    for point in ["1k_lan", "10k_lan", "1k_20ms", "10k_20ms"] {
        let why = if point.ends_with("lan") { [CPU, TLS] } else { [LINE, LINE] };
        for (kind, why) in ["plain", "tls"].into_iter().zip(why) {
            add(
                format!("smtp_{kind}_{point}_over_smtp_source"),
                AtLeast(1.0),
                "messages/s over Postfix's smtp-source, which knows no TLS",
                why,
            );
        }
    }
    for point in ["1k_20ms", "10k_20ms"] {
        for kind in ["plain", "tls"] {
            add(
                format!("smtp_{kind}_{point}_of_round_trip_limit"),
                AtLeast(0.9),
                "messages/s once connected, of one each three round trips",
                LINE,
            );
        }
    }
    for point in ["1k_lan", "10k_lan", "1k_20ms", "10k_20ms"] {
        for kind in ["plain", "tls"] {
            let aim = if (kind, point) == ("tls", "1k_lan") { 100.0 } else { 1.0 };
            let what = "messages/s over lettre's pool";
            add(format!("smtp_{kind}_{point}_over_lettre_pool"), AtLeast(aim), what, NAGLE);
            let what = "over lettre's connections one by one, with TCP_NODELAY";
            add(format!("smtp_{kind}_{point}_over_lettre_nodelay"), AtLeast(1.0), what, "");
        }
    }
    figures
}

/// The session's costs and everything about Kubernetes, in the order of the table.
const FIGURES: &[Figure] = &[
    Figure {
        key: Borrowed("smtp_allocations_per_message_1k"),
        connections: &[],
        aim: AtMost(2.0),
        what: "of memory, without TLS: the recipients' answers and the reply's text",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("smtp_allocations_per_message_10k"),
        connections: &[],
        aim: AtMost(2.0),
        what: "10 KiB",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("handshake_cpu_resumed_over_full"),
        connections: &[],
        aim: AtMost(1.0),
        what: "our CPU for a connection whose TLS session the server knows, over one it does not",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("evaluation_short_cpu_ms_added_per_message"),
        connections: &[],
        aim: AtMost(0.2),
        what: "CPU of both processes, twice, over rendering in one: a template of two lines",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("evaluation_standard_cpu_ms_added_per_message"),
        connections: &[],
        aim: AtMost(0.2),
        what: "the same for a standard message: MJML in a layout",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("delivery_over_two_writes_8"),
        connections: &[],
        aim: AtLeast(1.3),
        what: "Notifications/s to Sent over a bare loop of two status writes each, 8 writers",
        held_back_by: CORES,
    },
    Figure {
        key: Borrowed("delivery_over_two_writes_16"),
        connections: &[],
        aim: AtLeast(1.3),
        what: "16 writers",
        held_back_by: CORES,
    },
    Figure {
        key: Borrowed("status_writes_per_message"),
        connections: &[],
        aim: AtMost(1.0),
        what: "writes of a Notification's status, under load",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("other_writes_per_message"),
        connections: &[],
        aim: AtMost(0.2),
        what: "all other writes under load: journal, Lease, Events",
        held_back_by: BATCH,
    },
    Figure {
        key: Borrowed("api_server_cpu_over_two_writes"),
        connections: &[],
        aim: AtMost(0.7),
        what: "CPU of kube-apiserver a message, over the bare loop's",
        held_back_by: API_CPU,
    },
    Figure {
        key: Borrowed("operator_cpu_ms_per_message"),
        connections: &[],
        aim: AtMost(2.0),
        what: "the operator's own CPU",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("api_writes_per_1000_recipients"),
        connections: &[],
        aim: AtMost(10.0),
        what: "all writes for one Notification with 1,000 recipients",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("idle_latency_over_parts_p50"),
        connections: &[],
        aim: AtMost(1.5),
        what: "created to Sent, over the sum of its parts measured alone",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("bytes_per_waiting_notification"),
        connections: &[],
        aim: AtMost(2500.0),
        what: "resident memory with 20,000 waiting behind a dead server",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("writes_while_waiting"),
        connections: &[],
        aim: AtMost(0.0),
        what: "writes to them and to journals, from their creation on",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("bytes_per_finished_notification"),
        connections: &[],
        aim: AtMost(200.0),
        what: "resident memory with 20,000 finished",
        held_back_by: HEAP,
    },
    Figure {
        key: Borrowed("listed_at_restart"),
        connections: &[],
        aim: AtMost(0.0),
        what: "finished Notifications that a restart lists",
        held_back_by: "",
    },
    Figure {
        key: Borrowed("writes_at_restart"),
        connections: &[],
        aim: AtMost(0.0),
        what: "writes of a restart to Notifications and journals",
        held_back_by: "",
    },
];

impl Figure {
    /// In the file.
    fn keys(&self) -> Vec<String> {
        if self.connections.is_empty() {
            return vec![self.key.to_string()];
        }
        self.connections.iter().map(|count| format!("{}_{count}", self.key)).collect()
    }

    /// In the table, where one line tells all connections.
    fn name(&self) -> String {
        if self.connections.is_empty() {
            return self.key.to_string();
        }
        let counts: Vec<_> = self.connections.iter().map(ToString::to_string).collect();
        format!("{}_{{{}}}", self.key, counts.join(","))
    }
}

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
        println!("  {key:<48} {}", shown(value));
        self.0.insert(key.to_owned(), value);
    }

    /// The figures with their aims, then everything else that was measured.
    pub fn print(&self) {
        let mut text = String::new();
        let _ = writeln!(text, "\n{:<44} {:<22} {:<8}  ", "figure", "", "aim");
        let session = session();
        let mut told = BTreeSet::new();
        for figure in session.iter().chain(FIGURES) {
            let keys = figure.keys();
            let values: Vec<_> = keys.iter().filter_map(|key| self.0.get(key).copied()).collect();
            if values.is_empty() {
                continue;
            }
            let Figure { aim, what, .. } = figure;
            let (name, shown) =
                (figure.name(), values.iter().copied().map(shown).collect::<Vec<_>>().join("  "));
            let _ = writeln!(text, "{name:<44} {shown:<22} {:<8}  {what}", aim.text());
            if !values.iter().all(|value| aim.is_met(*value)) {
                let why =
                    if figure.held_back_by.is_empty() { "not found out yet" } else { figure.held_back_by };
                let _ = writeln!(text, "{:<44} short of its aim. What holds it back: {why}", "");
            }
            told.extend(keys);
        }
        let _ = writeln!(text, "\nwhat they are made of");
        for (key, value) in self.0.iter().filter(|(key, _)| !told.contains(*key)) {
            let _ = writeln!(text, "{key:<48} {:>9}", shown(*value));
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
