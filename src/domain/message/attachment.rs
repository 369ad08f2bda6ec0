//! Files that go with a message: what they may be called, what type they have, how much they may weigh. Where their
//! bytes come from is not known here.

use super::fields;
use crate::domain::problem::printable;
use lettre::message::header::{
    ContentId, ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue,
};
use lettre::message::{Body, SinglePart};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How many octets all files of a message may have together. A ConfigMap or Secret holds as much; whoever wants to send
/// more does better with a link.
pub const MAX_OCTETS: usize = 1024 * 1024;

/// A file that goes with a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    name: String,
    content_type: ContentType,
    inline: bool,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl Attachment {
    /// Checks name and type. `content_type` as it was given; absent, it follows from the name's ending.
    ///
    /// A problem names the field, `name` or `contentType`, and says what would be right.
    pub fn new(
        name: &str,
        content_type: Option<&str>,
        inline: bool,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<Self, (&'static str, String)> {
        // Also the marks that turn the direction of writing, with which `exe.fdp` is shown as `pdf.exe`.
        if name.trim().is_empty() || printable(name, 255) != name || name.contains(['/', '\\']) {
            let wrong = "must be a file's name: up to 255 characters, without control characters, / and \\";
            return Err(("name", wrong.into()));
        }
        let type_ = content_type.unwrap_or_else(|| by_ending(name)).to_ascii_lowercase();
        if type_.starts_with("multipart/") || type_.starts_with("message/") {
            // RFC 2045, 6.4: nothing of these types may be in base64, and mail servers read what stands in them.
            return Err((
                "contentType",
                format!(
                    "must not be {type_}, which is part of a mail's own structure: write application/octet-stream"
                ),
            ));
        }
        // What is not said to be UTF-8 is taken for ASCII, or guessed at.
        let text = type_.starts_with("text/") && std::str::from_utf8(&bytes).is_ok();
        let full = if text { format!("{type_}; charset=utf-8") } else { type_ };
        let content_type = ContentType::parse(&full)
            .map_err(|_| ("contentType", "must be a media type like application/pdf".to_owned()))?;
        Ok(Self { name: name.to_owned(), content_type, inline, bytes: Arc::new(bytes) })
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the HTML shows it.
    pub fn inline(&self) -> bool {
        self.inline
    }

    /// Octets.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As a part of a message: base64 whatever it is, so that what arrives are the bytes that were there.
    pub(super) fn part(&self, content_id: Option<String>) -> SinglePart {
        let kind = if self.inline { "inline" } else { "attachment" };
        let part = SinglePart::builder()
            .header(self.content_type.clone())
            .header(Disposition(fields::disposition(kind, &self.name)));
        let part = match content_id {
            Some(id) => part.header(ContentId::from(id)),
            None => part,
        };
        part.body(Body::dangerous_pre_encoded(base64_lines(&self.bytes), ContentTransferEncoding::Base64))
    }
}

/// Without its bytes, which may come from a Secret.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("inline", &self.inline)
            .field("octets", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// All files together and each: what is said when they are too much. `None` if they are not.
pub fn too_large<'a>(files: impl Iterator<Item = (&'a str, usize)> + Clone) -> Option<String> {
    let octets: usize = files.clone().map(|(_, octets)| octets).sum();
    if octets <= MAX_OCTETS {
        return None;
    }
    let each: Vec<_> = files.map(|(name, octets)| format!("{name} {}", size(octets))).collect();
    Some(format!(
        "has {} in all, of at most {}: {}; leave files out, or put them where they can be downloaded and write a link",
        size(octets),
        size(MAX_OCTETS),
        each.join(", ")
    ))
}

fn size(octets: usize) -> String {
    match octets {
        0..1024 => format!("{octets} B"),
        _ => format!("{} KiB", octets.div_ceil(1024)),
    }
}

/// The files that are common in mails. What is not here is for programs, and they know it by its name.
fn by_ending(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "css" => "text/css",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "gif" => "image/gif",
        "gz" => "application/gzip",
        "htm" | "html" => "text/html",
        "ico" => "image/vnd.microsoft.icon",
        "ics" => "text/calendar",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "log" | "txt" => "text/plain",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odt" => "application/vnd.oasis.opendocument.text",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "ppt" => "application/vnd.ms-powerpoint",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "rtf" => "application/rtf",
        "svg" => "image/svg+xml",
        "tar" => "application/x-tar",
        "tif" | "tiff" => "image/tiff",
        "vcf" => "text/vcard",
        "webp" => "image/webp",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

/// RFC 2045, 6.8: lines of 76 characters, that is of 57 octets.
fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let mut out = String::with_capacity(bytes.len() / 57 * 78 + 80);
    for (index, line) in bytes.chunks(57).enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        base64::engine::general_purpose::STANDARD.encode_string(line, &mut out);
    }
    out.into_bytes()
}

/// lettre's own splits ASCII names into sections, too.
#[derive(Clone)]
struct Disposition(HeaderValue);

impl Header for Disposition {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Disposition")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Err("is only written".into())
    }

    fn display(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn type_of(name: &str, given: Option<&str>, bytes: &[u8]) -> Result<String, (&'static str, String)> {
        let file = Attachment::new(name, given, false, bytes.to_vec().into())?;
        Ok(format!("{:?}", file.content_type.display()).split('"').nth(3).unwrap_or_default().to_owned())
    }

    #[test]
    fn types_follow_from_the_ending_unless_given() {
        for (name, given, bytes, expected) in [
            ("a.PDF", None, b"x" as &[u8], "application/pdf"),
            ("a.txt", None, "é".as_bytes(), "text/plain; charset=utf-8"),
            ("a.txt", None, b"\xff", "text/plain"),
            ("a.eml", None, b"x", "application/octet-stream"),
            ("README", None, b"x", "application/octet-stream"),
            ("a.txt", Some("Application/X-Y"), b"x", "application/x-y"),
        ] {
            assert_eq!(type_of(name, given, bytes).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        for (name, given, field) in [
            ("a.eml", Some("message/rfc822"), "contentType"),
            ("a", Some("Multipart/mixed"), "contentType"),
            ("a", Some("text/plain\r\nX: y"), "contentType"),
            ("a", Some("text"), "contentType"),
            ("a\r\nb", None, "name"),
            ("fdp.\u{202e}exe", None, "name"),
            ("../a", None, "name"),
            (" ", None, "name"),
        ] {
            assert_eq!(type_of(name, given, b"x").unwrap_err().0, field, "{name:?} {given:?}");
        }
    }

    #[test]
    fn lines_are_of_76_characters() {
        let lines = String::from_utf8(base64_lines(&[0; 115])).unwrap();
        assert_eq!(lines.split("\r\n").map(str::len).collect::<Vec<_>>(), [76, 76, 4]);
        assert!(base64_lines(b"").is_empty());
    }
}
