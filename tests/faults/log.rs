//! What operators log, apart for each plan: the threads of its operators bear its name.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use tracing_subscriber::EnvFilter;

type Text = Arc<Mutex<Vec<u8>>>;

static LOGS: LazyLock<Mutex<HashMap<String, Text>>> = LazyLock::new(Mutex::default);

/// From now on what is logged is kept.
pub fn keep() {
    let filter = EnvFilter::new("info,mail_operator=debug");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
}

/// Begins a plan's log.
pub fn begin(name: &str) {
    LOGS.lock().unwrap().insert(name.to_owned(), Text::default());
}

/// What was logged since the beginning; nothing more is kept.
pub fn end(name: &str) -> String {
    let text = LOGS.lock().unwrap().remove(name).unwrap_or_default();
    let text = text.lock().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

struct Writer(Option<Text>);

fn writer() -> Writer {
    let thread = std::thread::current();
    Writer(thread.name().and_then(|name| LOGS.lock().unwrap().get(name).cloned()))
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(text) = &self.0 {
            text.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
