//! The testbed's servers do what tests will rely on. One control plane serves all tests here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod control_plane;
mod dovecot;
mod exim;
mod mailpit;
mod postfix;
mod smtplib;
