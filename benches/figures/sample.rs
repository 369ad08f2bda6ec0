//! Numbers out of repeated measurements, and how many of them are taken.

use std::time::Duration;

/// The share of the usual numbers of messages and objects: `FIGURES_SCALE`, 1 by default.
#[derive(Debug, Clone, Copy)]
pub struct Scale(f64);

impl Scale {
    /// Reads `FIGURES_SCALE`.
    ///
    /// # Panics
    /// If it is no number above 0.
    pub fn from_environment() -> Self {
        let Ok(text) = std::env::var("FIGURES_SCALE") else { return Self(1.0) };
        let scale = text.parse().ok().filter(|scale| *scale > 0.0);
        Self(scale.unwrap_or_else(|| panic!("FIGURES_SCALE is {text:?}; it must be a number above 0")))
    }

    /// So many instead of `usual`, at least 16.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
    pub fn of(self, usual: usize) -> usize {
        ((usual as f64 * self.0) as usize).max(16)
    }
}

/// The value that `percent` of the values do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or(f64::NAN)
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// In milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
