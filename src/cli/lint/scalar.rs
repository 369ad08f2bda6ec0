//! What a plain word means to kubectl, which reads YAML 1.1: `no` is false, `010` is eight.

use serde_json::Number;

/// What a word without quotes stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A number that JSON has no form for: `.inf`, `.nan`.
    NoNumber,
    /// Text.
    Text,
}

/// What kubectl makes of a word without quotes.
pub fn resolve(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => Scalar::NoNumber,
        _ if word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => number(word),
        _ => Scalar::Text,
    }
}

fn number(word: &str) -> Scalar {
    let digits: String = word.chars().filter(|c| *c != '_').collect();
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    if !unsigned.starts_with(['+', '-']) {
        let magnitude = match integer_form(unsigned) {
            Some((base, digits)) => u64::from_str_radix(digits, base).ok().filter(|_| is_digits(digits)),
            None => None,
        };
        // kubectl sends what does not fit into 64 bits with a sign as a fraction.
        let signed =
            magnitude.map(|magnitude| if negative { -i128::from(magnitude) } else { magnitude.into() });
        if let Some(Ok(value)) = signed.map(i64::try_from) {
            return Scalar::Number(value.into());
        }
    }
    match digits.parse::<f64>() {
        Ok(value) if is_float(unsigned) && value.is_finite() => Scalar::Number(shortest(value)),
        Ok(_) if is_float(unsigned) => Scalar::NoNumber,
        _ => Scalar::Text,
    }
}

/// Base and digits of a whole number; a leading zero makes it octal.
fn integer_form(unsigned: &str) -> Option<(u32, &str)> {
    let lower = unsigned.get(..2).map(str::to_ascii_lowercase);
    match lower.as_deref() {
        Some("0x") => Some((16, unsigned.get(2..)?)),
        Some("0o") => Some((8, unsigned.get(2..)?)),
        Some("0b") => Some((2, unsigned.get(2..)?)),
        Some(two) if two.starts_with('0') => Some((8, unsigned.get(1..)?)),
        _ => Some((10, unsigned)),
    }
}

fn is_digits(digits: &str) -> bool {
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// `1.5`, `.5`, `1.`, `1e3`, without a sign.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let bare = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !bare.is_empty() && digits(bare)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

/// As JSON writes it: a whole number has no point.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and to fit")]
fn shortest(value: f64) -> Number {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Number::from(value as i64);
    }
    Number::from_f64(value).unwrap_or_else(|| Number::from(0))
}

/// Whether a word looks like something else than kubectl makes of it, and what that is.
pub fn surprise(word: &str) -> Option<String> {
    match resolve(word) {
        Scalar::Bool(value) if !matches!(word.to_ascii_lowercase().as_str(), "true" | "false") => {
            Some(format!("{value}"))
        }
        Scalar::Number(number) if is_octal(word) => Some(format!("the octal number {number}")),
        _ => None,
    }
}

fn is_octal(word: &str) -> bool {
    let digits = word.trim_start_matches(['+', '-']);
    digits.len() > 1
        && digits.starts_with('0')
        && digits.chars().all(|c| c.is_digit(8) || c == '_')
        && !digits.trim_matches(['0', '_']).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_as_kubectl_reads_them() {
        let of = |word: &str| match resolve(word) {
            Scalar::Null => json!(null),
            Scalar::Bool(value) => json!(value),
            Scalar::Number(number) => json!(number),
            Scalar::NoNumber => json!("no number"),
            Scalar::Text => json!(word),
        };
        for (word, meaning) in [
            ("yes", json!(true)),
            ("OFF", json!(false)),
            ("n", json!(false)),
            ("yEs", json!("yEs")),
            ("~", json!(null)),
            ("010", json!(8)),
            ("0o10", json!(8)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("-010", json!(-8)),
            ("089", json!(89)),
            ("1_000", json!(1000)),
            ("+1", json!(1)),
            ("++1", json!("++1")),
            ("1.0", json!(1)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            ("2026-11-24", json!("2026-11-24")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_f64)),
            (".inf", json!("no number")),
            ("-", json!("-")),
            ("0x", json!("0x")),
            ("1e", json!("1e")),
        ] {
            assert_eq!(of(word), meaning, "{word}");
        }
        assert_eq!(surprise("yes").as_deref(), Some("true"));
        assert_eq!(surprise("0465").as_deref(), Some("the octal number 309"));
        for plain in ["true", "0", "00", "10", "text", "0x10"] {
            assert_eq!(surprise(plain), None, "{plain}");
        }
    }
}
