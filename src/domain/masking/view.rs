//! The readings of a text: as it is, with its escapes undone, and what base64 and hexadecimal digits in it stand for.
//! Each gives one byte after the other with the place in the text that it comes from, folded so that the case of
//! letters, line ends and what has no shape make no difference.

use super::is_invisible;

/// A byte of a reading and where it stands in the text; no byte where nothing can go on.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) byte: Option<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A character of a text, or of one with its escapes undone.
#[derive(Clone, Copy)]
pub(super) struct Character {
    value: char,
    /// It is one byte of something and no character of its own.
    is_byte: bool,
    start: usize,
    end: usize,
}

fn characters(text: &str) -> impl Iterator<Item = Character> {
    text.char_indices().map(|(start, value)| Character {
        value,
        is_byte: false,
        start,
        end: start + value.len_utf8(),
    })
}

/// The bytes of characters that count.
pub(super) struct Folded<I> {
    characters: I,
    keeps_case: bool,
    /// The bytes of a character beyond ASCII that are still to come.
    rest: ([u8; 4], usize, usize),
    current: Character,
}

impl Folded<()> {
    /// For comparing.
    pub(super) fn new(text: &str) -> Folded<impl Iterator<Item = Character>> {
        Self::with(characters(text), false)
    }

    /// For comparing what is not a text any more.
    pub(super) fn of<I: Iterator<Item = Character>>(characters: I) -> Folded<I> {
        Self::with(characters, false)
    }

    /// For decoding, where case counts.
    pub(super) fn exact(text: &str) -> Folded<impl Iterator<Item = Character>> {
        Self::with(characters(text), true)
    }

    /// For decoding what is not a text any more.
    pub(super) fn exact_of<I: Iterator<Item = Character>>(characters: I) -> Folded<I> {
        Self::with(characters, true)
    }

    fn with<I: Iterator<Item = Character>>(characters: I, keeps_case: bool) -> Folded<I> {
        let current = Character { value: ' ', is_byte: false, start: 0, end: 0 };
        Folded { characters, keeps_case, rest: ([0; 4], 0, 0), current }
    }
}

impl<I: Iterator<Item = Character>> Iterator for Folded<I> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        let (bytes, at, length) = self.rest;
        if at < length {
            self.rest.1 += 1;
            return Some(symbol(bytes.get(at).copied(), self.current));
        }
        loop {
            let character = self.characters.next()?;
            let value = character.value;
            if value.is_ascii() {
                let byte = u8::try_from(value).unwrap_or_default();
                if self.keeps_case {
                    if byte > b' ' {
                        return Some(symbol(Some(byte), character));
                    }
                } else if let Some(byte) = folded(byte) {
                    return Some(symbol(Some(byte), character));
                }
            } else if let Some(byte) = u8::try_from(value).ok().filter(|_| character.is_byte) {
                return Some(symbol(Some(byte), character));
            } else if !value.is_whitespace() && !value.is_control() && !is_invisible(value) {
                let mut bytes = [0; 4];
                let length = value.encode_utf8(&mut bytes).len();
                self.rest = (bytes, 1, length);
                self.current = character;
                return Some(symbol(bytes.first().copied(), character));
            }
        }
    }
}

fn symbol(byte: Option<u8>, Character { start, end, .. }: Character) -> Symbol {
    Symbol { byte, start, end }
}

/// A byte as it is compared; `None` if it does not count: spaces and line ends, a plus sign, which is a space in
/// URLs, and a backslash, which stands before other characters in JSON and in shells.
const fn folded(byte: u8) -> Option<u8> {
    match byte {
        0..=b' ' | 0x7f | b'+' | b'\\' => None,
        _ => Some(byte.to_ascii_lowercase()),
    }
}

/// A text with its escapes undone: `%41` of URLs, `=41` of quoted-printable and its soft line ends, `\u0041` of JSON
/// and `\x41`.
pub(super) struct Escapes<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Escapes<'a> {
    /// What an escape begins with.
    pub(super) const BEGIN: [char; 3] = ['%', '=', '\\'];

    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The number in so many hexadecimal digits, which follow `skipped` bytes behind where we are.
    fn number(&self, skipped: usize, digits: usize) -> Option<u32> {
        let start = self.at + skipped;
        let digits = self.text.get(start..start + digits)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_number.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    }
}

impl Iterator for Escapes<'_> {
    type Item = Character;

    fn next(&mut self) -> Option<Character> {
        loop {
            let rest = self.text.get(self.at..)?;
            let value = rest.chars().next()?;
            let behind = rest.as_bytes().get(1).copied();
            let escaped = match (value, behind) {
                ('%' | '=', _) => self.number(1, 2).map(|number| (number, 3)),
                ('\\', Some(b'x')) => self.number(2, 2).map(|number| (number, 4)),
                ('\\', Some(b'u')) => self.number(2, 4).map(|number| (number, 6)),
                _ => None,
            };
            let is_byte = escaped.is_some_and(|(_, length)| length < 6);
            if value == '=' && behind.is_none_or(|byte| byte.is_ascii_whitespace()) {
                self.at += 1; // a soft line end, whose line end is a space by now
                continue;
            }
            let escaped = escaped.and_then(|(number, length)| Some((char::from_u32(number)?, length)));
            let (value, length) = escaped.unwrap_or((value, value.len_utf8()));
            let start = self.at;
            self.at += length;
            return Some(Character { value, is_byte, start, end: self.at });
        }
    }
}

/// What base64 in a text stands for, if the first `shift` digits belong to something else. Both alphabets.
pub(super) struct Base64<I> {
    symbols: I,
    shift: usize,
    skip: usize,
    bits: u32,
    count: u32,
    start: usize,
}

impl<I: Iterator<Item = Symbol>> Base64<I> {
    pub(super) const fn new(symbols: I, shift: usize) -> Self {
        Self { symbols, shift, skip: shift, bits: 0, count: 0, start: 0 }
    }
}

impl<I: Iterator<Item = Symbol>> Iterator for Base64<I> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        loop {
            let Symbol { byte, start, end } = self.symbols.next()?;
            let digit = match byte.unwrap_or_default() {
                byte @ b'A'..=b'Z' => byte - b'A',
                byte @ b'a'..=b'z' => byte - b'a' + 26,
                byte @ b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => {
                    (self.skip, self.bits, self.count) = (self.shift, 0, 0);
                    return Some(Symbol { byte: None, start, end });
                }
            };
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let begun = self.start;
            self.start = start;
            let start = if self.count == 0 { start } else { begun };
            self.bits = (self.bits << 6 | u32::from(digit)) & 0xffff;
            self.count += 6;
            if self.count >= 8 {
                self.count -= 8;
                let byte = folded(u8::try_from(self.bits >> self.count & 0xff).unwrap_or_default());
                if byte.is_some() {
                    return Some(Symbol { byte, start, end });
                }
            }
        }
    }
}

/// What hexadecimal digits in a text stand for, if the first `shift` of them belong to something else. Whatever is no
/// letter and no digit may part them.
pub(super) struct Hex<'a> {
    text: std::iter::Enumerate<std::str::Bytes<'a>>,
    shift: usize,
    skip: usize,
    /// The first digit of a byte and its place.
    half: Option<(u8, usize)>,
}

impl<'a> Hex<'a> {
    pub(super) fn new(text: &'a str, shift: usize) -> Self {
        Self { text: text.bytes().enumerate(), shift, skip: shift, half: None }
    }
}

impl Iterator for Hex<'_> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        loop {
            let (at, byte) = self.text.next()?;
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                b'g'..=b'z' | b'G'..=b'Z' => {
                    (self.skip, self.half) = (self.shift, None);
                    return Some(Symbol { byte: None, start: at, end: at + 1 });
                }
                _ => continue,
            };
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let Some((first, start)) = self.half.take() else {
                self.half = Some((digit, at));
                continue;
            };
            let byte = folded(first << 4 | digit);
            if byte.is_some() {
                return Some(Symbol { byte, start, end: at + 1 });
            }
        }
    }
}
