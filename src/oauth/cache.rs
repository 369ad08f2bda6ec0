//! Tokens, minted when needed and kept while good: one request at a time for each, renewed at about
//! 80 % of its life, never handed out in its last minute. Failures are told to everyone who waited for
//! them and not kept: how often to try again is the caller's decision.

use super::exchange::{self, Style, Token};
use super::failure::TokenFailure;
use super::http::{self, Http};
use super::request::{Grant, TokenKey, TokenRequest};
use super::rotation::Rotations;
use crate::domain::egress;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a token has to have left when it is handed out: enough to open a session with it.
pub const MINIMUM_LEFT: Duration = Duration::from_mins(1);

/// Tokens kept: a few KiB each, and more logins than one operator serves.
const MAX_TOKENS: usize = 1024;

/// When renewal begins, as a share of the lifetime; spread, lest tokens minted together at the start
/// of the process are renewed together for ever.
const RENEWAL: std::ops::Range<f64> = 0.75..0.85;

/// Pause after a renewal that failed while the token is still good.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);

/// Every token of the process. Cheap to share behind an `Arc`.
pub struct Tokens {
    http: Arc<Http>,
    rotations: Rotations,
    slots: Mutex<HashMap<TokenKey, Arc<Slot>>>,
}

/// The place of one token.
#[derive(Default)]
struct Slot {
    held: Mutex<Option<Held>>,
    /// Locked by whoever is asking the provider.
    flight: tokio::sync::Mutex<Flight>,
    /// Requests that came back: who waited sees by it that somebody asked on his behalf.
    landed: AtomicU64,
}

#[derive(Clone)]
struct Held {
    token: Arc<Token>,
    renew_at: Timestamp,
}

#[derive(Default)]
struct Flight {
    style: Option<Style>,
    failure: Option<TokenFailure>,
}

impl Tokens {
    /// An empty cache whose requests go only where `egress` permits. The process has to have installed
    /// rustls' default crypto provider before the first [`Tokens::get`].
    pub fn new(egress: Arc<egress::Policy>) -> Self {
        Self::with_timeout(egress, http::TIMEOUT)
    }

    /// Like [`Tokens::new`], with another limit than ten seconds for a whole request.
    pub fn with_timeout(egress: Arc<egress::Policy>, timeout: Duration) -> Self {
        Self {
            http: Arc::new(Http::new(egress, timeout)),
            rotations: Rotations::default(),
            slots: Mutex::default(),
        }
    }

    /// A token good for [`MINIMUM_LEFT`] at least: the one at hand or a new one. Calls for the same key
    /// share one request and its result. A renewal that fails, or is under way elsewhere, delivers the
    /// present token as long as that is good.
    pub async fn get(&self, request: &TokenRequest, now: Timestamp) -> Result<Arc<Token>, TokenFailure> {
        let started = Instant::now();
        let clock = || later(now, started.elapsed());
        let slot = self.slot(request.key(), now);
        let landed = slot.landed.load(Ordering::Acquire);
        let held = slot.good(now);
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(Arc::clone(&held.token));
        }
        let mut flight = match held {
            Some(held) => match slot.flight.try_lock() {
                Ok(flight) => flight,
                Err(_) => return Ok(held.token),
            },
            None => slot.flight.lock().await,
        };
        if slot.landed.load(Ordering::Acquire) != landed {
            if let Some(held) = slot.good(clock()) {
                return Ok(held.token);
            }
            if let Some(failure) = &flight.failure {
                return Err(failure.clone());
            }
        }
        let sent_at = clock();
        let minted = self.mint(request, flight.style, sent_at).await;
        slot.landed.fetch_add(1, Ordering::Release);
        match minted {
            Ok((token, style)) => {
                *flight = Flight { style: Some(style), failure: None };
                Ok(slot.hold(token, sent_at))
            }
            Err(failure) => {
                *flight = Flight { style: None, failure: Some(failure.clone()) };
                slot.keep(clock(), &failure).ok_or(failure)
            }
        }
    }

    /// Forgets `refused`, a token the mail server did not take. One minted meanwhile stays, so that
    /// several sessions refused together cost one new token.
    pub fn invalidate(&self, key: &TokenKey, refused: &Arc<Token>) {
        let slot = lock(&self.slots).get(key).cloned();
        if let Some(slot) = slot {
            lock(&slot.held).take_if(|held| Arc::ptr_eq(&held.token, refused));
        }
    }

    /// One exchange. That of a refresh token goes on when the caller is cancelled: with an answer nobody reads the
    /// provider's new refresh token would be lost, and the old one is no longer worth anything.
    async fn mint(
        &self,
        request: &TokenRequest,
        style: Option<Style>,
        now: Timestamp,
    ) -> Result<(Token, Style), TokenFailure> {
        let Grant::RefreshToken(stored) = &request.grant else {
            return exchange::mint(&self.http, request, style, &mut None, now).await;
        };
        let mut replacement = self.rotations.of(request, stored).await;
        let (http, request) = (Arc::clone(&self.http), request.clone());
        let exchange = async move { exchange::mint(&http, &request, style, &mut replacement, now).await };
        let ended = tokio::spawn(exchange).await;
        ended.unwrap_or_else(|_| Err(TokenFailure::interrupted()))
    }

    /// Forgets a token that nobody has any more.
    pub fn forget(&self, key: &TokenKey) {
        lock(&self.slots).remove(key);
    }

    fn slot(&self, key: TokenKey, now: Timestamp) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        slots.retain(|old, _| !old.is_replaced_by(&key));
        if slots.len() >= MAX_TOKENS {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.good(now).is_some());
        }
        if slots.len() >= MAX_TOKENS {
            let expiry = |slot: &Slot| lock(&slot.held).as_ref().map(|held| held.token.expires_at);
            let soonest = slots.iter().min_by_key(|(_, slot)| expiry(slot)).map(|(key, _)| key.clone());
            soonest.and_then(|key| slots.remove(&key));
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Held {
    fn is_good(&self, now: Timestamp) -> bool {
        self.token.expires_at >= later(now, MINIMUM_LEFT)
    }
}

impl Slot {
    /// What is held, if it may be handed out.
    fn good(&self, now: Timestamp) -> Option<Held> {
        lock(&self.held).clone().filter(|held| held.is_good(now))
    }

    fn hold(&self, token: Token, minted_at: Timestamp) -> Arc<Token> {
        let life = token.expires_at.duration_since(minted_at);
        let share = rand::rng().random_range(RENEWAL);
        let renew_at = minted_at.checked_add(life.mul_f64(share)).unwrap_or(token.expires_at);
        let token = Arc::new(token);
        *lock(&self.held) = Some(Held { token: Arc::clone(&token), renew_at });
        token
    }

    /// After a renewal that failed: the token at hand while it is good, and peace for the provider.
    fn keep(&self, now: Timestamp, failure: &TokenFailure) -> Option<Arc<Token>> {
        let pause = failure.retry_after.map_or(RENEWAL_PAUSE, |pause| pause.max(RENEWAL_PAUSE));
        let mut held = lock(&self.held);
        let held = held.as_mut().filter(|held| held.is_good(now))?;
        held.renew_at = later(now, pause);
        let token = Arc::clone(&held.token);
        tracing::warn!(
            reason = failure.reason.as_str(),
            correlation_id = failure.correlation_id.as_deref(),
            expires_at = %token.expires_at,
            "token not renewed, the present one is still good"
        );
        Some(token)
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// A panic elsewhere leaves nothing half-written here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::oauth::SecretVersion;

    fn key(uid: usize, version: &str) -> TokenKey {
        TokenRequest {
            versions: vec![SecretVersion { uid: uid.to_string(), resource_version: version.into() }],
            ..crate::oauth::tests::example()
        }
        .key()
    }

    fn token(expires_at: Timestamp) -> Token {
        Token {
            access_token: crate::domain::secret::Secret::new("t"),
            expires_at,
            claims: crate::oauth::TokenClaims::default(),
            refresh_token_replaced: false,
        }
    }

    #[test]
    fn bounded_and_the_soonest_to_expire_goes_first() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let tokens = Tokens::new(Arc::default());
        for uid in 0..MAX_TOKENS {
            // Number 7 expires first.
            let life = if uid == 7 { 500 } else { 1000 };
            tokens.slot(key(uid, "1"), now).hold(token(later(now, Duration::from_secs(life))), now);
        }
        tokens.slot(key(MAX_TOKENS, "1"), now);
        let count = |uid| lock(&tokens.slots).contains_key(&key(uid, "1"));
        assert!(!count(7) && count(8) && count(MAX_TOKENS));
        assert_eq!(lock(&tokens.slots).len(), MAX_TOKENS);

        // Once all have expired, all of them go.
        tokens.slot(key(MAX_TOKENS + 1, "1"), later(now, Duration::from_secs(1000)));
        assert_eq!(lock(&tokens.slots).len(), 1);
    }

    #[test]
    fn a_changed_secret_replaces_what_was_minted_with_the_old_one() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let tokens = Tokens::new(Arc::default());
        for (uid, version) in [(1, "1"), (2, "1"), (1, "2")] {
            tokens.slot(key(uid, version), now);
        }
        let slots = lock(&tokens.slots);
        assert!(!slots.contains_key(&key(1, "1")));
        assert!(slots.contains_key(&key(1, "2")) && slots.contains_key(&key(2, "1")));
    }
}
