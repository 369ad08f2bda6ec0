//! What the operator decides. Pure: values and `now` in, values out; no async, clock,
//! randomness, environment, files or clients.

pub mod egress;
pub mod exchange_online;
pub mod failure;
pub mod retry;
pub mod secret;
