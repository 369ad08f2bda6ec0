//! Whether the process makes progress, which is what `/livez` says. A loop tells when it begins a unit of work and when
//! it rests; one that has been at the same unit for longer than everything in it could take is stuck, and only a restart
//! helps. Waiting for something to do is rest, and so is waiting for an answer that nobody promised: no API server and
//! no mail server, however slow or silent, makes a loop stuck.

use std::fmt;
use std::time::Duration;

/// Longest silence of the event loop, which says something each second.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a unit of work may take. The longest are some three minutes while the API server does not answer: three tries
/// of a status write with 30 seconds for its turn and 10 for the answer each, and an Event with 5.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// What has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loop {
    /// The runtime that everything else runs on.
    EventLoop,
    /// Acquiring and renewing the Lease.
    Lease,
    /// The watch of namespaces.
    Namespaces,
    /// The watch of MailServerConfigs.
    MailServerConfigs,
    /// What looks after one MailServerConfig.
    MailServerConfig,
    /// The watch of MessageTemplates.
    MessageTemplates,
    /// Statuses of templates that another one concerned.
    TemplateReports,
    /// The watch of Notifications.
    Notifications,
    /// Notifications that are looked at again.
    Reviews,
    /// What time brings: expiry and removal.
    Clock,
    /// The hourly sweep for finished Notifications.
    Sweep,
    /// What gives the queue of one MailServerConfig its workers.
    Lane,
    /// What writes the journal of one account.
    Journal,
    /// Settling what a journal held when it was taken over.
    Recovery,
}

impl Loop {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::EventLoop,
        Self::Lease,
        Self::Namespaces,
        Self::MailServerConfigs,
        Self::MailServerConfig,
        Self::MessageTemplates,
        Self::TemplateReports,
        Self::Notifications,
        Self::Reviews,
        Self::Clock,
        Self::Sweep,
        Self::Lane,
        Self::Journal,
        Self::Recovery,
    ];

    /// Its name in the answer and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventLoop => "event loop",
            Self::Lease => "lease",
            Self::Namespaces => "watch of namespaces",
            Self::MailServerConfigs => "watch of mailserverconfigs",
            Self::MailServerConfig => "mailserverconfig",
            Self::MessageTemplates => "watch of messagetemplates",
            Self::TemplateReports => "messagetemplate statuses",
            Self::Notifications => "watch of notifications",
            Self::Reviews => "notification reviews",
            Self::Clock => "clock",
            Self::Sweep => "sweep",
            Self::Lane => "lane",
            Self::Journal => "journal",
            Self::Recovery => "journal recovery",
        }
    }

    fn allowance(self, patience: Duration) -> Duration {
        if self == Self::EventLoop { SILENCE } else { patience }
    }
}

/// What a loop is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// It waits for something to do.
    Resting,
    /// It is at a unit of work that it began then, counted from the start of the process.
    Busy(Duration),
    /// It is there no more, and should be.
    Ended,
}

/// A loop that does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// Which.
    pub what: Loop,
    /// How long it has been at its unit of work, and how long it may; `None`: it has ended.
    pub busy: Option<(Duration, Duration)>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.what.as_str();
        match self.busy {
            Some((busy, allowed)) => {
                write!(f, "{name}: no progress for {} s, {} s are allowed", busy.as_secs(), allowed.as_secs())
            }
            None => write!(f, "{name}: ended, and should not have"),
        }
    }
}

/// Whether everything goes on at `now`, counted from the start of the process, if a unit of work may take as long as
/// `patience`. Of several loops of one kind the one that is worst off is named.
pub fn verdict(
    now: Duration,
    patience: Duration,
    pulses: impl IntoIterator<Item = (Loop, Pulse)>,
) -> Result<(), Vec<Stuck>> {
    let mut stuck: Vec<Stuck> = pulses
        .into_iter()
        .filter_map(|(what, pulse)| {
            let allowed = what.allowance(patience);
            let busy = match pulse {
                Pulse::Resting => return None,
                Pulse::Busy(since) => Some((now.saturating_sub(since), allowed)),
                Pulse::Ended => None,
            };
            busy.is_none_or(|(busy, allowed)| busy > allowed).then_some(Stuck { what, busy })
        })
        .collect();
    // Ended ones first, then the longest.
    let rank = |stuck: &Stuck| (stuck.what, stuck.busy.map(|(busy, _)| std::cmp::Reverse(busy)));
    stuck.sort_by_key(rank);
    stuck.dedup_by_key(|stuck| stuck.what);
    if stuck.is_empty() { Ok(()) } else { Err(stuck) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Loop::{EventLoop, Journal, Lane, MessageTemplates};
    use Pulse::{Busy, Ended, Resting};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn said(now: u64, pulses: &[(Loop, Pulse)]) -> Vec<String> {
        let verdict = verdict(seconds(now), PATIENCE, pulses.iter().copied());
        verdict.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_goes_on_is_told_from_what_is_stuck() {
        type Case = (u64, &'static [(Loop, Pulse)], &'static [&'static str]);
        const CASES: &[Case] = &[
            (1000, &[], &[]),
            // Whoever rests may do so for ever.
            (1_000_000, &[(Lane, Resting), (Journal, Resting)], &[]),
            (1000, &[(EventLoop, Busy(seconds(970)))], &[]),
            (
                1001,
                &[(EventLoop, Busy(seconds(970)))],
                &["event loop: no progress for 31 s, 30 s are allowed"],
            ),
            (1000, &[(MessageTemplates, Busy(seconds(700)))], &[]),
            (
                1001,
                &[(MessageTemplates, Busy(seconds(700))), (EventLoop, Busy(seconds(1000)))],
                &["watch of messagetemplates: no progress for 301 s, 300 s are allowed"],
            ),
            // It has begun after `now` was taken.
            (10, &[(Lane, Busy(seconds(11)))], &[]),
            (10, &[(Journal, Ended)], &["journal: ended, and should not have"]),
            // One line for each kind: the longest, or the one that has ended.
            (
                1000,
                &[
                    (Lane, Busy(seconds(500))),
                    (Lane, Busy(seconds(400))),
                    (Lane, Resting),
                    (Journal, Busy(seconds(1))),
                    (Journal, Ended),
                ],
                &["lane: no progress for 600 s, 300 s are allowed", "journal: ended, and should not have"],
            ),
        ];
        for (now, pulses, expected) in CASES {
            assert_eq!(said(*now, pulses), *expected, "{pulses:?} at {now}");
        }
    }

    #[test]
    fn each_is_named_once() {
        let mut names = Loop::ALL.map(Loop::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Loop::ALL.len());
    }
}
