//! Integration tests against real parts: one binary, one control plane for the whole run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod cluster;
mod docs;
mod generated;
mod install;
