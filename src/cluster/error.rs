//! What an API server's refusal means to us.

/// Result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object, or no such kind.
    #[error("not found")]
    NotFound,
    /// The object has changed since we read it, or exists already.
    #[error("conflict with a newer version")]
    Conflict,
    /// The API server refused: RBAC, validation, admission. Trying again as it is will not help.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// No answer, or one that says to come back: whether a write was stored is not known.
    #[error("the API server did not answer")]
    NoAnswer,
    /// Anything else that may pass.
    #[error("the API server cannot be reached: {0}")]
    Unavailable(String),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 => Self::NotFound,
                409 => Self::Conflict,
                429 | 500.. => Self::Unavailable(bounded(&status.message)),
                _ => Self::Refused(bounded(&status.message)),
            },
            // What the reader says quotes the answer, which may be a Secret.
            kube::Error::SerdeError(_) => {
                Self::Unavailable("its answer is not what this version of the operator expects".into())
            }
            other => Self::Unavailable(bounded(&other.to_string())),
        }
    }
}

/// A refusal can quote the whole object: only its beginning says what is wrong.
fn bounded(message: &str) -> String {
    message.chars().take(300).collect()
}
