//! A reply of a mail server, reduced to code, enhanced code and one text, and the only form in
//! which that text may be shown: printable, short, without addresses and without anything that
//! could be a credential.

use crate::domain::masking::{Mask, is_invisible};
use std::fmt;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl EnhancedCode {
    /// Reads `5.7.139`: class 2, 4 or 5, and one to three digits each for the other two.
    pub fn parse(word: &str) -> Option<Self> {
        let number = |part: &str| {
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten()
        };
        let mut parts = word.split('.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let code = Self(class, number(parts.next()?)?, number(parts.next()?)?);
        parts.next().is_none().then_some(code)
    }

    /// `x.0.0` says nothing beyond the code in front of it.
    const fn is_generic(self) -> bool {
        self.1 == 0 && self.2 == 0
    }
}

/// A complete reply. Prints masked; the raw text is for judging it only.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits, 200 to 599.
    pub code: u16,
    /// The innermost enhanced code: the one that tells most.
    pub enhanced: Option<EnhancedCode>,
    /// What follows the codes, the lines joined by spaces.
    pub(super) text: String,
    /// The same without what a [`Mask`] hides, where it hides something.
    masked: Option<String>,
}

impl Reply {
    /// Builds a reply from its lines, which no longer carry the three digits.
    ///
    /// Servers wrap one another's answers: `2.0.0 2.0.0 Ok`, `5.0.0 <a@b> 5.1.1 No such user`. Of
    /// several codes in front the last counts, and where that is `x.0.0` or absent, the first one of
    /// the same class further on. A telling code in front is never overruled by the text behind it,
    /// which may quote what a stranger wrote.
    pub fn new(code: u16, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let class = u8::try_from(code / 100).unwrap_or_default();
        let mut enhanced = None;
        let mut text = String::new();
        for line in lines {
            let mut rest = line.as_ref().trim();
            while let Some((found, behind)) = leading_code(rest).filter(|(found, _)| found.0 == class) {
                enhanced = match enhanced {
                    Some(before) if !text.is_empty() && !EnhancedCode::is_generic(before) => Some(before),
                    _ => Some(found),
                };
                rest = behind;
            }
            if !text.is_empty() && !rest.is_empty() {
                text.push(' ');
            }
            text.push_str(rest);
        }
        if enhanced.is_none_or(EnhancedCode::is_generic) {
            let inner = text
                .split(|c: char| c.is_whitespace() || "()[]<>,;:#".contains(c))
                .filter_map(EnhancedCode::parse)
                .find(|found| found.0 == class && !found.is_generic());
            enhanced = inner.or(enhanced);
        }
        Self { code, enhanced, text, masked: None }
    }

    /// The same, of which nothing that `mask` hides is ever shown.
    #[must_use]
    pub fn masked_by(mut self, mask: &Mask) -> Self {
        self.masked = mask.masked(&self.text);
        self
    }

    /// `550 5.1.1`, or `550` where there is no enhanced code.
    pub fn code_and_enhanced(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }

    /// The text as it may be shown: printable characters, at most 200 of them, with e-mail addresses
    /// and whatever could be a credential replaced by `***`.
    pub fn safe_text(&self) -> String {
        let mut safe = String::new();
        let text = self.masked.as_ref().unwrap_or(&self.text);
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
            if !safe.is_empty() {
                safe.push(' ');
            }
            mask(word, &mut safe);
            if safe.chars().nth(LONGEST).is_some() {
                break;
            }
        }
        match safe.char_indices().nth(LONGEST) {
            Some((end, _)) => {
                safe.truncate(end);
                safe.pop();
                safe.push('…');
                safe
            }
            None => safe,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code_and_enhanced())?;
        let text = self.safe_text();
        if text.is_empty() { Ok(()) } else { write!(f, " {text}") }
    }
}

const LONGEST: usize = 200;

fn leading_code(text: &str) -> Option<(EnhancedCode, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((EnhancedCode::parse(word)?, rest.trim_start()))
}

/// Appends `word` with its addresses and credential-like runs masked and nothing unprintable in it.
fn mask(word: &str, out: &mut String) {
    if word.contains('@') {
        out.push_str("***");
        return;
    }
    let in_run = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| in_run(c) != in_run(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        if in_run(first) && could_be_credential(run) {
            out.push_str("***");
        } else {
            out.extend(run.chars().filter(|c| is_printable(*c)));
        }
        rest = behind;
    }
}

/// Base64 and the like: long, and not a word. Words are letters of one case, CamelCase, hyphenated
/// names, or all capitals and digits as in host names and queue identifiers.
fn could_be_credential(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.bytes().any(|byte| test(&byte));
    let (upper, lower, digit) =
        (has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase), has(u8::is_ascii_digit));
    let padded = run.ends_with('=') && run.len() > 4;
    let symbols = run.contains('+') || run.contains('/');
    padded || run.len() >= 12 && (upper && lower && (digit || symbols) || symbols && digit) || run.len() >= 40
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c) && !matches!(c, '\u{fffc}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_enhanced_code_counts() {
        for (code, lines, enhanced, text) in [
            (250, &["2.0.0 2.0.0 Ok"][..], Some(EnhancedCode(2, 0, 0)), "Ok"),
            (
                550,
                &["5.0.0 <a@b> 5.1.1 No such user"],
                Some(EnhancedCode(5, 1, 1)),
                "<a@b> 5.1.1 No such user",
            ),
            (550, &["<a@b>: 5.1.1 No such user"], Some(EnhancedCode(5, 1, 1)), "<a@b>: 5.1.1 No such user"),
            (535, &["5.7.139 disabled"], Some(EnhancedCode(5, 7, 139)), "disabled"),
            (451, &["4.7.500 Server busy"], Some(EnhancedCode(4, 7, 500)), "Server busy"),
            (550, &["5.7.26 a", "5.7.26 b"], Some(EnhancedCode(5, 7, 26)), "a b"),
            (550, &["5.0.0 a", "5.7.26 b"], Some(EnhancedCode(5, 7, 26)), "a b"),
            (
                554,
                &["5.7.1 Subject 'release 5.7.705' refused"],
                Some(EnhancedCode(5, 7, 1)),
                "Subject 'release 5.7.705' refused",
            ),
            (550, &["relay 5.7.1.2 denied"], None, "relay 5.7.1.2 denied"),
            (450, &["5.1.1 class differs"], None, "5.1.1 class differs"),
            (250, &[""], None, ""),
            (250, &[], None, ""),
        ] {
            let reply = Reply::new(code, lines.iter().copied());
            assert_eq!((reply.enhanced, reply.text.as_str()), (enhanced, text), "{lines:?}");
        }
    }

    #[test]
    fn shown_text_is_printable_short_and_masked() {
        for (text, safe) in [
            ("<joe@example.org>: Recipient address rejected", "*** Recipient address rejected"),
            (
                "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
                "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
            ),
            ("invalid: AHVzZXIAcGFzcw== given", "invalid: *** given"),
            (
                "token eyJ0eXAiOiJKV1QiLCJhbGciOiJS.eyJhdWQiOiJodHRwczovL291.c2ln bad",
                "token ***.***.c2ln bad",
            ),
            ("tab\there\u{7}bell\u{202e}turned", "tab here bellturned"),
            (
                "BN8NAM11FT003.eop-nam11.prod.protection.outlook.com",
                "BN8NAM11FT003.eop-nam11.prod.protection.outlook.com",
            ),
        ] {
            assert_eq!(Reply::new(550, [text]).safe_text(), safe);
        }
        let long = Reply::new(550, ["word ".repeat(1000).as_str()]).safe_text();
        assert_eq!((long.chars().count(), long.ends_with('…')), (200, true));
    }

    #[test]
    fn what_is_hidden_shows_nowhere_and_is_judged_all_the_same() {
        let mut mask = Mask::default();
        mask.hide("hunter2");
        let reply = Reply::new(535, ["bad password hunter2"]).masked_by(&mask);
        assert_eq!(format!("{reply:?} {reply}"), "Reply(535 bad password ***) 535 bad password ***");
        assert_eq!(reply.text, "bad password hunter2");
    }
}
