//! How long each step of a session may take. Every wait for the other side has one of these; a
//! server that answers a byte a second meets them like a silent one.

use std::time::Duration;

/// The longest wait for each step. The defaults are shorter than RFC 5321 section 4.5.3.2 asks of
/// a relay, since somebody waits for these messages, except where giving up could cost a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// DNS, and then TCP over all addresses together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// The reply to greeting, EHLO, STARTTLS, each AUTH step, MAIL, each RCPT, RSET.
    pub command: Duration,
    /// The reply to DATA.
    pub data: Duration,
    /// The server taking each block of the message.
    pub block: Duration,
    /// The reply to the final dot. Giving up here leaves the message in doubt, so it is long.
    pub final_dot: Duration,
    /// The reply to QUIT, which nobody needs.
    pub quit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            tls: seconds(15),
            command: seconds(60),
            data: seconds(2 * 60),
            block: seconds(3 * 60),
            final_dot: seconds(10 * 60),
            quit: seconds(2),
        }
    }
}

impl Deadlines {
    /// The same deadline for every step: short ones for tests, long ones for slow links.
    pub const fn all(limit: Duration) -> Self {
        Self {
            connect: limit,
            tls: limit,
            command: limit,
            data: limit,
            block: limit,
            final_dot: limit,
            quit: limit,
        }
    }
}
