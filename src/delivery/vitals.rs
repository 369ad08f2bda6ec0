//! Where the loops of the process tell that they go on. Telling it is one atomic store; whether it is enough decides
//! [`crate::domain::vitals`] when somebody asks for `/livez`.

use crate::delivery::lock;
use crate::domain::vitals::{self, Loop, Stuck};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing is under way. Anything else is the time at which it began, one added.
const RESTING: u64 = 0;

/// The loops of this process. Cheap to clone.
#[derive(Clone)]
pub struct Vitals(Arc<Inner>);

struct Inner {
    started: Instant,
    patience: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    next: u64,
    running: HashMap<u64, (Loop, Arc<AtomicU64>)>,
    ended: BTreeSet<Loop>,
}

/// What one loop tells. Dropped, it is forgotten: a loop may end with what it looks after. One that panics is not
/// forgotten.
pub struct Pulse {
    vitals: Vitals,
    what: Loop,
    id: u64,
    since: Arc<AtomicU64>,
}

impl Vitals {
    /// With so much time for each unit of work.
    pub fn new(patience: Duration) -> Self {
        Self(Arc::new(Inner { started: Instant::now(), patience, known: Mutex::default() }))
    }

    /// Makes a loop known; it rests.
    pub fn of(&self, what: Loop) -> Pulse {
        let since = Arc::new(AtomicU64::new(RESTING));
        let mut known = lock(&self.0.known);
        known.next += 1;
        let id = known.next;
        known.running.insert(id, (what, since.clone()));
        drop(known);
        Pulse { vitals: self.clone(), what, id, since }
    }

    /// Tells each second that the event loop runs, for as long as it does.
    pub async fn tick(self) {
        let pulse = self.of(Loop::EventLoop);
        loop {
            pulse.begin();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether everything goes on.
    pub fn verdict(&self) -> Result<(), Vec<Stuck>> {
        let now = self.0.started.elapsed();
        let known = lock(&self.0.known);
        let running = known.running.values().map(|(what, since)| match since.load(Ordering::Relaxed) {
            RESTING => (*what, vitals::Pulse::Resting),
            since => (*what, vitals::Pulse::Busy(Duration::from_millis(since - 1))),
        });
        let ended = known.ended.iter().map(|what| (*what, vitals::Pulse::Ended));
        vitals::verdict(now, self.0.patience, running.chain(ended))
    }
}

impl Pulse {
    /// A unit of work begins, and the one before it is done.
    pub fn begin(&self) {
        let now = u64::try_from(self.vitals.0.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since.store(now + 1, Ordering::Relaxed);
    }

    /// There is nothing to do, or nothing but to wait for what may never come.
    pub fn rest(&self) {
        self.since.store(RESTING, Ordering::Relaxed);
    }

    /// Rests until something is there, and begins with that.
    pub async fn waiting<T>(&self, something: impl Future<Output = T>) -> T {
        self.rest();
        let there = something.await;
        self.begin();
        there
    }

    /// The loop has ended, which it must not while the process wants it.
    pub fn ended(self) {
        lock(&self.vitals.0.known).ended.insert(self.what);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut known = lock(&self.vitals.0.known);
        known.running.remove(&self.id);
        if std::thread::panicking() {
            known.ended.insert(self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const BRIEF: Duration = Duration::from_millis(20);

    fn stuck(vitals: &Vitals) -> Vec<Loop> {
        vitals.verdict().err().unwrap_or_default().iter().map(|stuck| stuck.what).collect()
    }

    #[tokio::test]
    async fn who_works_for_too_long_is_stuck_until_it_goes_on() {
        let vitals = Vitals::new(BRIEF);
        let (lane, other) = (vitals.of(Loop::Lane), vitals.of(Loop::Lane));
        lane.begin();
        assert_eq!(stuck(&vitals), []);
        tokio::time::sleep(BRIEF * 2).await;
        assert_eq!(stuck(&vitals), [Loop::Lane]);
        other.begin();
        assert_eq!(stuck(&vitals), [Loop::Lane], "another one that goes on does not hide it");
        lane.begin();
        assert_eq!(stuck(&vitals), [], "the next unit is measured by itself");
        lane.rest();
        other.rest();
        tokio::time::sleep(BRIEF * 2).await;
        assert_eq!(stuck(&vitals), []);
    }

    #[tokio::test]
    async fn who_is_dropped_is_forgotten_and_who_panics_is_not() {
        let vitals = Vitals::new(BRIEF);
        let pulse = vitals.of(Loop::Journal);
        pulse.begin();
        let cancelled = tokio::spawn(async move {
            pulse.begin();
            std::future::pending::<()>().await;
        });
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        tokio::time::sleep(BRIEF * 2).await;
        assert_eq!(stuck(&vitals), []);

        let pulse = vitals.of(Loop::Journal);
        let crashed = tokio::spawn(async move {
            pulse.begin();
            panic!("a mistake of ours");
        });
        assert!(crashed.await.unwrap_err().is_panic());
        assert_eq!(stuck(&vitals), [Loop::Journal]);
        vitals.of(Loop::Clock).ended();
        assert_eq!(stuck(&vitals), [Loop::Clock, Loop::Journal]);
    }
}
