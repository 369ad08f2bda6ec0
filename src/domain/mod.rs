//! What the operator decides. Pure: values and `now` in, values out; no async, clock,
//! randomness, environment, files or clients.

pub mod address;
pub mod content;
pub mod egress;
pub mod failure;
pub mod locale;
pub mod message;
pub mod problem;
pub mod secret;
pub mod template;
pub mod values;
