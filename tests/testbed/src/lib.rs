//! Outgoing mail as Kubernetes objects.
