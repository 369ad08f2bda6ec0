//! The claim of an attempt: whom the stored journal names as possibly sent to.

use super::{CHUNK, Run};
use crate::delivery::Delivery;
use crate::delivery::journal::{Denied, JournalHandle};
use crate::domain::journal::{CLAIM_VALID_FOR, Entry};
use crate::domain::recipients::Addressee;
use std::collections::BTreeSet;

impl Delivery {
    /// Makes sure that the stored journal names all of `wanted` under our term, and has done so for no longer than a
    /// claim is good. What is claimed beyond them saves the next parcels a write.
    pub(super) async fn ensure_claim<'a>(
        &self,
        run: &mut Run<'a>,
        wanted: &[Addressee<'a>],
        journal: &JournalHandle,
    ) -> Result<(), Denied> {
        let covered = wanted.iter().all(|recipient| run.claimed.contains(recipient.address));
        let young = run.claim.as_ref().is_some_and(|claim| claim.since.elapsed() < CLAIM_VALID_FOR);
        if covered && young {
            return Ok(());
        }
        let ahead = if covered { 0 } else { chunk(run).saturating_sub(wanted.len()) };
        let more: Vec<&str> =
            wanted.iter().chain(run.left.iter().take(ahead)).map(|recipient| recipient.address).collect();
        run.claimed.extend(&more);
        let claimed: BTreeSet<String> = more.into_iter().map(String::from).collect();
        let started = std::time::Instant::now();
        let claim = if let Some(claim) = &run.claim {
            let done = run.outcomes.get(run.noted..).unwrap_or_default().to_vec();
            journal.extend(run.term, &claim.id, done, claimed).await?
        } else {
            let item = run.item;
            let entry = Entry {
                namespace: item.key.namespace.to_string(),
                name: item.key.name.to_string(),
                uid: item.uid.clone(),
                claimed,
                done: run.outcomes.clone(),
            };
            journal.claim(run.term, entry).await?
        };
        self.metrics.step("claim", started.elapsed());
        run.noted = run.outcomes.len();
        run.claim = Some(claim);
        // The answer itself may have been long on its way.
        match &run.claim {
            Some(claim) if claim.since.elapsed() < CLAIM_VALID_FOR => Ok(()),
            _ => Err(Denied::NoAnswer),
        }
    }
}

/// How many recipients the next claim covers: as many as go out in [`CHUNK`] at the pace so far.
fn chunk(run: &Run<'_>) -> usize {
    let sent = u32::try_from(run.outcomes.len()).unwrap_or(u32::MAX);
    if sent == 0 {
        return 1;
    }
    let each = run.started.elapsed() / sent;
    let fit = CHUNK.as_nanos() / each.as_nanos().max(1);
    usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, 1000)
}
