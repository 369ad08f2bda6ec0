//! What is wrong with a template, where, and what would be right: the sentences people read when a
//! text does not work.

mod words;

use super::{engine, jinja};
use crate::api::Reason;
use crate::domain::content::{ContentProblem, Part};
use crate::domain::locale::Locale;
use crate::domain::problem::{Problem, printable};
use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A mistake in a template, or one that shows only with certain values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateProblem {
    /// What kind of mistake it is. `LayoutInvalid` for all in a layout; `RenderFailed` or one of the limits
    /// when rendering.
    pub reason: Reason,
    /// The layout it is in; without one it is in the template itself.
    pub layout: Option<String>,
    /// Where it is.
    pub place: Place,
    /// What is wrong and what would be right; lower case, without a full stop or control characters.
    pub message: String,
}

/// A text of a template that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The layout it is in; without one it is in the template itself.
    pub layout: Option<String>,
    /// Its language.
    pub locale: Locale,
    /// Which of the texts.
    pub part: Part,
}

/// Where in a template a mistake is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In a text.
    Text {
        /// The language of the text.
        locale: Locale,
        /// Which of its texts.
        part: Part,
        /// Line and column, from 1, the column in characters; absent where it is the text as a whole.
        position: Option<(usize, usize)>,
    },
    /// In a field of the spec, such as `variables[name].example`.
    Field(String),
}

impl TemplateProblem {
    pub(super) fn new(reason: Reason, place: Place, message: impl AsRef<str>) -> Self {
        Self { reason, layout: None, place, message: printable(message.as_ref(), 500) }
    }

    /// Evaluating it was ended, in the text `stage` if that is known.
    pub(in crate::domain) fn ended(reason: Reason, stage: Option<&Stage>, message: &str) -> Self {
        let place = stage.map_or_else(
            || Place::Field("spec".into()),
            |Stage { locale, part, .. }| Place::Text { locale: locale.clone(), part: *part, position: None },
        );
        let layout = stage.and_then(|stage| stage.layout.clone());
        Self { layout, ..Self::new(reason, place, message) }
    }

    /// The same in a layout: whatever it is, the template cannot mend it.
    pub(super) fn in_layout(self, layout: Option<&str>) -> Self {
        match layout {
            Some(name) => Self { reason: Reason::LayoutInvalid, layout: Some(name.to_owned()), ..self },
            None => self,
        }
    }

    pub(super) fn field(reason: Reason, problem: Problem) -> Self {
        Self { reason, layout: None, place: Place::Field(problem.field), message: problem.message }
    }

    pub(super) fn in_text(
        reason: Reason,
        locale: &Locale,
        part: Part,
        position: Option<(usize, usize)>,
        message: impl AsRef<str>,
    ) -> Self {
        Self::new(reason, Place::Text { locale: locale.clone(), part, position }, message)
    }

    /// What the engine says about a text that does not parse.
    pub(super) fn syntax(locale: &Locale, part: Part, source: &str, error: &Error) -> Self {
        let detail = error.detail().unwrap_or("does not parse");
        let (reason, message) = match detail {
            "template exceeds maximum recursion limits" => (
                Reason::TooDeep,
                "is nested too deep here: use fewer parentheses and blocks in each other".into(),
            ),
            _ => (Reason::SyntaxError, syntax_message(detail)),
        };
        Self::in_text(reason, locale, part, position(source, error), message)
    }

    /// What the engine says about a text that does not render.
    pub(super) fn rendering(locale: &Locale, part: Part, error: &Error) -> Self {
        let position = position(error.template_source().unwrap_or_default(), error);
        let reason = match error.kind() {
            ErrorKind::OutOfFuel => Reason::TooManySteps,
            _ if error.detail() == Some("recursion limit exceeded") => Reason::TooDeep,
            _ => Reason::RenderFailed,
        };
        Self::in_text(reason, locale, part, position, words::rendering(error))
    }

    /// A rendered text that cannot be sent; `values` are those to look at.
    pub(super) fn content(locale: &Locale, part: Part, problem: &ContentProblem, values: &[String]) -> Self {
        let message = match (problem, values) {
            (ContentProblem::SubjectLines, [name, ..]) => format!(
                "has more than one line, since the value of {} holds a line break: remove it there, or write {{{{ {name} | lines | join(\" \") }}}}",
                values.join(", ")
            ),
            (ContentProblem::UnsafeAddress { .. }, [name, ..]) => {
                format!("once rendered {problem}; it comes from the value of {name}")
            }
            _ => format!("once rendered {problem}"),
        };
        let reason = match problem {
            ContentProblem::TooLarge => Reason::OutputTooLarge,
            ContentProblem::TooDeep => Reason::TooDeep,
            ContentProblem::TooIntricate(_) => Reason::TooManySteps,
            _ => Reason::RenderFailed,
        };
        Self::in_text(reason, locale, part, None, message)
    }
}

fn position(source: &str, error: &Error) -> Option<(usize, usize)> {
    match error.range() {
        Some(range) if range.start <= source.len() => Some(jinja::position(source, range.start)),
        _ => error.line().map(|line| (line, 1)),
    }
}

fn syntax_message(detail: &str) -> String {
    let elsewhere = ["include", "import", "from", "extends", "block"];
    match detail.strip_prefix("unknown statement ") {
        Some(statement) if elsewhere.contains(&statement) => {
            format!("{statement} does not exist here: a template is complete in itself")
        }
        _ => detail.to_owned(),
    }
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layout) = &self.layout {
            write!(f, "layout {layout}, ")?;
        }
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { locale, part, position: Some((line, column)) } => {
                write!(f, "{locale} {part}, line {line}, column {column}")
            }
            Self::Text { locale, part, position: None } => write!(f, "{locale} {part}"),
            Self::Field(field) => f.write_str(field),
        }
    }
}
