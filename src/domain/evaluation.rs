//! What is evaluated of what users wrote, as questions and answers: checking a template, rendering a message, deriving
//! text from HTML. Fuel and bounds keep almost every text small, but no check made beforehand sees all that a text can
//! do (a list that contains itself twice, sixty times over, is compared for ever). So [`answer`] is called only in
//! processes that can be ended; everybody else asks them.

use crate::api::Reason;
use crate::api::message_template::MessageTemplateSpec;
use crate::domain::content::derive_text;
use crate::domain::locale::Locale;
use crate::domain::template::{
    Compiled, Findings, Names, Progress, RenderedTemplate, Sources, Stage, TemplateID, TemplateProblem,
};
use crate::domain::values::RecipientValues;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// How many compiled templates a process keeps. A usual one takes 50 KiB, the largest some MiB.
const KEPT: usize = 32;

/// What is to be evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// Whether a template can be used.
    Check(Sources),
    /// What a template says to somebody.
    Render(Box<Rendering>),
    /// The plain text of this HTML.
    Text(String),
}

/// What a template is rendered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendering {
    /// The template.
    pub template: TemplateID,
    /// What it takes to compile it. Sent along only where it is not compiled yet.
    #[serde(skip)]
    pub sources: Option<Sources>,
    /// The languages that are wanted, the most first.
    pub locales: Vec<Locale>,
    /// The values.
    pub values: RecipientValues,
    /// The built-in names.
    pub names: Names,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To `Check`.
    Checked(Result<Findings, Vec<TemplateProblem>>),
    /// To `Render`.
    Rendered(Box<Result<RenderedTemplate, TemplateProblem>>),
    /// To `Text`; or what is wrong with the HTML.
    Text(Result<String, String>),
    /// To `Render`: the template is not compiled here, ask again with its sources.
    NotLoaded,
}

/// Evaluation was ended before it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrun {
    /// Why.
    pub limit: Limit,
    /// The text that was being worked on.
    pub stage: Option<Stage>,
}

/// What an evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Two seconds.
    Time,
    /// The memory of its process.
    Memory,
    /// None: the code crashed.
    Crash,
}

impl Limit {
    /// The word for conditions.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Time => Reason::TimeLimitExceeded,
            Self::Memory => Reason::MemoryLimitExceeded,
            Self::Crash => Reason::Quarantined,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "takes more than 2 s: something in it grows without end, such as a list that contains itself",
            Self::Memory => {
                "takes more memory than it may: something in it grows without end, such as a list that contains itself or \
                 a huge width"
            }
            Self::Crash => "makes the operator's code crash; please report it",
        })
    }
}

impl Overrun {
    /// What is said of a template that could not be checked.
    pub fn of_template(&self) -> TemplateProblem {
        let message = format!("{}. This version is not tried again: change the template", self.limit);
        TemplateProblem::ended(self.limit.reason(), self.stage.as_ref(), &message)
    }
}

impl Question {
    /// The template that is rendered.
    pub fn template(&self) -> Option<TemplateID> {
        match self {
            Self::Render(rendering) => Some(rendering.template),
            Self::Check(_) | Self::Text(_) => None,
        }
    }

    /// The sources of the template that is rendered.
    pub fn sources(&self) -> Option<&Sources> {
        match self {
            Self::Render(rendering) => rendering.sources.as_ref(),
            Self::Check(_) | Self::Text(_) => None,
        }
    }
}

/// Templates that are compiled, the oldest first.
#[derive(Debug, Default)]
pub struct Loaded {
    templates: BTreeMap<TemplateID, Compiled>,
    order: VecDeque<TemplateID>,
}

impl Loaded {
    /// Compiles a template that is about to be rendered. Nothing is kept of one that does not compile: it was checked
    /// by another version.
    fn load(&mut self, sources: &Sources, progress: Progress<'_>) -> Result<(), Vec<TemplateProblem>> {
        let id = sources.id();
        if self.templates.contains_key(&id) {
            return Ok(());
        }
        let compiled = Compiled::load(&sources.spec, &sources.layouts(), progress)?;
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.templates.remove(&oldest);
        }
        self.templates.insert(id, compiled);
        self.order.push_back(id);
        Ok(())
    }
}

/// Evaluates. May take for ever, or more memory than there is.
pub fn answer(
    question: &Question,
    sources: Option<&Sources>,
    loaded: &mut Loaded,
    progress: Progress<'_>,
) -> Answer {
    match question {
        Question::Check(sources) => {
            let compiled = Compiled::check(&sources.spec, &sources.layouts(), progress);
            Answer::Checked(compiled.map(|compiled| compiled.findings()))
        }
        Question::Render(rendering) => {
            if let Some(sources) = sources
                && let Err(mut problems) = loaded.load(sources, progress)
                && let Some(problem) = problems.pop()
            {
                return Answer::Rendered(Box::new(Err(problem)));
            }
            let Rendering { template, sources: _, locales, values, names } = &**rendering;
            let Some(compiled) = loaded.templates.get(template) else { return Answer::NotLoaded };
            Answer::Rendered(Box::new(compiled.render(locales, values, names, progress)))
        }
        Question::Text(html) => Answer::Text(derive_text(html).map_err(|problem| problem.to_string())),
    }
}

impl Sources {
    /// Of a template that no layout wraps.
    pub fn bare(spec: Arc<MessageTemplateSpec>) -> Self {
        Self { spec, layouts: Vec::new() }
    }
}

#[cfg(test)]
pub(crate) mod here {
    //! Questions of tests, answered in the process of the tests.

    use super::{Answer, Loaded, Question, answer};

    /// The answer.
    pub(crate) fn ask(question: &Question) -> Answer {
        answer(question, question.sources(), &mut Loaded::default(), &|_| {})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::domain::samples::template;
    use serde_json::json;
    use std::cell::RefCell;

    fn sources(text: &str) -> Sources {
        Sources::bare(Arc::new(template("hr", "x", json!({ "text": text })).spec))
    }

    fn rendering(sources: &Sources) -> Question {
        let pair = || ("a".to_owned(), "b".to_owned());
        let names =
            serde_json::to_value(json!({ "recipient": pair(), "sender": pair(), "notification": pair() }));
        Question::Render(Box::new(Rendering {
            template: sources.id(),
            sources: None,
            locales: Vec::new(),
            values: serde_json::from_value(json!({ "name": "Ada" })).unwrap(),
            names: serde_json::from_value(names.unwrap()).unwrap(),
        }))
    }

    #[test]
    fn a_template_is_compiled_once_and_the_oldest_goes_first() {
        let mut loaded = Loaded::default();
        let all: Vec<_> = (0..=KEPT).map(|n| sources(&format!("{n} {{{{ name }}}}"))).collect();
        for (n, sources) in all.iter().enumerate() {
            let question = rendering(sources);
            assert_eq!(answer(&question, None, &mut loaded, &|_| {}), Answer::NotLoaded);
            let Answer::Rendered(rendered) = answer(&question, Some(sources), &mut loaded, &|_| {}) else {
                panic!("not rendered")
            };
            assert_eq!(rendered.unwrap().content.text(), Some(format!("{n} Ada").as_str()));
            assert!(matches!(answer(&question, None, &mut loaded, &|_| {}), Answer::Rendered(_)));
        }
        let first = rendering(all.first().unwrap());
        assert_eq!(answer(&first, None, &mut loaded, &|_| {}), Answer::NotLoaded);
    }

    #[test]
    fn progress_names_each_text_before_it_is_worked_on() {
        let seen = RefCell::new(Vec::new());
        let note = |stage: &Stage| seen.borrow_mut().push(format!("{} {}", stage.locale, stage.part));
        let checked = answer(&Question::Check(sources("{{ name }}")), None, &mut Loaded::default(), &note);
        assert!(matches!(checked, Answer::Checked(Ok(_))), "{checked:?}");
        for stage in ["en subject", "en text", "de subject", "de text"] {
            assert!(seen.borrow().iter().any(|seen| seen == stage), "{stage}");
        }
    }

    #[test]
    fn questions_and_answers_survive_the_way_to_another_process() {
        let question = rendering(&sources("{{ name }}"));
        let again: Question = serde_json::from_slice(&serde_json::to_vec(&question).unwrap()).unwrap();
        assert_eq!(again, question);
        let answer = here::ask(&Question::Check(sources("{{ nmae }}")));
        let again: Answer = serde_json::from_slice(&serde_json::to_vec(&answer).unwrap()).unwrap();
        assert_eq!(again, answer);
    }

    #[test]
    fn what_another_process_says_is_checked() {
        for (subject, text) in [("a\r\nBcc: x@y", "x"), (" ", "x"), ("a", "\u{1b}[31m")] {
            let content = json!({ "subject": subject, "text": text, "html": null });
            let answer = json!({ "Rendered": { "Ok": { "content": content, "locale": "en" } } });
            assert!(serde_json::from_value::<Answer>(answer).is_err(), "{subject:?} {text:?}");
        }
    }
}
