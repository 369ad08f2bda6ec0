//! The annotations and labels that users and other tools put on objects for us, and those that we
//! put on ours. One place, so that documentation, messages and code cannot drift apart.

/// API group of the three kinds.
pub const GROUP: &str = "mail-operator.dev";
/// API version of the three kinds.
pub const VERSION: &str = "v1alpha1";

/// On a MailServerConfig: verify at once whenever the value changes ("Test").
pub const VERIFY_REQUESTED_AT: &str = "mail-operator.dev/verify-requested-at";
/// On a Secret: the hosts its contents may be sent to, comma separated: `host` (the usual ports of mail servers, 443 of
/// a token endpoint), `host:port`, or `host:*`.
pub const ALLOWED_HOSTS: &str = "mail-operator.dev/allowed-hosts";
/// On a Secret: the private CAs that may vouch for those hosts, comma separated: `sha256:` and the digest of the bundle.
pub const ALLOWED_CA: &str = "mail-operator.dev/allowed-ca";
/// On a Secret: `"true"` lets its password travel over a connection without TLS.
pub const ALLOW_PLAINTEXT: &str = "mail-operator.dev/allow-plaintext";
/// On a Secret: `"true"` lets Notifications of its namespace send what it holds, as values or as files.
pub const ALLOW_VALUES: &str = "mail-operator.dev/allow-values";
/// On a Secret: when the credential in it ends (RFC 3339 time or date), for `CredentialExpiring`.
pub const EXPIRES_AT: &str = "mail-operator.dev/expires-at";
/// On a Notification: `sent` or `resend`, ends what only a person can decide.
pub const RESOLVE: &str = "mail-operator.dev/resolve";

/// On a journal's ConfigMap.
pub const JOURNAL_LABEL: &str = "mail-operator.dev/journal";
/// On our CRDs: a number that grows with each change of the schema, so that an older operator
/// never writes its schema over a newer one.
pub const SCHEMA_VERSION: &str = "mail-operator.dev/schema-version";

/// Label of Velero on everything it restores.
pub const VELERO_RESTORE: &str = "velero.io/restore-name";
