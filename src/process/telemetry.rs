//! Logs: one line for each changed outcome at `info`, steps at `debug`. Never bodies, addresses,
//! subjects or secrets, at any level.

use crate::process::Fatal;
use crate::process::arguments::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Where kube's client logs an answer that it cannot read, the whole of it: a Secret, for example. Silent at every
/// level; errors of requests are told by whoever made them.
const LOGS_BODIES: &str = "kube_client::client=off";

/// What the same client says of requests, which is less than that.
const REQUESTS: &str = "kube_client::client::builder=warn";

/// Starts logging to standard error.
pub fn start(format: LogFormat, level: &str) -> Result<(), Fatal> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}

fn filter(level: &str) -> Result<EnvFilter, Fatal> {
    let asked = EnvFilter::try_new(level).and_then(|_| EnvFilter::try_new(format!("{REQUESTS},{level}")));
    let filter = asked.map_err(|error| format!("--log-level: {error}"))?;
    Ok(filter.add_directive(LOGS_BODIES.parse()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_of_the_api_server_are_never_logged() {
        for level in
            ["info", "trace", "kube_client=trace", "kube_client::client=trace", "info,kube_client=debug"]
        {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(filter(level).unwrap())
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "kube_client::client", "canary");
                tracing::error!(target: "kube_client::client::builder", "requests");
            });
            let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(!logged.contains("canary") && logged.contains("requests"), "{level}: {logged}");
        }
        assert!(filter("info,=,").is_err());
    }
}
