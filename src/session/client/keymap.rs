//! The client's keyboard as servers take it over.

use crate::codec::{Dialect, Value};
use crate::display::{Keymap, Modifiers};
use crate::packet::Capabilities;
use std::collections::BTreeMap;

/// The keyboard as `keymap-changed` carries it.
pub(super) fn keymap_capabilities(dialect: Dialect, keymap: &Keymap, sync: bool) -> Capabilities {
    let mut caps = Capabilities::default();
    for (key, value) in keymap_pairs(dialect, keymap, sync) {
        caps.set(&key, value);
    }
    caps
}

/// `xkbmap_*` for 3.1, one dictionary for 6.x.
///
/// With keycodes in the core protocol's order and a query, both take our keyboard over key by key; without, they
/// look keys up by name in the layout they have, and lose what it lacks.
pub(super) fn keymap_pairs(dialect: Dialect, keymap: &Keymap, sync: bool) -> Vec<(String, Value)> {
    let keys = keymap.keys.iter().map(|key| {
        let entry: [Value; 5] = [
            key.keysym.into(),
            key.name.as_str().into(),
            key.keycode.into(),
            key.group.into(),
            key.level.into(),
        ];
        entry.into()
    });
    let mut meanings = Value::map();
    for (modifier, names) in Modifiers::NAMES.into_iter().zip(&keymap.modifiers) {
        names
            .iter()
            .for_each(|name| meanings.insert(name.as_str(), modifier));
    }
    let queried: Vec<(&str, &str)> = [
        ("rules", &keymap.rules),
        ("model", &keymap.model),
        ("layout", &keymap.layout),
        ("variant", &keymap.variant),
        ("options", &keymap.options),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key, value.as_str()))
    .collect();
    let mut query = Value::map();
    queried.iter().for_each(|(key, value)| query.insert(*key, *value));
    let text: String = queried
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect();
    let pairs = [
        ("layout", Value::from(keymap.layout.as_str())),
        ("variant", keymap.variant.as_str().into()),
        ("options", keymap.options.as_str().into()),
        ("query", text.into()),
        ("query_struct", query),
        ("keycodes", Value::List(keys.collect())),
        ("x11_keycodes", core_keycodes(keymap)),
        ("mod_meanings", meanings),
        ("layout_groups", true.into()),
    ];
    match dialect {
        Dialect::G3 => {
            let named = pairs.map(|(key, value)| (format!("xkbmap_{key}"), value));
            named.into()
        }
        Dialect::G6 => {
            let mut inner = Value::map();
            inner.insert("sync", sync);
            pairs
                .into_iter()
                .for_each(|(key, value)| inner.insert(key, value));
            vec![("keymap".to_owned(), inner)]
        }
    }
}

/// For each keycode the names of its keysyms, in the order of the core protocol: two levels of each of two groups,
/// then the next two levels of each. A key with one group has it twice.
fn core_keycodes(keymap: &Keymap) -> Value {
    const COLUMNS: usize = 8;
    let mut rows: BTreeMap<u32, [&str; COLUMNS]> = BTreeMap::new();
    for key in &keymap.keys {
        let (group @ 0..=1, level @ 0..=3) = (key.group, key.level) else {
            continue;
        };
        let column = (level / 2 * 4 + group * 2 + level % 2) as usize;
        let row = rows.entry(key.keycode).or_default();
        if let Some(name) = row.get_mut(column) {
            *name = &key.name;
        }
    }
    let mut map = Value::map();
    for (keycode, row) in rows {
        let row = match row {
            [a, b, "", "", c, d, "", ""] => [a, b, a, b, c, d, c, d],
            row => row,
        };
        let used = row
            .iter()
            .rposition(|name| !name.is_empty())
            .map_or(0, |last| last + 1);
        map.insert(
            keycode,
            Value::List(row.iter().take(used).map(|name| (*name).into()).collect()),
        );
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::KeymapEntry;

    fn key(keycode: u32, group: u32, level: u32, name: &str) -> KeymapEntry {
        KeymapEntry {
            keysym: 0,
            name: name.into(),
            keycode,
            group,
            level,
        }
    }

    #[test]
    fn keycodes_are_in_the_order_of_the_core_protocol() {
        let keymap = Keymap {
            keys: vec![
                key(24, 0, 0, "q"),
                key(24, 0, 1, "Q"),
                key(24, 0, 2, "at"),
                key(38, 0, 0, "a"),
                key(38, 1, 0, "b"),
                key(38, 1, 3, "c"),
                // beyond what there is a place for
                key(50, 2, 0, "d"),
                key(50, 0, 4, "e"),
            ],
            ..Keymap::default()
        };
        let row = |keycode: u32, names: &[&str]| {
            let names = names.iter().map(|name| Value::from(*name)).collect();
            (Value::from(keycode), Value::List(names))
        };
        let expected = vec![
            row(24, &["q", "Q", "q", "Q", "at", "", "at"]),
            row(38, &["a", "", "b", "", "", "", "", "c"]),
        ];
        assert_eq!(core_keycodes(&keymap), Value::Map(expected));
    }

    #[test]
    fn a_query_holds_what_is_known() {
        let keymap = Keymap {
            layout: "de".into(),
            rules: "evdev".into(),
            ..Keymap::default()
        };
        let pairs = keymap_pairs(Dialect::G3, &keymap, true);
        let query = pairs.iter().find(|(key, _)| key == "xkbmap_query").unwrap();
        assert_eq!(query.1, "rules: evdev\nlayout: de\n".into());
    }
}
