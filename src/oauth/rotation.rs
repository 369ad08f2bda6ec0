//! Refresh tokens that a provider has replaced (RFC 6749, section 6): the newest one of each is kept here, in
//! memory only, and used for the next exchange. Whoever puts another refresh token into the Secret starts anew,
//! since what is kept goes by the token that was stored.

use super::request::{Fingerprint, TokenRequest};
use crate::domain::secret::Secret;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// More mailboxes than one operator serves by refresh tokens.
const MAX_ROTATIONS: usize = 1024;

/// What became of each stored refresh token.
#[derive(Default)]
pub(super) struct Rotations(Mutex<HashMap<Fingerprint, Arc<tokio::sync::Mutex<Option<Secret>>>>>);

/// The token in whose place another was issued, if one was. Locked as long as an exchange lasts: a provider that
/// sees one refresh token used twice takes it for stolen and revokes them all.
pub(super) type Replacement = OwnedMutexGuard<Option<Secret>>;

impl Rotations {
    /// Waits until nobody else trades the refresh token `stored`.
    pub(super) async fn of(&self, request: &TokenRequest, stored: &Secret) -> Replacement {
        let name = Fingerprint::of([request.token_url.as_str(), request.client_id.as_str(), stored.expose()]);
        let replacement = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_ROTATIONS && !all.contains_key(&name) {
                make_room(&mut all);
            }
            Arc::clone(all.entry(name).or_default())
        };
        replacement.lock_owned().await
    }
}

/// What is not in use goes; what was never replaced first, since nothing is lost with it.
fn make_room(all: &mut HashMap<Fingerprint, Arc<tokio::sync::Mutex<Option<Secret>>>>) {
    let is_empty =
        |slot: &Arc<tokio::sync::Mutex<Option<Secret>>>| slot.try_lock().is_ok_and(|held| held.is_none());
    all.retain(|_, slot| Arc::strong_count(slot) > 1 || !is_empty(slot));
    if all.len() >= MAX_ROTATIONS {
        let victim = all.iter().find(|(_, slot)| Arc::strong_count(slot) == 1).map(|(name, _)| name.clone());
        victim.and_then(|name| all.remove(&name));
    }
}
