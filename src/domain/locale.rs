//! Languages as BCP 47 tags, and which of a template's languages a recipient gets. Whether a language exists is
//! nobody's business here.

mod choice;
mod direction;

pub use choice::choose;
pub use direction::Direction;

use serde::{Deserialize, Serialize};
use std::fmt;

/// A language tag such as `en`, `de-CH` or `zh-Hant-TW`, in the customary case (RFC 5646, 2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

/// The text is not a language tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a language tag: write it like en, de-CH or zh-Hant (BCP 47)")]
pub struct NotALocale(String);

impl TryFrom<String> for Locale {
    type Error = NotALocale;

    fn try_from(tag: String) -> Result<Self, NotALocale> {
        Self::parse(&tag)
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}

impl Locale {
    /// Reads a tag of at most 35 characters, the bound of the schema: a language of 2 to 8 letters,
    /// then parts of 1 to 8 letters and digits, joined by `-`.
    pub fn parse(tag: &str) -> Result<Self, NotALocale> {
        let mut parts = tag.split('-');
        let language = parts.next().unwrap_or_default();
        let fits = tag.len() <= 35
            && (2..=8).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_alphabetic())
            && parts
                .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if fits { Ok(Self(customary_case(tag))) } else { Err(NotALocale(tag.chars().take(40).collect())) }
    }

    /// The tag in customary case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This tag, then ever more general ones: `zh-Hant-TW`, `zh-Hant`, `zh` (RFC 4647, 3.4).
    pub fn fallbacks(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |tag| {
            let (shorter, _) = tag.rsplit_once('-')?;
            // A part of one letter only announces what follows it; alone it means nothing.
            match shorter.rsplit_once('-') {
                Some((before, last)) if last.len() == 1 => Some(before),
                _ => Some(shorter),
            }
        })
    }
}

/// The language in lower case, regions (2 letters) in upper case, scripts (4 letters) capitalised;
/// after a part of one letter everything is in lower case.
fn customary_case(tag: &str) -> String {
    let mut extension = false;
    let parts = tag.split('-').enumerate().map(|(at, part)| {
        let lower = part.to_ascii_lowercase();
        if at == 0 || extension {
            return lower;
        }
        extension = part.len() == 1;
        match part.len() {
            2 => part.to_ascii_uppercase(),
            4 if part.bytes().all(|b| b.is_ascii_alphabetic()) => {
                let (first, rest) = lower.split_at(1);
                first.to_ascii_uppercase() + rest
            }
            _ => lower,
        }
    });
    parts.collect::<Vec<_>>().join("-")
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parses_into_customary_case() {
        for (tag, expected) in [
            ("en", Some("en")),
            ("DE-ch", Some("de-CH")),
            ("zh-hANT-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("sl-rozaj-biske-1994", Some("sl-rozaj-biske-1994")),
            ("EN-X-CORP-AB", Some("en-x-corp-ab")),
            ("", None),
            ("e", None),
            ("de_CH", None),
            ("de-", None),
            ("-de", None),
            ("de-CH\r\nX: y", None),
            ("1e", None),
            ("de-verylongpart", None),
            ("en-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd", None),
            ("dé", None),
        ] {
            let parsed = Locale::parse(tag).ok();
            assert_eq!(parsed.as_ref().map(Locale::as_str), expected, "{tag:?}");
        }
        assert_eq!(
            Locale::parse("de_CH").unwrap_err().to_string(),
            "\"de_CH\" is not a language tag: write it like en, de-CH or zh-Hant (BCP 47)"
        );
    }

    #[test]
    fn falls_back_part_by_part() {
        let chain = |tag| Locale::parse(tag).unwrap().fallbacks().map(String::from).collect::<Vec<_>>();
        assert_eq!(chain("zh-Hant-TW"), ["zh-Hant-TW", "zh-Hant", "zh"]);
        assert_eq!(chain("en-x-corp"), ["en-x-corp", "en"]);
    }
}
