//! Mailpit: a mail server that keeps what it gets and shows it through an API.
//!
//! STARTTLS and a login are demanded when they are configured, and replies can be made to fail on request.

use crate::{
    certificates::ServerCertificate,
    error::{Error, Result},
    http,
    ports::free_port,
    process::{LOOK, Process},
    scratch::Scratch,
    tools,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::{Duration, Instant},
};

/// It is there within half a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The API answers with 50 messages unless asked for more.
const ALL: u32 = 100_000;

/// How Mailpit behaves. The default is a relay without TLS and without login.
#[derive(Debug, Clone, Default)]
pub struct MailpitOptions {
    /// Speak TLS with this certificate.
    pub certificate: Option<ServerCertificate>,
    /// How TLS begins when there is a certificate.
    pub tls: MailpitTls,
    /// Demand this login (user name, password).
    pub login: Option<(String, String)>,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MailpitTls {
    /// By STARTTLS, without which no mail is accepted.
    #[default]
    StartTlsRequired,
    /// From the first byte.
    Implicit,
}

/// A running Mailpit; dropping it ends it and forgets its mail.
pub struct Mailpit {
    process: Process,
    smtp: SocketAddr,
    api_url: String,
    client: reqwest::Client,
    _scratch: Scratch,
}

/// A message as the inbox lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InboxMessage {
    /// Mailpit's own identifier.
    #[serde(rename = "ID")]
    pub id: String,
    /// The Message-ID, without angle brackets.
    #[serde(rename = "MessageID")]
    pub message_id: String,
    /// From.
    pub from: Option<InboxAddress>,
    /// To.
    #[serde(default)]
    pub to: Vec<InboxAddress>,
    /// Recipients of the envelope that no header names.
    #[serde(default)]
    pub bcc: Vec<InboxAddress>,
    /// The subject, decoded.
    pub subject: String,
    /// Size in octets.
    pub size: u64,
}

/// An address as the inbox shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InboxAddress {
    /// The display name, perhaps empty.
    pub name: String,
    /// The address.
    pub address: String,
}

/// Replies that Mailpit makes up instead of doing its work.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Chaos {
    /// For AUTH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Fault>,
    /// For RCPT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Fault>,
    /// For MAIL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Fault>,
}

/// A made-up reply.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fault {
    /// Reply code, 400 to 599.
    pub error_code: u16,
    /// How often, in per cent.
    pub probability: u8,
}

#[derive(Deserialize)]
struct Listing {
    total: usize,
    messages: Vec<InboxMessage>,
}

impl Mailpit {
    /// Builds Mailpit when it is not in the cache, starts it and waits until it answers.
    pub async fn start(options: MailpitOptions) -> Result<Self> {
        let program = tools::mailpit().await?;
        let scratch = Scratch::new("mailpit")?;
        let smtp = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(program);
        command
            .arg(format!("--database={}", scratch.join("mailpit.db").display()))
            .arg(format!("--smtp={smtp}"))
            .arg(format!("--listen={listen}"))
            // It would remove the oldest beyond 500, and look names up and ask the network for its own updates.
            .args(["--max=0", "--smtp-disable-rdns", "--disable-version-check"])
            .args(["--enable-chaos", "--smtp-max-recipients=1000"]);
        if let Some(certificate) = &options.certificate {
            let (certificate, key) = certificate.write(&scratch, "smtp")?;
            let demand = match options.tls {
                MailpitTls::StartTlsRequired => "--smtp-require-starttls",
                MailpitTls::Implicit => "--smtp-require-tls",
            };
            command.arg(format!("--smtp-tls-cert={}", certificate.display()));
            command.arg(format!("--smtp-tls-key={}", key.display())).arg(demand);
        }
        if let Some((user, password)) = &options.login {
            let file = scratch.write("logins", format!("{user}:{password}\n"))?;
            command.arg(format!("--smtp-auth-file={}", file.display()));
            if options.certificate.is_none() {
                command.arg("--smtp-auth-allow-insecure");
            }
        }
        let process = Process::start("mailpit", &command, &scratch.join("mailpit.log"))?;
        let api_url = format!("http://{listen}");
        let mailpit = Self { process, smtp, api_url, client: http::plain()?, _scratch: scratch };
        let is_ready =
            async || mailpit.count().await.is_ok() && tokio::net::TcpStream::connect(smtp).await.is_ok();
        mailpit.process.until_ready(START_LIMIT, is_ready).await?;
        Ok(mailpit)
    }

    /// Where it takes mail.
    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp
    }

    /// Where its API begins, `http://127.0.0.1:PORT`; messages are under `/api/v1/messages`.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Every message it holds, the newest first.
    pub async fn messages(&self) -> Result<Vec<InboxMessage>> {
        Ok(self.listing(ALL).await?.messages)
    }

    /// How many messages it holds.
    pub async fn count(&self) -> Result<usize> {
        Ok(self.listing(1).await?.total)
    }

    /// A message as it came in, with what Mailpit put in front (`Return-Path`, `Received`).
    pub async fn raw(&self, id: &str) -> Result<String> {
        self.get(&format!("/api/v1/message/{id}/raw")).await
    }

    /// Waits until it holds `count` messages or more, and returns them, the newest first.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<InboxMessage>> {
        let start = Instant::now();
        loop {
            let seen = self.count().await?;
            if seen >= count {
                return self.messages().await;
            }
            if start.elapsed() > limit {
                let what = format!("the arrival of message {count}");
                return Err(Error::TooLate { what, limit, detail: format!("; the inbox holds {seen}") });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets every message.
    pub async fn clear(&self) -> Result<()> {
        let attempt = "emptying the inbox";
        let request = self.client.delete(format!("{}/api/v1/messages", self.api_url));
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(Error::http(attempt))
    }

    /// Makes replies fail from now on; `Chaos::default()` ends it.
    pub async fn set_chaos(&self, chaos: Chaos) -> Result<()> {
        let request = self.client.put(format!("{}/api/v1/chaos", self.api_url)).json(&chaos);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(Error::http("setting Mailpit's chaos"))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn listing(&self, limit: u32) -> Result<Listing> {
        let text = self.get(&format!("/api/v1/messages?limit={limit}")).await?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Unexpected(format!("reading Mailpit's list: {error}")))
    }

    async fn get(&self, path: &str) -> Result<String> {
        let attempt = || format!("asking Mailpit for {path}");
        let answer = self.client.get(format!("{}{path}", self.api_url)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status).map_err(Error::http(attempt()))?;
        answer.text().await.map_err(Error::http(attempt()))
    }
}
