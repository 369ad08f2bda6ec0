//! What of a Dockerfile decides how its image behaves: read from the operator's own, so that its image here is that one.

use crate::error::{Error, Result};

/// The base whose files `image` knows how to take from Debian.
const BASE: &str = "gcr.io/distroless/cc-debian12:nonroot";

/// An image of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// Whether there is anything beside the program.
    pub(crate) base: bool,
    /// Where the program is.
    pub(crate) program: String,
    /// `USER`.
    pub(crate) user: String,
    /// `EXPOSE`.
    pub(crate) ports: Vec<String>,
    /// `ENTRYPOINT`.
    pub(crate) entrypoint: Vec<String>,
    /// `CMD`.
    pub(crate) arguments: Vec<String>,
}

impl Recipe {
    /// A program of the testbed's own.
    pub(crate) fn of_program(name: &str, base: bool, user: &str) -> Self {
        let program = format!("/usr/local/bin/{name}");
        Self {
            base,
            user: user.to_owned(),
            ports: Vec::new(),
            entrypoint: vec![program.clone()],
            arguments: Vec::new(),
            program,
        }
    }

    /// The last stage of a Dockerfile. What it says and this does not understand is an error: the image would be another one.
    pub(crate) fn of_dockerfile(text: &str) -> Result<Self> {
        let mut recipe = Self::of_program("", true, "");
        let mut base = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let other = || {
                Error::Unexpected(format!(
                    "deploy/Dockerfile says `{line}`, which the tests' image does not do"
                ))
            };
            match word {
                "FROM" => {
                    base = rest;
                    recipe = Self::of_program("", true, "");
                }
                // What builds the program is cargo's work here.
                _ if base != BASE => {}
                "COPY" => match rest.split_whitespace().collect::<Vec<_>>().as_slice() {
                    [from, source, target]
                        if from.starts_with("--from=") && source.ends_with("/mail-operator") =>
                    {
                        (*target).clone_into(&mut recipe.program);
                    }
                    _ => return Err(other()),
                },
                "USER" => rest.clone_into(&mut recipe.user),
                "EXPOSE" => recipe.ports.push(rest.to_owned()),
                "ENTRYPOINT" => recipe.entrypoint = serde_json::from_str(rest).map_err(|_| other())?,
                "CMD" => recipe.arguments = serde_json::from_str(rest).map_err(|_| other())?,
                _ => return Err(other()),
            }
        }
        if base != BASE {
            return Err(Error::Unexpected(format!(
                "deploy/Dockerfile is based on {base}, the tests' image on {BASE}"
            )));
        }
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_operators_image_is_understood() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/Dockerfile")).unwrap();
        let recipe = Recipe::of_dockerfile(&text).unwrap();
        assert_eq!(recipe.program, "/usr/local/bin/mail-operator");
        assert_eq!(recipe.entrypoint, ["/usr/local/bin/mail-operator"]);
        assert_eq!((recipe.user.as_str(), recipe.arguments), ("65532:65532", vec!["run".to_owned()]));
    }

    #[test]
    fn what_would_make_another_image_is_refused() {
        let begin = format!("FROM rust AS build\nRUN make\nFROM {BASE}\n");
        for (text, part) in [
            (format!("{begin}RUN something"), "RUN something"),
            (format!("{begin}COPY --from=build /src/config /etc/config"), "COPY"),
            (format!("{begin}FROM alpine"), "based on alpine"),
        ] {
            let error = Recipe::of_dockerfile(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
