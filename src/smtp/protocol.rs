//! Replies and commands as bytes (RFC 5321), without any I/O. Replies are bounded and checked
//! strictly where leniency would be guessing: a wrong code, mixed codes and endless replies are
//! violations. The length of a line is none: what counts is the code in front of it, and what is shown
//! of the text behind is cut elsewhere. Commands are built only from parts that cannot end the line they stand in.

use crate::domain::failure::Reply;
use crate::domain::masking::Mask;
use std::io::Write;

/// The longest reply, all lines together, or in one line. RFC 5321 allows 512 bytes a line; services write more, and one
/// that answers the message with a long line has still answered.
pub const LONGEST_REPLY: usize = 64 * 1024;
/// RFC 5321 section 4.5.3.1.6, without the CRLF.
pub const LONGEST_TEXT_LINE: usize = 998;
/// RFC 5321 section 4.5.3.1.4, CRLF included: what fits is sent with AUTH, what does not follows it.
pub const LONGEST_COMMAND: usize = 512;

/// Why bytes are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A TLS record where a reply was due.
    #[error("TLS came instead of SMTP")]
    Tls,
    /// A line that does not start with a code from 200 to 599.
    #[error("a line came that is no SMTP reply")]
    NoCode,
    /// One reply, several codes.
    #[error("the lines of one reply have different codes")]
    MixedCodes,
    /// More than [`LONGEST_REPLY`] without an end.
    #[error("a reply has more than {LONGEST_REPLY} bytes")]
    LongReply,
}

/// Finds the end of a reply that arrives in pieces, looking at each byte for the end of its line once.
#[derive(Debug, Default)]
pub struct Scanner {
    line_start: usize,
    /// Up to here the current line has no end.
    searched: usize,
    code: Option<u16>,
}

impl Scanner {
    /// Looks at `input`, which starts with the reply and may hold what follows it. Returns code and
    /// length once the reply is complete; until then call again with more of the same bytes.
    pub fn scan(&mut self, input: &[u8]) -> Result<Option<(u16, usize)>, Violation> {
        loop {
            let rest = input.get(self.line_start..).unwrap_or_default();
            let new = input.get(self.searched..).unwrap_or_default();
            let end = memchr::memchr(b'\n', new).map(|end| self.searched + end);
            let line = end.and_then(|end| input.get(self.line_start..end)).unwrap_or(rest);
            check_start(line, self.line_start == 0)?;
            // With its end still to come, a line that fills the bound is over it.
            if end.unwrap_or(input.len()) >= LONGEST_REPLY {
                return Err(Violation::LongReply);
            }
            let Some(end) = end else {
                self.searched = input.len();
                return Ok(None);
            };
            let (code, is_last) = code_of(line)?;
            if *self.code.get_or_insert(code) != code {
                return Err(Violation::MixedCodes);
            }
            self.line_start = end + 1;
            self.searched = self.line_start;
            if is_last {
                return Ok(Some((code, self.line_start)));
            }
        }
    }
}

/// Refuses the start of a line as soon as it cannot become a reply, so that a stranger is let go at
/// his first bytes and not at the deadline.
fn check_start(start: &[u8], is_first: bool) -> Result<(), Violation> {
    match start {
        [] => Ok(()),
        [0x15 | 0x16, ..] if is_first => Err(Violation::Tls),
        [b'2'..=b'5', rest @ ..] if rest.iter().take(2).all(u8::is_ascii_digit) => Ok(()),
        _ => Err(Violation::NoCode),
    }
}

/// The code of a line whose start was checked, and whether it is the reply's last.
fn code_of(line: &[u8]) -> Result<(u16, bool), Violation> {
    let [a, b, c, rest @ ..] = line else { return Err(Violation::NoCode) };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
    match rest {
        [b'-', ..] => Ok((code, false)),
        // Some servers send the code alone.
        [] | [b' ' | b'\r', ..] => Ok((code, true)),
        _ => Err(Violation::NoCode),
    }
}

/// A complete reply, still as the server sent it.
#[derive(Debug, Clone, Copy)]
pub struct RawReply<'a> {
    /// The three digits, 200 to 599.
    pub code: u16,
    /// All its lines, checked by [`Scanner`].
    pub bytes: &'a [u8],
    /// What must not be shown of it.
    pub mask: &'a Mask,
}

impl<'a> RawReply<'a> {
    /// The lines without codes, separators and line ends.
    pub fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| line.len() >= 3)
            .map(|line| line.get(4..).unwrap_or_default())
            .map(|text| text.strip_suffix(b"\r").unwrap_or(text))
    }

    /// The reply as the rest of the program knows it: masked, and bytes that are not UTF-8 are U+FFFD.
    pub fn to_reply(self) -> Reply {
        Reply::new(self.code, self.lines().map(String::from_utf8_lossy)).masked_by(self.mask)
    }
}

/// What a server announced with EHLO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an extension that is offered or not")]
pub struct Capabilities {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870: whether SIZE may be declared.
    pub size: bool,
    /// RFC 1870: the largest message; absent where the server names none or 0.
    pub max_message_bytes: Option<u64>,
    /// RFC 9422: recipients in one transaction.
    pub max_recipients: Option<usize>,
    /// RFC 9422: transactions in one session.
    pub max_transactions: Option<u32>,
    /// RFC 4954: mechanisms in capitals, in the server's order.
    pub auth: Vec<String>,
    /// The keywords in capitals, in the server's order, as far as they are keywords.
    pub extensions: Vec<String>,
}

/// No server offers more; the status shows them all.
const MOST_KEYWORDS: usize = 64;

impl Capabilities {
    /// Reads the reply to EHLO, whose first line is the server's name.
    pub fn parse(reply: RawReply<'_>) -> Self {
        let mut offered = Self::default();
        for line in reply.lines().skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            // `AUTH=LOGIN` is how servers wrote it before RFC 4954, and some still do.
            let mut words =
                line.split(|c: char| c.is_ascii_whitespace() || c == '=').filter(|word| !word.is_empty());
            // A last line `250 Ok` is no extension.
            let Some(keyword) = words.next().filter(|word| is_keyword(word) && *word != "OK") else {
                continue;
            };
            offered.learn(keyword, words, &line);
            if offered.extensions.len() < MOST_KEYWORDS
                && !offered.extensions.iter().any(|known| known == keyword)
            {
                offered.extensions.push(keyword.to_owned());
            }
        }
        offered
    }

    fn learn<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>, line: &str) {
        match keyword {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "STARTTLS" => self.starttls = true,
            "SIZE" => {
                self.size = true;
                self.max_message_bytes =
                    words.next().and_then(|number| number.parse().ok()).filter(|limit| *limit > 0);
            }
            "AUTH" => {
                for mechanism in words.filter(|word| is_keyword(word)) {
                    if self.auth.len() < MOST_KEYWORDS && !self.auth.iter().any(|known| known == mechanism) {
                        self.auth.push(mechanism.to_owned());
                    }
                }
            }
            "LIMITS" => {
                for limit in line.split_ascii_whitespace().skip(1) {
                    match limit.split_once('=') {
                        Some(("RCPTMAX", number)) => {
                            self.max_recipients = number.parse().ok().filter(|limit| *limit > 0);
                        }
                        Some(("MAILMAX", number)) => {
                            self.max_transactions = number.parse().ok().filter(|limit| *limit > 0);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_keyword(word: &str) -> bool {
    word.len() <= 32 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether an address can stand between `<` and `>` without ending the path or the line. Whether it
/// is a good address was decided long before; this is what keeps it from becoming a command.
pub fn fits_in_path(address: &str) -> bool {
    // RFC 5321 section 4.5.3.1.3 allows 256 octets for the path, its brackets included.
    address.len() <= 254 && !address.chars().any(|c| c.is_control() || c == ' ' || c == '<' || c == '>')
}

/// What is declared about a message with MAIL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// RFC 1870, in bytes.
    pub size: Option<u64>,
    /// RFC 6152: `BODY=8BITMIME`.
    pub eight_bit: bool,
    /// RFC 6531.
    pub smtputf8: bool,
}

/// Appends a MAIL command. `from` must have passed [`fits_in_path`]; it may be empty.
pub fn mail(out: &mut Vec<u8>, from: &str, parameters: MailParameters) {
    out.extend_from_slice(b"MAIL FROM:<");
    out.extend_from_slice(from.as_bytes());
    out.push(b'>');
    if let Some(size) = parameters.size {
        // Writing to a vector never fails.
        drop(write!(out, " SIZE={size}"));
    }
    if parameters.eight_bit {
        out.extend_from_slice(b" BODY=8BITMIME");
    }
    if parameters.smtputf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a RCPT command. `to` must have passed [`fits_in_path`].
pub fn rcpt(out: &mut Vec<u8>, to: &str) {
    out.extend_from_slice(b"RCPT TO:<");
    out.extend_from_slice(to.as_bytes());
    out.extend_from_slice(b">\r\n");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#[path = "protocol_tests.rs"]
mod tests;
