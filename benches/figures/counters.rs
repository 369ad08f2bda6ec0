//! The API server's own counters: who asked for what how often, and how many objects lists returned. Differences
//! between two readings are what a figure is made of.

use std::collections::BTreeMap;

/// A reading, or the difference between two.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    requests: BTreeMap<Request, u64>,
    listed: BTreeMap<String, u64>,
}

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// In capitals: `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY`, `DELETE`, `DELETECOLLECTION`, `CONNECT`.
    pub verb: String,
    /// Plural, without group: no two of those that matter share a name.
    pub resource: String,
    /// Empty, or for example `status`.
    pub subresource: String,
}

impl Request {
    fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION")
    }

    /// A write of the status of a Notification.
    pub fn is_notification_status(&self) -> bool {
        self.resource == "notifications" && self.subresource == "status"
    }
}

impl Counters {
    /// Reads the API server's metrics.
    pub fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
            let count = value.parse::<f64>().unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
            let count = count as u64;
            let label = |name| label(labels, name).to_owned();
            match name {
                "apiserver_request_total" => {
                    let request = Request {
                        verb: label("verb"),
                        resource: label("resource"),
                        subresource: label("subresource"),
                    };
                    *counters.requests.entry(request).or_default() += count;
                }
                "apiserver_cache_list_returned_objects_total"
                | "apiserver_storage_list_returned_objects_total" => {
                    *counters.listed.entry(label("resource")).or_default() += count;
                }
                _ => {}
            }
        }
        counters
    }

    /// What has been added since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: grown(&self.requests, &earlier.requests),
            listed: grown(&self.listed, &earlier.listed),
        }
    }

    /// How many writes were like that.
    pub fn writes(&self, like_that: impl Fn(&Request) -> bool) -> u64 {
        let writes = self.requests.iter().filter(|(request, _)| request.is_write() && like_that(request));
        writes.map(|(_, count)| count).sum()
    }

    /// The same writes one by one, for people.
    pub fn show_writes(&self, like_that: impl Fn(&Request) -> bool) {
        for (request, count) in
            self.requests.iter().filter(|(request, _)| request.is_write() && like_that(request))
        {
            println!("    {count} × {} {} {}", request.verb, request.resource, request.subresource);
        }
    }

    /// How many objects of a resource were returned by lists.
    pub fn listed(&self, resource: &str) -> u64 {
        self.listed.get(resource).copied().unwrap_or_default()
    }
}

fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    // Values here are words of the API and hold neither quotes nor commas.
    let of = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"');
    labels.split(',').find_map(of).unwrap_or_default()
}

fn grown<K: Ord + Clone>(now: &BTreeMap<K, u64>, then: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let growth = |(key, count): (&K, &u64)| {
        let growth = count - then.get(key).copied().unwrap_or_default().min(*count);
        (growth > 0).then(|| (key.clone(), growth))
    };
    now.iter().filter_map(growth).collect()
}
