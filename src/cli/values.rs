//! `--value` and `--values`, as every command that has them understands them.

use crate::api::shared::Values;
use crate::cli::failure::{Exit, Failure};

/// One `--value`.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// What the file of `--values` holds.
pub fn parse_file(text: &str) -> Result<Values, Failure> {
    serde_yaml::from_str(text).map_err(|error| {
        Failure::new(Exit::Usage, format!("--values: not a YAML or JSON object of values: {error}"))
    })
}
