//! [`ValueRef`]: a value on a [`Tape`].

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use compact_str::CompactString;

use super::integer;
use super::tape::{Extent, Node, Span};
use super::{Tape, Value};

/// A value that was received, with the accessors of [`Value`].
#[derive(Clone, Copy)]
pub struct ValueRef<'a> {
    tape: &'a Tape,
    at: usize,
}

impl<'a> ValueRef<'a> {
    pub(super) const fn new(tape: &'a Tape, at: usize) -> Self {
        Self { tape, at }
    }

    /// Its place on the tape.
    pub(super) const fn at(self) -> usize {
        self.at
    }

    /// The place behind it and what is in it.
    pub(super) fn end(self) -> usize {
        match self.node() {
            Node::List(Extent { nodes, .. }) | Node::Map(Extent { nodes, .. }) => self.at + 1 + size(nodes),
            _ => self.at + 1,
        }
    }

    /// True for null, and for what is not there.
    pub fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    /// True for text, as opposed to bytes.
    pub fn is_text(self) -> bool {
        matches!(self.node(), Node::Text(_))
    }

    /// True for an integer of up to 64 bits.
    pub fn is_int(self) -> bool {
        matches!(self.node(), Node::Int(_))
    }

    /// True for null, false, zero and anything empty.
    pub fn is_falsy(self) -> bool {
        match self.node() {
            Node::Null => true,
            Node::Bool(v) => !v,
            Node::Int(v) => v == 0,
            Node::BigInt(_) => false,
            Node::Float(v) => v == 0.0,
            Node::Bytes(Span { len, .. })
            | Node::Text(Span { len, .. })
            | Node::List(Extent { len, .. })
            | Node::Map(Extent { len, .. }) => len == 0,
            Node::Chunk(_) => self.as_bytes().is_none_or(<[u8]>::is_empty),
        }
    }

    /// The integer it holds: booleans count as 0 and 1, floats and anything else as nothing.
    pub fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(v) => Some(v),
            Node::Bool(v) => Some(i64::from(v)),
            _ => None,
        }
    }

    /// The truth it holds: integers count as true when not zero; other types as nothing.
    pub fn as_bool(self) -> Option<bool> {
        self.as_int().map(|v| v != 0)
    }

    /// A number as a float.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(v) => Some(v),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a reading of a statistic, not an identity"
            )]
            Node::Int(v) => Some(v as f64),
            _ => None,
        }
    }

    /// Its text; bytes are read as UTF-8 and, failing that, as Latin-1.
    pub fn as_text(self) -> Option<Cow<'a, str>> {
        self.as_bytes().map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
        })
    }

    /// Its bytes; text is given as its UTF-8 bytes.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self.node() {
            Node::Bytes(span) | Node::Text(span) => Some(self.part(span)),
            Node::Chunk(index) => self.tape.chunks.get(index).map(|data| &data[..]),
            _ => None,
        }
    }

    /// The same as a slice of the record it came from, never a copy.
    pub fn to_bytes(self) -> Option<Bytes> {
        match self.node() {
            Node::Bytes(span) | Node::Text(span) => Some(self.tape.body.slice_ref(self.part(span))),
            Node::Chunk(index) => self.tape.chunks.get(index).cloned(),
            _ => None,
        }
    }

    /// Its items.
    pub fn as_list(self) -> Option<Items<'a>> {
        match self.node() {
            Node::List(Extent { len, .. }) => Some(Items {
                next: Self::new(self.tape, self.at + 1),
                left: size(len),
            }),
            _ => None,
        }
    }

    /// Its pairs.
    pub fn as_map(self) -> Option<Pairs<'a>> {
        match self.node() {
            Node::Map(Extent { len, .. }) => Some(Pairs(Items {
                next: Self::new(self.tape, self.at + 1),
                left: 2 * size(len),
            })),
            _ => None,
        }
    }

    /// The value under the text key `key` of a dictionary (the last one wins, as in the reference decoder).
    pub fn get(self, key: &str) -> Option<Self> {
        self.as_map()?
            .filter(|(k, _)| k.as_bytes() == Some(key.as_bytes()))
            .last()
            .map(|(_, v)| v)
    }

    /// A value of its own; bytes are slices of the record still.
    pub fn to_value(self) -> Value {
        match self.node() {
            Node::Null => Value::Null,
            Node::Bool(v) => Value::Bool(v),
            Node::Int(v) => Value::Int(v),
            Node::BigInt(digits) => integer::lenient(self.part(digits)).unwrap_or_default(),
            Node::Float(v) => Value::Float(v),
            Node::Bytes(_) | Node::Chunk(_) => Value::Bytes(self.to_bytes().unwrap_or_default()),
            Node::Text(text) => Value::Text(CompactString::from_utf8_lossy(self.part(text))),
            Node::List(_) => Value::List(self.as_list().into_iter().flatten().map(Self::to_value).collect()),
            Node::Map(_) => Value::Map(
                self.as_map()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| (key.to_value(), value.to_value()))
                    .collect(),
            ),
        }
    }

    fn node(self) -> Node {
        self.tape.nodes.get(self.at).copied().unwrap_or_default()
    }

    fn part(self, Span { start, len }: Span) -> &'a [u8] {
        let start = size(start);
        self.tape.body.get(start..start + size(len)).unwrap_or_default()
    }
}

/// Null.
impl Default for ValueRef<'_> {
    fn default() -> Self {
        static NOTHING: Tape = Tape::new();
        Self::new(&NOTHING, 0)
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

/// The items of a list on a [`Tape`], in order.
#[derive(Clone, Debug, Default)]
pub struct Items<'a> {
    next: ValueRef<'a>,
    left: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<ValueRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let item = self.next;
        self.next.at = item.end();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// The pairs of a dictionary on a [`Tape`], in the order of the wire.
#[derive(Clone, Debug, Default)]
pub struct Pairs<'a>(Items<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (ValueRef<'a>, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().zip(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left / 2, Some(self.0.left / 2))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

/// All that is on a tape was counted in memory.
const fn size(value: u32) -> usize {
    value as usize
}
