//! SpamAssassin, Debian's, with the rules that come with it: what a careful mail server thinks of messages. Nothing is
//! asked of the network and nothing is learnt.

use crate::{
    command,
    error::{Error, Result},
    scratch::Scratch,
};
use std::path::Path;

/// Debian's: another one in `PATH` would bring other rules.
const PROGRAM: &str = "/usr/bin/spamassassin";
/// Not what `sa-update` may have fetched since, so that the answer is the same everywhere.
const RULES: &str = "--configpath=/usr/share/spamassassin";
/// What the receiving server writes first: rules about the way here have nothing to look at without it.
/// The address is a real one, since those for documentation count as forged; nobody is asked about it.
const RECEIVED: &str = "Received: from mail.corp.example (mail.corp.example [9.9.9.9])\r\n\
    \tby mx.example.net with ESMTPS id 4F8A1\r\n\tfor <ada@corp.example>; Tue, 24 Nov 2026 08:00:05 +0000\r\n";

/// What SpamAssassin thinks of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Points; 5 are junk on most servers.
    pub score: f64,
    /// Which rules hit, with the points of each.
    pub rules: Vec<String>,
}

/// Judges messages, in one run.
pub async fn verdicts(messages: &[Vec<u8>]) -> Result<Vec<Verdict>> {
    if !Path::new(PROGRAM).exists() {
        let remedy = "as root: apt-get install --no-install-recommends spamassassin";
        return Err(Error::Missing { program: "spamassassin".to_owned(), remedy: remedy.to_owned() });
    }
    // Its home, where it would note whom it knows.
    let scratch = Scratch::new("spamassassin")?;
    let preferences = scratch.write("preferences", "use_bayes 0\n")?;
    let preferences = format!("--prefspath={}", preferences.display());
    let mut arguments = vec!["--local", RULES, &preferences, "--cf=fold_headers 0", HEADER];
    let files = messages.iter().enumerate().map(|(number, message)| {
        let received = [RECEIVED.as_bytes(), message].concat();
        Ok(scratch.write(&format!("{number}.eml"), received)?.display().to_string())
    });
    let files = files.collect::<Result<Vec<_>>>()?;
    arguments.extend(files.iter().map(String::as_str));
    let home = [("HOME", scratch.path())];
    let output = command::run(Path::new(PROGRAM), &arguments, &home, "").await?.success()?;
    let verdicts: Vec<_> = output.lines().filter_map(verdict).collect();
    if verdicts.len() == messages.len() {
        return Ok(verdicts);
    }
    let (judged, all) = (verdicts.len(), messages.len());
    Err(Error::Unexpected(format!("SpamAssassin judged {judged} of {all} messages: {output}")))
}

/// Has the score and the rules with their points written on one line at the top of each message.
const HEADER: &str = "--cf=add_header all Verdict _SCORE_ _TESTSSCORES(,)_";

fn verdict(line: &str) -> Option<Verdict> {
    let (score, rules) = line.strip_prefix("X-Spam-Verdict: ")?.split_once(' ')?;
    let rules = rules.trim().split(',').map(String::from).collect();
    Some(Verdict { score: score.parse().ok()?, rules })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn it_tells_junk_from_mail() {
        let message = |subject: &str, text: &str| {
            format!(
                "Date: Tue, 24 Nov 2026 08:00:00 +0000\r\nFrom: it@corp.example\r\nTo: ada@corp.example\r\n\
                 Subject: {subject}\r\nMessage-ID: <1@corp.example>\r\n\r\n{text}\r\n"
            )
            .into_bytes()
        };
        // The string that every filter takes for junk, so that filters can be tried.
        let junk = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
        let found =
            verdicts(&[message("Minutes", "Here are the minutes."), message("x", junk)]).await.unwrap();
        assert!(found[0].score < 1.0, "{found:?}");
        assert!(found[1].score > 500.0 && found[1].rules.contains(&"GTUBE=1000".to_owned()), "{found:?}");
    }
}
