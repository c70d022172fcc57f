//! [`Coding`]: the four encodings of a packet's body (`wire.md` 2).

use std::fmt;

use bytes::Bytes;

use super::header::Flags;
use super::tape::Node;
use super::{DecodeError, EncodeError, Limits, Tape, Value, ValueError, bencode, rencode, yaml};

/// How the body of a packet is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// The one of xpra 4.3 and later: exact, compact and fast.
    Rencodeplus,
    /// The one of xpra 3: does not tell text from bytes, sends floats in 32 bits.
    Rencode,
    /// The fallback of xpra 3: no floats, no booleans, no null.
    Bencode,
    /// Readable; only for peers of the rencodeplus generation.
    Yaml,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rencodeplus, Self::Rencode, Self::Bencode, Self::Yaml];

    /// The name in a hello.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rencodeplus => "rencodeplus",
            Self::Rencode => "rencode",
            Self::Bencode => "bencode",
            Self::Yaml => "yaml",
        }
    }

    /// The coding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.name() == name)
    }

    /// The flag that marks a main record with it.
    pub const fn flags(self) -> Flags {
        match self {
            Self::Rencodeplus => Flags::RENCODEPLUS,
            Self::Rencode => Flags::RENCODE,
            Self::Bencode => Flags::NONE,
            Self::Yaml => Flags::YAML,
        }
    }

    /// The value at the start of `input`; bytes after it are ignored. Byte strings are slices of `input`.
    pub fn decode(self, input: &Bytes, limits: &Limits) -> Result<Value, DecodeError> {
        let mut tape = Tape::default();
        tape.read(self, input.clone(), limits)?;
        Ok(tape.root().to_value())
    }

    /// Appends `value`.
    pub fn encode(self, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Rencodeplus => rencode::encode::<true>(value, out),
            Self::Rencode => rencode::encode::<false>(value, out),
            Self::Bencode => bencode::encode(value, out),
            Self::Yaml => yaml::encode(value, out),
        }
    }

    /// Appends the list of `items`.
    pub(super) fn encode_list<'a>(
        self,
        items: impl ExactSizeIterator<Item = &'a Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Rencodeplus => rencode::encode_list::<true>(items, out),
            Self::Rencode => rencode::encode_list::<false>(items, out),
            Self::Bencode => bencode::encode_list(items, out),
            Self::Yaml => yaml::encode_list(items, out),
        }
    }

    /// Appends the nodes of the value at the start of `body` and returns the bytes it takes.
    pub(super) fn read(
        self,
        body: &mut Bytes,
        limits: &Limits,
        nodes: &mut Vec<Node>,
    ) -> Result<usize, ValueError> {
        match self {
            Self::Rencodeplus => rencode::read::<true>(body, limits, nodes),
            Self::Rencode => rencode::read::<false>(body, limits, nodes),
            Self::Bencode => bencode::read(body, limits, nodes),
            Self::Yaml => {
                // Its texts are not as they are in the document: recoded, they are parts of a body.
                let value = yaml::decode(body, limits)?;
                let mut recoded = Vec::new();
                rencode::encode::<true>(&value, &mut recoded).map_err(|_| ValueError::Integer)?;
                *body = recoded.into();
                rencode::read::<true>(body, limits, nodes)
            }
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
