//! Templates that run away, in the processes that evaluate: each is ended and told, with the text it was in, and nobody
//! else notices.

use mail_operator::api::message_template::MessageTemplateSpec;
use mail_operator::domain::evaluation::{Answer, Limit, Question};
use mail_operator::domain::template::Sources;
use mail_operator::evaluation::{Evaluator, Program, Unanswered};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A list that contains itself twice, sixty times over.
pub const TWICE: &str = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";

pub fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_mail-operator"))
}

pub fn evaluator() -> Evaluator {
    Evaluator::new(program())
}

pub fn check(more: &Value) -> Question {
    let mut spec = json!({ "subject": "Hello", "text": "There." });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let spec: MessageTemplateSpec = serde_json::from_value(spec).unwrap();
    Question::Check(Sources::bare(Arc::new(spec)))
}

#[tokio::test]
async fn what_runs_away_is_ended_and_told() {
    let evaluator = evaluator();
    let german = json!({ "translations": [{ "locale": "de", "subject": "Hallo", "text": "Da.", "html": format!("{TWICE}{{{{ ns.x == ns.y }}}}") }] });
    for (spec, limit, place) in [
        (json!({ "text": format!("{TWICE}{{{{ ns.x == ns.y }}}}") }), Limit::Time, "en text"),
        (json!({ "text": "{{ {'a': 1}|tojson(indent=2000000000)|length }}" }), Limit::Memory, "en text"),
        (german, Limit::Time, "de html"),
    ] {
        let started = Instant::now();
        let answer = evaluator.ask("bad", &check(&spec)).await;
        let Err(Unanswered::Overrun(overrun)) = answer else { panic!("{spec}: {answer:?}") };
        assert_eq!(overrun.limit, limit, "{spec}");
        let stage = overrun.stage.unwrap();
        assert_eq!(format!("{} {}", stage.locale, stage.part), place);
        assert!(started.elapsed() < Duration::from_secs(20), "{spec}: {:?}", started.elapsed());
        assert!(evaluator.is_apart("bad"));
    }
    assert!(!evaluator.is_apart("good"));
}

/// Ten namespaces run away, one after the other and all at once; another one is answered all the time.
#[tokio::test]
async fn others_do_not_wait() {
    let evaluator = evaluator();
    let bomb = check(&json!({ "text": format!("{TWICE}{{{{ ns.x == ns.y }}}}") }));
    let first = evaluator.ask("bad-0", &bomb).await;
    assert!(matches!(first, Err(Unanswered::Overrun(_))), "{first:?}");
    let bad: Vec<_> = (0..20)
        .map(|_| {
            let (evaluator, bomb) = (evaluator.clone(), bomb.clone());
            tokio::spawn(async move { evaluator.ask("bad-0", &bomb).await })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let began = Instant::now();
        let answer = evaluator.ask("good", &check(&json!({}))).await.unwrap();
        assert!(matches!(answer, Answer::Checked(Ok(_))), "{answer:?}");
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let mut busy = 0;
    for task in bad {
        busy += usize::from(task.await.unwrap() == Err(Unanswered::Busy));
    }
    assert!(busy > 0, "not all of them may wait");
}

#[tokio::test]
async fn processes_end_with_who_started_them_and_when_idle() {
    let children = || {
        let own = std::process::id().to_string();
        let mut count = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let parent =
                read("status").lines().find_map(|line| Some(line.strip_prefix("PPid:\t")?.to_owned()));
            count += usize::from(
                parent.is_some_and(|parent| parent == own) && read("cmdline").contains("evaluate-idle"),
            );
        }
        count
    };
    let mut program = Program::at(env!("CARGO_BIN_EXE_mail-operator"));
    // Told from those of other tests by its first argument.
    program.arguments = vec!["evaluate".into(), "--".into(), "evaluate-idle".into()];
    let evaluator = Evaluator::new(program);
    evaluator.ask("x", &check(&json!({}))).await.unwrap();
    assert_eq!(children(), 1);
    crate::eventually("an idle process has ended", Duration::from_secs(40), async || children() == 0).await;
    evaluator.ask("x", &check(&json!({}))).await.unwrap();
    assert_eq!(children(), 1, "started again when it is needed");
    drop(evaluator);
    crate::eventually("it ends with its evaluator", Duration::from_secs(40), async || children() == 0).await;
}
