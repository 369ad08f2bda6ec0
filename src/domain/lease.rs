//! Leadership by a Lease, as `coordination.k8s.io` defines it, judged by our own clock: another
//! holder's times are never compared with ours, only whether the Lease has changed since we first
//! saw it so. The journal is the guard against sending twice; the Lease only saves work.

use std::time::Duration;

/// How long a Lease counts without a renewal.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often the holder renews, and others look.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A holder that could not renew for this long stops leading, before others may take over.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// What to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write ourselves in as a new holder.
    Acquire,
    /// Write a new renewal time.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// Judges the Lease as read. `holder` is empty or `None` when it was let go; `unchanged_for` is how long,
/// by our own clock, we have seen it like this.
pub fn judge(holder: Option<&str>, me: &str, unchanged_for: Duration) -> Step {
    match holder {
        None | Some("") => Step::Acquire,
        Some(holder) if holder == me => Step::Renew,
        Some(_) if unchanged_for >= DURATION => Step::Acquire,
        Some(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (holder, seconds, step) in [
            (None, 0, Step::Acquire),
            (Some(""), 0, Step::Acquire),
            (Some("me"), 0, Step::Renew),
            (Some("me"), 60, Step::Renew),
            (Some("other"), 0, Step::Wait),
            (Some("other"), 14, Step::Wait),
            (Some("other"), 15, Step::Acquire),
        ] {
            assert_eq!(judge(holder, "me", Duration::from_secs(seconds)), step, "{holder:?} {seconds}");
        }
    }
}
