//! Exim: submission with STARTTLS, the same with TLS from the first byte, and a relay that asks for nothing. It knows
//! its users for PLAIN and LOGIN, takes a client certificate for EXTERNAL, and lets a Dovecot judge everything else; what
//! it accepts it hands on to a sink.
//!
//! The program is Debian's, in the cache (see `debian.rs`); the machine needs its user, `Debian-exim`.

use crate::{
    certificates::ServerCertificate,
    debian,
    error::{Error, Result},
    ports::{MailPorts, greets},
    process::{self, Process},
    scratch::Scratch,
};
use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// It is there within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Compiled into Debian's program.
const USER: &str = "Debian-exim";

/// How Exim behaves.
///
/// Recipients whose address begins with `gone` are refused (550 5.1.1), those with `grey` at the first time only (451
/// 4.7.1).
#[derive(Debug, Clone)]
pub struct EximOptions {
    /// Its certificate.
    pub certificate: ServerCertificate,
    /// Users with their passwords, for PLAIN and LOGIN.
    pub users: Vec<(String, String)>,
    /// The authority (PEM) of client certificates for EXTERNAL; their common name is the user.
    pub client_ca: String,
    /// The socket of a Dovecot for SCRAM-SHA-256, XOAUTH2 and OAUTHBEARER, from
    /// [`Dovecot::auth_socket`](crate::Dovecot::auth_socket).
    pub auth_socket: PathBuf,
    /// Where accepted mail goes (SMTP without TLS).
    pub sink: SocketAddr,
    /// Most recipients of a transaction, `recipients_max`.
    pub recipient_limit: u32,
    /// Largest message in bytes, `message_size_limit`.
    pub message_size_limit: u32,
}

/// A running Exim; dropping it ends it.
pub struct Exim {
    _process: Process,
    ports: MailPorts,
    scratch: Scratch,
}

impl Exim {
    /// Unpacks Exim when it is not in the cache, starts it on three ports of 127.0.0.1 and waits until it greets.
    pub async fn start(options: EximOptions) -> Result<Self> {
        let program = debian::exim().await?;
        let scratch = Scratch::new("exim")?;
        let ports = MailPorts::free()?;
        options.certificate.write(&scratch, "tls")?;
        scratch.write("clients.crt", &options.client_ca)?;
        let users = options.users.iter().fold(String::new(), |mut lines, (user, password)| {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{user}: {password}");
            lines
        });
        scratch.write("users", users)?;
        for folder in ["spool", "log", "seen"] {
            fs::create_dir(scratch.join(folder)).map_err(Error::io(format!("making {folder}")))?;
        }
        let is_root =
            fs::metadata(scratch.path()).map_err(Error::io("looking at a scratch folder"))?.uid() == 0;
        if is_root {
            scratch.open_to_all()?;
            scratch.give(scratch.path(), USER)?;
        }
        // After the change of owner: Exim distrusts a configuration that its own user could have written.
        let file = scratch.write("exim.conf", configuration(&scratch, &options, ports))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
            .map_err(Error::io("opening exim.conf"))?;
        let mut command = Command::new(program);
        command.arg("-C").arg(file).arg("-bdf");
        let process = Process::start("exim", &process::watched(&command), &scratch.join("exim.log"))?;
        process.until_ready(START_LIMIT, async || greets(ports.starttls).await).await?;
        Ok(Self { _process: process, ports, scratch })
    }

    /// The port where a session begins without TLS, which STARTTLS then demands, and a login after it.
    pub fn starttls_port(&self) -> u16 {
        self.ports.starttls
    }

    /// The port where TLS begins with the first byte; demands a login.
    pub fn implicit_port(&self) -> u16 {
        self.ports.implicit
    }

    /// The port that takes mail without login; TLS is offered.
    pub fn relay_port(&self) -> u16 {
        self.ports.relay
    }

    /// What it logged: what became of the mail, and whom it refused and why.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.scratch.join(name)).unwrap_or_default();
        ["log/main", "log/reject", "log/panic"].map(read).concat()
    }
}

fn configuration(scratch: &Scratch, options: &EximOptions, ports: MailPorts) -> String {
    let base = scratch.path().display();
    let MailPorts { starttls, implicit, relay } = ports;
    format!(
        "primary_hostname = exim.test
spool_directory = {base}/spool
log_file_path = {base}/log/%s
pid_file_path = {base}/exim.pid
local_interfaces = 127.0.0.1.{starttls} : 127.0.0.1.{implicit} : 127.0.0.1.{relay}
tls_on_connect_ports = {implicit}
keep_environment =
# Only the user that receives mail is needed, so nothing has to become root again.
deliver_drop_privilege = true
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = {size}
recipients_max = {recipients}
smtp_accept_max = 100
# It would leave the eleventh message of a session in its queue for the next half hour.
smtp_accept_queue_per_connection = 0
tls_advertise_hosts = *
tls_certificate = {base}/tls.crt
tls_privatekey = {base}/tls.key
tls_verify_certificates = {base}/clients.crt
tls_try_verify_hosts = *
auth_advertise_hosts = ${{if def:tls_in_cipher {{${{if ={{$received_port}}{{{relay}}} {{}}{{*}}}}}}}}
acl_smtp_mail = judge_sender
acl_smtp_rcpt = judge_recipient
acl_smtp_data = accept

begin acl
judge_sender:
  accept authenticated = *
  accept condition = ${{if ={{$received_port}}{{{relay}}}}}
  deny message = 530 5.7.0 Log in first
judge_recipient:
  deny local_parts = ^gone
    message = 550 5.1.1 No such user here
  # `mkdir` looks and notes in one step.
  defer local_parts = ^grey
    condition = ${{run{{/bin/mkdir {base}/seen/$local_part}}{{yes}}{{no}}}}
    message = 451 4.7.1 Greylisted, please come back
  accept

begin routers
everything:
  driver = manualroute
  domains = *
  transport = to_sink
  route_list = * 127.0.0.1
  self = send

begin transports
to_sink:
  driver = smtp
  port = {sink_port}
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_dane =
  multi_domain
  max_rcpt = 0

begin retry
* * F,1h,1m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{$auth3}}{{${{lookup{{$auth2}}lsearch{{{base}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if eq{{$auth2}}{{${{lookup{{$auth1}}lsearch{{{base}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth1
external:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${{certextract{{subject,CN}}{{$tls_in_peercert}}}}
  server_condition = ${{if or{{{{eq{{$auth1}}{{}}}}{{eq{{$auth1}}{{$auth2}}}}}}}}
  server_set_id = $auth2
{dovecot}",
        size = options.message_size_limit,
        recipients = options.recipient_limit,
        sink_port = options.sink.port(),
        dovecot = ["SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"]
            .map(|mechanism| format!(
                "{name}:\n  driver = dovecot\n  public_name = {mechanism}\n  server_socket = {socket}\n  \
                 server_set_id = $auth1\n",
                name = mechanism.to_lowercase().replace('-', "_"),
                socket = options.auth_socket.display(),
            ))
            .concat(),
    )
}
