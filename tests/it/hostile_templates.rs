//! Every text of `tests/hostile_templates/`, in the processes that evaluate: each is answered or ended within its limits
//! and told with text, language and limit, the next question finds a process, and another namespace waits for none of it.

mod operator;

use crate::cluster::in_repository;
use crate::evaluation::program;
use mail_operator::api::message_template::MessageTemplateSpec;
use mail_operator::domain::evaluation::{Answer, Limit, Overrun, Question, Rendering};
use mail_operator::domain::template::Sources;
use mail_operator::evaluation::{Evaluator, Unanswered};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Less than the two seconds of the operator, so that a hundred that run away are done with in a minute.
const TIME: Duration = Duration::from_millis(500);

/// The first growth: a list that contains itself twice, sixty times over.
pub fn twice() -> String {
    growths().remove(0)
}

/// Longest that another namespace waits, on a machine that is busy with other tests as well.
const PROMPT: Duration = Duration::from_secs(5);

/// What came of a case: why it was ended, if it was.
type Outcome = (String, Option<Overrun>);

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_value_is_ended_in_whatever_it_is_used() {
    let grown = twice();
    let cases = lines("uses.txt").into_iter().map(|used| (used.clone(), "text", grown.clone() + &used));
    let outcomes = all(cases).await;
    // Those the attack was found with, each of which ran for ever.
    for used in ["{{ x == y }}", "{{ x in [y] }}", "{{ [x, y]|sort }}", "{{ [x, y]|unique|list }}"] {
        assert!(outcomes.iter().any(|(name, ended)| name == used && ended.is_some()), "{used} was not ended");
    }
    let ended = outcomes.iter().filter(|(_, ended)| ended.is_some()).count();
    assert!(ended >= 15, "only {ended} of {} run away: the value is not endless any more", outcomes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_matter_how_an_endless_value_is_built() {
    let mut cases = Vec::new();
    for grown in growths() {
        for used in [
            "{{ x }}",
            "{{ x == y }}",
            "{{ x|tojson|length }}",
            "{{ x|list|length }}",
            "{{ x|pprint|length }}",
        ] {
            cases.push((format!("{used} after {grown:.60}"), "text", grown.clone() + used));
        }
    }
    all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_widths_and_counts_are_ended() {
    let outcomes = all(lines("texts.txt").into_iter().map(|text| (text.clone(), "text", text))).await;
    let width = &lines("texts.txt")[0];
    let (_, ended) = outcomes.iter().find(|(name, _)| name == width).unwrap();
    assert!(ended.is_some(), "{width} was not ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_markup_are_refused_or_ended() {
    let cases = lines("markup.txt").into_iter().map(|line| {
        let part = if line.contains("<mjml>") || line.contains("<mj-") { "mjml" } else { "html" };
        (line.clone(), part, repeated(&line, usize::MAX))
    });
    all(cases).await;
}

/// Nothing shows when it is checked; a value from a Notification sets it off.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_away_for_one_value_only_is_ended_when_it_is_rendered() {
    let evaluator = Evaluator::within(program(), TIME);
    let hidden: Vec<_> = lines("texts.txt").into_iter().filter(|text| text.contains("\"go\"")).collect();
    assert!(hidden.len() >= 3);
    for text in hidden {
        let sources = sources("text", &text);
        let checked = evaluator.check("bad", sources.clone()).await.unwrap();
        assert!(checked.is_ok(), "{text}: {checked:?}");
        let harmless = evaluator.ask("bad", &rendering(&sources, "Ada")).await;
        assert!(matches!(harmless, Ok(Answer::Rendered(_))), "{text}: {harmless:?}");
        let overrun = match evaluator.ask("bad", &rendering(&sources, "go")).await {
            Err(Unanswered::Overrun(overrun)) => overrun,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(place(&overrun), "en text", "{text}");
    }
}

/// Puts all cases to one evaluator, as one namespace's, while another namespace asks for something harmless all the time.
async fn all(cases: impl IntoIterator<Item = (String, &'static str, String)>) -> Vec<Outcome> {
    let evaluator = Evaluator::within(program(), TIME);
    let good = tokio::spawn(others(evaluator.clone()));
    let (mut outcomes, mut wrong) = (Vec::new(), String::new());
    for (name, part, source) in cases {
        let began = Instant::now();
        let ended = outcome(&evaluator, part, &source).await;
        let took = began.elapsed();
        if took > Duration::from_secs(30) {
            let _ = writeln!(wrong, "{name}: took {took:?}");
        }
        if let Some(ended) = &ended {
            let told = place(ended);
            // MJML becomes HTML before a mistake in that shows.
            if told != format!("en {part}") && !(part == "mjml" && told == "en html") {
                let _ = writeln!(wrong, "{name}: is said to be in {told}");
            }
            if ended.limit == Limit::Crash {
                let _ = writeln!(wrong, "{name}: crashed");
            }
            println!("{took:>8.1?} {:?} {name:.100}", ended.limit);
        }
        outcomes.push((name, ended));
    }
    good.abort();
    assert!(good.await.unwrap_err().is_cancelled(), "another namespace had to wait");
    assert!(wrong.is_empty(), "{wrong}");
    outcomes
}

/// Asks for something harmless of another namespace, again and again.
///
/// # Panics
/// If it is not answered soon: whoever is behind a text that runs away waits for seconds.
async fn others(evaluator: Evaluator) {
    loop {
        let began = Instant::now();
        let checked = evaluator.check("good", sources("text", "{{ name }}")).await;
        assert!(matches!(checked, Ok(Ok(_))), "{checked:?}");
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn outcome(evaluator: &Evaluator, part: &str, source: &str) -> Option<Overrun> {
    loop {
        match evaluator.ask("bad", &Question::Check(sources(part, source))).await {
            Ok(_) => return None,
            Err(Unanswered::Overrun(overrun)) => return Some(overrun),
            // The machine has no time for now.
            Err(Unanswered::Busy) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(other) => panic!("{source}: {other}"),
        }
    }
}

fn place(overrun: &Overrun) -> String {
    overrun.stage.as_ref().map_or_else(String::new, |stage| format!("{} {}", stage.locale, stage.part))
}

fn sources(part: &str, source: &str) -> Sources {
    let mut spec: Value = json!({ "subject": "Hello", "variables": [{ "name": "name" }] });
    spec[part] = source.into();
    let spec: MessageTemplateSpec = serde_json::from_value(spec).unwrap();
    Sources::bare(Arc::new(spec))
}

fn rendering(sources: &Sources, name: &str) -> Question {
    let pair = json!(["a@corp.example", "b"]);
    let names = json!({ "recipient": pair, "sender": pair, "notification": pair });
    Question::Render(Box::new(Rendering {
        template: sources.id(),
        sources: Some(sources.clone()),
        locales: Vec::new(),
        values: serde_json::from_value(json!({ "name": name })).unwrap(),
        names: serde_json::from_value(names).unwrap(),
    }))
}

fn growths() -> Vec<String> {
    lines("growths.txt").iter().map(|line| repeated(line, 60)).collect()
}

/// The line with what is between two `…` so often, but no more often than a source has room for.
fn repeated(line: &str, times: usize) -> String {
    let mut parts = line.split('…');
    let (before, Some(piece), after) =
        (parts.next().unwrap(), parts.next(), parts.next().unwrap_or_default())
    else {
        return line.to_owned();
    };
    let room = (64 * 1024 - before.len() - after.len()) / piece.len();
    format!("{before}{}{after}", piece.repeat(times.min(room)))
}

fn lines(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(in_repository("tests/hostile_templates").join(file)).unwrap();
    text.lines().filter(|line| !line.starts_with("##") && !line.is_empty()).map(String::from).collect()
}
