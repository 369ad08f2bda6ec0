//! How we speak SMTP.
