//! The table as a page for administrators. Cells that differ only in the TLS mode share a row.

use super::Cell;
use super::cells::{Fault, Mode, Place};
use super::rules::{Expected, Mail};
use mail_operator::domain::failure::{Permanence, Scope};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Outcomes

What becomes of mail when a mail server refuses, stalls, breaks off or answers nonsense, for each step of a session. This
page is written by the test that tries every line of it against a server that misbehaves on purpose (`tests/it/outcomes`;
`make generate` writes it anew).

How to read it:

- **The server** is what the mail server does at that step, instead of what it should.
- **TLS**: the `tls.mode` for which the row holds.
- **Concerns**: whose mail waits or fails. *Server*: nobody's mail can go; it waits, no Notification is touched, and the
  MailServerConfig says why. *Sender*: mail with this From address. *Message*: this one, for all its recipients.
  *Recipient*: this one; the others get it.
- **Again**: *by itself*: it is tried again until `expireAfter`. *after a change*: when the MailServerConfig or its Secret
  changes, and every 15 minutes or later to see. *never*: the failure is final, and repeating it would harm.
- **Reason**: what the condition says; [troubleshooting](troubleshooting.md) has a paragraph for each.
- **Session**: whether the connection is used for the next message. If not, another is opened.
- **Message**: *not accepted*: nobody gets it from this attempt, for certain. *in doubt*: it has left as a whole and no
  answer says what became of it; [`delivery.onInDoubt`](notification.md) decides. *accepted*: the server has it.

Three rules explain nearly all rows:

1. Until the final dot has left, nothing can have been accepted. After it only an answer tells.
2. An answer counts only in full, in time, within bounds (2 KiB a line, 64 KiB in all) and after its question. One that
   breaks this ends the session, and nothing that came with it is believed.
3. A refusal is what its code says: 4xx may pass, 5xx does not, and the enhanced code tells whose it is.
";

pub fn write(cells: &[Cell]) -> String {
    let mut page = format!("{INTRODUCTION}\nThe tables below sum up {} cases.\n", cells.len());
    for place in Place::ALL {
        let (heading, remark) = title(place);
        let rows = rows(cells, place);
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {heading}\n\n{remark}\n\n");
        page.push_str("| The server | TLS | Concerns | Again | Reason | Session | Message |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        for (fault, modes, expected) in rows {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                says(fault, place),
                modes_in_words(&modes),
                outcome(expected)
            );
        }
    }
    page
}

/// The cells of a place, those that differ only in the mode together.
fn rows(cells: &[Cell], place: Place) -> Vec<(Fault, Vec<Mode>, Expected)> {
    let mut rows: Vec<(Fault, Vec<Mode>, Expected)> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.place == place) {
        match rows.iter_mut().find(|(fault, _, expected)| (*fault, *expected) == (cell.fault, cell.expected))
        {
            Some((_, modes, _)) => modes.push(cell.mode),
            None => rows.push((cell.fault, vec![cell.mode], cell.expected)),
        }
    }
    rows
}

fn modes_in_words(modes: &[Mode]) -> String {
    let word = |mode: &Mode| match mode {
        Mode::StartTls => "StartTLS",
        Mode::Implicit => "Implicit",
        Mode::Disabled => "Disabled",
    };
    if modes.len() == Mode::ALL.len() {
        "any".into()
    } else {
        modes.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

fn outcome(Expected { failure, session_lives, mail }: Expected) -> String {
    let failure = match failure {
        None => "- | - | -".to_owned(),
        Some((scope, permanence, reason)) => {
            let concerns = match scope {
                Scope::Server => "Server",
                Scope::Sender => "Sender",
                Scope::Message => "Message",
                Scope::Recipient => "Recipient",
            };
            let again = match permanence {
                Permanence::Temporary => "by itself",
                Permanence::UntilChanged => "after a change",
                Permanence::Permanent => "never",
            };
            let anchor = reason.as_str().to_lowercase();
            format!("{concerns} | {again} | [{reason}](troubleshooting.md#{anchor})")
        }
    };
    let session = if session_lives { "goes on" } else { "ends" };
    let mail = match mail {
        Mail::NotAccepted => "not accepted",
        Mail::AcceptedForOthers => "accepted for the others",
        Mail::InDoubt => "**in doubt**",
        Mail::Accepted => "accepted",
    };
    format!("{failure} | {session} | {mail}")
}

fn title(place: Place) -> (&'static str, &'static str) {
    match place {
        Place::Greeting => {
            ("Greeting", "Right after the connection, or after the handshake with `Implicit`; 220 is due.")
        }
        Place::Hello => (
            "EHLO",
            "With `StartTLS` the one before encryption, of which nothing but STARTTLS is used; 250 is due.",
        ),
        Place::StartTls => ("STARTTLS", "220 is due."),
        Place::Handshake => ("TLS handshake", "What comes is judged before a word of SMTP is believed."),
        Place::SecondHello => ("EHLO after STARTTLS", "250 is due."),
        Place::AuthPlain => (
            "AUTH PLAIN with the password",
            "235 is due. Where the form of the command seems to be the trouble, the other form is tried once.",
        ),
        Place::AuthPlainAlone => (
            "AUTH PLAIN alone",
            "For servers that take no password with the command; an empty challenge, 334, is due.",
        ),
        Place::PlainResponse => ("The password after AUTH PLAIN", "235 is due."),
        Place::AuthLogin => ("AUTH LOGIN", "The challenge for the user name, 334, is due."),
        Place::LoginUser => ("The user name of AUTH LOGIN", "The challenge for the password, 334, is due."),
        Place::LoginPassword => ("The password of AUTH LOGIN", "235 is due."),
        Place::ScramFirst => (
            "AUTH SCRAM-SHA-256",
            "The server's half of the exchange, 334, is due. Nothing has been said yet that only who knows the password can say.",
        ),
        Place::ScramProof => (
            "The proof of AUTH SCRAM-SHA-256",
            "The server's own proof that it knows the password, 334, is due; without it no login counts.",
        ),
        Place::ScramEnd => (
            "The end of AUTH SCRAM-SHA-256",
            "Both sides have proved that they know the password; 235 is due.",
        ),
        Place::TokenError => (
            "A refused token",
            "XOAUTH2 and OAUTHBEARER explain a refusal in a challenge; the answer to it is an empty line, and then 535 is due. A token is never sent without TLS.",
        ),
        Place::Mail => ("MAIL", "250 is due."),
        Place::Recipient => ("RCPT", "For the first of two recipients; 250 is due."),
        Place::Data => ("DATA", "354 is due."),
        Place::Body => (
            "In the middle of a short message",
            "The server reacts to its beginning, when all of it has left already.",
        ),
        Place::LongBody => (
            "In the middle of a long message",
            "The server reacts to its beginning, and the rest cannot leave any more.",
        ),
        Place::Dot => {
            ("The final dot", "250 is due. The server does not keep a message that it has not accepted.")
        }
        Place::DotTaken => (
            "The final dot, and the server keeps the message",
            "As before, but whatever it says or does not say, the server has taken the message. From outside that looks the same, so the outcome must be the same.",
        ),
        Place::Reset => ("RSET", "Between a refused message and the next one; 250 is due."),
        Place::Quit => ("QUIT", "Nothing depends on the answer. It is waited for 2 seconds."),
    }
}

fn says(fault: Fault, place: Place) -> String {
    let words = match fault {
        Fault::Reply(line) => return format!("`{line}`"),
        Fault::HangUp => "closes the connection",
        Fault::ResetConnection => "resets the connection",
        Fault::Torn => "closes it in the middle of the answer",
        Fault::Stall if place == Place::LongBody => "reads no further",
        Fault::Stall => "says nothing",
        Fault::Trickle => "answers a byte at a time, too slowly",
        Fault::Garbage => "answers bytes that are no SMTP",
        Fault::EmptyLine => "answers an empty line",
        Fault::NoSuchCode => "answers with the code 650",
        Fault::TlsAlert => "answers with a TLS alert",
        Fault::LongLine => "answers with a line of 10 MiB",
        Fault::MixedCodes => "answers with 250 and 550 in one reply",
        Fault::Endless => "answers lines without end",
        Fault::Doubled => "gives the proper answer twice",
        Fault::Early => "also gives the answer to what comes next",
        Fault::UnknownIssuer => "has a certificate of an unknown authority",
        Fault::Expired => "has an expired certificate",
        Fault::WrongName => "has a certificate for another name",
    };
    words.to_owned()
}
