//! Haraka: submission with STARTTLS, and with TLS from the first byte, with a login by password; what it accepts it hands
//! on to a sink before it answers. Its rules stand in `haraka/judge.js`.

use crate::{
    certificates::ServerCertificate,
    error::{Error, Result},
    ports::{free_port, greets},
    process::Process,
    scratch::Scratch,
    tools,
};
use std::{fmt::Write, fs, net::SocketAddr, os::unix::fs::symlink, process::Command, time::Duration};

/// Node needs two seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
const JUDGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/haraka/judge.js");

/// How Haraka behaves.
///
/// Recipients whose address begins with `gone` are refused (550 5.1.1), those with `grey` at the first time only (450
/// 4.7.1).
#[derive(Debug, Clone)]
pub struct HarakaOptions {
    /// Its certificate.
    pub certificate: ServerCertificate,
    /// Users with their passwords, for PLAIN and LOGIN.
    pub users: Vec<(String, String)>,
    /// Where accepted mail goes (SMTP without TLS).
    pub sink: SocketAddr,
    /// Largest message in bytes.
    pub message_size_limit: u32,
}

/// A running Haraka; dropping it ends it.
pub struct Haraka {
    process: Process,
    starttls_port: u16,
    implicit_port: u16,
    _scratch: Scratch,
}

impl Haraka {
    /// Installs Haraka when it is not in the cache, starts it on two ports of 127.0.0.1 and waits until it greets.
    pub async fn start(options: HarakaOptions) -> Result<Self> {
        let node_modules = tools::haraka().await?;
        let scratch = Scratch::new("haraka")?;
        let (starttls_port, implicit_port) = (free_port()?, free_port()?);
        for folder in ["config", "plugins", "queue"] {
            fs::create_dir(scratch.join(folder)).map_err(Error::io(format!("making {folder}")))?;
        }
        options.certificate.write(&scratch, "config/tls")?;
        let users = options.users.iter().fold(String::new(), |mut lines, (user, password)| {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{user}={password}");
            lines
        });
        let (sink_host, sink_port) = (options.sink.ip(), options.sink.port());
        for (name, content) in [
            ("me", "haraka.test\n".to_owned()),
            ("plugins", "tls\nauth/flat_file\njudge\nqueue/smtp_forward\n".to_owned()),
            (
                "smtp.ini",
                format!(
                    "listen=127.0.0.1:{starttls_port},127.0.0.1:{implicit_port}\nsmtps_port={implicit_port}\nnodes=0\n"
                ),
            ),
            ("tls.ini", "key=tls.key\ncert=tls.crt\n".to_owned()),
            ("auth_flat_file.ini", format!("[core]\nmethods=PLAIN,LOGIN\n[users]\n{users}")),
            ("smtp_forward.ini", format!("host={sink_host}\nport={sink_port}\nenable_outbound=true\n")),
            ("connection.ini", connection_ini(options.message_size_limit)),
        ] {
            scratch.write(&format!("config/{name}"), content)?;
        }
        fs::copy(JUDGE, scratch.join("plugins/judge.js")).map_err(Error::io(format!("copying {JUDGE}")))?;
        // Node looks for modules beside the file that wants them.
        symlink(&node_modules, scratch.join("node_modules")).map_err(Error::io("linking node_modules"))?;
        let mut command = Command::new("node");
        command.arg(node_modules.join("Haraka/bin/haraka")).arg("-c").arg(scratch.path());
        let process = Process::start("haraka", &command, &scratch.join("haraka.log"))?;
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

/// Haraka's own, which it wants whole, with another size, and lines as long as SMTP permits: it would break those of more
/// than 992 bytes, a doubled dot and their end included.
fn connection_ini(size: u32) -> String {
    format!(
        "smtputf8=true
[haproxy]
hosts[]=
[headers]
max_lines=1000
max_received=100
[max]
bytes={size}
mime_parts=1000
line_length=512
data_line_length=1001
[message]
helo=Haraka is at your service.
close=closing connection.
[uuid]
banner_chars=6
deny_chars=0
"
    )
}
