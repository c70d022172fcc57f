//! Capabilities: the dictionary of a hello packet (`wire.md` 5, `session.md` 1.7 and 1.8).

use crate::codec::Value;
use compact_str::CompactString;
use std::borrow::Cow;

/// The capabilities of one side.
///
/// 3.1 writes flat dotted keys (`mmap.file`), 6.x nested dictionaries (`mmap: {file}`); look-ups here find both.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities(Value);

impl Default for Capabilities {
    fn default() -> Self {
        Self(Value::map())
    }
}

impl Capabilities {
    /// The capabilities of a hello's dictionary; anything else counts as none.
    pub fn from_value(value: Value) -> Self {
        match value {
            map @ Value::Map(_) => Self(map),
            _ => Self::default(),
        }
    }

    /// The dictionary.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// The dictionary, borrowed.
    pub const fn as_value(&self) -> &Value {
        &self.0
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key, value);
        self
    }

    /// The value under `key`: flat, or each dot descending into a dictionary.
    pub fn get(&self, key: &str) -> Option<&Value> {
        lookup(&self.0, key)
    }

    /// A truth; a non-empty dictionary without an `enabled` key counts as true (6.x subsystems).
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Map(pairs) if pairs.is_empty() => Some(false),
            map @ Value::Map(_) => Some(
                map.get("enabled")
                    .or_else(|| map.get(""))
                    .and_then(Value::as_bool)
                    .unwrap_or(true),
            ),
            value => value.as_bool(),
        }
    }

    /// `bool(key)`, false when absent.
    pub fn is(&self, key: &str) -> bool {
        self.bool(key).unwrap_or(false)
    }

    /// An integer.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_int()
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key)?.as_text()
    }

    /// A list of texts; empty when absent.
    pub fn texts(&self, key: &str) -> Vec<CompactString> {
        let list = self.get(key).and_then(Value::as_list).unwrap_or_default();
        list.iter()
            .filter_map(|v| v.as_text().map(CompactString::from))
            .collect()
    }

    /// A pair of integers, such as a size.
    pub fn pair(&self, key: &str) -> Option<(i64, i64)> {
        match self.get(key)?.as_list()? {
            [a, b, ..] => Some((a.as_int()?, b.as_int()?)),
            _ => None,
        }
    }
}

fn lookup<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(key) {
        return Some(value);
    }
    let (first, rest) = key.split_once('.')?;
    lookup(map.get(first)?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_nested_keys_are_the_same() {
        let mut flat = Capabilities::default();
        flat.set("mmap.file", "/x").set("share", 1);
        assert_eq!(flat.text("mmap.file").as_deref(), Some("/x"));
        assert!(flat.is("share"));
        let mut inner = Value::map();
        inner.insert("file", "/x");
        let mut nested = Capabilities::default();
        nested.set("mmap", inner);
        assert_eq!(nested.text("mmap.file").as_deref(), Some("/x"));
        assert!(nested.is("mmap") && !nested.is("nothing"));
    }
}
