//! The little Markdown of our own pages, for a terminal: headings and code stand out, links show their text, paragraphs
//! are filled to the width.

use crate::cli::output::{BOLD, paint, wrap};
use anstyle::{AnsiColor, Style};

const CODE: Style = AnsiColor::Cyan.on_default();

/// The lines to print, `indent` columns to the right.
pub fn render(text: &str, indent: usize) -> Vec<String> {
    let space = " ".repeat(indent);
    let mut lines = Vec::new();
    let mut paragraph = String::new();
    let flush = |paragraph: &mut String, lines: &mut Vec<String>| {
        let filled = wrap(&without_links(&std::mem::take(paragraph)), indent);
        lines.extend(coloured(&filled).into_iter().map(|line| format!("{space}{line}")));
    };
    for line in text.lines() {
        let verbatim = line.starts_with("    ") || line.starts_with('|');
        let begins = line.starts_with("- ") || line.starts_with('#');
        if line.trim().is_empty() || verbatim || begins {
            flush(&mut paragraph, &mut lines);
        }
        if line.trim().is_empty() {
            lines.push(String::new());
        } else if verbatim {
            lines.push(format!("{space}{}", paint(CODE, line)));
        } else if line.starts_with('#') {
            lines.push(format!("{space}{}", paint(BOLD, line.trim_start_matches('#').trim())));
        } else {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line.trim());
        }
    }
    flush(&mut paragraph, &mut lines);
    lines
}

/// `[text](address)` becomes `text`.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match after.split_once("](").and_then(|(words, after)| Some((words, after.split_once(')')?.1))) {
            Some((words, after)) if !words.contains('[') => {
                plain.push_str(words);
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// `code` and **words** in their styles; what begins in one line may end in the next.
fn coloured(lines: &[String]) -> Vec<String> {
    let (mut code, mut strong) = (false, false);
    let mut all = Vec::new();
    for line in lines {
        let mut out = String::new();
        let mut rest = line.as_str();
        if code {
            out.push_str(&CODE.render().to_string());
        }
        if strong {
            out.push_str(&BOLD.render().to_string());
        }
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("**").filter(|_| !code) {
                toggle(&mut strong, BOLD, &mut out);
                rest = after;
            } else if c == '`' {
                toggle(&mut code, CODE, &mut out);
                rest = rest.get(1..).unwrap_or_default();
            } else {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        if code || strong {
            out.push_str(&Style::new().bold().render_reset().to_string());
        }
        all.push(out);
    }
    all
}

fn toggle(on: &mut bool, style: Style, out: &mut String) {
    *on = !*on;
    let escape = if *on { style.render().to_string() } else { style.render_reset().to_string() };
    out.push_str(&escape);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_marks_go_and_paragraphs_are_filled() {
        let text = "See [the page](page.md#there) and `code`.\nGo **on**.\n\n    kubectl get msc\n- a\n- b";
        let plain = anstream::adapter::strip_str(&render(text, 2).join("\n")).to_string();
        assert_eq!(plain, "  See the page and code. Go on.\n\n      kubectl get msc\n  - a\n  - b");
    }
}
