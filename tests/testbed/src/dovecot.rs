//! Dovecot's submission server: a login by password or by token, over STARTTLS or TLS from the first byte; what it
//! accepts it hands on to a sink. Other mail servers can let it judge their logins.
//!
//! Needs Debian's dovecot-core and dovecot-submissiond 2.3. Started by root it uses the package's own users, as it would in
//! production; otherwise everything runs as whoever started it.

use crate::{
    certificates::ServerCertificate,
    error::{Error, Result},
    oidc::TokenTrust,
    ports::{free_port, greets},
    process::Process,
    scratch::Scratch,
};
use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// It is there within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Not in every user's `PATH`.
const PROGRAM: &str = "/usr/sbin/dovecot";
/// In the scratch folder. Short: a socket's path has 107 bytes at most.
const AUTH_SOCKET: &str = "run/other-servers";

/// How Dovecot behaves.
#[derive(Debug, Clone)]
pub struct DovecotOptions {
    /// Its certificate.
    pub certificate: ServerCertificate,
    /// Users with their passwords, for PLAIN, LOGIN and SCRAM-SHA-256.
    pub users: Vec<(String, String)>,
    /// Whose tokens it takes, for XOAUTH2 and OAUTHBEARER; none: these mechanisms are not offered.
    pub tokens: Option<TokenTrust>,
    /// Where accepted mail goes (SMTP without TLS), such as a Mailpit.
    pub sink: SocketAddr,
}

/// A running Dovecot; dropping it ends it.
pub struct Dovecot {
    process: Process,
    starttls_port: u16,
    implicit_port: u16,
    scratch: Scratch,
}

impl Dovecot {
    /// Starts it on two ports of 127.0.0.1 and waits until it greets.
    pub async fn start(options: DovecotOptions) -> Result<Self> {
        if !Path::new(PROGRAM).exists() {
            let remedy = "apt-get install dovecot-core dovecot-submissiond".to_owned();
            return Err(Error::Missing { program: "dovecot".to_owned(), remedy });
        }
        let scratch = Scratch::new("dovecot")?;
        let (starttls_port, implicit_port) = (free_port()?, free_port()?);
        let account = Account::of_dovecot()?;
        let configuration = write_files(&scratch, &options, &account, starttls_port, implicit_port)?;
        account.take_over(&scratch)?;
        let mut command = Command::new(PROGRAM);
        command.args(["-F", "-c"]).arg(configuration);
        let process = Process::start("dovecot", &command, &scratch.join("dovecot.log"))?;
        process.until_ready(START_LIMIT, async || greets(starttls_port).await).await?;
        Ok(Self { process, starttls_port, implicit_port, scratch })
    }

    /// The port where a session begins without TLS, which STARTTLS then demands.
    pub fn starttls_port(&self) -> u16 {
        self.starttls_port
    }

    /// The port where TLS begins with the first byte.
    pub fn implicit_port(&self) -> u16 {
        self.implicit_port
    }

    /// Where other mail servers can ask it about logins.
    pub fn auth_socket(&self) -> PathBuf {
        self.scratch.join(AUTH_SOCKET)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The system users under which Dovecot's parts run.
struct Account {
    /// For everything that holds mail or passwords.
    user: String,
    group: String,
    /// For what talks to strangers.
    login_user: String,
    root: bool,
}

impl Account {
    fn of_dovecot() -> Result<Self> {
        if id(&["-u"])? == "0" {
            let dovecot = || "dovecot".to_owned();
            return Ok(Self {
                user: dovecot(),
                group: dovecot(),
                login_user: "dovenull".to_owned(),
                root: true,
            });
        }
        let user = id(&["-un"])?;
        Ok(Self { login_user: user.clone(), user, group: id(&["-gn"])?, root: false })
    }

    /// Gives the prepared files to Dovecot's user.
    fn take_over(&self, scratch: &Scratch) -> Result<()> {
        if !self.root {
            return Ok(());
        }
        scratch.open_to_all()?;
        scratch.give(scratch.path(), &format!("{}:{}", self.user, self.group))
    }
}

/// Writes the configuration with everything it names, and returns its path.
fn write_files(
    scratch: &Scratch,
    options: &DovecotOptions,
    account: &Account,
    starttls_port: u16,
    implicit_port: u16,
) -> Result<PathBuf> {
    let base = scratch.path().display();
    options.certificate.write(scratch, "tls")?;
    fs::create_dir(scratch.join("home")).map_err(Error::io("making Dovecot's home folder"))?;
    let users = options.users.iter().fold(String::new(), |mut lines, (user, password)| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{user}:{{PLAIN}}{password}");
        lines
    });
    scratch.write("users", users)?;
    let (mechanisms, token_passdb) = match &options.tokens {
        None => ("plain login scram-sha-256", String::new()),
        Some(trust) => {
            let path = write_token_settings(scratch, trust)?;
            let passdb = format!(
                "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {path}\n}}"
            );
            ("plain login scram-sha-256 xoauth2 oauthbearer", passdb)
        }
    };
    let (user, group, login_user) = (&account.user, &account.group, &account.login_user);
    // Only root can lock a process up in a folder.
    let chroot = if account.root { "" } else { "  chroot =\n" };
    // Wrong passwords cost neither a delay nor a growing penalty: tests give them on purpose.
    let (sink_host, sink_port) = (options.sink.ip(), options.sink.port());
    let text = format!(
        "base_dir = {base}/run
state_dir = {base}/state
log_path = /dev/stderr
auth_verbose = yes
protocols = submission
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login_user}
first_valid_uid = 0
ssl = required
ssl_cert = <{base}/tls.crt
ssl_key = <{base}/tls.key
auth_mechanisms = {mechanisms}
{token_passdb}
passdb {{
  driver = passwd-file
  mechanisms = plain login scram-sha-256
  args = scheme=PLAIN username_format=%u {base}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={base}/home/%u allow_all_users=yes
}}
mail_location = maildir:{base}/home/%u/Maildir
submission_relay_host = {sink_host}
submission_relay_port = {sink_port}
service submission-login {{
{chroot}  inet_listener submission {{
    port = {starttls_port}
  }}
  inet_listener submissions {{
    port = {implicit_port}
    ssl = yes
  }}
}}
service auth {{
  unix_listener other-servers {{
    mode = 0666
  }}
}}
service anvil {{
{chroot}  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_failure_delay = 0
"
    );
    scratch.write("dovecot.conf", text)
}

/// Lets Dovecot check tokens by itself. It looks for a key under the token's `azp` (`default` when there is none), algorithm
/// and key id.
fn write_token_settings(scratch: &Scratch, trust: &TokenTrust) -> Result<String> {
    let folder = scratch.join("keys/default/RS256");
    fs::create_dir_all(&folder).map_err(Error::io("making Dovecot's key folder"))?;
    fs::write(folder.join(&trust.key_id), &trust.public_key_pem)
        .map_err(Error::io("writing a public key"))?;
    let text = format!(
        "introspection_mode = local
local_validation_key_dict = fs:posix:prefix={}/
username_attribute = email
issuers = {}
",
        scratch.join("keys").display(),
        trust.issuer
    );
    Ok(scratch.write("oauth2.conf.ext", text)?.display().to_string())
}

/// What id(1) says.
fn id(arguments: &[&str]) -> Result<String> {
    let output = Command::new("id").args(arguments).output().map_err(Error::io("running id"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
