//! Says what is going on when it takes long, and for how long already.
//!
//! Writes to standard error itself, not through `eprintln!`, which the test harness keeps back until a test fails:
//! whoever runs the tests for the first time would look at nothing for minutes.

use std::{
    io::{self, IsTerminal, Write},
    pin::pin,
    time::{Duration, Instant},
};

/// What is done within this time is not worth a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `work`; when it takes longer than two seconds, `what` appears with the time it has taken. A terminal shows one line
/// that counts; a file gets a line every half minute.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let terminal = io::stderr().is_terminal();
    let between = if terminal { Duration::from_secs(1) } else { Duration::from_secs(30) };
    let mut work = pin!(work);
    let mut wait = PATIENCE;
    loop {
        tokio::select! {
            result = &mut work => {
                if start.elapsed() >= PATIENCE {
                    say(terminal, &format!("{what} … {}, done\n", shown(start.elapsed())));
                }
                return result;
            }
            () = tokio::time::sleep(wait) => {
                let end = if terminal { "" } else { "\n" };
                say(terminal, &format!("{what} … {}{end}", shown(start.elapsed())));
                wait = between;
            }
        }
    }
}

fn say(terminal: bool, text: &str) {
    // On a terminal: back to the beginning of the line, and clear what it held.
    let begin = if terminal { "\r\x1b[K" } else { "" };
    // Progress that nobody can read is no reason to fail.
    let _ = write!(io::stderr(), "{begin}{text}").and_then(|()| io::stderr().flush());
}

/// `7s` or `1m20s`.
pub fn shown(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m00s"), (80, "1m20s"), (3_700, "61m40s")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
