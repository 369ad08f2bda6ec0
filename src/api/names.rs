//! The annotations and labels that users and other tools put on objects for us, and those that we
//! put on ours. One place, so that documentation, messages and code cannot drift apart.

/// API group of the three kinds.
pub const GROUP: &str = "mail-operator.dev";
/// API version of the three kinds.
pub const VERSION: &str = "v1alpha1";

/// On a MailServerConfig: verify at once whenever the value changes ("Test").
pub const VERIFY_REQUESTED_AT: &str = "mail-operator.dev/verify-requested-at";
/// On a Secret: the hosts (`host` or `host:port`, comma separated) its contents may be sent to.
pub const ALLOWED_HOSTS: &str = "mail-operator.dev/allowed-hosts";
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
