//! The two formats of metrics, and which of them somebody who asks prefers. We write OpenMetrics; Prometheus' own text
//! format, which is older and what tools without a wish get, is made of it line by line.

use std::fmt::Write;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What the values of `Accept` prefer (RFC 9110 section 12.5.1). A reader that accepts neither gets text all the
    /// same: it may understand more than it says, and a refusal would be of no use to anybody.
    pub fn preferred<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let ranges = accept.into_iter().flat_map(|value| value.split(','));
        let (mut text, mut open) = (Weight::default(), Weight::default());
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                    ("q", value) => quality = value.parse::<f32>().unwrap_or(0.0),
                    ("version", value) => version = Some(value),
                    _ => {}
                }
            }
            let versioned = |known: &str| version.is_none_or(|version| version == known);
            match media.as_str() {
                "text/plain" if versioned("0.0.4") => text.is(2, quality),
                "application/openmetrics-text" if versioned("1.0.0") => open.is(2, quality),
                "text/*" => text.is(1, quality),
                "application/*" => open.is(1, quality),
                "*/*" => {
                    text.is(0, quality);
                    open.is(0, quality);
                }
                _ => {}
            }
        }
        if open.quality > text.quality { Self::OpenMetrics } else { Self::Text }
    }

    /// For `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What is OpenMetrics, in this format.
    pub fn of(self, open: String) -> String {
        match self {
            Self::Text => text(&open),
            Self::OpenMetrics => open,
        }
    }
}

/// How much a format is wanted: the most specific range that covers it says so.
#[derive(Default)]
struct Weight {
    specific: u8,
    quality: f32,
}

impl Weight {
    fn is(&mut self, specific: u8, quality: f32) {
        let more = specific == self.specific && quality > self.quality;
        if specific > self.specific || more {
            *self = Self { specific, quality };
        }
    }
}

/// Text 0.0.4 calls a counter by the name of its samples, knows no units, no `unknown` and no end.
fn text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // Help comes after the type, but only the type tells the name.
    let mut described = Vec::new();
    for line in open.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described.extend(help.split_once(' '));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            for (_, help) in described.drain(..).filter(|(of, _)| *of == name) {
                // Writing to a String does not fail. Quotes need no escape here.
                let _ = writeln!(text, "# HELP {name}{suffix} {}", help.replace("\\\"", "\""));
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            // An exemplar would stand behind ` # `; we write none.
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_gets_what_he_prefers() {
        use Format::{OpenMetrics, Text};
        // What Prometheus 2.42 and 3 send.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                     application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (&[][..], Text),
            (&[""], Text),
            (&["*/*"], Text),
            (&["text/plain"], Text),
            (&["text/html, application/json"], Text),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["Application/OpenMetrics-Text; Version=1.0.0"], OpenMetrics),
            (&["application/openmetrics-text; version=\"1.0.0\""], OpenMetrics),
            (&["application/openmetrics-text; version=0.0.1"], Text),
            (&["application/openmetrics-text; version=2.0.0, */*;q=0.1"], Text),
            (&[two], OpenMetrics),
            (&[three], OpenMetrics),
            (&["text/plain;version=0.0.4", "application/openmetrics-text;q=0.9"], Text),
            (&["text/plain;q=0.2", "application/openmetrics-text;q=0.9"], OpenMetrics),
            (&["application/openmetrics-text;q=0, */*"], Text),
            (&["text/plain;q=0, */*;q=0.1"], OpenMetrics),
            (&["application/openmetrics-text;q=x"], Text),
            (&["text/*;q=0.3, application/*;q=0.4"], OpenMetrics),
            // Both are equally welcome.
            (&["application/openmetrics-text, text/plain"], Text),
        ] {
            assert_eq!(Format::preferred(accept.iter().copied()), expected, "{accept:?}");
        }
    }

    #[test]
    fn text_of_openmetrics() {
        let open = "# HELP a_b Says \\\"so\\\".\n# TYPE a_b counter\na_b_total{x=\"# y\"} 1\n\
                    # HELP t_seconds Time.\n# TYPE t_seconds histogram\n# UNIT t_seconds seconds\n\
                    t_seconds_sum 0.5\nt_seconds_bucket{le=\"+Inf\"} 1\n# TYPE u unknown\nu 1\n# EOF\n";
        let expected = "# HELP a_b_total Says \"so\".\n# TYPE a_b_total counter\na_b_total{x=\"# y\"} 1\n\
                        # HELP t_seconds Time.\n# TYPE t_seconds histogram\n\
                        t_seconds_sum 0.5\nt_seconds_bucket{le=\"+Inf\"} 1\n# TYPE u untyped\nu 1\n";
        assert_eq!(Format::Text.of(open.into()), expected);
        assert_eq!(Format::OpenMetrics.of(open.into()), open);
    }
}
