//! Texts that people write where an address belongs: what is taken cannot break out of a header or of
//! a command, and reads the same the second time.

use mail_operator::domain::address::{EmailAddress, Mailbox, sender_permitted};
use mail_operator::smtp::protocol::{self, MailParameters, fits_in_path};

/// An address, a display name and an entry of `access.senders`, each on a line of its own.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\n');
    let (text, name, entry) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    if let Ok(address) = EmailAddress::parse(text) {
        check(&address);
        let own = EmailAddress::parse("it@corp.example").expect("a plain address");
        let allowed = sender_permitted(&address, &own, &[entry.to_owned()]);
        let by_domain = entry.strip_prefix("*@").is_some_and(|domain| !domain.is_empty());
        let by_name = EmailAddress::parse(entry).is_ok_and(|entry| entry.same_mailbox(&address));
        assert!(!allowed || by_domain || by_name || address.same_mailbox(&own));
    }
    if let Ok(mailbox) = Mailbox::parse(text, name) {
        check(mailbox.address());
        let shown = mailbox.display_name();
        assert!(shown.is_none_or(|name| !name.trim().is_empty() && !name.chars().any(char::is_control)));
    }
}

fn check(address: &EmailAddress) {
    let text = address.as_str();
    assert!(text.len() <= 254 && fits_in_path(text), "{text:?}");
    assert!(
        !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>\"(),:;\\[]".contains(c)),
        "{text:?}"
    );
    assert!(address.domain().is_ascii() && !address.local().is_empty() && !address.local().contains('@'));
    assert_eq!(EmailAddress::parse(text).as_ref(), Ok(address), "reads the same the second time");
    assert_eq!(address.needs_smtputf8(), !text.is_ascii());
    let mut commands = Vec::new();
    protocol::mail(&mut commands, text, MailParameters::default());
    protocol::rcpt(&mut commands, text);
    let expected = format!("MAIL FROM:<{text}>\r\nRCPT TO:<{text}>\r\n");
    assert_eq!(commands, expected.as_bytes());
}
