//! X11 keysyms: their numbers, names and the characters they type.
//!
//! `keysyms.txt` lists what the X11 headers define, one `number name [character]` a line (all but the name in
//! hexadecimal). Of several names for one keysym the first is the one XKeysymToString gives. Latin-1 and Unicode
//! keysyms follow from their number and need no line to have a character.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Unicode characters have the keysym `UNICODE + code point`.
const UNICODE: u32 = 0x0100_0000;

/// The name of a keysym, as XKeysymToString spells it (`a`, `Return`, `U1F600`).
pub fn name(keysym: u32) -> Option<Cow<'static, str>> {
    let table = table();
    if let Some(name) = find(&table.by_keysym, keysym) {
        return Some(Cow::Borrowed(name));
    }
    let code = keysym.checked_sub(UNICODE)?;
    char::from_u32(code)
        .filter(|_| code >= 0x100)
        .map(|_| Cow::Owned(format!("U{code:04X}")))
}

/// The keysym of a name. Besides the listed names: `U` and a code point, and the number itself as `0x…`.
pub fn keysym(name: &str) -> Option<u32> {
    if let Some(keysym) = find(&table().by_name, name) {
        return Some(keysym);
    }
    if let Some(hex) = name.strip_prefix("0x") {
        return number(hex).filter(|keysym| (1..1 << 29).contains(keysym));
    }
    let hex = name.strip_prefix(['U', 'u']).filter(|hex| hex.len() >= 4)?;
    of_char(char::from_u32(number(hex)?)?)
}

/// The character a keysym types; control keys such as Return have the character they send to a terminal.
pub fn character(keysym: u32) -> Option<char> {
    match keysym {
        0x20..=0x7e | 0xa0..=0xff => char::from_u32(keysym),
        // Keys of the TTY group carry their ASCII control code in the low bits.
        0xff08..=0xff0b | 0xff0d | 0xff1b | 0xffff => char::from_u32(keysym & 0x7f),
        // So do those of the keypad, for what is printed on them.
        0xff80 | 0xff89 | 0xff8d | 0xffaa..=0xffb9 | 0xffbd => char::from_u32(keysym & 0x7f),
        UNICODE..=0x0110_ffff => char::from_u32(keysym - UNICODE),
        _ => find(&table().characters, keysym),
    }
}

/// The keysym that types a character: the oldest one, as keyboard layouts use it. None for control characters
/// without a key.
pub fn of_char(character: char) -> Option<u32> {
    let code = u32::from(character);
    match code {
        0x20..=0x7e | 0xa0..=0xff => Some(code),
        0x08..=0x0b | 0x0d | 0x1b => Some(0xff00 | code),
        0x7f => Some(0xffff),
        0..=0xff => None,
        _ => Some(find(&table().by_character, character).unwrap_or(UNICODE + code)),
    }
}

/// The lists of `keysyms.txt`, each sorted by its first half, the first of equals alone.
struct Table {
    by_name: Vec<(&'static str, u32)>,
    by_keysym: Vec<(u32, &'static str)>,
    characters: Vec<(u32, char)>,
    by_character: Vec<(char, u32)>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let lines = || include_str!("keysyms.txt").lines().filter_map(parse);
        Table {
            by_name: sorted(lines().map(|(keysym, name, _)| (name, keysym))),
            by_keysym: sorted(lines().map(|(keysym, name, _)| (keysym, name))),
            characters: sorted(lines().filter_map(|(keysym, _, c)| Some((keysym, c?)))),
            by_character: sorted(lines().filter_map(|(keysym, _, c)| Some((c?, keysym)))),
        }
    })
}

fn parse(line: &'static str) -> Option<(u32, &'static str, Option<char>)> {
    let mut words = line.split(' ');
    let (keysym, name) = (number(words.next()?)?, words.next()?);
    Some((
        keysym,
        name,
        words.next().and_then(number).and_then(char::from_u32),
    ))
}

/// Unlike `from_str_radix` takes no sign.
fn number(hex: &str) -> Option<u32> {
    u32::from_str_radix(hex, 16)
        .ok()
        .filter(|_| !hex.starts_with('+'))
}

fn sorted<K: Ord + Copy, V>(pairs: impl Iterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by_key(|pair| pair.0);
    pairs
}

fn find<K: Ord, V: Copy>(pairs: &[(K, V)], key: K) -> Option<V> {
    let at = pairs.binary_search_by(|pair| pair.0.cmp(&key)).ok()?;
    pairs.get(at).map(|pair| pair.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (number, text) in [
            (0x61, "a"),
            (0xff0d, "Return"),
            (0xff55, "Prior"),
            (0xffe1, "Shift_L"),
            (0xfe03, "ISO_Level3_Shift"),
            (0xfe51, "dead_acute"),
            (0x20ac, "EuroSign"),
            (0x6d6, "Cyrillic_zhe"),
            (0x1008_ff12, "XF86AudioMute"),
            (0x0101_f600, "U1F600"),
        ] {
            assert_eq!(name(number).as_deref(), Some(text));
            assert_eq!(keysym(text), Some(number));
        }
        assert_eq!(keysym("Page_Up"), Some(0xff55));
        assert_eq!(keysym("U20AC"), Some(0x20ac));
        assert_eq!(keysym("U00E9"), Some(0xe9));
        assert_eq!(keysym("0x1008ff12"), Some(0x1008_ff12));
        for nothing in [
            "",
            "Ux",
            "Uxyz",
            "U+12",
            "U110000",
            "UD800",
            "0x",
            "0x+1",
            "0xffffffff",
            "no such key",
        ] {
            assert_eq!(keysym(nothing), None, "{nothing}");
        }
        assert_eq!(name(0), None);
        assert_eq!(name(u32::MAX), None);
    }

    #[test]
    fn characters_there_and_back() {
        for text in "aZ{}@€éñЖ\u{1F600}ő\t\r\u{7f}".chars() {
            let keysym = of_char(text).unwrap();
            assert_eq!(character(keysym), Some(text), "{keysym:x}");
        }
        assert_eq!(of_char('Ж'), Some(0x6f6));
        assert_eq!(of_char('\n'), Some(0xff0a));
        assert_eq!(of_char('\u{1}'), None);
        assert_eq!(character(0xffb7), Some('7'));
        assert_eq!(character(0xffe1), None);
    }

    #[test]
    fn every_name_is_known_by_its_number() {
        for &(text, number) in &table().by_name {
            assert_eq!(keysym(&name(number).unwrap()), Some(number), "{text}");
        }
    }
}
