//! Times as people say them: `3m ago`, `in 2h`.

use jiff::{SignedDuration, Timestamp};

/// When it was, or will be, seen from `now`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let past = now.duration_since(at);
    if past.is_negative() { format!("in {}", span(past.abs())) } else { format!("{} ago", span(past)) }
}

/// A time on the clock with how long that is away.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{at:.0} ({})", ago(at, now))
}

/// A length of time in one or two units.
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: &str, small: i64, of: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{of}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..7200 => format!("{minutes}m"),
        7200..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (3599, "59m"),
            (7500, "2h5m"),
            (90_000, "25h"),
            (200_000, "2d"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), expected);
        }
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_secs(60);
        assert_eq!((ago(now, later), ago(later, now)), ("60s ago".into(), "in 60s".into()));
    }
}
