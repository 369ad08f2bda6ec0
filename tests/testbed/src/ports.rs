//! Ports on loopback: free ones, and whether a mail server greets at one.

use crate::error::{Error, Result};
use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Below the range the kernel takes for outgoing connections (32768 and up on Linux), so that no connection
/// can take a port between our look and the server's bind, or while a server is down for a restart.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port of 127.0.0.1 on which nobody listens, different at each call in this process. Processes start at random
/// places of the range, so that two at once hardly ever meet.
pub fn free_port() -> Result<u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        AtomicU16::new(u16::try_from(RandomState::new().hash_one(0) % u64::from(COUNT)).unwrap_or(0))
    });
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::Unexpected(format!("no port between {FIRST} and {} is free", FIRST + COUNT)))
}

/// Where a mail server listens that serves both users and other servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MailPorts {
    /// STARTTLS.
    pub(crate) starttls: u16,
    /// TLS from the first byte.
    pub(crate) implicit: u16,
    /// Without login.
    pub(crate) relay: u16,
}

impl MailPorts {
    /// Three free ones.
    pub(crate) fn free() -> Result<Self> {
        Ok(Self { starttls: free_port()?, implicit: free_port()?, relay: free_port()? })
    }
}

/// Whether a server begins with SMTP's 220.
pub(crate) async fn greets(port: u16) -> bool {
    let greeting = async {
        let mut start = [0; 3];
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?.read_exact(&mut start).await?;
        Ok::<_, std::io::Error>(start)
    };
    tokio::time::timeout(Duration::from_secs(5), greeting)
        .await
        .is_ok_and(|start| start.is_ok_and(|s| &s == b"220"))
}
