//! The inbox in its Pod, asked through its Service.

use crate::Failure;
use mail_operator_testbed::node::INBOX;
use serde::Deserialize;

/// A message as it came in.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
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
