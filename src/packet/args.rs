//! Reading the arguments of a packet one after the other, with errors that name packet and position.

use crate::codec::{Items, Value, ValueRef};
use bytes::Bytes;
use compact_str::CompactString;

/// A packet whose arguments do not have the shape its name promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {packet} packet: argument {position} should be {expected}")]
pub struct SchemaError {
    /// The packet type.
    pub packet: CompactString,
    /// 1 for the first argument after the type.
    pub position: usize,
    /// What should be there.
    pub expected: &'static str,
}

/// The arguments of one packet, consumed in order.
pub(super) struct Args<'a> {
    name: &'a str,
    items: Items<'a>,
    position: usize,
}

impl<'a> Args<'a> {
    pub(super) const fn new(name: &'a str, items: Items<'a>) -> Self {
        Self {
            name,
            items,
            position: 0,
        }
    }

    /// The next argument, or null past the end.
    pub(super) fn value(&mut self) -> ValueRef<'a> {
        self.position += 1;
        self.items.next().unwrap_or_default()
    }

    /// How many arguments are left.
    pub(super) fn left(&self) -> usize {
        self.items.len()
    }

    /// True when the next argument is an integer.
    pub(super) fn next_is_int(&self) -> bool {
        self.items.clone().next().is_some_and(ValueRef::is_int)
    }

    pub(super) fn wrong(&self, expected: &'static str) -> SchemaError {
        SchemaError {
            packet: self.name.into(),
            position: self.position,
            expected,
        }
    }

    pub(super) fn skip(&mut self) {
        self.value();
    }

    pub(super) fn rest(self) -> Vec<Value> {
        self.items.map(ValueRef::to_value).collect()
    }

    pub(super) fn int(&mut self) -> Result<i64, SchemaError> {
        let value = self.value();
        if let Some(v) = value.as_int() {
            return Ok(v);
        }
        // 6.x sends some coordinates as floats after scaling
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and is range-checked by the caller"
        )]
        value
            .as_float()
            .map(|v| v as i64)
            .ok_or_else(|| self.wrong("an integer"))
    }

    pub(super) fn int_or(&mut self, default: i64) -> i64 {
        self.value().as_int().unwrap_or(default)
    }

    pub(super) fn u64(&mut self) -> Result<u64, SchemaError> {
        let v = self.int()?;
        u64::try_from(v).map_err(|_| self.wrong("a positive integer"))
    }

    /// A coordinate: within i16, as every generation requires (`session.md` 1.2), with room to spare.
    pub(super) fn coordinate(&mut self) -> Result<i32, SchemaError> {
        let v = self.int()?;
        i32::try_from(v)
            .ok()
            .filter(|v| v.unsigned_abs() <= 1 << 20)
            .ok_or_else(|| self.wrong("a coordinate"))
    }

    /// A width or height: 0 to 32767 (`session.md` 1.2).
    pub(super) fn dimension(&mut self) -> Result<u32, SchemaError> {
        let v = self.int()?;
        u32::try_from(v)
            .ok()
            .filter(|v| *v < 1 << 15)
            .ok_or_else(|| self.wrong("a width or height below 32768"))
    }

    pub(super) fn bool_or(&mut self, default: bool) -> bool {
        self.value().as_bool().unwrap_or(default)
    }

    pub(super) fn text(&mut self) -> Result<CompactString, SchemaError> {
        let text = self.value().as_text();
        text.map(CompactString::from).ok_or_else(|| self.wrong("text"))
    }

    pub(super) fn text_or_empty(&mut self) -> CompactString {
        self.value()
            .as_text()
            .map(CompactString::from)
            .unwrap_or_default()
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, SchemaError> {
        self.value().to_bytes().ok_or_else(|| self.wrong("bytes"))
    }

    pub(super) fn list(&mut self) -> Result<Items<'a>, SchemaError> {
        self.value().as_list().ok_or_else(|| self.wrong("a list"))
    }

    pub(super) fn list_or_empty(&mut self) -> Items<'a> {
        self.value().as_list().unwrap_or_default()
    }

    /// A dictionary to keep; anything else (3.1.3 sends an empty string in places) reads as an empty one.
    pub(super) fn map_or_empty(&mut self) -> Value {
        let value = self.value();
        match value.as_map() {
            Some(_) => value.to_value(),
            None => Value::map(),
        }
    }
}
