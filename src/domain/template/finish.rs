//! From rendered texts to a message: MJML becomes HTML and CSS goes into the tags, within bounds that are
//! checked before anything is handed to a library whose work may grow faster than its input.

use super::layout::Draft;
use super::markup::{self, Token};
use super::{Markup, Progress, Stage, addresses, bounds, mjml};
use crate::domain::content::{ContentProblem, MAX_BODY_OCTETS, Part, Rendered, derive_text};
use crate::domain::locale::{Direction, Locale};
use css_inline::{CSSInliner, InlineOptions};

/// Makes the message, or says which part cannot be sent and why.
pub(super) fn finish(
    draft: Draft,
    locale: &Locale,
    progress: Progress<'_>,
) -> Result<Rendered, (Part, ContentProblem)> {
    let Draft { subject, text, body } = draft;
    let Some((kind, body)) = body else { return Rendered::new(&subject, text, None) };
    progress(&Stage { layout: None, locale: locale.clone(), part: kind.part() });
    let wrong = |problem| (kind.part(), problem);
    let html = html(kind, body, locale).map_err(wrong)?;
    if let Some((attribute, address)) = addresses::unsafe_address(&html) {
        return Err(wrong(ContentProblem::UnsafeAddress { attribute, address }));
    }
    let text = if let Some(text) = text {
        text
    } else {
        bounds::check(&html).map_err(wrong)?;
        derive_text(&html).map_err(|problem| (Part::HTML, problem))?
    };
    Rendered::new(&subject, Some(text), Some(html))
}

fn html(kind: Markup, body: String, locale: &Locale) -> Result<String, ContentProblem> {
    within(&body)?;
    match kind {
        Markup::Html => {
            let body = directed(body, locale);
            if has_style(&body) { inlined(&body) } else { Ok(body) }
        }
        Markup::Mjml => {
            bounds::check(&body)?;
            let html = mjml::html(&body, locale).map_err(ContentProblem::NotMJML)?;
            within(&html)?;
            inlined(&html)
        }
    }
}

/// HTML whose lines run as the language has them, and begin on that side: by `dir` where the author gave none. Without
/// one lines run from the left.
fn directed(body: String, locale: &Locale) -> String {
    if locale.direction() == Direction::LeftToRight {
        return body;
    }
    let dir = Direction::RightToLeft.as_str();
    let root = markup::tokens(&body).find_map(|(range, token)| match token {
        Token::Open(tag) if tag.is("html") || tag.is("body") => {
            Some((range.start + 1 + tag.name.len(), tag.has("dir")))
        }
        _ => None,
    });
    match root {
        Some((_, true)) => body,
        Some((at, false)) => match (body.get(..at), body.get(at..)) {
            (Some(before), Some(after)) => format!("{before} dir=\"{dir}\"{after}"),
            _ => body,
        },
        None => format!("<div dir=\"{dir}\">{body}</div>"),
    }
}

fn within(body: &str) -> Result<(), ContentProblem> {
    if body.len() > MAX_BODY_OCTETS { Err(ContentProblem::TooLarge) } else { Ok(()) }
}

/// Whether there is CSS to be put into tags. Without any the HTML stays as it was written.
fn has_style(html: &str) -> bool {
    html.match_indices('<')
        .any(|(at, _)| html.get(at + 1..at + 6).is_some_and(|n| n.eq_ignore_ascii_case("style")))
}

/// CSS in the tags, for mail programs that read no `<style>`. It stays there as well, since rules for
/// screens and dark mode work in no other place.
fn inlined(html: &str) -> Result<String, ContentProblem> {
    bounds::check(html)?;
    let options = InlineOptions {
        keep_style_tags: true,
        keep_link_tags: true,
        load_remote_stylesheets: false,
        ..InlineOptions::default()
    };
    CSSInliner::new(options).inline(html).map_err(|error| ContentProblem::NotInlined(error.to_string()))
}
