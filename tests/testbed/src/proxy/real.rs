//! Proxies that people run: microsocks (SOCKS5) and tinyproxy (HTTP CONNECT), unpacked from Debian's packages.

use crate::{debian, error::Result, ports::free_port, process::Process, scratch::Scratch};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};
use tokio::net::TcpStream;

/// They are there at once on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A running proxy on 127.0.0.1; dropping it ends it.
pub struct RealProxy {
    _process: Process,
    _scratch: Scratch,
    address: SocketAddr,
}

impl RealProxy {
    /// A SOCKS5 proxy that wants this user name and password.
    pub async fn microsocks(user: &str, password: &str) -> Result<Self> {
        let program = debian::microsocks().await?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", user, "-P", password]);
        Self::start("microsocks", &command, port, Scratch::new("microsocks")?).await
    }

    /// An HTTP proxy that wants this user name and password, and permits CONNECT to `permitted` only.
    pub async fn tinyproxy(user: &str, password: &str, permitted: u16) -> Result<Self> {
        let program = debian::tinyproxy().await?;
        let (port, scratch) = (free_port()?, Scratch::new("tinyproxy")?);
        let configuration = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\n\
             BasicAuth {user} {password}\nConnectPort {permitted}\n"
        );
        let file = scratch.write("tinyproxy.conf", configuration)?;
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(file);
        Self::start("tinyproxy", &command, port, scratch).await
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start(name: &str, command: &Command, port: u16, scratch: Scratch) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = Process::start(name, command, &scratch.join("log"))?;
        process.until_ready(START_LIMIT, async || TcpStream::connect(address).await.is_ok()).await?;
        Ok(Self { _process: process, _scratch: scratch, address })
    }
}
