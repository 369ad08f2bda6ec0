//! Where Jinja stands in a source: its expressions and statements, as the engine's lexer sees them, with
//! their positions. The engine does not keep them; nothing is evaluated here.

/// Longest expression or statement, in octets. `a+a+a…` becomes a tree as deep as it is long, which is
/// walked by recursion, and folding `1~1~1…` takes the square of its length: this keeps both small.
pub(super) const MAX_TAG: usize = 2048;

/// Line and column, both from 1 and the column in characters, of an octet of a text.
pub(super) fn position(source: &str, octet: usize) -> (usize, usize) {
    let (before, _) = source.split_at(source.floor_char_boundary(octet));
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The octet where a text first uses a name, in an expression or a statement. The engine does not
/// keep this, and a name inside a string is taken for a use.
pub(super) fn first_use(source: &str, name: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    tags(source).find_map(|(start, tag)| {
        let uses = tag.match_indices(name).find(|(found, _)| {
            let before = tag.get(..*found).and_then(|before| before.chars().next_back());
            let after = tag.get(found + name.len()..).and_then(|after| after.chars().next());
            !before.is_some_and(|c| in_word(c) || c == '.') && !after.is_some_and(in_word)
        });
        uses.map(|(found, _)| start + found)
    })
}

/// The first expression or statement that is longer than [`MAX_TAG`].
pub(super) fn too_long(source: &str) -> Option<usize> {
    tags(source).find(|(_, tag)| tag.len() > MAX_TAG).map(|(start, _)| start)
}

/// What stands for an octet of an expression in a blanked source. No source holds it, since control
/// characters are refused.
pub(super) const FILLER: char = '\u{1}';

/// The source with [`FILLER`] for expressions and spaces for statements and comments, octet by octet, so
/// that positions hold.
pub(super) fn blanked(source: &str) -> String {
    let (mut blanked, mut end) = (String::with_capacity(source.len()), 0);
    for (start, tag) in pieces(source) {
        blanked.push_str(source.get(end..start).unwrap_or_default());
        let filler = if tag.starts_with("{{") { FILLER } else { ' ' };
        blanked.extend(std::iter::repeat_n(filler, tag.len()));
        end = start + tag.len();
    }
    blanked.push_str(source.get(end..).unwrap_or_default());
    blanked
}

/// What stands between the braces of a tag, without the marks that trim spaces, and where that begins in it.
pub(super) fn inside(tag: &str) -> (usize, &str) {
    let inside = tag.get(2..).unwrap_or_default();
    let inside = inside.strip_suffix("}}").or_else(|| inside.strip_suffix("%}")).unwrap_or(inside);
    let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside);
    let trimmed = inside.strip_prefix(['-', '+']).unwrap_or(inside).trim_start();
    (2 + inside.len() - trimmed.len(), trimmed.trim_end())
}

/// Expressions and statements with their opening and where that is, as the engine's lexer sees them:
/// closings inside strings do not count, comments and raw blocks are left out.
pub(super) fn tags(source: &str) -> impl Iterator<Item = (usize, &str)> {
    pieces(source).filter(|(_, tag)| !tag.starts_with("{#"))
}

/// The same with comments.
fn pieces(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut raw = false;
    std::iter::from_fn(move || {
        loop {
            let rest = source.get(at..)?;
            let start = rest.match_indices('{').map(|(found, _)| found).find(|found| {
                let follows = rest.as_bytes().get(found + 1);
                matches!((follows, raw), (Some(b'%'), _) | (Some(b'{' | b'#'), false))
            })?;
            let tag = rest.get(start..)?;
            // What is raw is not searched for its end: that would take the square of its length.
            if raw && !ends_raw(tag) {
                at += start + 2;
                continue;
            }
            let tag = match tag.as_bytes().get(1) {
                Some(b'#') => tag.get(..tag.find("#}").map_or(tag.len(), |end| end + 2))?,
                Some(b'%') => tag.get(..tag_end(tag, b'%'))?,
                _ => tag.get(..tag_end(tag, b'}'))?,
            };
            let found = at + start;
            let word = tag.trim_matches(|c: char| "{%}-+".contains(c) || c.is_whitespace());
            if raw && word != "endraw" {
                at = found + 2;
                continue;
            }
            at = found + tag.len();
            raw = tag.starts_with("{%") && word == "raw";
            return Some((found, tag));
        }
    })
}

/// Whether the statement that the text starts with may be the end of a raw block.
fn ends_raw(tag: &str) -> bool {
    let inside = tag.strip_prefix("{%").unwrap_or(tag);
    inside.strip_prefix(['-', '+']).unwrap_or(inside).trim_start().starts_with("endraw")
}

/// Where the tag ends that the text starts with: after the closing `}` that is not in a string.
fn tag_end(tag: &str, before: u8) -> usize {
    let bytes = tag.as_bytes();
    let (mut quote, mut at) = (None, 2);
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) if *byte == before && bytes.get(at + 1) == Some(&b'}') => return at + 2,
            _ => {}
        }
        at += 1;
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tags_as_the_engine_does() {
        for (source, expected) in [
            ("a {{ b }} { c } {% d %}", &["{{ b }}", "{% d %}"] as &[_]),
            ("{{ '}}' ~ \"\\\"}}\" }}é{{ é }}", &["{{ '}}' ~ \"\\\"}}\" }}", "{{ é }}"]),
            ("{# {{ a }} #}{{ b", &["{{ b"]),
            ("{%- raw -%}{{ a }}{% b %}{%+ endraw %}{{ c }}", &["{%- raw -%}", "{%+ endraw %}", "{{ c }}"]),
            ("{% raw %}{{ '{% endraw %}{{ a }}", &["{% raw %}", "{% endraw %}", "{{ a }}"]),
            ("{{ {'a': {}} }}", &["{{ {'a': {}}"]), // so does the engine
            ("{", &[]),
            ("{{", &["{{"]),
            ("{{ 'a", &["{{ 'a"]),
            ("{{ 'a\\", &["{{ 'a\\"]),
        ] {
            let found: Vec<_> = tags(source).map(|(_, tag)| tag).collect();
            assert_eq!(found, expected, "{source}");
        }
    }

    #[test]
    fn blanking_keeps_positions() {
        assert_eq!(blanked("é{# a #}b{% c %}{{ é }}d"), format!("é       b       {}d", "\u{1}".repeat(8)));
        assert_eq!(inside("{{- a | b -}}"), (4, "a | b"));
        assert_eq!(inside("{% if a %}"), (3, "if a"));
    }

    #[test]
    fn positions() {
        assert_eq!(position("a\né{{ b", 3), (2, 1));
        assert_eq!(position("a\né{{ b", 4), (2, 2));
        assert_eq!(first_use("b {{ a.b }} {# b #} {% if bb or b %}", "b"), Some(32));
        assert_eq!(first_use("{{ a }}", "b"), None);
        assert_eq!(too_long(&format!("{{{{ a }}}} {{{{ {} }}}}", "a".repeat(MAX_TAG))), Some(8));
    }
}
