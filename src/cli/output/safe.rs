//! What a terminal obeys and nobody wrote for it: control characters, C1 ones among them, and marks that change the
//! direction of text. Objects of other people are full of text; printed, it must not move the cursor, hide a line or
//! look like one of ours. They are shown as what they are, `\u{9b}`.

use std::borrow::Cow;

/// Whether a terminal, or a reader of the line, could be led astray by it.
fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn escaped(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(|c| is_hazard(c) && !keeps(c)) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hazard(c) && !keeps(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// Text of somebody else, lines and all.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// Text of somebody else that has to stay on its line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// What is printed, with our own colours: the last look, for what passed through neither of the others.
pub fn colored(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hazard) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, behind) = rest.split_at(at);
        shown.push_str(&self::text(before));
        let length = color(behind).unwrap_or(0);
        let (color, after) = behind.split_at(length);
        shown.push_str(color);
        rest = after;
        if length == 0 {
            shown.push_str("\\u{1b}");
            rest = behind.get(1..).unwrap_or_default();
        }
    }
    shown.push_str(&self::text(rest));
    shown.into()
}

/// How long the colour is that a text begins with.
fn color(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters.get(end..)?.starts_with('m').then_some(end + 3)
}

/// A JSON document: in its strings the same characters have escapes of their own.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_hazard(c) && c != '\n') {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hazard(c) && c != '\n' {
            shown.extend(["\\u".to_owned(), format!("{:04x}", u32::from(c))]);
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::cli::output::Mark;
    use crate::cli::output::{BAD, Cell, Table, marked, paint};

    /// Everything a terminal obeys, and a few lines.
    const EVIL: &str = "n\u{9b}31mRED\u{202e}evil\u{1b}[2J\u{1b}]0;title\u{7}\r\nnews\u{85}\u{200f}";

    #[test]
    fn whatever_is_printed_of_others_is_shown_and_not_obeyed() {
        let mut table = Table::new(&["NAME", "WHAT"]);
        table.row([EVIL.into(), Cell::new(EVIL, BAD)]);
        let table = table.into_lines();
        assert_eq!(table.len(), 2, "nothing begins a line of its own: {table:?}");
        let all = [table[1..].to_vec(), marked(Mark::Bad, EVIL), vec![paint(BAD, EVIL)]].concat();
        for line in all {
            let plain = anstream::adapter::strip_str(&line).to_string();
            assert_eq!(colored(&line), line, "only our colours are left");
            assert!(!plain.contains(|c| is_hazard(c) && c != '\n'), "{plain:?}");
            assert!(plain.contains(r"\u{9b}31mRED\u{202e}evil\u{1b}[2J\u{1b}]0;title\u{7}"), "{plain}");
        }
        let raw = colored(EVIL);
        assert!(!raw.contains(|c| is_hazard(c) && c != '\n'), "{raw:?}");
        assert_eq!(colored("\u{1b}[1;31mred\u{1b}[0m\ta\nb"), "\u{1b}[1;31mred\u{1b}[0m\ta\nb");
        for c in (0u32..0x3000).filter_map(char::from_u32).filter(|c| is_hazard(*c)) {
            assert_eq!(line(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
        assert_eq!(text("Grüße, 漢字 👩\u{200d}🚀"), "Grüße, 漢字 👩\u{200d}🚀");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "name": EVIL, "list": ["\u{7f}"] });
        let shown = json(&serde_json::to_string_pretty(&value).unwrap()).into_owned();
        assert!(!shown.contains(|c| is_hazard(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
