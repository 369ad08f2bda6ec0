//! The inbox in its Pod, asked through its Service.

use crate::Failure;
use jiff::Timestamp;
use mail_operator_testbed::node::INBOX;
use serde::Deserialize;

/// A message as it came in.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    /// When it came; Pods and tests have one clock.
    pub created: Timestamp,
    pub to: Vec<Address>,
    pub subject: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Address {
    pub address: String,
}

#[derive(Deserialize)]
struct Listing {
    messages: Vec<Message>,
}

/// Every message, the newest first.
pub async fn messages() -> Result<Vec<Message>, Failure> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let answer = client.get(format!("{INBOX}/api/v1/messages?limit=100000")).send().await?;
    let listing: Listing = serde_json::from_str(&answer.error_for_status()?.text().await?)?;
    Ok(listing.messages)
}

/// Who got something and when, of the addresses that begin with `load-`, in no order.
pub async fn arrivals(load: &str) -> Result<Vec<(String, Timestamp)>, Failure> {
    let begin = format!("{load}-");
    let ours = |message: Message| {
        let created = message.created;
        message.to.into_iter().map(move |to| (to.address, created))
    };
    let all = messages().await?.into_iter().flat_map(ours);
    Ok(all.filter(|(address, _)| address.starts_with(&begin)).collect())
}
