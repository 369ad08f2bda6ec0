//! Plain text made of HTML, for people whose mail program shows none of it. What the HTML hides (preheaders, filler
//! that pushes them out of sight, what is there for some screens only) is not part of it; and a word is never cut,
//! however long: half an address leads elsewhere.

use super::{ContentProblem, stray_control};
use crate::domain::masking::is_invisible;
use css_inline::CSSInliner;
use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// Columns of text. RFC 5322 recommends at most 78; mail programs break longer lines themselves, and some badly.
const WIDTH: usize = 76;

/// Columns that the conversion is given at least: it is told of more than there are and the lines are broken here, since
/// it would cut what is wider.
const ROOM: usize = 1000;

/// How many tags HTML may have, since the time that the conversion takes grows with the square of their nesting. Written
/// messages have some hundred, a table of 500 rows and 4 columns 5000.
pub(super) const MAX_TAGS: usize = 5_000;

/// Invisible characters among nothing but spaces, from which on they are filler. A few of them belong to
/// scripts such as Persian, where they stand between letters.
const FILLER: usize = 3;

/// Takes about a millisecond for a usual message, and runs where it can be ended.
pub fn derive_text(html: &str) -> Result<String, ContentProblem> {
    let closings = html.matches("</").count();
    if html.matches('<').count() - closings > MAX_TAGS {
        return Err(ContentProblem::NotDerivable);
    }
    // No word of the text is longer than the longest that the source has, between its spaces.
    let longest = html.split_ascii_whitespace().map(str::len).max().unwrap_or_default();
    // What the document's styles say is written to the elements first: css-inline knows more of CSS than html2text does.
    let styled = html.contains("<style").then(|| inliner().inline(html).ok()).flatten();
    let html = styled.as_deref().unwrap_or(html);
    let text = html2text::config::plain()
        .use_doc_css()
        .add_agent_css(HIDDEN)
        .and_then(|config| {
            config
                .no_table_borders()
                .no_link_wrapping()
                .allow_width_overflow()
                .string_from_read(html.as_bytes(), longest.max(ROOM))
        })
        .map_err(|_| ContentProblem::NotDerivable)?;
    let text = without_filler(&text);
    match stray_control(&text) {
        Some(control) => Err(ContentProblem::Control(control)),
        None => Ok(wrapped(&text)),
    }
}

/// Leaves the rules out afterwards: those for some screens only are nobody's here.
fn inliner() -> CSSInliner<'static> {
    CSSInliner::options().load_remote_stylesheets(false).keep_style_tags(false).build()
}

/// What is hidden besides what the document's own styles hide.
const HIDDEN: &str = "[hidden], template { display: none; }";

/// Without runs of invisible characters.
fn without_filler(text: &str) -> String {
    let fills = |c: char| is_invisible(c) || c == ' ' || c == '\u{a0}';
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_invisible) {
        let start = rest[..start].trim_end_matches(fills).len();
        let run = rest[start..].find(|c| !fills(c)).map_or(rest.len(), |end| start + end);
        kept.push_str(&rest[..start]);
        let filler = &rest[start..run];
        if filler.chars().filter(|c| is_invisible(*c)).count() < FILLER {
            kept.push_str(filler);
        } else if !kept.is_empty() && !kept.ends_with('\n') && !rest[run..].starts_with('\n') {
            kept.push(' ');
        }
        rest = &rest[run..];
    }
    kept.push_str(rest);
    kept
}

/// The lines broken between words, so that what goes on stands below its beginning.
fn wrapped(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 32);
    for line in text.lines().map(str::trim_end) {
        // One empty line parts as well as several, which is what hidden elements leave.
        if line.is_empty() && (lines.is_empty() || lines.ends_with("\n\n")) {
            continue;
        }
        // A rule is as wide as there is room.
        let rule = line.len() > WIDTH && line.chars().all(|c| c == '─');
        if rule {
            lines.extend(std::iter::repeat_n('─', WIDTH));
        } else if line.len() <= WIDTH || is_footnote(line) {
            lines.push_str(line);
        } else {
            let options = Options::new(WIDTH)
                .break_words(false)
                .word_separator(WordSeparator::Custom(words))
                .word_splitter(WordSplitter::NoHyphenation)
                .wrap_algorithm(WrapAlgorithm::FirstFit);
            let (first, others) = indents(line);
            let body = line.get(first.len()..).unwrap_or_default();
            let options = options.initial_indent(first).subsequent_indent(&others);
            lines.push_str(&textwrap::fill(body, options));
        }
        lines.push('\n');
    }
    lines.truncate(lines.trim_end().len());
    lines.push('\n');
    lines
}

/// The address of a link in the text, `[1]: https://...`.
fn is_footnote(line: &str) -> bool {
    let number = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    number.is_some_and(|(number, _)| number.bytes().all(|octet| octet.is_ascii_digit()))
}

/// What stands before the first line of a quotation or of an item of a list, and what before its other lines.
fn indents(line: &str) -> (&str, String) {
    let mut at = 0;
    let mut others = String::new();
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let item = rest.split_once(' ').map_or("", |(mark, _)| mark);
        let is_number =
            item.strip_suffix('.').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if item == ">" {
            others.push_str("> ");
        } else if item == "*" || is_number {
            others.extend(std::iter::repeat_n(' ', item.len() + 1));
        } else if rest.starts_with(' ') {
            others.push(' ');
            at += 1;
            continue;
        } else {
            return (line.get(..at).unwrap_or_default(), others);
        }
        at += item.len() + 1;
    }
}

/// Words end at spaces; between ideographs, which have none, a line may end anywhere.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let ideograph = |c: char| matches!(c, '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3fffd}');
    let pieces = line.split_inclusive(' ').flat_map(move |word| {
        let mut ends: Vec<usize> =
            word.char_indices().filter(|(_, c)| ideograph(*c)).map(|(at, c)| at + c.len_utf8()).collect();
        ends.push(word.len());
        let mut start = 0;
        ends.into_iter().filter_map(move |end| {
            let piece = word.get(start..end).filter(|piece| !piece.is_empty());
            start = end;
            piece
        })
    });
    Box::new(pieces.map(Word::from))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_never_cut() {
        for length in [10, 60, 75, 76, 77, 200, 900, 2000, 8000] {
            let address = format!("https://login.corp.example/action?key={}", "aB3-".repeat(length / 4));
            let mailbox = format!("{}@corp.example", "x".repeat(length));
            let html = format!(
                "<p>Please <a href=\"{address}\">confirm</a>.</p><ul><li>Or copy this: {address}, please</li></ul>\
                 <blockquote>{mailbox}</blockquote><table><tr><td>Here:</td><td>{address}</td></tr></table>"
            );
            let text = derive_text(&html).unwrap();
            let whole = |word: &str| {
                text.split_ascii_whitespace().filter(|found| found.trim_end_matches(',') == word).count()
            };
            assert_eq!(whole(&address), 3, "{length}: {text}");
            assert!(text.contains(&format!("[1]: {address}\n")), "the footnote is one line: {text}");
            assert_eq!(whole(&mailbox), 1, "{length}: {text}");
        }
    }

    #[test]
    fn what_is_hidden_is_left_out() {
        let filler = "&#847;&zwnj;&nbsp;".repeat(40);
        for (html, expected) in [
            ("<div style=\"display:none\">Preview</div><p>Hi</p>", "Hi\n"),
            (
                "<div style=\"display: none !important; max-height:0; overflow:hidden\">Preview</div><p>Hi</p>",
                "Hi\n",
            ),
            ("<div style=\"max-height:0;overflow:hidden\">Preview</div><p>Hi</p>", "Hi\n"),
            ("<style>.pre { display: none }</style><span class=\"pre\">Preview</span><p>Hi</p>", "Hi\n"),
            ("<p hidden>Preview</p><p>Hi</p>", "Hi\n"),
            ("<p>Hi</p><p>\u{200c}\u{a0}\u{200c}\u{a0}\u{200c}\u{a0}</p>", "Hi\n"),
            (
                "<style>@media (max-width: 600px) { .wide { display: none } }</style><p class=\"wide\">Hi</p>",
                "Hi\n",
            ),
        ] {
            assert_eq!(derive_text(html).unwrap(), expected, "{html}");
        }
        let text = derive_text(&format!("<p>Short{filler}</p><p>Hi</p>")).unwrap();
        assert!(
            !text.contains(is_invisible) && text.contains("Short\n") && text.ends_with("Hi\n"),
            "{text:?}"
        );
        // Between letters they are part of the word.
        assert_eq!(derive_text("<p>می\u{200c}خواهم</p>").unwrap(), "می\u{200c}خواهم\n");
    }

    #[test]
    fn lines_are_broken_between_words() {
        let words = "word ".repeat(40);
        let text = derive_text(&format!(
            "<p>{words}</p><ol><li>{words}</li></ol><blockquote>{words}</blockquote><hr><p>{}</p>",
            "漢字".repeat(60)
        ))
        .unwrap();
        for line in text.lines() {
            assert!(textwrap::core::display_width(line) <= WIDTH, "{line}");
        }
        assert!(text.contains("\n1. word") && text.contains("\n   word"), "{text}");
        assert!(text.matches("\n> word").count() > 1, "{text}");
    }

    proptest! {
        #[test]
        fn no_word_is_changed(words in proptest::collection::vec("[a-z0-9/?=&.-]{1,200}", 1..30)) {
            let html = format!("<p>{}</p>", words.join(" ").replace('&', "&amp;"));
            let text = derive_text(&html).unwrap();
            prop_assert_eq!(text.split_ascii_whitespace().collect::<Vec<_>>(), words);
        }
    }
}
