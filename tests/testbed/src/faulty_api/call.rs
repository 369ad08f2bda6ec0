//! Which call it is: what it asks for, without what differs from run to run, and the how-manieth of its like.

use hyper::{Method, Uri};
use std::fmt;
use std::str::FromStr;

/// What sort of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Reads one object.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Anything that writes.
    Write,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct What {
    /// Its sort.
    pub kind: Kind,
    /// The method and what it is used on: `PATCH notifications/news/status`, `WATCH notifications`.
    pub text: String,
}

/// A call of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// What it asks for.
    pub what: What,
    /// The how-manieth that asks for this, from 1.
    pub nth: usize,
}

impl What {
    /// Reads it off a request.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let mut parts: Vec<_> = uri.path().trim_start_matches('/').split('/').collect();
        // api/v1/…, apis/GROUP/VERSION/…
        parts.drain(..if parts.first() == Some(&"apis") { 3 } else { 2 }.min(parts.len()));
        if parts.first() == Some(&"namespaces") && parts.len() > 2 {
            parts.drain(..2);
        }
        let is_one = parts.len() > 1;
        let kind = match *method {
            Method::GET if is_watch(query) => Kind::Watch,
            Method::GET if is_one || parts.is_empty() => Kind::Get,
            Method::GET => Kind::List,
            _ => Kind::Write,
        };
        let word = match kind {
            Kind::List => "LIST",
            Kind::Watch => "WATCH",
            Kind::Get | Kind::Write => method.as_str(),
        };
        let mut text = format!("{word} {}", parts.into_iter().map(stem).collect::<Vec<_>>().join("/"));
        if query.contains("status.finished%3Dtrue") {
            text.push_str("?finished");
        }
        Self { kind, text }
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1")
}

/// A name without the part that is another one in each run: a journal's hash, an Event's number.
fn stem(name: &str) -> &str {
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    if name.starts_with("mail-journal-") { "mail-journal" } else { name }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.what.text, self.nth)
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, nth) = text.rsplit_once(" #").ok_or("a call ends with # and its number")?;
        let kind = match what.split_once(' ') {
            Some(("GET", _)) => Kind::Get,
            Some(("LIST", _)) => Kind::List,
            Some(("WATCH", _)) => Kind::Watch,
            _ => Kind::Write,
        };
        let nth = nth.parse().map_err(|error| format!("{nth}: {error}"))?;
        Ok(Self { what: What { kind, text: what.into() }, nth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_by_what_they_ask_for() {
        let ours = "/apis/mail-operator.dev/v1alpha1/namespaces/x";
        for (method, uri, expected) in [
            ("GET", format!("{ours}/notifications?limit=500"), "LIST notifications"),
            ("GET", format!("{ours}/notifications?watch=true&resourceVersion=1"), "WATCH notifications"),
            (
                "GET",
                format!("{ours}/notifications?fieldSelector=status.finished%3Dtrue"),
                "LIST notifications?finished",
            ),
            ("PATCH", format!("{ours}/notifications/news/status"), "PATCH notifications/news/status"),
            ("POST", "/api/v1/namespaces/x/configmaps".into(), "POST configmaps"),
            (
                "PUT",
                "/api/v1/namespaces/x/configmaps/mail-journal-0a1b".into(),
                "PUT configmaps/mail-journal",
            ),
            ("PATCH", "/apis/events.k8s.io/v1/namespaces/x/events/news.17a3".into(), "PATCH events/news"),
            ("GET", "/api/v1/namespaces/x".into(), "GET namespaces/x"),
            ("GET", "/version".into(), "GET "),
        ] {
            let what = What::of(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!(what.text, expected, "{method} {uri}");
            let call = Call { what, nth: 2 };
            assert_eq!(call.to_string().parse(), Ok(call));
        }
    }
}
