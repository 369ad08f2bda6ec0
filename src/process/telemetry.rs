//! Logs: one line for each changed outcome at `info`, steps at `debug`. Never bodies, addresses,
//! subjects or secrets, at any level.

use crate::process::Fatal;
use crate::process::arguments::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error.
pub fn start(format: LogFormat, level: &str) -> Result<(), Fatal> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("--log-level: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}
