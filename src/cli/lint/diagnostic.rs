//! What lint says: how grave it is, under which code, about which place of which file, and what would be right.

use crate::api::Reason;
use crate::domain::object::ObjectKey;
use std::fmt;
use std::ops::Range;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// Which kind of finding it is.
    pub code: Code,
    /// What is wrong: lower case, without a full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// Which of the files, counted from 0.
    pub file: usize,
    /// Where in its text, in octets.
    pub span: Range<usize>,
    /// The object it is about.
    pub object: Option<ObjectName>,
    /// The field it is about, for example `spec.to[0].address`.
    pub field: Option<String>,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Likely not what was meant, or about to end.
    Warning,
    /// The API server or the operator refuses it.
    Error,
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The object that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace and name.
    pub key: ObjectKey,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.key.name {
            "" => f.write_str(&self.kind),
            _ => write!(f, "{} {}", self.kind, self.key),
        }
    }
}

macro_rules! codes {
    ($($name:ident $word:literal $description:literal,)+) => {
        /// Which kind of finding it is. The words are stable: people filter by them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $description] $name,)+
            /// What the operator would write as the reason of a condition.
            Operator(Reason),
        }

        impl Code {
            /// Those of lint itself.
            pub const OWN: &[Self] = &[$(Self::$name,)+];

            /// What it means, as a sentence.
            pub fn description(self) -> String {
                match self {
                    $(Self::$name => $description.into(),)+
                    Self::Operator(reason) => {
                        format!("The operator would answer with the reason {}.", reason.as_str())
                    }
                }
            }

            fn word(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($word),)+
                    Self::Operator(_) => None,
                }
            }
        }
    };
}

codes! {
    YAMLSyntax "yaml-syntax" "The file is not valid YAML.",
    NotText "not-text" "The file is not UTF-8 text.",
    DuplicateKey "duplicate-key" "A map has the same key twice; kubectl keeps only the last.",
    YAMLWord "yaml-word" "kubectl reads YAML 1.1, which takes this word or number for something else than it looks like.",
    NoManifest "no-manifest" "A document is not a Kubernetes object.",
    UnknownKind "unknown-kind" "The group mail-operator.dev has no such kind or version.",
    Metadata "metadata" "The API server would refuse the object's metadata.",
    UnknownField "unknown-field" "The kind has no such field.",
    WrongType "wrong-type" "The value has another type than the field.",
    InvalidValue "invalid-value" "The field does not accept this value.",
    MissingField "missing-field" "A required field is missing.",
    DuplicateEntry "duplicate-entry" "A list names the same thing twice.",
    Rule "rule" "A validation rule of the API server refuses the object.",
    StatusIgnored "status-ignored" "The API server drops a status that is applied.",
    DuplicateObject "duplicate-object" "The same object is there twice.",
    UnknownAnnotation "unknown-annotation" "The operator knows no such annotation.",
    MissingReference "missing-reference" "A reference leads to an object that is not among the files.",
    GenerateName "generate-name" "kubectl apply needs a name; generateName works with kubectl create only.",
    AlreadyExpired "already-expired" "The time in which the message may be sent is over.",
    LikelyDouble "likely-double" "Two recipients differ in the case of letters alone.",
    BasicAuthRetiring "basic-auth-retiring" "Exchange Online is switching password logins off.",
    PlaintextAuth "plaintext-auth" "The password travels unencrypted.",
    CredentialExpiring "credential-expiring" "A credential has ended, or it cannot be read when it does.",
    PlainSecret "plain-secret" "A file holds a credential in plain text.",
    Chart "chart" "The templates of a chart are no manifests until they are rendered.",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.word(), self) {
            (Some(word), _) => f.write_str(word),
            (None, Self::Operator(reason)) => f.write_str(&kebab(reason.as_str())),
            (None, _) => Ok(()),
        }
    }
}

/// `CANotFound` becomes `ca-not-found`.
fn kebab(words: &str) -> String {
    let letters: Vec<char> = words.chars().collect();
    let mut kebab = String::with_capacity(words.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = letter.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase())
                || before.is_some() && after.is_some_and(|after| after.is_lowercase()));
        if begins {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

impl Diagnostic {
    /// An error at a place of a file.
    pub fn error(code: Code, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, code, message, help: None, file, span, object: None, field: None }
    }

    /// A warning at a place of a file.
    pub fn warning(code: Code, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// A note at a place of a file.
    pub fn note(code: Code, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, file, span, message) }
    }

    /// With what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the field it is about.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_in_lower_case() {
        assert_eq!(Code::Operator(Reason::SecretNotBound).to_string(), "secret-not-bound");
        assert_eq!(kebab("CANotFound"), "ca-not-found");
        assert_eq!(kebab("DNSFailed"), "dns-failed");
        assert_eq!(Code::YAMLSyntax.to_string(), "yaml-syntax");
    }
}
