//! In which direction a language is written.

use super::Locale;
use icu_locale::{LocaleCanonicalizer, LocaleDirectionality};

/// The direction of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// As in English, and wherever nothing is known of a language.
    LeftToRight,
    /// As in Arabic, Hebrew and Persian.
    RightToLeft,
}

impl Direction {
    /// The value of HTML's attribute `dir`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeftToRight => "ltr",
            Self::RightToLeft => "rtl",
        }
    }
}

impl Locale {
    /// That of its script, which for `pa-PK` or `az-IR` is the one of the region.
    pub fn direction(&self) -> Direction {
        let Ok(mut locale) = self.as_str().parse::<icu_locale::Locale>() else {
            return Direction::LeftToRight;
        };
        LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
        if LocaleDirectionality::new_extended().is_right_to_left(&locale.id) {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_languages() {
        for (tag, expected) in [
            ("en", "ltr"),
            ("ar", "rtl"),
            ("ar-EG", "rtl"),
            ("he", "rtl"),
            ("iw", "rtl"),
            ("fa-IR", "rtl"),
            ("ur", "rtl"),
            ("az", "ltr"),
            ("az-IR", "rtl"),
            ("pa-PK", "rtl"),
            ("sr-Latn", "ltr"),
            ("ar-Latn", "ltr"),
            ("qq", "ltr"),
            ("en-x-corp", "ltr"),
        ] {
            assert_eq!(Locale::parse(tag).unwrap().direction().as_str(), expected, "{tag}");
        }
    }
}
