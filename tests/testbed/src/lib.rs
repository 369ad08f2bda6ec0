//! Outgoing mail as Kubernetes objects.
pub mod scripted_token;
