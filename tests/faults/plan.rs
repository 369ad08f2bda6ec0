//! Plans: what goes wrong where. Made from the calls of runs without faults, printed so that they can be read again.

use crate::run::Ran;
use crate::scenario::Scenario;
use mail_operator_testbed::faulty_api::{Call, Fault, What};
use mail_operator_testbed::scripted_smtp::Step;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A scenario and what goes wrong in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub scenario: Scenario,
    pub faults: Vec<(Place, Fault)>,
}

/// Where something goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// At a call to the API server.
    Call(Call),
    /// At a step of an SMTP session, the first time that it is reached; there the process is ended.
    Smtp(Step),
}

/// The steps of an SMTP session; each is reached before its answer, which is after that of the one before.
const STEPS: [Step; 8] =
    [Step::Greeting, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data, Step::Body, Step::Dot, Step::Quit];

/// Of calls that are repeated for as long as a process lives, so many are faulted.
const REPETITIONS: usize = 4;

/// What went wrong once is played in each run.
const KNOWN: [&str; 3] = [
    "send: PATCH messagetemplates/greeting/status #1 answers-409",
    "removal: DELETE notifications/one #1 answers-500",
    "removal: PATCH notifications/one/status #1 answers-after-504",
];

impl Plan {
    /// Nothing goes wrong.
    pub const fn clean(scenario: Scenario) -> Self {
        Self { scenario, faults: Vec::new() }
    }

    /// How often the process is ended.
    pub fn stops(&self) -> usize {
        self.faults.iter().filter(|(_, fault)| matches!(fault, Fault::Stop { .. })).count()
    }
}

/// So many plans: those with one fault, in an order that `seed` draws, and pairs, a tenth at least.
pub fn all(clean: &BTreeMap<Scenario, Ran>, seed: u64, count: usize) -> Vec<Plan> {
    let mut random = StdRng::seed_from_u64(seed);
    let faults: BTreeMap<Scenario, Vec<(Place, Fault)>> =
        clean.iter().map(|(scenario, ran)| (*scenario, single(ran))).collect();
    let mut plans: Vec<_> = faults
        .iter()
        .flat_map(|(scenario, faults)| faults.iter().map(|fault| (*scenario, fault.clone())))
        .map(|(scenario, fault)| Plan { scenario, faults: vec![fault] })
        .collect();
    plans.shuffle(&mut random);
    let known: Vec<Plan> = KNOWN.iter().map(|plan| plan.parse().unwrap()).collect();
    plans.retain(|plan| !known.contains(plan));
    plans.splice(0..0, known);
    let pairs = (count / 10).max(count.saturating_sub(plans.len()));
    plans.truncate(count - pairs);
    let scenarios: Vec<_> = faults.keys().copied().collect();
    while plans.len() < count {
        let scenario = *scenarios.choose(&mut random).unwrap();
        let (one, other) = (draw(&faults[&scenario], &mut random), draw(&faults[&scenario], &mut random));
        let plan = Plan { scenario, faults: vec![one, other] };
        // Two ends may be as many doubts as a recipient may have.
        if plan.faults[0].0 != plan.faults[1].0 && plan.stops() < 2 {
            plans.push(plan);
        }
    }
    plans
}

fn draw(faults: &[(Place, Fault)], random: &mut impl Rng) -> (Place, Fault) {
    faults[random.random_range(0..faults.len())].clone()
}

/// Everything that can go wrong once in a run.
fn single(clean: &Ran) -> Vec<(Place, Fault)> {
    let mut most: BTreeMap<&What, usize> = BTreeMap::new();
    for call in &clean.calls {
        let most = most.entry(&call.what).or_default();
        *most = call.nth.max(*most).min(REPETITIONS);
    }
    let calls = most.into_iter().flat_map(|(what, most)| {
        (1..=most).map(|nth| Call { what: what.clone(), nth }).flat_map(|call| {
            // What is deleted by its uid alone conflicts with another uid and with nothing else.
            let can_conflict = !call.what.text.starts_with("DELETE ");
            let mut faults = Fault::all(call.what.kind);
            faults.retain(|fault| can_conflict || *fault != Fault::Answers(409));
            faults.into_iter().map(move |fault| (Place::Call(call.clone()), fault))
        })
    });
    let steps = STEPS.map(|step| (Place::Smtp(step), Fault::Stop { after: false }));
    calls.chain(steps).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(place, fault)| format!("{place} {fault}")).collect();
        write!(f, "{}: {}", self.scenario.name(), faults.join(", "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::Smtp(step) => write!(f, "SMTP {step:?}"),
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scenario, faults) =
            text.split_once(": ").ok_or("a plan is SCENARIO: PLACE FAULT, PLACE FAULT")?;
        let scenario = Scenario::ALL.into_iter().find(|known| known.name() == scenario);
        let faults = faults.split(", ").filter(|fault| !fault.is_empty()).map(|text| {
            let (place, fault) = text.rsplit_once(' ').ok_or("PLACE FAULT")?;
            let place = match place.strip_prefix("SMTP ") {
                Some(step) => STEPS.into_iter().find(|known| format!("{known:?}") == step).map(Place::Smtp),
                None => Some(Place::Call(place.parse()?)),
            };
            Ok::<_, String>((place.ok_or("no such step")?, fault.parse()?))
        });
        Ok(Self { scenario: scenario.ok_or("no such scenario")?, faults: faults.collect::<Result<_, _>>()? })
    }
}

#[test]
fn what_is_printed_is_read_again() {
    for text in [
        "send: PATCH notifications/one/status #1 lost-after, SMTP Dot stop-before",
        "send: WATCH notifications #2 answers-410",
        "send: ",
    ] {
        assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
    }
}
