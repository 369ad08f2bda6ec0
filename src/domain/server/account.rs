//! What limits and the journal belong to. Namespaces share it only where their specs alone prove that they mean the
//! same server: otherwise a server of somebody's own, which accepts any login, would have a say in another namespace's
//! mail.

use super::{Proxy, Server, TlsSettings};
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
            Some(name) => {
                let mut text = format!("{name}@{host}:{port}");
                if !server.tls.server_name.eq_ignore_ascii_case(&host) {
                    text.push_str(" as ");
                    text.push_str(&server.tls.server_name.to_ascii_lowercase());
                }
                if let Some(proxy) = mail_proxy(server) {
                    text.push_str(" via ");
                    text.push_str(&proxy.url.as_str().to_ascii_lowercase());
                }
                text
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

/// The proxy on the way of the mail.
fn mail_proxy(server: &Server) -> Option<&Proxy> {
    server.proxy.as_ref().filter(|proxy| proxy.carries_mail())
}

/// Whether everybody who names this host and port gets to the same server, or to none: it is reached directly or through a
/// proxy that the operator's own arguments name, and it has a certificate for the name by a public CA. A CA, or another
/// proxy, that a spec names is the namespace's own and may lead to a server of its own.
fn is_proven(server: &Server) -> bool {
    let TlsSettings { mode, min_version: _, server_name: _, ca, client_certificate: _ } = &server.tls;
    let is_known_way = mail_proxy(server).is_none() || server.proxy_is_known;
    is_known_way && *mode != TlsMode::Disabled && ca.is_none()
}
