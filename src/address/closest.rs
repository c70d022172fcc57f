//! What somebody may have meant.

/// The name that is the fewest typing mistakes away, if they are few.
pub fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let near = names.into_iter().map(|name| (mistakes(word, name), name));
    near.filter(|(n, _)| *n <= most).min().map(|(_, name)| name)
}

/// The Levenshtein distance.
fn mistakes(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = substituted.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn few_mistakes_are_forgiven() {
        let names = ["file", "env", "password", "peercred"];
        for (word, expected) in [
            ("fiel", None),
            ("flie", None),
            ("fil", Some("file")),
            ("pasword", Some("password")),
            ("peer-cred", Some("peercred")),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, names), expected, "{word}");
        }
    }
}
