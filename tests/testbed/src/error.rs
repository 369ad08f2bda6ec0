//! What can go wrong while setting a scene, worded for the person who runs the tests.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// A testbed's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a scene could not be set or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, a process or a socket refused.
    #[error("{attempt}: {source}")]
    Io {
        /// What was attempted, such as `writing /tmp/x`.
        attempt: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A request to one of the started servers failed.
    #[error("{attempt}: {source}")]
    Http {
        /// What was attempted.
        attempt: String,
        /// The client's error.
        source: reqwest::Error,
    },
    /// A program that must be installed is not.
    #[error("{program} is missing: {remedy}")]
    Missing {
        /// Name of the program.
        program: String,
        /// How to get it.
        remedy: String,
    },
    /// A program ended although it was still needed.
    #[error("{name} ended with {status}; its log {log} ends:\n{tail}", log = log.display())]
    Ended {
        /// Name of the program.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its whole log.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// Something did not come about in time.
    #[error("{what} did not happen within {limit:?}{detail}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen instead; empty, or begins with a separator.
        detail: String,
    },
    /// A command that must succeed did not.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A throw-away certificate could not be made.
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A server configuration could not be made from a throw-away certificate.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A server answered something that is not what its interface promises.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// For `map_err`: an I/O error together with what was attempted.
    pub(crate) fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }

    /// For `map_err`: an HTTP error together with what was attempted.
    pub(crate) fn http(attempt: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Http { attempt, source }
    }
}
