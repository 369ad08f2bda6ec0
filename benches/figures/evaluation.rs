//! What it costs that templates are rendered in processes of their own: the CPU time of both sides, over that of
//! rendering the same message in this process. A message is rendered twice, when it is judged and when it is sent.

use crate::report::Report;
use crate::sample::Scale;
use mail_operator::domain::address::Mailbox;
use mail_operator::domain::evaluation::{Loaded, Question, Rendering, answer};
use mail_operator::domain::standard;
use mail_operator::domain::template::{About, Sources, Template, Wrap};
use mail_operator::evaluation::{Evaluator, Program};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RENDERINGS: usize = 10_000;

/// Times that a message is rendered.
const EACH: f64 = 2.0;

/// Measures a standard message, which is MJML in a layout, and a short one.
pub async fn measure(scale: Scale, report: &mut Report) {
    let count = scale.of(RENDERINGS);
    println!("Evaluation: {count} renderings here and in a process");
    let short = serde_json::json!({
        "subject": "Hello {{ name }}", "text": "Good morning, {{ name }}.",
        "variables": [{ "name": "name", "example": "Ada" }]
    });
    let short = Sources::bare(Arc::new(serde_json::from_value(short).unwrap()));
    let spec = standard::find("agent-installation").unwrap().clone();
    let layout = &spec.layout.as_ref().unwrap().name;
    let wrap = Wrap { name: layout.clone(), spec: Arc::new(standard::find(layout).unwrap().clone()) };
    let standard = Sources { spec: Arc::new(spec), layouts: vec![wrap] };
    for (name, sources) in [("short", short), ("standard", standard)] {
        let count = if name == "short" { count } else { count / 10 };
        let question = question(&sources).await;
        let mut loaded = Loaded::default();
        drop(answer(&question, Some(&sources), &mut loaded, &|_| {}));
        let before = own_time();
        for _ in 0..count {
            drop(answer(&question, None, &mut loaded, &|_| {}));
        }
        let here = own_time().saturating_sub(before);

        let evaluator = evaluator();
        drop(evaluator.ask("figures", &question).await.unwrap());
        let (before, start) = (own_time() + children_time(), Instant::now());
        for _ in 0..count {
            drop(evaluator.ask("figures", &question).await.unwrap());
        }
        let there = (own_time() + children_time()).saturating_sub(before);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0 / count as f64;
        report.set(&format!("evaluation_{name}_ms"), ms(start.elapsed()));
        report.set(&format!("evaluation_{name}_cpu_ms_here"), ms(here));
        report.set(&format!("evaluation_{name}_cpu_ms_added_per_message"), (ms(there) - ms(here)) * EACH);
    }
}

fn evaluator() -> Evaluator {
    Evaluator::new(Program::at(env!("CARGO_BIN_EXE_mail-operator")))
}

/// The message with all its examples.
async fn question(sources: &Sources) -> Question {
    let findings = evaluator().check("figures", sources.clone()).await.unwrap().unwrap();
    let template = Template::new(sources.clone(), findings).unwrap();
    let specs = std::iter::once(&sources.spec).chain(sources.layouts.iter().map(|layout| &layout.spec));
    let examples: Map<String, Value> = specs
        .flat_map(|spec| &spec.variables)
        .filter_map(|variable| Some((variable.name.clone(), variable.example.clone()?)))
        .collect();
    let examples = serde_json::from_value(examples.into()).unwrap();
    let values = template.variables().check(Some(&examples), &[("ada@corp.example", None)]).unwrap();
    let mailbox = Mailbox::parse("ada@corp.example", Some("Ada Lovelace")).unwrap();
    let about = About { recipient: &mailbox, sender: &mailbox, name: "figures", namespace: "figures" };
    Question::Render(Box::new(Rendering {
        template: template.id(),
        sources: Some(sources.clone()),
        locales: Vec::new(),
        values: values.of("ada@corp.example"),
        names: (&about).into(),
    }))
}

fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// CPU time of the children that live, to a hundredth of a second.
fn children_time() -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
            ticks +=
                fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Duration::from_millis(ticks * 10)
}
