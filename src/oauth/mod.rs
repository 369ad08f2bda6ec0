//! How we get tokens.
