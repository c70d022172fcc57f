//! [`Claim`]: what a hello says about one area.

use crate::codec::Value;
use crate::mmap::{AreaError, Region, Token, TokenPlace};
use crate::packet::Capabilities;
use std::borrow::Cow;
use std::path::PathBuf;

/// The key of anonymous areas.
pub(super) const PASSED: &str = "memfd.";
/// What 3.1 calls an area, what 6.x calls the one that servers write and clients read, and what both read beside that.
pub(super) const FLAT: &str = "mmap_";
pub(super) const CLIENT_READS: &str = "mmap.read.";
pub(super) const SERVER_WRITES: &str = "mmap.write.";
pub(super) const PLAIN: &str = "mmap.";

/// An area as one side describes it to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Its file, if it has one.
    pub(super) file: Option<PathBuf>,
    /// Its size, which only clients have to say.
    pub(super) size: Option<u32>,
    token: Token,
    place: TokenPlace,
}

impl Claim {
    /// Writes a new token into an area.
    pub(super) fn make(file: Option<PathBuf>, region: &Region) -> Result<Self, AreaError> {
        let claim = Self {
            file,
            size: Some(region.size()),
            token: Token::random()?,
            place: TokenPlace::in_area(region.size()),
        };
        claim.token.write(region, claim.place)?;
        Ok(claim)
    }

    /// What a hello says under the keys that begin so.
    pub(super) fn read(caps: &Capabilities, prefix: &str) -> Option<Self> {
        let get = |key: &str| caps.get(&format!("{prefix}{key}"));
        let number = |key: &str| get(key).and_then(Value::as_int);
        Some(Self {
            file: get("file").and_then(Value::as_text).map(path),
            size: number("size").and_then(|size| u32::try_from(size).ok()),
            token: get("token").and_then(token)?,
            place: TokenPlace::new(number("token_index")?, number("token_bytes")?)?,
        })
    }

    /// The same as keys and values.
    pub(super) fn pairs(&self) -> Vec<(&'static str, Value)> {
        let number = compact_str::format_compact!("{}", self.token.0);
        let token = number.parse().map_or(Value::BigInt(number), Value::Int);
        let mut pairs = vec![
            ("token", token),
            ("token_index", self.place.index.into()),
            ("token_bytes", self.place.bytes.into()),
        ];
        if let Some(size) = self.size {
            pairs.push(("size", size.into()));
        }
        if let Some(file) = &self.file {
            pairs.push(("file", file.to_string_lossy().into_owned().into()));
        }
        pairs
    }

    /// The same as a dictionary.
    pub(super) fn map(&self) -> Value {
        Value::Map(
            self.pairs()
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }

    /// Whether the area is the one that was meant.
    pub(super) fn verify(&self, region: &Region) -> Result<(), AreaError> {
        if self.size.is_some_and(|size| size > region.size()) {
            return Err(AreaError::Size(region.size().into()));
        }
        self.token.verify(region, self.place)
    }
}

fn path(text: Cow<'_, str>) -> PathBuf {
    PathBuf::from(text.into_owned())
}

fn token(value: &Value) -> Option<Token> {
    let number = match value {
        Value::Int(number) => u128::try_from(*number).ok(),
        Value::BigInt(digits) => digits.parse().ok(),
        _ => None,
    };
    // 6.x says 0 where it does without
    number.filter(|number| *number != 0).map(Token)
}
