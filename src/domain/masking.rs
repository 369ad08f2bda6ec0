//! What a peer must not get shown: the secrets and names that a session or a token request knows, and the search
//! for them in whatever the other side says, in each encoding in which servers echo. Every text of a mail server, token
//! server or token passes here before anybody sees it; there is no other filter. A text in which nothing is
//! found costs no allocation.

mod view;

use std::fmt;
use std::ops::Range;
use view::{Base64, Escapes, Folded, Hex, Symbol};
use zeroize::Zeroizing;

/// Bytes of a secret that are masked wherever they occur, since servers cut texts short. Fewer occur in ordinary
/// words; a secret that is shorter counts as a whole.
const PIECE: usize = 8;

/// A secret shorter than this is looked for only as it is: in another encoding it would be found by chance.
const SHORTEST_ENCODED: usize = 4;

/// The part of a user name before `@` is a name of its own from this length on.
const SHORTEST_LOCAL_PART: usize = 3;

/// Bytes of a text that are looked at. What lies behind is cut off, so it need not be searched.
const MOST_READ: usize = 4096;

/// Characters that [`Mask::line`] leaves.
pub const LONGEST_LINE: usize = 200;

/// Secrets to be recognised. Prints nothing of them, and wipes its pieces of them when it is dropped.
#[derive(Clone, Default)]
pub struct Mask {
    /// All pieces of all secrets, folded, in order.
    pieces: Zeroizing<Vec<u64>>,
    /// One bit or more for each piece, so that most of what is no piece is known at once. A power of two long.
    sieve: Zeroizing<Vec<u64>>,
    /// Secrets shorter than a piece: which bytes of a window count, and what they have to be.
    short: Zeroizing<Vec<[u64; 2]>>,
    /// User names in the forms in which servers write them, to be found as whole words.
    names: Vec<Zeroizing<String>>,
}

impl Mask {
    /// Masks a secret from now on.
    pub fn hide(&mut self, secret: &str) {
        let mut window = Window::default();
        let mut longest = 0;
        for symbol in Folded::new(secret) {
            window.push(symbol);
            longest = longest.max(window.length);
            if window.length >= PIECE {
                self.pieces.push(window.bytes);
            }
        }
        if let Some(spare) = (1..PIECE).contains(&longest).then(|| PIECE - longest) {
            self.short.push([u64::MAX >> (8 * spare), window.bytes]);
        }
        if secret.contains(Escapes::BEGIN) {
            let mut window = Window::default();
            for symbol in Folded::of(Escapes::new(secret)) {
                window.push(symbol);
                if window.length >= PIECE {
                    self.pieces.push(window.bytes);
                }
            }
        }
        self.pieces.sort_unstable();
        self.pieces.dedup();
        self.short.sort_unstable();
        self.short.dedup();
        // Sixteen bits for each piece let about one in sixteen other windows pass.
        let words = (self.pieces.len() / 4).next_power_of_two().max(8);
        let mut sieve = Zeroizing::new(vec![0; words]);
        for piece in self.pieces.iter() {
            let (word, bit) = place(*piece, words);
            if let Some(word) = sieve.get_mut(word) {
                *word |= bit;
            }
        }
        self.sieve = sieve;
    }

    /// Masks a user name from now on, and the part before its `@`. Not its pieces: those of an address are
    /// names of hosts, which answers are full of.
    pub fn hide_name(&mut self, name: &str) {
        use base64::Engine as _;
        let local = name.split_once('@').map(|(local, _)| local);
        for name in [Some(name), local.filter(|local| local.chars().count() >= SHORTEST_LOCAL_PART)] {
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            let hex = name.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            let percent: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
            let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(name);
            for form in [name.to_owned(), percent, base64, hex] {
                if !self.names.iter().any(|known| **known == form) {
                    self.names.push(Zeroizing::new(form));
                }
            }
        }
    }

    /// Whether something that is hidden stands in the text.
    pub fn touches(&self, text: &str) -> bool {
        let mut found = false;
        self.search(read(text), &mut |_| {
            found = true;
            true
        });
        found
    }

    /// The text with `***` for whatever is hidden, cut after its first 4 KiB; `None` where nothing is.
    pub fn masked(&self, text: &str) -> Option<String> {
        let text = read(text);
        let mut found: Vec<Range<usize>> = Vec::new();
        self.search(text, &mut |range| {
            found.push(range);
            false
        });
        if found.is_empty() {
            return None;
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut shown = String::with_capacity(text.len());
        let mut done = 0;
        for Range { start, end } in found {
            if start > done || done == 0 {
                shown.push_str(text.get(done..start).unwrap_or_default());
                shown.push_str("***");
            }
            done = done.max(end);
        }
        shown.push_str(text.get(done..).unwrap_or_default());
        Some(shown)
    }

    /// The text as one line that may be shown: masked, printable, at most [`LONGEST_LINE`] characters.
    pub fn line(&self, text: &str) -> String {
        let masked = self.masked(text);
        let text = masked.as_deref().unwrap_or_else(|| read(text));
        let mut line = String::new();
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).map(without_invisible);
        for word in words.filter(|word| !word.is_empty()) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        match line.char_indices().nth(LONGEST_LINE) {
            Some(_) => line.chars().take(LONGEST_LINE - 1).chain(['…']).collect(),
            None => line,
        }
    }

    /// Tells `hit` of each place, until it says that it has heard enough.
    fn search(&self, text: &str, hit: &mut impl FnMut(Range<usize>) -> bool) {
        let names = self.names.iter().flat_map(|name| words(text, name));
        for range in names {
            if hit(range) {
                return;
            }
        }
        if self.pieces.is_empty() && self.short.is_empty() {
            return;
        }
        let is_escaped = text.contains(Escapes::BEGIN);
        let escapes = || Folded::of(Escapes::new(text));
        let _ = self.view(Folded::new(text), 1, hit)
            || is_escaped && self.view(escapes(), SHORTEST_ENCODED, hit)
            || (0..4).any(|shift| self.view(Base64::new(Folded::exact(text), shift), SHORTEST_ENCODED, hit))
            || is_escaped
                && (0..4).any(|shift| {
                    let decoded = Folded::exact_of(Escapes::new(text));
                    self.view(Base64::new(decoded, shift), SHORTEST_ENCODED, hit)
                })
            || (0..2).any(|shift| self.view(Hex::new(text, shift), SHORTEST_ENCODED, hit));
    }

    /// Searches one reading of a text; whether `hit` has heard enough.
    fn view(
        &self,
        view: impl Iterator<Item = Symbol>,
        shortest: usize,
        hit: &mut impl FnMut(Range<usize>) -> bool,
    ) -> bool {
        let mut window = Window::default();
        for symbol in view {
            window.push(symbol);
            if let Some(length) = self.ends_with(&window, shortest)
                && hit(window.start(length)..symbol.end)
            {
                return true;
            }
        }
        false
    }

    /// How many bytes at the end of a window are hidden.
    fn ends_with(&self, window: &Window, shortest: usize) -> Option<usize> {
        if window.length >= PIECE {
            let (word, bit) = place(window.bytes, self.sieve.len());
            if self.sieve.get(word).is_some_and(|word| word & bit != 0)
                && self.pieces.binary_search(&window.bytes).is_ok()
            {
                return Some(PIECE);
            }
        }
        self.short.iter().find_map(|[mask, bytes]| {
            let length = 8 - (mask.leading_zeros() / 8) as usize;
            let fits = (shortest..=window.length).contains(&length) && window.bytes & mask == *bytes;
            fits.then_some(length)
        })
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}

/// Where a piece has its bit in a sieve of so many words.
fn place(piece: u64, words: usize) -> (usize, u64) {
    // Fibonacci hashing: the upper bits depend on all bytes.
    let hash = piece.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let word = usize::try_from(hash >> 6).unwrap_or_default() & words.saturating_sub(1);
    (word, 1 << (hash & 63))
}

/// The last bytes of a reading, and where in the text each began.
#[derive(Default)]
struct Window {
    bytes: u64,
    /// Sixteen bits each, which is enough for [`MOST_READ`].
    starts: u128,
    length: usize,
}

impl Window {
    fn push(&mut self, symbol: Symbol) {
        let Some(byte) = symbol.byte else {
            *self = Self::default();
            return;
        };
        self.bytes = self.bytes << 8 | u64::from(byte);
        self.starts = self.starts << 16 | u128::from(u16::try_from(symbol.start).unwrap_or(u16::MAX));
        self.length = PIECE.min(self.length + 1);
    }

    /// Where the last `length` bytes begin.
    fn start(&self, length: usize) -> usize {
        usize::try_from(self.starts >> (16 * length.saturating_sub(1)) & 0xffff).unwrap_or_default()
    }
}

/// The part of a text that is looked at.
fn read(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_READ)).unwrap_or(text)
}

/// Where a word stands in a text by itself, whatever the case of its letters.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let is_inner = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let first = word.bytes().next().unwrap_or_default();
    let bytes = text.as_bytes();
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes).filter_map(
        move |start| {
            let range = start..start + word.len();
            let is_same =
                bytes.get(range.clone()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()));
            let before = start.checked_sub(1).and_then(|before| bytes.get(before));
            (is_same && !is_inner(before) && !is_inner(bytes.get(range.end))).then_some(range)
        },
    )
}

fn without_invisible(word: &str) -> String {
    word.chars().filter(|c| !is_invisible(*c)).collect()
}

/// Characters without a shape of their own: they could part a secret in two for the search and not for the eye, or
/// turn a line around.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
