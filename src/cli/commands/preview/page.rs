//! A message to look at: what a reader sees of it, taken from the rendered texts or from the bytes that would leave.

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, BOLD, Cell, DIM, Table};
use crate::domain::content::Rendered;
use mail_parser::{Address, HeaderValue, Message, MessageParser, MimeHeaders};
use serde::Serialize;

/// A message.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The template or Notification.
    pub source: String,
    /// Its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// What is worth knowing beside it.
    #[serde(skip)]
    remark: Option<String>,
    /// Who it is from, who gets it, and what the Notification adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    #[serde(skip)]
    bytes: Option<Vec<u8>>,
}

/// A header field.
#[derive(Debug, Serialize)]
struct Header {
    name: String,
    value: String,
}

/// Headers that say nothing about the message, or stand elsewhere on the page.
const UNSHOWN: [&str; 6] = [
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
];

impl Page {
    /// Of a template.
    pub fn of_template(source: String, locale: &str, content: &Rendered) -> Self {
        Self {
            source,
            locale: Some(locale.into()),
            subject: content.subject().into(),
            text: content.text().map(Into::into),
            html: content.html().map(Into::into),
            ..Self::default()
        }
    }

    /// Of the bytes of a message, read as a mail program reads them.
    pub fn of_message(source: String, locale: Option<&str>, bytes: Vec<u8>) -> Result<Self, Failure> {
        let unreadable =
            || Failure::new(Exit::Failed, format!("the message of {source} cannot be read back"));
        let message = MessageParser::default().parse(&bytes).ok_or_else(unreadable)?;
        let shown = message
            .headers()
            .iter()
            .filter(|header| !UNSHOWN.iter().any(|name| name.eq_ignore_ascii_case(header.name())));
        let headers = shown
            .map(|header| Header {
                name: header.name().into(),
                value: value(&message, header.name(), header.value()),
            })
            .collect();
        // A body of one kind only is not made up from the other.
        let has = |html| {
            message
                .parts
                .iter()
                .any(|part| if html { part.is_text_html() } else { part.is_text() && !part.is_text_html() })
        };
        let text = message.body_text(0).filter(|_| has(false)).map(|text| text.replace("\r\n", "\n"));
        let html = message.body_html(0).filter(|_| has(true)).map(|html| with_images(&html, &message));
        let attachments = message.attachments().map(attachment).collect();
        let subject = message.subject().unwrap_or_default().to_owned();
        Ok(Self {
            locale: locale.map(Into::into),
            remark: None,
            headers,
            subject,
            text,
            html,
            attachments,
            source,
            bytes: Some(bytes),
        })
    }

    /// With what is worth knowing beside it.
    pub fn remarked(self, remark: Option<String>) -> Self {
        Self { remark, ..self }
    }

    /// Shows it on the terminal.
    pub fn print(&self) {
        let locale = self.locale.as_deref().map(|locale| format!(", {locale}")).unwrap_or_default();
        output::say(output::paint(DIM, format!("{}{locale}", self.source)));
        let mut table = Table::new(&[]);
        for Header { name, value } in &self.headers {
            table.row([Cell::new(name, DIM), value.clone().into()]);
        }
        table.row([Cell::new("Subject", DIM), Cell::new(&self.subject, BOLD)]);
        for attachment in &self.attachments {
            table.row([Cell::new("Attached", DIM), attachment.clone().into()]);
        }
        output::say_all(table.into_lines());
        output::say("");
        match (&self.text, &self.html) {
            (Some(text), _) => output::quote(text.trim_end()),
            (None, Some(_)) => output::say(output::paint(DIM, "(HTML only: --html FILE or --open shows it)")),
            (None, None) => {}
        }
        if let Some(remark) = &self.remark {
            output::note(remark);
        }
    }

    /// The HTML, if there is any.
    pub fn html(&self) -> Result<&str, Failure> {
        self.html.as_deref().ok_or_else(|| {
            Failure::new(Exit::Failed, format!("{} has no HTML, only text", self.source))
                .next("without --html and --open the text is shown")
        })
    }

    /// The bytes, if it is a Notification's.
    pub fn bytes(&self) -> Result<&[u8], Failure> {
        self.bytes.as_deref().ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                format!("{} is a template: only a Notification has all that a message takes", self.source),
            )
            .next("write a Notification to a file and preview it with -f, or preview notification/NAME")
        })
    }
}

/// A header's value as a mail program shows it.
fn value(message: &Message<'_>, name: &str, value: &HeaderValue<'_>) -> String {
    match value {
        HeaderValue::Address(Address::List(all)) => all
            .iter()
            .map(|one| match (one.name(), one.address().unwrap_or_default()) {
                (Some(name), address) => format!("{name} <{address}>"),
                (None, address) => address.to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        HeaderValue::Text(text) if name != "Message-ID" => text.to_string(),
        _ => message.header_raw(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn attachment(part: &mail_parser::MessagePart<'_>) -> String {
    let name = part.attachment_name().or_else(|| part.content_id()).unwrap_or("unnamed");
    let kind = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!(", {}/{subtype}", kind.ctype()),
        None => format!(", {}", kind.ctype()),
    });
    format!("{name}{}, {} bytes", kind.unwrap_or_default(), part.contents().len())
}

/// Images of the message stand in the HTML itself, since a browser does not know what `cid:` means.
fn with_images(html: &str, message: &Message<'_>) -> String {
    use base64::Engine as _;
    let mut html = html.replace("\r\n", "\n");
    for part in &message.parts {
        let (Some(id), Some(kind)) = (part.content_id(), part.content_type()) else { continue };
        let bytes = base64::engine::general_purpose::STANDARD.encode(part.contents());
        let kind = format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default());
        html = html.replace(&format!("cid:{id}"), &format!("data:{kind};base64,{bytes}"));
    }
    html
}
