//! A mail client that has nothing to do with ours: Python's smtplib.

use mail_operator_testbed::scratch::Scratch;
use std::process::Command;

/// Logs in by XOAUTH2 in the two-step form: the initial response of a real token is too long for a command line.
const SCRIPT: &str = r#"
import base64, smtplib, ssl, sys
port, ca, tls, mechanism, user, secret, sender, *recipients = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if tls == "implicit":
    session = smtplib.SMTP_SSL("127.0.0.1", int(port), context=context)
else:
    session = smtplib.SMTP("127.0.0.1", int(port))
    if tls == "starttls":
        session.starttls(context=context)
if mechanism == "XOAUTH2":
    session.ehlo()
    code, text = session.docmd("AUTH", "XOAUTH2")
    blob = base64.b64encode(f"user={user}\1auth=Bearer {secret}\1\1".encode()).decode()
    code, text = session.docmd(blob)
    if code == 334:
        code, text = session.docmd("")
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, text)
elif mechanism == "password":
    session.login(user, secret)
session.sendmail(sender, recipients, f"From: {sender}\r\nTo: {recipients[0]}\r\nSubject: from smtplib\r\n\r\nHello\r\n")
session.quit()
"#;

/// What the client is told.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Port of 127.0.0.1.
    pub port: u16,
    /// The authority that the server's certificate must come from.
    pub ca_pem: &'a str,
    /// `starttls`, `implicit` or `none`.
    pub tls: &'a str,
    /// `password`, `XOAUTH2` or `none`, with the user and the password or token.
    pub login: (&'a str, &'a str, &'a str),
}

impl Client<'_> {
    /// Sends a message with the subject `from smtplib`, or returns the last line of Python's complaint.
    pub fn send(self, from: &str, to: &str) -> Result<(), String> {
        let scratch = Scratch::new("smtplib").unwrap();
        let ca = scratch.write("ca.crt", self.ca_pem).unwrap();
        let (mechanism, user, secret) = self.login;
        let output = Command::new("python3")
            .args(["-c", SCRIPT, &self.port.to_string()])
            .arg(ca)
            .args([self.tls, mechanism, user, secret, from, to])
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(())
        } else {
            Err(complaint.lines().last().unwrap_or_default().to_owned())
        }
    }
}
