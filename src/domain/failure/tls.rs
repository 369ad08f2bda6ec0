//! What a TLS error means, in one table for mail servers, token endpoints and proxies. The sentences contain only
//! what we know ourselves: before the handshake is done, the other side's words count for nothing.

use crate::api::Reason;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use std::fmt;

/// Who is at the other end, with the name we know it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer<'a> {
    /// A mail server; the name its certificate has to carry.
    MailServer(&'a str),
    /// A token endpoint; host, and port if it is not 443.
    TokenEndpoint(&'a str),
    /// A proxy that is spoken to over TLS; host and port.
    Proxy(&'a str),
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MailServer(_) => f.write_str("the server"),
            Self::TokenEndpoint(host) => write!(f, "token endpoint {host}"),
            Self::Proxy(host) => write!(f, "proxy {host}"),
        }
    }
}

impl<'a> Peer<'a> {
    const fn name(self) -> &'a str {
        match self {
            Self::MailServer(name) | Self::TokenEndpoint(name) | Self::Proxy(name) => name,
        }
    }

    /// Where a private authority's certificate is given.
    const fn authority(self) -> &'static str {
        match self {
            Self::MailServer(_) => "if it is a private one, give its certificate in tls.caRef",
            Self::TokenEndpoint(_) => "if it is a private one, give its certificate in caRef beside tokenURL",
            Self::Proxy(_) => "a proxy needs one that the operator's image knows",
        }
    }

    const fn renaming(self) -> &'static str {
        match self {
            Self::MailServer(_) => "use a host name that stands in it, or name one in tls.serverName",
            Self::TokenEndpoint(_) => "use a host name that stands in it in tokenURL",
            Self::Proxy(_) => "use a host name that stands in it in proxy.url",
        }
    }

    fn not_tls(self) -> String {
        match self {
            Self::MailServer(_) => NOT_TLS.to_owned(),
            Self::TokenEndpoint(_) => {
                format!("{self} does not speak TLS on this port; check the port in tokenURL")
            }
            Self::Proxy(_) => format!("{self} does not speak TLS on this port; check proxy.url"),
        }
    }

    fn too_old(self) -> String {
        match self {
            Self::MailServer(_) => {
                "the server offers only TLS versions older than tls.minVersion; update the \
                 server, or lower tls.minVersion if it is 1.3"
                    .to_owned()
            }
            Self::TokenEndpoint(_) | Self::Proxy(_) => {
                format!("{self} offers only TLS older than 1.2; it must be updated")
            }
        }
    }

    fn wants_certificate(self) -> String {
        match self {
            Self::MailServer(_) => "the server demands a client certificate that it knows; set or correct \
                 tls.clientCertificateSecretRef"
                .to_owned(),
            Self::TokenEndpoint(_) | Self::Proxy(_) => {
                format!("{self} demands a TLS client certificate, which we cannot show there")
            }
        }
    }
}

/// Said of a mail server whose answer to a handshake is something else.
pub(super) const NOT_TLS: &str = "the server does not speak TLS on this port; with tls.mode Implicit use its TLS \
    port (usually 465), or set tls.mode to StartTLS";

/// The reason, and a sentence with the way out.
pub fn tls_problem(error: &Error, peer: Peer<'_>) -> (Reason, String) {
    match error {
        Error::InvalidCertificate(error) => certificate(error, peer),
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            (Reason::TLSVersionTooOld, peer.too_old())
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::MessageTooShort
            | InvalidMessage::InvalidEmptyPayload,
        )
        | Error::PeerSentOversizedRecord => (Reason::NotTLS, peer.not_tls()),
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => (Reason::TLSHandshakeFailed, peer.wants_certificate()),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            let correct = match peer {
                Peer::MailServer(_) => "host or tls.serverName",
                Peer::TokenEndpoint(_) => "tokenURL",
                Peer::Proxy(_) => "proxy.url",
            };
            let message = format!("{peer} has no certificate for {}; correct {correct}", peer.name());
            (Reason::CertificateNameMismatch, message)
        }
        other => {
            let message = match peer {
                Peer::MailServer(_) => format!("the TLS handshake failed: {}", in_words(other)),
                _ => format!("{peer}: the TLS handshake failed: {}", in_words(other)),
            };
            (Reason::TLSHandshakeFailed, message)
        }
    }
}

fn certificate(error: &CertificateError, peer: Peer<'_>) -> (Reason, String) {
    match error {
        CertificateError::UnknownIssuer => (
            Reason::CertificateUnknownIssuer,
            format!("{peer}'s certificate is signed by no authority we know; {}", peer.authority()),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Reason::CertificateExpired,
            format!("{peer}'s certificate has expired; it must be renewed on the server"),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            Reason::CertificateExpired,
            format!(
                "{peer}'s certificate is not valid yet; compare the clocks of the server and of this node"
            ),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            Reason::CertificateNameMismatch,
            format!("{peer}'s certificate is not for {}; {}", peer.name(), peer.renaming()),
        ),
        // An authority made anew under its old name: the name is known, the key is not.
        CertificateError::BadSignature => {
            let where_ = match peer {
                Peer::MailServer(_) => "; if the authority was made anew, update tls.caRef",
                Peer::TokenEndpoint(_) => "; if the authority was made anew, update caRef beside tokenURL",
                Peer::Proxy(_) => "",
            };
            (
                Reason::CertificateUnknownIssuer,
                format!(
                    "{peer}'s certificate is not signed by the authority we know under that name{where_}"
                ),
            )
        }
        _ => {
            let what = match peer {
                Peer::MailServer(_) => "a mail server",
                Peer::TokenEndpoint(_) | Peer::Proxy(_) => "a server",
            };
            (
                Reason::CertificateInvalid,
                format!(
                    "{peer}'s certificate cannot be used for {what} (wrong purpose, form or algorithm, or an \
                     authority's own certificate); it must be replaced on the server"
                ),
            )
        }
    }
}

/// The kind of an error without its details, some of which are the other side's bytes.
const fn in_words(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server finds no cipher in common, or demands a client certificate"
        }
        Error::AlertReceived(_) => "the server ended it with an alert",
        Error::PeerIncompatible(_) => "the server and we have no cipher or key exchange in common",
        Error::NoCertificatesPresented => "the server shows no certificate",
        _ => "the server does not keep to the protocol",
    }
}
