//! What users write: the three kinds of the group `mail-operator.dev`, their schemas and CEL
//! rules, and the condition types and reasons they are answered with. No behaviour beyond that.

pub mod reason;

pub use reason::Reason;
