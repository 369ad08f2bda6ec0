//! Which of the known names somebody likely meant who has written another one.

/// The known name that was likely meant, if one is near enough.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.into_iter().filter_map(|known| Some((likeness(written, known)?, known)));
    alike.min().map(|(_, known)| known)
}

/// How many letters differ, where two names are so alike that one is likely meant for the other.
pub fn likeness(written: &str, known: &str) -> Option<usize> {
    let plain = |name: &str| -> Vec<char> {
        name.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).take(64).collect()
    };
    let (written, known) = (plain(written), plain(known));
    let distance = distance(&written, &known);
    // One letter in three, two at most: `id` is not meant for `os`.
    (distance <= (known.len() / 3).min(2)).then_some(distance)
}

/// Letters to add, drop, change or swap with their neighbour; inputs are at most 64 characters.
fn distance(a: &[char], b: &[char]) -> usize {
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = at(&row, j) + usize::from(x != y);
            let mut best = changed.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i) == Some(y)
                && b.get(j) == Some(x)
            {
                best = best.min(at(&before, j) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    at(&row, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_meant() {
        for (written, expected) in [
            ("relay-1", Some("relay")),
            ("delfault", Some("default")),
            ("Default", Some("default")),
            ("ralay", Some("relay")),
            ("smtp", None),
        ] {
            assert_eq!(nearest(written, ["default", "relay"]), expected, "{written}");
        }
    }
}
