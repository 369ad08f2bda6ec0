//! What people see. Colours only where standard output is a terminal and NO_COLOR is not set; machines get JSON, YAML
//! or names. Results go to standard output, everything that is said on the way to standard error.

mod markdown;
mod safe;
mod table;
mod text;
mod time;

pub use markdown::render as markdown;
pub use table::{Cell, Table};
pub use text::wrap;
pub use time::{ago, moment, span};

use crate::cli::failure::{Exit, Failure};
use crate::cli::flags::Format;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// Went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Went wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// To be looked at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const BOLD: Style = Style::new().bold();

/// A sign in front of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Went well.
    Good,
    /// Went wrong.
    Bad,
    /// To be looked at.
    Warning,
    /// Under way.
    Waiting,
    /// Not come to.
    Skipped,
}

impl Mark {
    /// Its colour.
    pub const fn style(self) -> Style {
        match self {
            Self::Good => GOOD,
            Self::Bad => BAD,
            Self::Warning => WARN,
            Self::Waiting | Self::Skipped => DIM,
        }
    }

    /// How it is written, also where only ASCII can be shown.
    fn symbol(self) -> &'static str {
        let (symbol, plain) = match self {
            Self::Good => ("✓", "+"),
            Self::Bad => ("✗", "x"),
            Self::Warning => ("!", "!"),
            Self::Waiting => ("…", "."),
            Self::Skipped => ("-", "-"),
        };
        if text::is_unicode() { symbol } else { plain }
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&paint(self.style(), self.symbol()))
    }
}

/// A text in a style, which is dropped again where nobody wants colours.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{}{style:#}", safe::text(&text.to_string()))
}

/// A line of the result. That nobody reads it any more (`| head`) is no failure.
pub fn say(line: impl Display) {
    let _ = writeln!(anstream::stdout().lock(), "{}", safe::colored(&line.to_string()));
}

/// A word on the way: what is waited for, what somebody should know.
pub fn note(words: &str) {
    for line in wrap(words, 0) {
        let _ = writeln!(anstream::stderr().lock(), "{}", paint(DIM, line));
    }
}

/// A mark and a text, wrapped beside it, with room for being indented.
pub fn marked(mark: Mark, words: &str) -> Vec<String> {
    let beside = |(at, line)| if at == 0 { format!("{mark} {line}") } else { format!("  {line}") };
    wrap(&safe::line(words), 4).into_iter().enumerate().map(beside).collect()
}

/// Text of somebody else, as it was written but for what a terminal would obey.
pub fn quote(text: &str) {
    say(safe::text(text));
}

/// Lines in place of what the terminal shows.
pub fn redraw(lines: &[String]) {
    let _ = write!(anstream::stdout().lock(), "\u{1b}[H\u{1b}[2J");
    lines.iter().for_each(say);
}

/// Findings in a format, or for people, whole.
pub fn findings(format: Option<Format>, text: &str) {
    let text = match format {
        Some(Format::Json | Format::Sarif) => safe::json(text),
        Some(Format::Name | Format::Yaml | Format::Github) | None => safe::colored(text),
    };
    let _ = write!(anstream::stdout().lock(), "{text}");
}

/// Several lines of the result.
pub fn say_all(lines: impl IntoIterator<Item = String>) {
    lines.into_iter().for_each(say);
}

/// Prints for machines.
pub fn document(format: Format, name: &str, value: &impl Serialize) -> Result<(), Failure> {
    let unprintable =
        |error: &dyn Display| Failure::new(Exit::Failed, format!("the result cannot be printed: {error}"));
    match format {
        Format::Name => say(name),
        Format::Json => {
            say(safe::json(&serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))?));
        }
        Format::Yaml => {
            // Through JSON, because the YAML writer's own idea of enums differs.
            let value = serde_json::to_value(value).map_err(|error| unprintable(&error))?;
            say(serde_yaml::to_string(&value).map_err(|error| unprintable(&error))?.trim_end());
        }
        Format::Sarif | Format::Github => return Err(unprintable(&"it is no list of findings")),
    }
    Ok(())
}

/// Prints an object for machines, without what only the API server cares about.
pub fn object<K>(format: Format, object: &K) -> Result<(), Failure>
where
    K: kube::Resource<DynamicType = ()> + Serialize + Clone,
{
    let mut object = object.clone();
    object.meta_mut().managed_fields = None;
    let group = K::group(&());
    let singular = K::kind(&()).to_ascii_lowercase();
    let kind = if group.is_empty() { singular } else { format!("{singular}.{group}") };
    let name = object.meta().name.clone().unwrap_or_default();
    document(format, &format!("{kind}/{name}"), &object)
}

/// Says on standard error why a command ended, and what to do.
pub fn explain_failure(failure: &Failure) {
    let mut stderr = anstream::stderr().lock();
    for (at, line) in wrap(&format!("error: {}", failure.message), 0).into_iter().enumerate() {
        let line = match line.strip_prefix("error:") {
            Some(rest) if at == 0 => format!("{}{rest}", paint(BAD.bold(), "error:")),
            _ => line,
        };
        let _ = writeln!(stderr, "{line}");
    }
    for line in failure.next.iter().flat_map(|next| wrap(next, 2)) {
        let _ = writeln!(stderr, "  {line}");
    }
}
