//! What limits and the journal belong to. Namespaces share it only where their specs alone prove that they mean the
//! same server: otherwise a server of somebody's own, which accepts any login, would have a say in another namespace's
//! mail.

use super::{Server, TlsSettings};
use crate::api::mail_server_config::TlsMode;

/// A login at a mail server. Its text names the journal, so it follows from the spec alone and stays the same when a CA
/// bundle or a password is replaced: the day's recipients would otherwise begin at nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    text: String,
    is_shared: bool,
}

impl Account {
    pub(super) fn of(server: &Server) -> Self {
        let host = server.host.to_ascii_lowercase();
        let (namespace, port) = (&server.key.namespace, server.port);
        // Nothing behind the last `@` holds another one or a space, so no user name can pretend to be another account.
        let text = match server.login.username() {
            None => format!("{namespace}:{host}:{port}"),
            Some(name) if !is_proven(server) => format!("{name}@{host}:{port} in {namespace}"),
            Some(name) if server.tls.server_name.eq_ignore_ascii_case(&host) => {
                format!("{name}@{host}:{port}")
            }
            Some(name) => {
                format!("{name}@{host}:{port} as {}", server.tls.server_name.to_ascii_lowercase())
            }
        };
        Self { text, is_shared: server.login.username().is_some() && is_proven(server) }
    }

    /// The same for the same account, and for no other.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether other namespaces may have the same.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }
}

/// Whether everybody who names this host and port gets to the same server, or to none: it is reached directly, and it has
/// a certificate for the name by a public CA. A proxy or a CA that a spec names are the namespace's own and may
/// lead to a server of its own.
fn is_proven(server: &Server) -> bool {
    let TlsSettings { mode, min_version: _, server_name: _, ca, client_certificate: _ } = &server.tls;
    let is_direct = !server.proxy.as_ref().is_some_and(super::Proxy::carries_mail);
    is_direct && *mode != TlsMode::Disabled && ca.is_none()
}
