//! Names and addresses of hosts. What specs, arguments and the chart's values call a host is one thing, and two
//! ways to write the same host are equal once they have been through here.

use std::net::IpAddr;

/// The most characters of a DNS name (RFC 1035 section 2.3.4, without the last dot).
pub const LONGEST_NAME: usize = 253;
/// The most characters between two dots of it.
pub const LONGEST_LABEL: usize = 63;

/// The form that is compared: an address as `std` writes it and without brackets, a name in lower case and without the
/// last dot. `None` for what is neither. Names are ASCII; `_` is in use although RFC 1123 does not know it.
pub fn canonical(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inside.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6).map(|address| address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // No top-level domain is a number, so this is an IPv4 address with a mistake in it.
    let ends_in_number =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (name.len() <= LONGEST_NAME && !ends_in_number && name.split('.').all(is_label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_each_host() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        for (text, expected) in [
            ("smtp.corp.example", Some("smtp.corp.example")),
            ("SMTP.Corp.example.", Some("smtp.corp.example")),
            ("relay_1", Some("relay_1")),
            ("1.relay", Some("1.relay")),
            ("1relay", Some("1relay")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:DB8::0:1", Some("2001:db8::1")),
            ("[2001:DB8::0:1]", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("::ffff:192.0.2.1")),
            (&longest, Some(&longest)),
            (&format!("{longest}a"), None),
            (&format!("{label}a.example"), None),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a.b..", None),
            ("a b", None),
            ("*.corp.example", None),
            ("[192.0.2.1]", None),
            ("[smtp.corp.example]", None),
            ("2001:db8::1]", None),
            // Mistakes in an address.
            ("999.1.1.1", None),
            ("01.1.1.1", None),
            ("host.5", None),
            ("1.2.3", None),
            ("25", None),
            ("::1::", None),
            ("smtp.corp.example:25", None),
            ("bücher.example", None),
        ] {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }
}
