//! E-mail addresses and mailboxes, checked so that nothing in them can break out of a header or an
//! SMTP command, and who may stand in From. Whether an address exists is the mail server's answer.

use crate::domain::problem::Problem;
use std::fmt;

/// An address `local@domain` that fits into SMTP and headers as it is: no quoting, no control
/// characters, the domain in lower case and, where it was international, in A-labels (RFC 5890).
///
/// Equality is of the exact local part; [`EmailAddress::same_mailbox`] compares as people do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(lettre::Address);

/// Why a text is not an address that mail can be sent to, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// There is no `@`, or nothing on one side of it.
    #[error("is not an e-mail address: write it like name@corp.example")]
    Shape,
    /// Line breaks, NUL and the like.
    #[error("holds the control character U+{:04X}: remove it", u32::from(*.0))]
    Control(char),
    /// RFC 5321, 4.5.3.1.3.
    #[error("is longer than the 254 octets an e-mail address may have")]
    TooLong,
    /// RFC 5321, 4.5.3.1.1.
    #[error("has more than 64 octets before the @")]
    LocalTooLong,
    /// Includes the quoted form, which hardly any server takes.
    #[error(
        "holds {0:?} before the @, where only letters, digits, single dots and !#$%&'*+-/=?^_`{{|}}~ are possible"
    )]
    Local(char),
    /// `=?utf-8?q?x?=@corp.example`. RFC 2047, section 5 forbids it, some programs decode it all the
    /// same, and then the message goes to somebody else.
    #[error("has an encoded word (=?...?=) before the @: write the address that is meant")]
    EncodedWord,
    /// Starts or ends with a dot, or has two in a row.
    #[error("has a dot too many before the @: dots stand between other characters, one at a time")]
    Dots,
    /// Not a host name, also not after conversion of international characters (RFC 5891).
    #[error("has no DNS name after the @: write a domain like corp.example")]
    Domain,
    /// `name@192.0.2.1` and `name@[192.0.2.1]`.
    #[error("has an IP address after the @: write the domain instead, like corp.example")]
    IPAddress,
    /// A display name of more than 128 characters.
    #[error("is longer than 128 characters: shorten it")]
    NameTooLong,
}

impl AddressProblem {
    /// Names the field and shows the beginning of what it holds.
    fn in_field(&self, field: &str, text: &str) -> Problem {
        let shown: String = text.chars().take(80).collect();
        Problem::new(field, format!("\"{shown}\" {self}"))
    }
}

impl EmailAddress {
    /// Reads an address as a person writes it.
    pub fn parse(text: &str) -> Result<Self, AddressProblem> {
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(AddressProblem::Control(control));
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressProblem::Shape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressProblem::Shape);
        }
        check_local(local)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > 254 {
            return Err(AddressProblem::TooLong);
        }
        lettre::Address::new(local, domain).map(Self).map_err(|_| AddressProblem::Domain)
    }

    /// Reads what stands in a field of a spec, such as `message.replyTo`.
    pub fn from_field(field: &str, text: &str) -> Result<Self, Problem> {
        Self::parse(text).map_err(|problem| problem.in_field(field, text))
    }

    /// `local@domain`, as it goes into headers and commands.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// What stands before the `@`, as it was written.
    pub fn local(&self) -> &str {
        self.0.user()
    }

    /// What stands after the `@`: lower case ASCII.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// Whether only servers with SMTPUTF8 (RFC 6531) can take it: the local part is not ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local().is_ascii()
    }

    /// Whether both mean the same mailbox. ASCII case is ignored before the `@` too: RFC 5321 lets a
    /// server distinguish `It@` from `it@`, but none gives them to different people.
    pub fn same_mailbox(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }

    pub(super) fn lettre(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dot-atom (RFC 5322, 3.2.3), with the characters beyond ASCII that RFC 6531 adds.
fn check_local(local: &str) -> Result<(), AddressProblem> {
    if local.len() > 64 {
        return Err(AddressProblem::LocalTooLong);
    }
    let atext = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_whitespace())
    };
    if let Some(wrong) = local.chars().find(|c| *c != '.' && !atext(*c)) {
        return Err(AddressProblem::Local(wrong));
    }
    if local.contains("=?") {
        return Err(AddressProblem::EncodedWord);
    }
    if local.split('.').any(str::is_empty) {
        return Err(AddressProblem::Dots);
    }
    Ok(())
}

/// The domain as DNS and SMTP know it: A-labels in lower case, at most 253 octets.
fn ascii_domain(domain: &str) -> Result<String, AddressProblem> {
    let bare = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')).unwrap_or(domain);
    if bare.parse::<std::net::IpAddr>().is_ok() || bare.starts_with("IPv6:") {
        return Err(AddressProblem::IPAddress);
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| AddressProblem::Domain)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    // Full-width digits become an IP address only by the conversion.
    if ascii.len() > 253 || !ascii.split('.').all(label) {
        Err(AddressProblem::Domain)
    } else if ascii.parse::<std::net::IpAddr>().is_ok() {
        Err(AddressProblem::IPAddress)
    } else {
        Ok(ascii)
    }
}

/// An address and the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    address: EmailAddress,
    display_name: Option<String>,
}

impl Mailbox {
    /// Checks both. A problem names the part: `address` or `displayName`.
    pub fn parse(address: &str, display_name: Option<&str>) -> Result<Self, (&'static str, AddressProblem)> {
        let address = EmailAddress::parse(address).map_err(|problem| ("address", problem))?;
        let display_name = display_name.map(str::trim).filter(|name| !name.is_empty());
        if let Some(name) = display_name {
            check_name(name).map_err(|problem| ("displayName", problem))?;
        }
        Ok(Self { address, display_name: display_name.map(String::from) })
    }

    /// Reads what stands in a field of a spec, such as `sender` or `to[it@corp.example]`, with its
    /// members `address` and `displayName`.
    pub fn from_field(field: &str, address: &str, display_name: Option<&str>) -> Result<Self, Problem> {
        Self::parse(address, display_name).map_err(|(member, problem)| {
            let text = if member == "address" { address } else { display_name.unwrap_or_default() };
            problem.in_field(&format!("{field}.{member}"), text)
        })
    }

    /// The address.
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }

    /// The name shown beside it: one line, never empty.
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    pub(super) fn lettre(&self) -> lettre::message::Mailbox {
        lettre::message::Mailbox::new(self.display_name.clone(), self.address.lettre())
    }
}

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { address, display_name: None }
    }
}

fn check_name(name: &str) -> Result<(), AddressProblem> {
    if let Some(control) = name.chars().find(|c| c.is_control()) {
        return Err(AddressProblem::Control(control));
    }
    if name.chars().count() > 128 {
        return Err(AddressProblem::NameTooLong);
    }
    Ok(())
}

/// Whether `from` may stand in From: it is the server's `sender`, or one of its `access.senders`
/// names it or, as `*@domain`, its domain. An entry that is no address permits nothing.
pub fn sender_permitted(from: &EmailAddress, sender: &EmailAddress, senders: &[String]) -> bool {
    from.same_mailbox(sender)
        || senders.iter().any(|entry| match entry.strip_prefix("*@") {
            Some(domain) => ascii_domain(domain).is_ok_and(|domain| domain == from.domain()),
            None => EmailAddress::parse(entry).is_ok_and(|entry| entry.same_mailbox(from)),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        use AddressProblem as P;
        let long_local = format!("{}@corp.example", "a".repeat(65));
        let long = format!("{}@{}.example", "a".repeat(64), ["b".repeat(61).as_str(); 3].join("."));
        let long_label = format!("it@{}.example", "a".repeat(64));
        for (text, expected) in [
            ("it@corp.example", Ok("it@corp.example")),
            ("It.Support+x@CORP.Example", Ok("It.Support+x@corp.example")),
            ("root@mailhost", Ok("root@mailhost")),
            ("o'hara@corp.example", Ok("o'hara@corp.example")),
            ("it@bücher.example", Ok("it@xn--bcher-kva.example")),
            ("jörg@bücher.example", Ok("jörg@xn--bcher-kva.example")),
            ("", Err(P::Shape)),
            ("it", Err(P::Shape)),
            ("@corp.example", Err(P::Shape)),
            ("it@", Err(P::Shape)),
            ("it@corp.example\r\nRCPT TO:<x@y>", Err(P::Control('\r'))),
            ("it\0@corp.example", Err(P::Control('\0'))),
            ("it\u{85}@corp.example", Err(P::Control('\u{85}'))),
            ("a b@corp.example", Err(P::Local(' '))),
            ("a\u{a0}b@corp.example", Err(P::Local('\u{a0}'))),
            ("\"a\"@corp.example", Err(P::Local('"'))),
            ("a@b@corp.example", Err(P::Local('@'))),
            ("<it@corp.example", Err(P::Local('<'))),
            ("it@corp.example>", Err(P::Domain)),
            ("=?utf-8?q?x=40evil.test=3e?=@corp.example", Err(P::EncodedWord)),
            ("a=?b@corp.example", Err(P::EncodedWord)),
            ("a=b?=c@corp.example", Ok("a=b?=c@corp.example")),
            (".it@corp.example", Err(P::Dots)),
            ("i..t@corp.example", Err(P::Dots)),
            ("it@corp..example", Err(P::Domain)),
            ("it@corp.example.", Err(P::Domain)),
            ("it@-corp.example", Err(P::Domain)),
            ("it@corp example", Err(P::Domain)),
            ("it@192.0.2.1", Err(P::IPAddress)),
            ("it@[192.0.2.1]", Err(P::IPAddress)),
            ("it@[IPv6:2001:db8::1]", Err(P::IPAddress)),
            ("it@１９２.0.2.1", Err(P::IPAddress)),
            (long_local.as_str(), Err(P::LocalTooLong)),
            (long.as_str(), Err(P::TooLong)),
            (long_label.as_str(), Err(P::Domain)),
        ] {
            let parsed = EmailAddress::parse(text);
            assert_eq!(parsed.as_ref().map(EmailAddress::as_str), expected.as_ref().copied(), "{text:?}");
        }
        assert!(EmailAddress::parse("jörg@corp.example").unwrap().needs_smtputf8());
        assert!(!EmailAddress::parse("it@bücher.example").unwrap().needs_smtputf8());
    }

    #[test]
    fn mailboxes() {
        use AddressProblem as P;
        let name = |name: &str| Mailbox::parse("it@corp.example", Some(name));
        assert_eq!(name("  IT Support ").unwrap().display_name(), Some("IT Support"));
        assert_eq!(name(" ").unwrap().display_name(), None);
        assert_eq!(name("IT\r\nBcc: x@y"), Err(("displayName", P::Control('\r'))));
        assert_eq!(name(&"é".repeat(129)), Err(("displayName", P::NameTooLong)));
        assert_eq!(Mailbox::parse("it", None), Err(("address", P::Shape)));
    }

    #[test]
    fn fields() {
        let from =
            |address, name| Mailbox::from_field("message.from", address, name).unwrap_err().to_string();
        assert_eq!(
            from("it", None),
            "message.from.address: \"it\" is not an e-mail address: write it like name@corp.example"
        );
        assert_eq!(
            from("it@corp.example", Some("IT\r\nBcc: x@y")),
            "message.from.displayName: \"IT\\u{d}\\u{a}Bcc: x@y\" holds the control character U+000D: remove it"
        );
        assert_eq!(
            EmailAddress::from_field("replyTo", "it@[192.0.2.1]").unwrap_err().to_string(),
            "replyTo: \"it@[192.0.2.1]\" has an IP address after the @: write the domain instead, like corp.example"
        );
    }

    #[test]
    fn senders() {
        let address = |text| EmailAddress::parse(text).unwrap();
        let sender = address("it@corp.example");
        let senders =
            ["HR@corp.example", "*@BÜCHER.example", "*@", "*", "@", "*@*", "news@*"].map(String::from);
        for (from, permitted) in [
            ("it@corp.example", true),
            ("IT@CORP.example", true),
            ("hr@Corp.example", true),
            ("anyone@bücher.example", true),
            ("anyone@xn--bcher-kva.example", true),
            ("anyone@sub.bücher.example", false),
            ("anyone@corp.example", false),
            ("news@corp.example", false),
        ] {
            assert_eq!(sender_permitted(&address(from), &sender, &senders), permitted, "{from}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_one_word_and_parses_again(text in ".{0,20}@[a-zA-Zäß。.\\-\\[\\]0-9 ]{0,20}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(!address.as_str().chars().any(|c| c.is_control() || c.is_whitespace() || "<>\"(),:;\\[]".contains(c)));
                prop_assert!(address.domain().is_ascii());
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), name in any::<String>()) {
            if let Ok(mailbox) = Mailbox::parse(&text, Some(&name)) {
                let _ = mailbox.lettre();
            }
            if let Ok(mailbox) = Mailbox::parse("it@corp.example", Some(&name)) {
                prop_assert!(!mailbox.display_name().is_some_and(|name| name.contains(['\r', '\n', '\0'])));
            }
        }
    }
}
