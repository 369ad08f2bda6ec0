//! The condition types of the three kinds, as one closed enum.

/// What a condition speaks about. Positive ones are always there once looked at; abnormal ones
/// (from `InDoubt` on) are present only while they hold, as kstatus wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The summary of all others, for people and for kstatus.
    Ready,
    /// Secrets and CA bundles were found and may be used as the spec says.
    CredentialsResolved,
    /// DNS knows the host and we may connect to its addresses.
    NameResolved,
    /// TCP connection and SMTP greeting.
    Connected,
    /// TLS with a certificate we trust.
    Secured,
    /// The token endpoint gave a token.
    TokenAcquired,
    /// The server accepted the login.
    Authenticated,
    /// Server, template and values of a Notification were found and are permitted.
    Resolved,
    /// The message of a Notification could be built.
    Rendered,
    /// Every recipient was accepted by the mail server.
    Sent,
    /// It is not known whether the mail server accepted some recipients.
    InDoubt,
    /// Work is under way; nothing for a person to do.
    Reconciling,
    /// Nothing will happen until a person changes something.
    Stalled,
    /// A credential ends soon.
    CredentialExpiring,
    /// The provider has replaced the refresh token; the stored one may work no longer.
    RefreshTokenRotated,
    /// Exchange Online is switching password logins off.
    BasicAuthRetiring,
    /// The password travels unencrypted.
    PlaintextAuth,
    /// The mail server's answers to messages do not arrive.
    AnswersLost,
    /// A Secret's owner has not permitted what an earlier version did not ask for.
    ConsentMissing,
}

impl ConditionType {
    /// The word as it stands in `status.conditions[].type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::CredentialsResolved => "CredentialsResolved",
            Self::NameResolved => "NameResolved",
            Self::Connected => "Connected",
            Self::Secured => "Secured",
            Self::TokenAcquired => "TokenAcquired",
            Self::Authenticated => "Authenticated",
            Self::Resolved => "Resolved",
            Self::Rendered => "Rendered",
            Self::Sent => "Sent",
            Self::InDoubt => "InDoubt",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::CredentialExpiring => "CredentialExpiring",
            Self::RefreshTokenRotated => "RefreshTokenRotated",
            Self::BasicAuthRetiring => "BasicAuthRetiring",
            Self::PlaintextAuth => "PlaintextAuth",
            Self::AnswersLost => "AnswersLost",
            Self::ConsentMissing => "ConsentMissing",
        }
    }
}
