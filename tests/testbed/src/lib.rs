//! Outgoing mail as Kubernetes objects.

pub mod scripted_smtp;
pub mod sink;
