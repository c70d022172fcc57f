//! [`Value`]: what every packet encoding decodes to and encodes from.

use bytes::Bytes;
use compact_str::CompactString;
use std::borrow::Cow;

/// A value of the wire's dynamic type system (`wire.md` 2).
///
/// rencodeplus tells text from bytes; rencode and bencode do not and decode to [`Value::Bytes`], so readers use
/// the accessors here, which treat both alike (and booleans and integers alike, because bencode has no
/// booleans).
#[derive(Clone, Debug, Default, PartialEq)]
// With a wide tag all variants keep their content at one aligned offset; it is far cheaper to write and to move.
#[repr(u64)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// An integer beyond 64 bits: canonical decimal digits with an optional minus sign.
    BigInt(CompactString),
    /// A float; compared bit for bit only by the vectors' test.
    Float(f64),
    /// Bytes: a slice of the record it came from, never a copy.
    Bytes(Bytes),
    /// Text.
    Text(CompactString),
    /// A list (or tuple).
    List(Vec<Self>),
    /// A dictionary in the order of the wire.
    Map(Vec<(Self, Self)>),
}

impl Value {
    /// The integer it holds: booleans count as 0 and 1, floats and anything else as nothing.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(*v),
            Self::Bool(v) => Some(i64::from(*v)),
            _ => None,
        }
    }

    /// The [integer](Self::as_int) it holds, unless it is negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|v| u64::try_from(v).ok())
    }

    /// The truth it holds: integers count as true when not zero; other types as nothing.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            Self::Int(v) => Some(*v != 0),
            _ => None,
        }
    }

    /// A number as a float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(*v),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a reading of a statistic, not an identity"
            )]
            Self::Int(v) => Some(*v as f64),
            _ => None,
        }
    }

    /// Its text; bytes are read as UTF-8 and, failing that, as Latin-1.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(v) => Some(Cow::Borrowed(v.as_str())),
            Self::Bytes(v) => Some(match std::str::from_utf8(v) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => Cow::Owned(v.iter().map(|b| char::from(*b)).collect()),
            }),
            _ => None,
        }
    }

    /// Its bytes without copying; text is given as its UTF-8 bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(v) => Some(v.as_bytes()),
            Self::Bytes(v) => Some(v),
            _ => None,
        }
    }

    /// Its items.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(v) => Some(v),
            _ => None,
        }
    }

    /// Its pairs.
    pub fn as_map(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(v) => Some(v),
            _ => None,
        }
    }

    /// The value under the text key `key` of a dictionary (the last one wins, as in the reference decoder).
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?
            .iter()
            .rev()
            .find(|(k, _)| k.as_bytes() == Some(key.as_bytes()))
            .map(|(_, v)| v)
    }

    /// True when it may be the key of a dictionary: it is none and holds none (`wire.md` 2.1).
    pub fn is_hashable(&self) -> bool {
        match self {
            Self::Map(_) => false,
            Self::List(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }

    /// True for null, false, zero and anything empty.
    pub fn is_falsy(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(v) => !v,
            Self::Int(v) => *v == 0,
            Self::BigInt(_) => false,
            Self::Float(v) => *v == 0.0,
            Self::Bytes(v) => v.is_empty(),
            Self::Text(v) => v.is_empty(),
            Self::List(v) => v.is_empty(),
            Self::Map(v) => v.is_empty(),
        }
    }

    /// An empty dictionary to [`insert`](Self::insert) into.
    pub const fn map() -> Self {
        Self::Map(Vec::new())
    }

    /// Adds `key` to a dictionary, replacing an earlier value; does nothing to other types.
    pub fn insert(&mut self, key: impl Into<Self>, value: impl Into<Self>) {
        if let Self::Map(pairs) = self {
            let (key, value) = (key.into(), value.into());
            match pairs.iter_mut().find(|(k, _)| *k == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}

macro_rules! from_int {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(v: $t) -> Self {
                Self::Int(i64::from(v))
            }
        }
    )*};
}
from_int!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for Value {
    fn from(v: u64) -> Self {
        i64::try_from(v).map_or_else(|_| Self::BigInt(compact_str::format_compact!("{v}")), Self::Int)
    }
}

impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Self::from(v as u64)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.into())
    }
}

impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Text(v.into())
    }
}

impl From<CompactString> for Value {
    fn from(v: CompactString) -> Self {
        Self::Text(v)
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(v: Cow<'_, str>) -> Self {
        Self::Text(v.into())
    }
}

impl From<Bytes> for Value {
    fn from(v: Bytes) -> Self {
        Self::Bytes(v)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(v: Vec<T>) -> Self {
        Self::List(v.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(v: [T; N]) -> Self {
        Self::List(v.into_iter().map(Into::into).collect())
    }
}
