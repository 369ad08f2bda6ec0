//! What each fuzz target does with its input, and what must hold whatever that is. Also compiled into
//! the integration tests (`tests/it/fuzz.rs`), which replay the saved corpus with a stable compiler.
//! Nothing in here may depend on libFuzzer.

mod address;
mod headers;
mod login;
mod reply;
mod token;

/// A target's body: panics if what must hold does not.
pub type Body = fn(&[u8]);

/// Every target: the name of `fuzz/targets/NAME.rs` and of `fuzz/corpus/NAME/`, and its body.
pub const ALL: [(&str, Body); 5] = [
    ("address", address::address),
    ("headers", headers::headers),
    ("login", login::login),
    ("reply", reply::reply),
    ("token", token::token),
];

/// Runs the body called `name`.
///
/// # Panics
/// If there is none, or if what must hold does not.
#[allow(dead_code, reason = "the integration tests go through ALL")]
pub fn run(name: &str, data: &[u8]) {
    let (_, body) = ALL.iter().find(|(known, _)| *known == name).expect("a target has a body");
    body(data);
}
