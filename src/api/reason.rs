//! Every reason a condition can carry, as one closed enum: what `kubectl get` shows, what metrics
//! are labelled with and what the troubleshooting page explains. Names are the CamelCase words the
//! Kubernetes API conventions ask for; none is ever renamed, since people alert on them.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition has the status it has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All reasons, in the order of declaration: the documentation test walks them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word as it stands in a condition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }

            /// Reads a word back from a stored status. `None` for words of other versions.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }
    };
}

reasons! {
    // Went well.
    /// The stage or the whole succeeded.
    Succeeded,
    /// The mail server takes mail from us.
    Verified,
    /// The mail server config names no login.
    NoLogin,
    /// `tls.mode` is `Disabled`: nothing is encrypted.
    TLSDisabled,
    /// Every recipient was accepted by the mail server.
    Accepted,
    /// The template parses, uses declared names only and renders with its examples.
    Valid,

    // Under way.
    /// Not looked at yet, or a stage before it failed.
    Pending,
    /// Being verified.
    Verifying,
    /// `spec.suspend` is set.
    Suspended,
    /// `delivery.sendAt` lies ahead.
    Scheduled,
    /// Waiting for the mail server, which is not ready.
    WaitingForServer,
    /// Some recipients will be tried again.
    Retrying,

    // Credentials and the spec.
    /// The object as stored does not fit this version's types.
    Undecodable,
    /// The spec contradicts itself in a way the schema cannot see.
    InvalidSpec,
    /// The API server does not store the journal, without which nothing is sent.
    JournalNotStored,
    /// The namespace's MailServerConfigs have as many accounts as the operator admits.
    TooManyAccounts,
    /// The named Secret does not exist.
    SecretNotFound,
    /// The Secret has no such key, or the key is empty or unusable.
    SecretKeyMissing,
    /// The Secret does not name the host it would be sent to.
    SecretNotBound,
    /// The Secret does not permit its password to travel unencrypted.
    PlaintextNotAllowed,
    /// The CA bundle's ConfigMap or Secret is absent or holds no certificate.
    CANotFound,
    /// The client certificate or its key cannot be used.
    ClientCertificateInvalid,
    /// The named ServiceAccount does not exist.
    ServiceAccountNotFound,
    /// The operator may not ask for tokens of the ServiceAccount.
    ServiceAccountNotPermitted,
    /// A token for this audience would be worth something to the Kubernetes API server itself.
    AudienceNotAllowed,
    /// The key of the service account is not a JSON key file, or its private key cannot be used.
    ServiceAccountKeyInvalid,
    /// Kubernetes did not answer while an object was read.
    APIServerUnavailable,

    // Name, connection, TLS.
    /// DNS knows no such host.
    NameNotFound,
    /// DNS did not answer.
    NameServerUnavailable,
    /// The address is one that this operator must not connect to.
    EgressDenied,
    /// Nothing listens on the port.
    ConnectionRefused,
    /// No answer to the connection attempt.
    ConnectTimeout,
    /// The network or a firewall says there is no way to the host.
    HostUnreachable,
    /// The server closed the connection.
    ConnectionClosed,
    /// The server connected but did not answer in time.
    ReplyTimeout,
    /// The answer is not SMTP.
    ProtocolViolation,
    /// The server greets with a refusal.
    ServiceUnavailable,
    /// The server does not offer STARTTLS.
    StartTLSNotOffered,
    /// The server speaks no TLS on this port.
    NotTLS,
    /// The server speaks TLS at once, where STARTTLS was expected.
    TLSOnConnect,
    /// The certificate is signed by nobody we know.
    CertificateUnknownIssuer,
    /// The certificate is no longer, or not yet, valid.
    CertificateExpired,
    /// The certificate is for another name.
    CertificateNameMismatch,
    /// The certificate is wrong in some other way.
    CertificateInvalid,
    /// The server offers only older TLS than `tls.minVersion`.
    TLSVersionTooOld,
    /// The TLS handshake failed for another reason.
    TLSHandshakeFailed,
    /// The proxy cannot be reached.
    ProxyUnavailable,
    /// The proxy does not accept user name and password, or wants some.
    ProxyAuthenticationFailed,
    /// The proxy does not connect us to the server.
    ProxyRefused,

    /// The server was not reached, and this operator does not tell why.
    Unreachable,

    // Tokens.
    /// The token endpoint cannot be reached.
    TokenEndpointUnavailable,
    /// The token endpoint redirects; a redirect would carry the secret away.
    TokenEndpointRedirects,
    /// The token endpoint's answer is not a usable token.
    BadTokenResponse,
    /// The client secret is wrong.
    InvalidClientSecret,
    /// The client secret has expired.
    ClientSecretExpired,
    /// The tenant knows no such application.
    ClientNotFound,
    /// The provider does not know the certificate that the client signs with.
    ClientCertificateUnknown,
    /// The provider trusts no such ServiceAccount: issuer, subject or audience differ.
    FederatedCredentialMismatch,
    /// The refresh token has expired or was revoked.
    RefreshTokenInvalid,
    /// The application is disabled.
    ClientDisabled,
    /// There is no such tenant.
    TenantNotFound,
    /// The scope is refused.
    InvalidScope,
    /// The token endpoint refuses the client for another reason.
    TokenRefused,
    /// The token lacks the application permission or audience the mail server needs.
    TokenUnsuitable,

    // Logging in.
    /// The server does not offer AUTH, or none of the mechanisms that fit.
    AuthNotOffered,
    /// User name, password or token refused.
    AuthenticationFailed,
    /// The server demands a login and the config has none.
    AuthenticationRequired,
    /// The service has switched password logins off.
    BasicAuthDisabled,
    /// SMTP AUTH is switched off for the tenant or the mailbox.
    SmtpAuthDisabled,
    /// A policy (security defaults, conditional access) blocks the login.
    BlockedByPolicy,
    /// The application may not open the mailbox.
    MailboxPermissionMissing,

    // Sending.
    /// The login may not send as this From address.
    SendAsDenied,
    /// The service has blocked the sender.
    SenderBlocked,
    /// Too much at once; tried again more slowly.
    Throttled,
    /// Blocked for hours because of too many errors.
    ThrottledByErrors,
    /// The day's quota is used up.
    QuotaExceeded,
    /// The day's recipients of `limits.recipientsPerDay` are used up.
    LimitReached,
    /// The server asks to come back later, as it does with strangers.
    Greylisted,
    /// The server refuses the recipient.
    RecipientRefused,
    /// The server refuses the recipient for now.
    RecipientDeferred,
    /// The message is larger than the server takes.
    MessageTooLarge,
    /// The server refuses the message.
    MessageRefused,
    /// The server refuses the message for now.
    MessageDeferred,
    /// The address needs SMTPUTF8, which the server does not offer.
    SMTPUTF8NotOffered,

    // Notifications.
    /// The named (or default) mail server config does not exist.
    ServerNotFound,
    /// The mail server config does not admit this namespace.
    ServerNotPermitted,
    /// The mail server config does not permit this From address.
    FromNotPermitted,
    /// The mail server config does not permit this name beside the From address.
    DisplayNameNotPermitted,
    /// The mail server config does not permit a header field that steers a mail provider.
    HeaderNotPermitted,
    /// The named template does not exist.
    TemplateNotFound,
    /// The template does not admit this namespace.
    TemplateNotPermitted,
    /// The template itself is not valid.
    TemplateInvalid,
    /// Values are missing, unknown or of the wrong type.
    InvalidValues,
    /// The template failed while it was rendered with these values.
    RenderFailed,
    /// The rendered message cannot be built.
    InvalidMessage,
    /// A ConfigMap or Secret of `valuesFrom` or `attachments` does not exist.
    SourceNotFound,
    /// It has no such key.
    SourceKeyMissing,
    /// The Secret does not permit to be sent.
    SourceNotPermitted,
    /// The attachments are more than 1 MiB together.
    AttachmentsTooLarge,
    /// Some recipients were accepted, others were not.
    PartiallyAccepted,
    /// No recipient was accepted.
    AllRefused,
    /// The process or the server died between the message and the answer.
    AnswerLost,
    /// Marked as sent by the `resolve` annotation.
    ResolvedAsSent,
    /// Not sent before `delivery.expireAfter` ran out.
    DeadlineExceeded,
    /// A backup tool restored the object; it may have been sent before.
    RestoredFromBackup,
    /// Handling the object crashed three times.
    Quarantined,
    /// The Notification is so large that what becomes of it could not be stored with it.
    NotificationTooLarge,
    /// The API server refuses to store what became of the Notification.
    StatusNotStored,

    // Templates.
    /// A text does not parse.
    SyntaxError,
    /// A text uses a name that `variables` does not declare.
    UndeclaredVariable,
    /// A text does not render with the examples.
    ExampleFailed,
    /// The MJML has a tag or an attribute that MJML does not know, or is not well-formed.
    UnknownMarkup,
    /// A value stands where it cannot be made safe: in a script, in a tag's name, in an address without a type.
    UnsafePlace,
    /// A text is larger than 64 KiB.
    SourceTooLarge,
    /// What was rendered is larger than 1 MiB.
    OutputTooLarge,
    /// Rendering takes more steps than it may.
    TooManySteps,
    /// Expressions, blocks or tags are nested too deep.
    TooDeep,
    /// Checking or rendering took more than two seconds and was ended.
    TimeLimitExceeded,
    /// Checking or rendering took more memory than it may and was ended.
    MemoryLimitExceeded,
    /// The named layout does not exist.
    LayoutNotFound,
    /// Layouts wrap each other in a circle, or too many of them.
    LayoutCycle,
    /// The layout does not fit: it has no place for the content, or is not valid itself.
    LayoutInvalid,

    // Warnings.
    /// A credential ends within 30 days.
    ExpiresSoon,
    /// A credential has ended.
    Expired,
    /// The provider has replaced the refresh token.
    RefreshTokenReplaced,
    /// Exchange Online is switching password logins off.
    ExchangeOnlineBasicAuth,
    /// The password travels unencrypted.
    PasswordUnencrypted,
}

impl Reason {
    /// Whether it tells what there is in the network, and not what a server says that has proved who it is.
    pub const fn is_about_the_network(self) -> bool {
        matches!(
            self,
            Self::NameNotFound
                | Self::NameServerUnavailable
                | Self::EgressDenied
                | Self::ConnectionRefused
                | Self::ConnectTimeout
                | Self::HostUnreachable
                | Self::ConnectionClosed
                | Self::ReplyTimeout
                | Self::ProtocolViolation
                | Self::NotTLS
                | Self::TLSOnConnect
                | Self::CertificateUnknownIssuer
                | Self::CertificateExpired
                | Self::CertificateNameMismatch
                | Self::CertificateInvalid
                | Self::TLSVersionTooOld
                | Self::TLSHandshakeFailed
                | Self::ProxyUnavailable
                | Self::ProxyAuthenticationFailed
                | Self::ProxyRefused
                | Self::TokenEndpointUnavailable
                | Self::Unreachable
        )
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
