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
    /// The API server, or etcd behind it, takes no object of that size.
    #[error("the object is too large for the API server")]
    TooLarge,
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
                413 => Self::TooLarge,
                500 if is_size(&status.message) => Self::TooLarge,
                // A list whose pages were read too slowly: the next one begins afresh.
                410 | 429 | 500.. => Self::Unavailable(bounded(&status.message)),
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

/// Whether an internal error is about the size of a request: etcd's own limit, and that of the API server's client.
fn is_size(message: &str) -> bool {
    ["request is too large", "message larger than max"].iter().any(|words| message.contains(words))
}

/// A refusal can quote the whole object: only its beginning says what is wrong.
fn bounded(message: &str) -> String {
    message.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn what_a_refusal_means() {
        for (code, message, expected) in [
            (404, "", "not found"),
            (409, "", "conflict"),
            (413, "Request entity too large: limit is 3145728", "too large"),
            (500, "etcdserver: request is too large", "too large"),
            (
                500,
                "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2199023 vs. 2097152)",
                "too large",
            ),
            (500, "etcdserver: leader changed", "cannot be reached"),
            (410, "the provided continue parameter is too old", "cannot be reached"),
            (429, "too many requests", "cannot be reached"),
            (503, "", "cannot be reached"),
            (504, "", "cannot be reached"),
            (400, "", "refused"),
            (403, "denied the request: policy", "refused"),
            (403, "exceeded quota", "refused"),
            (403, "unable to create new content in namespace x because it is being terminated", "refused"),
            (422, "invalid", "refused"),
        ] {
            let status = Status { code, message: message.into(), ..Status::default() };
            let error = Error::from(kube::Error::Api(Box::new(status)));
            assert!(error.to_string().contains(expected), "{code} {message}: {error}");
        }
    }
}
