//! When something is tried again: a message or recipient by one schedule, a mail server that fails
//! by another. Randomness is an argument, a number from 0 (inclusive) to 1.

use crate::domain::failure::{Failure, Permanence};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// The waits after the first, second, … attempt at a message.
const STEPS: [Duration; 5] = [
    MINUTE,
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
];
/// Beyond the steps each wait is half as long again, up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3600);

/// The waits after the first, second, … failure of a server.
const PROBES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
];
const LONGEST_PROBE: Duration = Duration::from_secs(5 * 60);
/// A refused login is not repeated sooner: accounts get locked for less.
const HELD: Duration = Duration::from_secs(15 * 60);

/// How long a message or recipient waits after `attempts` attempts, the last of which ended in a
/// temporary failure that asked for `at_least` so much. `attempts` of 0 means now.
///
/// The jitter is full, so that a thousand recipients deferred together do not come back together:
/// the wait is anything up to the step, and what the server asked for comes on top of nothing less.
pub fn message_delay(attempts: u32, at_least: Option<Duration>, jitter: f64) -> Duration {
    let Some(index) = attempts.checked_sub(1) else { return Duration::ZERO };
    let step = match STEPS.get(index as usize) {
        Some(step) => *step,
        None => beyond(index),
    };
    let jitter = jitter.clamp(0.0, 1.0);
    match at_least {
        // A tenth is enough to spread those that were told the same.
        Some(least) if least >= step.mul_f64(jitter) => least + least.mul_f64(jitter / 10.0),
        _ => step.mul_f64(jitter),
    }
}

fn beyond(index: u32) -> Duration {
    let [.., last] = STEPS;
    let mut wait = last;
    for _ in STEPS.len()..=(index as usize) {
        wait = wait.mul_f64(1.5);
        if wait >= LONGEST_WAIT {
            return LONGEST_WAIT;
        }
    }
    wait
}

/// How long a server is left alone after its `failures`th failure in a row (1 is the first). What
/// only a change of config or Secret can mend is tried once in a quarter of an hour at most.
pub fn probe_delay(failures: u32, last: &Failure, jitter: f64) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    let step = PROBES.get(failures.saturating_sub(1) as usize).copied().unwrap_or(LONGEST_PROBE);
    // Half of it fixed, so that a restarting server is not met by everybody in its first second.
    let spread = step.mul_f64(0.5 + jitter / 2.0);
    let floor = match last.permanence {
        Permanence::Temporary => last.retry_after,
        Permanence::UntilChanged | Permanence::Permanent => Some(last.retry_after.unwrap_or(HELD).max(HELD)),
    };
    match floor {
        Some(floor) if floor > spread => floor + floor.mul_f64(jitter / 10.0),
        _ => spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Phase;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn message_schedule() {
        for (attempts, longest) in [
            (0, minutes(0)),
            (1, minutes(1)),
            (2, minutes(5)),
            (3, minutes(15)),
            (4, minutes(30)),
            (5, minutes(60)),
            (6, minutes(90)),
            (7, minutes(135)),
            (8, Duration::from_secs(12_150)),
            (9, minutes(240)),
            (10, minutes(240)),
            (u32::MAX, minutes(240)),
        ] {
            assert_eq!(message_delay(attempts, None, 1.0), longest, "{attempts}");
            assert_eq!(message_delay(attempts, None, 0.0), Duration::ZERO);
            assert_eq!(message_delay(attempts, None, 0.5), longest / 2);
        }
    }

    #[test]
    fn greylisting_waits_five_minutes_first() {
        let five = Some(minutes(5));
        assert_eq!(message_delay(1, five, 0.0), minutes(5));
        assert_eq!(message_delay(1, five, 1.0), Duration::from_secs(330));
        assert_eq!(message_delay(4, five, 1.0), minutes(30));
        assert_eq!(message_delay(4, five, 0.01), minutes(5).mul_f64(1.001));
    }

    #[test]
    fn server_schedule() {
        let temporary = Failure::closed(Phase::Greeting);
        for (failures, seconds) in
            [(0, 1), (1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 300), (u32::MAX, 300)]
        {
            let full = Duration::from_secs(seconds);
            assert_eq!(probe_delay(failures, &temporary, 1.0), full);
            assert_eq!(probe_delay(failures, &temporary, 0.0), full / 2);
        }
        let throttled = temporary.not_before(minutes(15));
        assert_eq!(probe_delay(1, &throttled, 0.0), minutes(15));
        let held = Failure::starttls_not_offered();
        assert_eq!(probe_delay(1, &held, 1.0), Duration::from_secs(1));
        let refused = Failure::plaintext_not_allowed();
        assert_eq!(probe_delay(1, &refused, 0.0), minutes(15));
        assert_eq!(probe_delay(1, &refused.not_before(minutes(60)), 0.0), minutes(60));
    }
}
