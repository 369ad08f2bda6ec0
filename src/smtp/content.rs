//! A message on its way into DATA: checked before, dot-stuffed while it is copied out. What passes
//! cannot end early or smuggle a second message, whatever the server takes for a line end.

use super::protocol::LONGEST_TEXT_LINE;

/// Why a message must not be sent. Each is a bug in whoever built it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing in it; some servers never answer that.
    #[error("the message is empty")]
    Empty,
    /// A CR without LF or a LF without CR, which servers disagree about: the root of SMTP smuggling.
    #[error("the message has a line end that is not CRLF")]
    BareLineEnd,
    /// RFC 5321 section 4.5.3.1.6.
    #[error("a line of the message has more than {LONGEST_TEXT_LINE} bytes")]
    LongLine,
}

/// Checks a whole message, before the server is told that one comes.
pub fn check(message: &[u8]) -> Result<(), Malformed> {
    if message.is_empty() {
        return Err(Malformed::Empty);
    }
    let mut line_start = 0;
    let mut rest = message;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        match rest.get(at..) {
            Some([b'\r', b'\n', behind @ ..]) if at <= LONGEST_TEXT_LINE => {
                line_start += at + 2;
                rest = behind;
            }
            Some([b'\r', b'\n', ..]) => return Err(Malformed::LongLine),
            _ => return Err(Malformed::BareLineEnd),
        }
    }
    if message.len() - line_start > LONGEST_TEXT_LINE { Err(Malformed::LongLine) } else { Ok(()) }
}

/// Copies a message out block by block, doubling the dots that start a line.
pub struct Stuffing<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Stuffing<'a> {
    /// `message` has passed [`check`].
    pub const fn new(message: &'a [u8]) -> Self {
        Self { message, position: 0 }
    }

    /// Appends about `block` bytes to `out`. The last block carries the final dot in the same breath
    /// (two writes would wait for each other's acknowledgement), and then it returns true.
    pub fn next_block(&mut self, out: &mut Vec<u8>, block: usize) -> bool {
        let (done, rest) = self.message.split_at_checked(self.position).unwrap_or((self.message, &[]));
        let mut piece = rest.get(..block).unwrap_or(rest);
        self.position += piece.len();
        if piece.first() == Some(&b'.') && done.last().is_none_or(|byte| *byte == b'\n') {
            out.push(b'.');
        }
        while let Some(at) = memchr::memmem::find(piece, b"\n.") {
            let (before, behind) = piece.split_at(at + 2);
            out.extend_from_slice(before);
            out.push(b'.');
            piece = behind;
        }
        out.extend_from_slice(piece);
        let is_last = self.position >= self.message.len();
        if is_last {
            out.extend_from_slice(if self.message.ends_with(b"\r\n") { b".\r\n" } else { b"\r\n.\r\n" });
        }
        is_last
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_must_not_be_sent() {
        let long = format!("{}\r\n", "x".repeat(998));
        let too_long = format!("{}\r\n", "x".repeat(999));
        for (message, expected) in [
            ("", Err(Malformed::Empty)),
            ("a", Ok(())),
            ("a\r\nb\r\n", Ok(())),
            ("\r\n", Ok(())),
            ("a\nb\r\n", Err(Malformed::BareLineEnd)),
            ("a\rb\r\n", Err(Malformed::BareLineEnd)),
            ("a\r", Err(Malformed::BareLineEnd)),
            ("a\r\r\n", Err(Malformed::BareLineEnd)),
            ("a\n.\nMAIL FROM:<x>\r\n", Err(Malformed::BareLineEnd)),
            ("a\r\n.\nb\r\n", Err(Malformed::BareLineEnd)),
            (long.as_str(), Ok(())),
            (too_long.as_str(), Err(Malformed::LongLine)),
            (too_long.trim_end(), Err(Malformed::LongLine)),
        ] {
            assert_eq!(check(message.as_bytes()), expected, "{message:?}");
        }
    }

    fn stuffed(message: &[u8], block: usize) -> Vec<u8> {
        let (mut out, mut stuffing) = (Vec::new(), Stuffing::new(message));
        while !stuffing.next_block(&mut out, block) {}
        out
    }

    #[test]
    fn dots_are_doubled_and_one_ends() {
        for (message, sent) in [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..\r\n.a\r\n", "...\r\n..a\r\n.\r\n"),
            ("a\r\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"),
            ("a.\r\n\r\n.\r\n", "a.\r\n\r\n..\r\n.\r\n"),
        ] {
            for block in 1..9 {
                assert_eq!(String::from_utf8_lossy(&stuffed(message.as_bytes(), block)), sent, "{block}");
            }
        }
    }

    proptest! {
        /// What a receiver reads up to the first lone dot is the message, and nothing is left behind it.
        #[test]
        fn a_receiver_finds_exactly_the_message(
            lines in prop::collection::vec("[.a\\x80\u{0}]{0,5}", 1..20), block in 1_usize..30
        ) {
            let message = lines.join("\r\n") + "\r\n";
            prop_assert_eq!(check(message.as_bytes()), Ok(()));
            let sent = stuffed(message.as_bytes(), block);
            let sent = String::from_utf8(sent).unwrap();
            let mut received = String::new();
            let mut rest = sent.as_str();
            loop {
                let (line, behind) = rest.split_once("\r\n").unwrap();
                rest = behind;
                if line == "." { break }
                received += line.strip_prefix('.').unwrap_or(line);
                received += "\r\n";
            }
            prop_assert_eq!(received, message);
            prop_assert_eq!(rest, "");
        }
    }
}
