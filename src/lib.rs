//! mail-operator: an organisation's outgoing mail as Kubernetes objects.
//!
//! The folders are the architecture: each module below may use those above it, never one
//! below. `ARCHITECTURE.md` shows the way a mail travels through them.

pub mod api;
pub mod domain;
pub mod evaluation;
pub mod smtp;
// The order is that of the arrows.
pub mod oauth;
pub mod cluster;
pub mod delivery;
pub mod controller;
pub mod process;
pub mod cli;
