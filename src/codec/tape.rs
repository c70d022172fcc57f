//! [`Tape`]: the values of a body in a row of small nodes.
//!
//! A tree of [`Value`](super::Value)s costs an allocation for each list and long text, and most of what it holds is
//! looked at once. A tape is kept from packet to packet instead: reading a body writes nodes over the last ones,
//! and text and bytes stay where they are.

use bytes::Bytes;

use super::integer;
use super::{Coding, DecodeError, Items, Limits, Value, ValueError, ValueRef};

/// A decoded body, read through [`ValueRef`].
#[derive(Debug, Default)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    pub(super) body: Bytes,
    pub(super) chunks: Vec<Bytes>,
}

/// A value. Those in a list or dictionary follow its node, in the order of the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Node {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// Digits as the peer wrote them, which [`integer::lenient`] took.
    BigInt(Span),
    Float(f64),
    Bytes(Span),
    /// The place in [`Tape::chunks`].
    Chunk(usize),
    /// Valid UTF-8.
    Text(Span),
    List(Extent),
    Map(Extent),
}

/// A part of the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// What is in a list or dictionary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Items, or pairs.
    pub(super) len: u32,
    /// Nodes at all depths.
    pub(super) nodes: u32,
}

impl Tape {
    /// Nodes that are kept for the next packet: enough for any but those of a hostile peer and the largest answers.
    const KEPT: usize = 4096;

    /// A tape with nothing on it.
    pub const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            body: Bytes::new(),
            chunks: Vec::new(),
        }
    }

    /// Reads `body` as the body of a record: bencode and YAML allow nothing after the value (`wire.md` 1.6).
    pub fn decode(
        &mut self,
        coding: Coding,
        body: Bytes,
        limits: &Limits,
    ) -> Result<ValueRef<'_>, DecodeError> {
        let len = body.len();
        let used = self.read(coding, body, limits)?;
        if coding == Coding::Bencode && used != len {
            self.clear();
            return Err(ValueError::Trailing.into());
        }
        Ok(self.root())
    }

    /// Forgets what was read, and lets go of the memory that a large packet took.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.nodes.shrink_to(Self::KEPT);
        self.body = Bytes::new();
        self.chunks.clear();
    }

    /// The value that was read; null when there is none.
    pub const fn root(&self) -> ValueRef<'_> {
        ValueRef::new(self, 0)
    }

    /// Reads the value at the start of `body` and returns the bytes it takes.
    pub(super) fn read(&mut self, coding: Coding, body: Bytes, limits: &Limits) -> Result<usize, ValueError> {
        self.nodes.clear();
        self.chunks.clear();
        self.body = body;
        coding
            .read(&mut self.body, limits, &mut self.nodes)
            .inspect_err(|_| self.nodes.clear())
    }

    /// The items of the root; none when it is no list.
    pub(super) fn items(&self) -> Items<'_> {
        self.root().as_list().unwrap_or_default()
    }

    /// Puts a chunk in the place of an item of the root.
    pub(super) fn put_chunk(&mut self, index: usize, data: Bytes) {
        let Some(item) = self.items().nth(index) else {
            return;
        };
        let place = item.at()..item.end();
        self.nodes.splice(place, [Node::Chunk(self.chunks.len())]);
        self.chunks.push(data);
        let inside = narrow(self.nodes.len() - 1);
        if let Some(Node::List(root)) = self.nodes.first_mut() {
            root.nodes = inside;
        }
    }
}

/// Appends the nodes of a body, within the limits; there are never more of them than bytes that were read.
pub(super) struct Writer<'a> {
    nodes: &'a mut Vec<Node>,
    /// Bytes of the body.
    size: usize,
    /// Levels that may still be opened.
    depth: usize,
    /// Values that may still be read.
    items: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(body: &[u8], limits: &Limits, nodes: &'a mut Vec<Node>) -> Result<Self, ValueError> {
        if u32::try_from(body.len()).is_err() {
            return Err(ValueError::Length);
        }
        Ok(Self {
            nodes,
            size: body.len(),
            depth: limits.depth,
            items: limits.items,
        })
    }

    #[inline(always)]
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// The first `len` bytes of `rest`, which is the end of the body.
    #[inline(always)]
    pub(super) fn span(&self, rest: &[u8], len: usize) -> Span {
        Span {
            start: narrow(self.size - rest.len()),
            len: narrow(len),
        }
    }

    /// The integer of the first `len` bytes of `rest`, which is the end of the body.
    pub(super) fn push_decimal(&mut self, rest: &[u8], len: usize) -> Result<(), ValueError> {
        let digits = rest.get(..len).ok_or(ValueError::Truncated)?;
        let node = match integer::lenient(digits)? {
            Value::Int(value) => Node::Int(value),
            _ => Node::BigInt(self.span(rest, len)),
        };
        self.push(node);
        Ok(())
    }

    /// Counts values that will be read.
    pub(super) fn count(&mut self, values: usize) -> Result<(), ValueError> {
        self.items = self.items.checked_sub(values).ok_or(ValueError::Items)?;
        Ok(())
    }

    /// Starts a list or dictionary and returns its place.
    pub(super) fn open(&mut self) -> Result<usize, ValueError> {
        self.depth = self.depth.checked_sub(1).ok_or(ValueError::Depth)?;
        let place = self.nodes.len();
        self.push(Node::Null);
        Ok(place)
    }

    /// Ends the list or dictionary at `place`, which has `len` items or pairs.
    pub(super) fn close(&mut self, place: usize, kind: impl FnOnce(Extent) -> Node, len: usize) {
        self.depth += 1;
        let nodes = self.nodes.len() - place - 1;
        if let Some(node) = self.nodes.get_mut(place) {
            *node = kind(Extent {
                len: narrow(len),
                nodes: narrow(nodes),
            });
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "neither lengths nor nodes of a body exceed its bytes, which Writer::new holds to 32 bits"
)]
const fn narrow(value: usize) -> u32 {
    value as u32
}
