//! What the owner of a mail server decides about other people's messages: the address in From, the name beside it, and
//! header fields from which a mail provider takes orders.

use super::{Obstacle, invalid};
use crate::api::Reason;
use crate::api::mail_server_config::DisplayNames;
use crate::api::notification::{HeaderField, Notification};
use crate::domain::address::{EmailAddress, Mailbox, sender_permitted};
use crate::domain::problem::{self, Problem};
use crate::domain::server::Server;

/// Fields that mail providers and servers obey instead of passing them on: they choose templates, accounts, recipients
/// or ways, or say that a message is no spam. With `*` all that begin so.
const STEERING: [&str; 14] = [
    "X-SMTPAPI",       // SendGrid
    "X-MC-*",          // Mailchimp Transactional
    "X-SES-*",         // Amazon SES
    "X-PM-*",          // Postmark
    "X-Mailgun-*",     // Mailgun
    "X-MS-Exchange-*", // Exchange; *-Organization-* are believed
    "X-MSYS-API",      // SparkPost
    "X-Mailin-*",      // Brevo
    "X-Sib-*",         // Brevo
    "X-MJ-*",          // Mailjet
    "X-Mailjet-*",     // Mailjet
    "X-MT-*",          // Mailtrap
    "X-Forefront-*",   // Exchange Online Protection
    "X-Microsoft-*",   // Exchange Online Protection
];

/// From and Reply-To, if the server permits them.
pub(super) fn sender(
    notification: &Notification,
    server: &Server,
) -> Result<(Mailbox, Option<EmailAddress>), Obstacle> {
    let message = &notification.spec.message;
    let reply_to = match &message.reply_to {
        None => server.reply_to.clone(),
        Some(address) => Some(
            EmailAddress::parse(address).map_err(|problem| invalid(format!("message.replyTo: {problem}")))?,
        ),
    };
    let Some(from) = &message.from else { return Ok((server.sender.clone(), reply_to)) };
    let from = Mailbox::parse(&from.address, from.display_name.as_deref())
        .map_err(|(field, problem)| invalid(format!("message.from.{field}: {problem}")))?;
    if !sender_permitted(from.address(), server.sender.address(), &server.senders) {
        return Err(Obstacle::unresolved(
            Reason::FromNotPermitted,
            format!(
                "message.from: MailServerConfig {} does not permit {}: leave message.from out, or its owner adds the \
                 address (or *@{}) to access.senders",
                server.key,
                from.address(),
                from.address().domain()
            ),
        ));
    }
    match display_name(&from, server) {
        Some(obstacle) => Err(obstacle),
        None => Ok((from, reply_to)),
    }
}

/// What is wrong with the name beside the address. It is not repeated there, since it may be made to be misread.
fn display_name(from: &Mailbox, server: &Server) -> Option<Obstacle> {
    let name = from.display_name()?;
    if server.sender.display_name() == Some(name) {
        return None;
    }
    let (wrong, remedy) = match server.display_names {
        DisplayNames::Any => return None,
        DisplayNames::NoAddresses if !pretends(name, from.address().domain()) => return None,
        DisplayNames::NoAddresses => (
            format!("no name that looks like an address outside {}", from.address().domain()),
            "write the name alone, or its owner sets access.displayNames to Any",
        ),
        DisplayNames::Own => (
            "no name but that of its own sender".to_owned(),
            "leave message.from.displayName out, or its owner sets access.displayNames to NoAddresses",
        ),
    };
    let message =
        format!("message.from.displayName: MailServerConfig {} permits {wrong}: {remedy}", server.key);
    Some(Obstacle::unresolved(Reason::DisplayNameNotPermitted, message))
}

/// Whether people may take a name for an address of another domain than `own`, or cannot see what it is.
fn pretends(name: &str, own: &str) -> bool {
    // Some programs decode this also where it is quoted.
    if name.split_once("=?").is_some_and(|(_, rest)| rest.contains("?=")) {
        return true;
    }
    let plain: String = name.chars().filter(|c| !is_invisible(*c)).map(narrow).collect();
    // Then an address can be written backwards.
    if plain.contains('@') && name.chars().any(turns) {
        return true;
    }
    plain.match_indices('@').any(|(at, sign)| {
        let (before, after) = plain.split_at(at);
        let after = after.strip_prefix(sign).unwrap_or(after);
        let bracketed = before.rfind('<') > before.rfind('>');
        let ends = |c: char| c.is_whitespace() || "@<>()[]{},;:|/\"'«»‹›„“”‚‘’".contains(c);
        let after = after.trim_start().trim_start_matches('[');
        let domain = after.split(ends).next().unwrap_or_default().trim_matches('.');
        let is_domain = !domain.is_empty() && (bracketed || domain.contains('.'));
        is_domain && !idna::domain_to_ascii(domain).is_ok_and(|domain| domain == own)
    })
}

/// Characters of which nothing is seen, and which could part an address.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that turn others around.
const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The ASCII character that another one looks like, for those that make an address.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{fe6b}' => '@',
        '\u{3002}' | '\u{ff61}' | '\u{2024}' | '\u{fe52}' => '.',
        '\u{2039}' | '\u{2329}' | '\u{27e8}' | '\u{3008}' | '\u{fe64}' => '<',
        '\u{203a}' | '\u{232a}' | '\u{27e9}' | '\u{3009}' | '\u{fe65}' => '>',
        _ => c,
    }
}

/// Which of the message's header fields need the permission of the server's owner and lack it.
pub(super) fn headers(fields: &[HeaderField], server: &Server) -> Option<Obstacle> {
    let problems: Vec<_> = fields
        .iter()
        .filter(|field| !server.headers.iter().any(|entry| covers(entry, &field.name)))
        .filter_map(|HeaderField { name, .. }| {
            let steering = STEERING.iter().find(|entry| covers(entry, name))?;
            let all = if steering.ends_with('*') { format!(" (or {steering})") } else { String::new() };
            Some(Problem::new(
                format!("message.headers[{name}]"),
                format!(
                    "MailServerConfig {} does not permit this field, which steers a mail provider: leave it out, or \
                     the server's owner adds it{all} to access.headers",
                    server.key
                ),
            ))
        })
        .collect();
    (!problems.is_empty())
        .then(|| Obstacle::unresolved(Reason::HeaderNotPermitted, problem::summary(&problems)))
}

/// Whether an entry is this name or, with `*` at its end, the beginning of it, in whatever case.
fn covers(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start)),
        None => entry.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::mail_server_config::MailServerConfig;
    use serde_json::{Value, json};

    fn server(access: &Value) -> Server {
        let config: MailServerConfig = serde_json::from_value(json!({
            "apiVersion": "mail-operator.dev/v1alpha1", "kind": "MailServerConfig",
            "metadata": { "namespace": "mail", "name": "relay", "uid": "1" },
            "spec": {
                "host": "mail.example", "access": access,
                "sender": { "address": "it@corp.example", "displayName": "IT <help@other.example>" }
            }
        }))
        .unwrap();
        Server::from_config(&config).unwrap()
    }

    #[test]
    fn fields_that_steer_a_provider_need_permission() {
        let nothing: &[&str] = &[];
        for (name, permitted, fits) in [
            ("X-Ticket", nothing, true),
            ("X-MCP", nothing, true),
            ("X-SES", nothing, true),
            ("X-Auto-Response-Suppress", nothing, true),
            ("List-Unsubscribe", nothing, true),
            ("X-SMTPAPI", nothing, false),
            ("x-smtpapi", nothing, false),
            ("X-MC-Subaccount", nothing, false),
            ("X-SES-CONFIGURATION-SET", nothing, false),
            ("x-ses-source-arn", nothing, false),
            ("X-PM-Message-Stream", nothing, false),
            ("X-Mailgun-Recipient-Variables", nothing, false),
            ("X-MS-Exchange-Organization-SCL", nothing, false),
            ("X-MS-EXCHANGE-ORGANIZATION-AuthAs", nothing, false),
            ("X-Forefront-Antispam-Report", nothing, false),
            ("X-MSYS-API", nothing, false),
            ("X-SES-CONFIGURATION-SET", &["x-ses-configuration-set"], true),
            ("X-SES-CONFIGURATION-SET", &["X-SES-*"], true),
            ("X-SES-CONFIGURATION-SET", &["X-PM-Tag", "x-ses-c*"], true),
            ("X-SES-CONFIGURATION-SET", &["X-SES-"], false),
            ("X-SES-SOURCE-ARN", &["X-SES-CONFIGURATION-SET", "X-MC-*"], false),
            ("X-SMTPAPI", &["X-*"], true),
        ] {
            let field = HeaderField { name: name.into(), value: "x".into() };
            let found = headers(&[field], &server(&json!({ "headers": permitted })));
            assert_eq!(found.is_none(), fits, "{name} {permitted:?} {found:?}");
            let Some(Obstacle { reason, message, .. }) = found else { continue };
            assert_eq!(reason, Reason::HeaderNotPermitted);
            for word in [&format!("message.headers[{name}]: "), "mail/relay", "access.headers"] {
                assert!(message.contains(word), "{word} is missing in: {message}");
            }
        }
    }

    #[test]
    fn names_that_pretend() {
        for (name, pretending) in [
            ("Corp IT", false),
            ("Müller, Ada (IT) <3", false),
            ("Ada @ Corp", false),
            ("Ada @ St. Mary", false),
            ("Cafe@Home", false),
            ("it@corp.example", false),
            ("IT <IT@Corp.Example>", false),
            ("IT (it@corp.example).", false),
            ("نور\u{200f}", false),
            ("a=?b", false),
            ("CEO <ceo@bank.example>", true),
            ("ceo@bank.example", true),
            ("ceo@sub.corp.example", true),
            ("ceo@corp.example.bank.example", true),
            ("it@corp.example <ceo@bank.example>", true),
            ("it@corp.example@bank.example", true),
            ("CEO <ceo@bank>", true),
            ("CEO <ceo @ bank.example>", true),
            ("ceo@[192.0.2.1]", true),
            ("ceo@b\u{fc}cher.example", true),
            ("ceo\u{ff20}bank.example", true),
            ("ceo\u{fe6b}bank\u{3002}example", true),
            ("CEO \u{27e8}ceo@bank\u{27e9}", true),
            ("ceo@bank\u{200b}.exa\u{ad}mple", true),
            ("ceo@\u{2060}bank.example", true),
            ("\u{202e}elpmaxe.knab@oec", true),
            ("=?utf-8?q?ceo=40bank.example?=", true),
        ] {
            assert_eq!(pretends(name, "corp.example"), pretending, "{name:?}");
        }
        assert!(!pretends("it@b\u{fc}cher.example", "xn--bcher-kva.example"));
    }

    #[test]
    fn the_owner_says_which_names_may_stand_in_from() {
        let own = "IT <help@other.example>";
        for (permitted, name, fits) in [
            (json!({}), None, true),
            (json!({}), Some("Desk"), true),
            (json!({}), Some(own), true),
            (json!({}), Some("CEO <ceo@bank.example>"), false),
            (json!({ "displayNames": "NoAddresses" }), Some("ceo@bank.example"), false),
            (json!({ "displayNames": "Any" }), Some("CEO <ceo@bank.example>"), true),
            (json!({ "displayNames": "Own" }), None, true),
            (json!({ "displayNames": "Own" }), Some(own), true),
            (json!({ "displayNames": "Own" }), Some("Desk"), false),
        ] {
            let from = Mailbox::parse("it@corp.example", name).unwrap();
            let found = display_name(&from, &server(&permitted));
            assert_eq!(found.is_none(), fits, "{permitted} {name:?} {found:?}");
            let Some(Obstacle { reason, message, .. }) = found else { continue };
            assert_eq!(reason, Reason::DisplayNameNotPermitted);
            for word in ["message.from.displayName: ", "mail/relay", "access.displayNames"] {
                assert!(message.contains(word), "{word} is missing in: {message}");
            }
            assert!(!message.contains("bank"), "{message}");
        }
    }
}
