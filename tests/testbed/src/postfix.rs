//! Postfix: submission with STARTTLS, the same with TLS from the first byte, and a relay that asks for nothing. Logins
//! are judged by a Dovecot; what it accepts it hands on to a sink.
//!
//! Needs Debian's postfix, and root: its master process gives up its rights itself and refuses to start without. The
//! machine's own Postfix is not touched: configuration, queue and sockets are in a folder of ours.

use crate::{
    certificates::ServerCertificate,
    error::{Error, Result},
    ports::{MailPorts, greets},
    process::{self, Process},
    scratch::Scratch,
};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// It is there within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Its own programs; this one starts all others.
const MASTER: &str = "/usr/lib/postfix/sbin/master";
/// Where both the process and Postfix's own log service write.
const LOG: &str = "postfix.log";
/// What `postfix start` would make, as far as mail goes through it.
const QUEUE: [&str; 12] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private",
    "public", "trace",
];

/// How Postfix behaves.
///
/// Recipients whose address begins with `gone` are refused (550 5.1.1), those with `grey` at the first time only (450
/// 4.7.1). With a login, MAIL must name the login's own address (else 553 5.7.1 at RCPT).
#[derive(Debug, Clone)]
pub struct PostfixOptions {
    /// Its certificate.
    pub certificate: ServerCertificate,
    /// The socket of a Dovecot that knows the users, from [`Dovecot::auth_socket`](crate::Dovecot::auth_socket).
    pub auth_socket: PathBuf,
    /// Where accepted mail goes (SMTP without TLS).
    pub sink: SocketAddr,
    /// Most recipients of a transaction, `smtpd_recipient_limit`.
    pub recipient_limit: u32,
    /// Largest message in bytes, `message_size_limit`.
    pub message_size_limit: u32,
}

/// A running Postfix; dropping it ends it.
pub struct Postfix {
    process: Process,
    ports: MailPorts,
    _scratch: Scratch,
}

impl Postfix {
    /// Starts it on three ports of 127.0.0.1 and waits until it greets.
    pub async fn start(options: PostfixOptions) -> Result<Self> {
        if !Path::new(MASTER).exists() {
            let remedy = "apt-get install --no-install-recommends postfix".to_owned();
            return Err(Error::Missing { program: "postfix".to_owned(), remedy });
        }
        let scratch = Scratch::new("postfix")?;
        let owner = fs::metadata(scratch.path()).map_err(Error::io("looking at a scratch folder"))?.uid();
        if owner != 0 {
            let remedy = "Postfix starts as root only; run this as root, such as in a container".to_owned();
            return Err(Error::Missing { program: "root's right to start Postfix".to_owned(), remedy });
        }
        let ports = MailPorts::free()?;
        make_folders(&scratch)?;
        let (certificate, key) = options.certificate.write(&scratch, "tls")?;
        scratch.write("main.cf", main_cf(&scratch, &options, &certificate, &key))?;
        scratch.write("master.cf", master_cf(&scratch, ports))?;
        scratch.write("greylist", GREYLIST)?;
        for file in ["main.cf", "master.cf", "greylist"] {
            let readable = fs::Permissions::from_mode(0o644);
            fs::set_permissions(scratch.join(file), readable)
                .map_err(Error::io(format!("opening {file}")))?;
        }
        let mut command = Command::new(MASTER);
        command.arg("-c").arg(scratch.path()).arg("-d");
        let process = Process::start("postfix", &process::watched(&command), &scratch.join(LOG))?;
        process.until_ready(START_LIMIT, async || greets(ports.starttls).await).await?;
        Ok(Self { process, ports, _scratch: scratch })
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

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Queue and data folders, with the owners that Postfix insists on.
fn make_folders(scratch: &Scratch) -> Result<()> {
    scratch.open_to_all()?;
    let make = |name: &str, owner: &str, mode: u32| {
        let folder = scratch.join(name);
        fs::create_dir_all(&folder).map_err(Error::io(format!("making {name}")))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode))
            .map_err(Error::io(format!("opening {name}")))?;
        scratch.give(&folder, owner)
    };
    make("queue", "root", 0o755)?;
    make("queue/pid", "root", 0o755)?;
    for name in QUEUE {
        make(&format!("queue/{name}"), "postfix:postdrop", if name == "public" { 0o710 } else { 0o700 })?;
    }
    make("data", "postfix", 0o700)?;
    make("seen", "nobody", 0o700)
}

fn main_cf(scratch: &Scratch, options: &PostfixOptions, certificate: &Path, key: &Path) -> String {
    let base = scratch.path().display();
    format!(
        "compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/{LOG}
maillog_file_prefixes = {base}
myhostname = postfix.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
relayhost = [{sink_host}]:{sink_port}
smtp_tls_security_level = none
in_flow_delay = 0s
smtputf8_enable = yes
message_size_limit = {size}
smtpd_recipient_limit = {recipients}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sender_login_maps = regexp:{{{{/^(.+)$$/ $$1}}}}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
  check_recipient_access regexp:{{{{/^gone/ 550 5.1.1 No such user here}}}}
  check_policy_service unix:private/greylist
  reject_authenticated_sender_login_mismatch
# Wrong passwords and recipients cost no delay: tests give them on purpose.
smtpd_error_sleep_time = 0s
",
        size = options.message_size_limit,
        recipients = options.recipient_limit,
        sink_host = options.sink.ip(),
        sink_port = options.sink.port(),
        certificate = certificate.display(),
        key = key.display(),
        auth = options.auth_socket.display(),
    )
}

fn master_cf(scratch: &Scratch, ports: MailPorts) -> String {
    let MailPorts { starttls, implicit, relay } = ports;
    let base = scratch.path().display();
    format!(
        "127.0.0.1:{relay} inet n - n - - smtpd
  -o mynetworks=127.0.0.0/8
127.0.0.1:{starttls} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
127.0.0.1:{implicit} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
greylist unix - n n - 0 spawn user=nobody argv=/bin/sh {base}/greylist {base}/seen
anvil unix - - n - 1 anvil
bounce unix - - n - 0 bounce
cleanup unix n - n - 0 cleanup
defer unix - - n - 0 bounce
error unix - - n - - error
flush unix n - n 1000? 0 flush
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
qmgr unix n - n 300 1 qmgr
relay unix - - n - - smtp
retry unix - - n - - error
rewrite unix - - n - - trivial-rewrite
scache unix - - n - 1 scache
showq unix n - n - - showq
smtp unix - - n - - smtp
tlsmgr unix - - n 1000? 1 tlsmgr
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
"
    )
}

/// A policy service as postgrey is one: whoever it has not seen may come back. `mkdir` looks and notes in one step.
const GREYLIST: &str = r#"
while read -r line; do
  case "$line" in
    recipient=*) recipient=${line#recipient=} ;;
    '')
      action=DUNNO
      case "$recipient" in
        */*) ;;
        grey*) mkdir "$1/$recipient" 2>/dev/null && action='DEFER 4.7.1 Greylisted, please come back' ;;
      esac
      printf 'action=%s\n\n' "$action" ;;
  esac
done
"#;
