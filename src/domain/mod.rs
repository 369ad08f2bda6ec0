//! What the operator decides. Pure: values and `now` in, values out; no async, clock,
//! randomness, environment, files or clients.

pub mod access;
pub mod address;
pub mod binding;
pub mod catalog;
pub mod connections;
pub mod content;
pub mod credentials;
pub mod difference;
pub mod egress;
pub mod exchange_online;
pub mod evaluation;
pub mod failure;
pub mod journal;
pub mod ledger;
pub mod likeness;
pub mod lease;
pub mod locale;
pub mod lockdown;
pub mod lookup;
pub mod masking;
pub mod material;
pub mod message;
pub mod object;
pub mod outbox;
pub mod outcome;
pub mod pem;
pub mod preparation;
pub mod problem;
pub mod readers;
pub mod recipients;
pub mod reconciliation;
pub mod retry;
#[cfg(test)]
mod samples;
pub mod secret;
pub mod server;
pub mod sources;
pub mod standard;
pub mod status;
pub mod template;
pub mod throttle;
pub mod turns;
pub mod usage;
pub mod values;
pub mod verification;
pub mod vitals;
