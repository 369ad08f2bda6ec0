//! aiosmtpd, Python's mail server: submission with STARTTLS, and with TLS from the first byte, with a login by password;
//! what it accepts it hands on to a sink before it answers. It offers no PIPELINING. Its rules stand in
//! `aiosmtpd/server.py`.

use crate::{
    certificates::ServerCertificate,
    error::{Error, Result},
    ports::{free_port, greets},
    process::Process,
    scratch::Scratch,
};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Command, time::Duration};

/// It is there within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Debian's Python: others in `PATH` do not know Debian's packages.
const PYTHON: &str = "/usr/bin/python3";
/// Of the package, beside the library that we want.
const PROGRAM: &str = "/usr/bin/aiosmtpd";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/aiosmtpd/server.py");

/// How aiosmtpd behaves.
///
/// Recipients whose address begins with `gone` are refused (550 5.1.1), those with `grey` at the first time only (450
/// 4.7.1).
#[derive(Debug, Clone)]
pub struct AiosmtpdOptions {
    /// Its certificate.
    pub certificate: ServerCertificate,
    /// Users with their passwords, for PLAIN and LOGIN.
    pub users: Vec<(String, String)>,
    /// Where accepted mail goes (SMTP without TLS).
    pub sink: SocketAddr,
    /// Largest message in bytes.
    pub message_size_limit: u32,
}

/// A running aiosmtpd; dropping it ends it.
pub struct Aiosmtpd {
    process: Process,
    starttls_port: u16,
    implicit_port: u16,
    _scratch: Scratch,
}

impl Aiosmtpd {
    /// Starts it on two ports of 127.0.0.1 and waits until it greets.
    pub async fn start(options: AiosmtpdOptions) -> Result<Self> {
        if !Path::new(PROGRAM).exists() {
            let remedy = "apt-get install --no-install-recommends python3-aiosmtpd".to_owned();
            return Err(Error::Missing { program: "aiosmtpd".to_owned(), remedy });
        }
        let scratch = Scratch::new("aiosmtpd")?;
        let (starttls_port, implicit_port) = (free_port()?, free_port()?);
        let (certificate, key) = options.certificate.write(&scratch, "tls")?;
        let settings = json!({
            "startTLSPort": starttls_port,
            "implicitPort": implicit_port,
            "certificate": certificate,
            "key": key,
            "users": options.users.into_iter().collect::<BTreeMap<_, _>>(),
            "sink": [options.sink.ip(), options.sink.port()],
            "messageSizeLimit": options.message_size_limit,
        });
        let mut command = Command::new(PYTHON);
        command.arg(SERVER).arg(scratch.write("settings.json", settings.to_string())?);
        let process = Process::start("aiosmtpd", &command, &scratch.join("aiosmtpd.log"))?;
        process.until_ready(START_LIMIT, async || greets(starttls_port).await).await?;
        Ok(Self { process, starttls_port, implicit_port, _scratch: scratch })
    }

    /// The port where a session begins without TLS, which STARTTLS then demands, and a login after it.
    pub fn starttls_port(&self) -> u16 {
        self.starttls_port
    }

    /// The port where TLS begins with the first byte; demands a login.
    pub fn implicit_port(&self) -> u16 {
        self.implicit_port
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
