//! How intricate markup may be before it is handed to the libraries that convert it: their work grows with
//! the product of tags and nesting, tags and CSS, or with the square of a tag's attributes.

use super::markup::{self, Token};
use crate::domain::content::ContentProblem;

/// How deep tags may nest. Written messages have 10, what MJML becomes some 25.
const MAX_DEPTH: usize = 100;

/// How many attributes a tag may have: each is compared with each.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// Sum over all tags of how deep each stands, with formatting that is never closed: a browser opens that
/// again in every paragraph that follows. A table of 500 rows and 4 columns in MJML has about 60,000.
const MAX_EFFORT: usize = 100_000;

/// Octets of CSS times tags, which is about what putting the one into the others can take and produce. A
/// usual message has 2 KiB and 200 tags.
const MAX_STYLING: usize = 6 * 1024 * 1024;

/// How many images the carousels of a text may have: the converter writes CSS for each pair of them, whose
/// selectors are as long as the images are many.
const MAX_CAROUSEL: usize = 10;

/// Elements that a browser opens again after a closing tag that left them open.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// Elements whose closing tag may be left out: the next of the kind closes them.
const OPTIONAL: [&str; 12] =
    ["p", "li", "td", "th", "tr", "dt", "dd", "option", "thead", "tbody", "tfoot", "colgroup"];

/// Whether markup may be converted.
pub(super) fn check(html: &str) -> Result<(), ContentProblem> {
    let (mut open, mut formatting, mut effort): (Vec<&str>, usize, usize) = (Vec::new(), 0, 0);
    let (mut tags, mut css, mut in_style) = (0_usize, 0_usize, false);
    let mut carousel = 0_usize;
    for (_, token) in markup::tokens(html) {
        match token {
            Token::Open(tag) => {
                tags += 1;
                effort += 1 + open.len() + formatting;
                if tag.attributes.len() > MAX_ATTRIBUTES {
                    return Err(ContentProblem::TooIntricate("a tag has more than 64 attributes"));
                }
                carousel += usize::from(tag.is("mj-carousel-image"));
                if carousel > MAX_CAROUSEL {
                    return Err(ContentProblem::TooIntricate("its carousels have more than 10 images"));
                }
                in_style = tag.is("style") || tag.is("mj-style");
                if !(tag.empty || tag.is_void()) {
                    formatting += usize::from(one_of(&FORMATTING, tag.name));
                    while one_of(&OPTIONAL, tag.name)
                        && open.last().is_some_and(|last| closes(tag.name, last))
                    {
                        open.pop();
                    }
                    open.push(tag.name);
                }
            }
            Token::Close(name) => {
                if one_of(&FORMATTING, name) {
                    formatting = formatting.saturating_sub(1);
                }
                if let Some(at) = open.iter().rposition(|open| open.eq_ignore_ascii_case(name)) {
                    open.truncate(at);
                }
            }
            Token::Raw(text) if in_style => css += text.len(),
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(ContentProblem::TooDeep);
        }
        if effort > MAX_EFFORT {
            return Err(ContentProblem::TooIntricate(
                "its tags are too many for how deep they nest, or <b>, <a> and the like are never closed",
            ));
        }
        if css.saturating_mul(tags) > MAX_STYLING {
            return Err(ContentProblem::TooIntricate("its CSS and its tags are too many together"));
        }
    }
    Ok(())
}

fn one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether an opening tag closes the last open one, whose closing tag may be left out.
fn closes(opening: &str, last: &str) -> bool {
    let is = |names: &[&str]| one_of(names, opening);
    match last {
        "p" => true,
        "td" | "th" => is(&["td", "th", "tr", "thead", "tbody", "tfoot"]),
        "tr" => is(&["tr", "thead", "tbody", "tfoot"]),
        "thead" | "tbody" | "tfoot" => is(&["thead", "tbody", "tfoot"]),
        last => one_of(&OPTIONAL, last) && is(&[last]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_markup_passes() {
        let rows = "<tr><td>a<td>b</td><td><p>c<p>d<br></tr>".repeat(500);
        let list = format!("<ul>{}</ul>", "<li>a <b>b</b>".repeat(1000));
        for html in [rows, list, "<style>p { color: red }</style>".to_owned(), "</b>".repeat(1000)] {
            assert_eq!(check(&html), Ok(()), "{html:.40}");
        }
    }

    #[test]
    fn intricate_markup_is_refused() {
        let attributes = (0..65).map(|n| format!(" a{n}")).collect::<Vec<_>>().concat();
        for (html, deep) in [
            ("<div>".repeat(101), true),
            ("<p><b></p>".repeat(1000), false),
            (format!("<a{attributes}>"), false),
            (format!("<style>{}</style>{}", "a{b:c}".repeat(10_000), "<br>".repeat(200)), false),
        ] {
            let found = check(&html);
            assert_eq!(matches!(found, Err(ContentProblem::TooDeep)), deep, "{found:?} {html:.40}");
            assert!(found.is_err(), "{html:.40}");
        }
    }
}
