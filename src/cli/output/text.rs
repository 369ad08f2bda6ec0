//! Widths: of texts as a terminal shows them, of the terminal, and lines that fit into it.

use crate::cli::output::safe;
use std::io::IsTerminal;
use unicode_width::UnicodeWidthStr;

/// Lines narrower than this cannot be read at all.
const NARROWEST: usize = 24;

/// How many columns there are; `None`: no terminal, lines may have any length. COLUMNS wins, as in other programs.
pub fn width() -> Option<usize> {
    let wanted = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let found = || {
        if !std::io::stdout().is_terminal() {
            return None;
        }
        terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
    };
    wanted.or_else(found).filter(|width| *width > 0)
}

/// A text as lines that leave room for `indent` columns before them.
pub fn wrap(text: &str, indent: usize) -> Vec<String> {
    let room = width().map(|width| width.saturating_sub(indent).max(NARROWEST));
    fit(&safe::text(text), room)
}

/// A text as lines of at most `room` columns; words that are longer stay whole, so that they can be copied.
pub(super) fn fit(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return text.lines().map(str::to_owned).collect() };
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// Whether the locale can show more than ASCII.
pub(super) fn is_unicode() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    let utf8 = |locale: String| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    cfg!(windows) || locale.is_some_and(utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits() {
        for (text, room, expected) in [
            ("one two three", None, vec!["one two three"]),
            ("one two three", Some(7), vec!["one two", "three"]),
            ("one\ntwo three", Some(20), vec!["one", "two three"]),
            ("a-very-long-command --flag", Some(10), vec!["a-very-long-command", "--flag"]),
            ("漢字 漢字 漢字", Some(9), vec!["漢字 漢字", "漢字"]),
            ("", Some(9), vec![]),
        ] {
            assert_eq!(fit(text, room), expected, "{text} in {room:?}");
        }
    }
}
