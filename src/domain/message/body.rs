//! The parts of a message in their order: mixed ( related ( alternative ( text, HTML ), images ), files ), of which
//! there are only the levels that are needed. lettre writes them; what boundaries are, is decided here.

use super::attachment::Attachment;
use super::hex;
use crate::domain::content::Rendered;
use lettre::message::header::ContentType;
use lettre::message::{MultiPart, SinglePart};

/// A part of a message.
enum Part {
    One(SinglePart),
    Several(MultiPart),
}

/// From `Content-Type` to the last line end.
pub(super) fn formatted(
    content: &Rendered,
    files: &[Attachment],
    token: &str,
    content_id: &impl Fn(&Attachment) -> String,
) -> Vec<u8> {
    let boundary = Boundary::new(token, content);
    let (images, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.inline());
    let body = bodies(content, &boundary);
    let body = if images.is_empty() {
        body
    } else {
        // RFC 2387, 3.1: the type of the part that comes first and names the others.
        let root = if matches!(body, Part::One(_)) { "text/html" } else { "multipart/alternative" };
        let images = images.into_iter().map(|file| file.part(Some(content_id(file))));
        joined(MultiPart::related(), &format!("related; type=\"{root}\""), &boundary.of('r'), body, images)
    };
    let whole = if others.is_empty() {
        body
    } else {
        let files = others.into_iter().map(|file| file.part(None));
        joined(MultiPart::mixed(), "mixed", &boundary.of('m'), body, files)
    };
    match whole {
        Part::One(part) => part.formatted(),
        Part::Several(parts) => parts.formatted(),
    }
}

fn bodies(content: &Rendered, boundary: &Boundary) -> Part {
    match (content.text(), content.html()) {
        (text, None) => Part::One(leaf(ContentType::TEXT_PLAIN, text.unwrap_or_default())),
        (None, Some(html)) => Part::One(leaf(ContentType::TEXT_HTML, html)),
        (Some(text), Some(html)) => {
            let first = Part::One(leaf(ContentType::TEXT_PLAIN, text));
            let second = std::iter::once(leaf(ContentType::TEXT_HTML, html));
            joined(MultiPart::alternative(), "alternative", &boundary.of('a'), first, second)
        }
    }
}

fn joined(
    plain: lettre::message::MultiPartBuilder,
    kind: &str,
    boundary: &str,
    first: Part,
    more: impl Iterator<Item = SinglePart>,
) -> Part {
    // lettre knows no parameters besides the boundary; a text that does not parse leaves its own header.
    let parts = match ContentType::parse(&format!("multipart/{kind}; boundary=\"{boundary}\"")) {
        Ok(content_type) => plain.header(content_type),
        Err(_) => plain.boundary(boundary),
    };
    let parts = match first {
        Part::One(part) => parts.singlepart(part),
        Part::Several(several) => parts.multipart(several),
    };
    Part::Several(more.fold(parts, MultiPart::singlepart))
}

/// What the boundaries of a message have in common. They differ in their last letter and are equally long, so none
/// is the beginning of another.
struct Boundary(String);

impl Boundary {
    fn new(token: &str, content: &Rendered) -> Self {
        let texts = [content.text(), content.html()];
        let mut stem = format!("=_{token}");
        // Nobody can know the uid when he writes a text, except by an edit of a template in between. Files are in
        // base64, where no `=` stands before a `_`.
        while texts.iter().flatten().any(|text| text.contains(&stem)) {
            stem = format!("=_{}", hex(stem.as_bytes(), 16));
        }
        Self(stem)
    }

    fn of(&self, level: char) -> String {
        format!("{}.{level}", self.0)
    }
}

/// One body in the encoding that fits it: as it is where it is ASCII in short lines, else
/// quoted-printable or base64, whichever is shorter.
fn leaf(content_type: ContentType, body: &str) -> SinglePart {
    SinglePart::builder().content_type(content_type).body(crlf(body))
}

/// The text with CRLF at the end of each line but the last, which the MIME writer ends.
fn crlf(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push_str("\r\n");
            }
            '\n' => out.push_str("\r\n"),
            c => out.push(c),
        }
    }
    out
}
