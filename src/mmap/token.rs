//! [`Token`]: a number that one end writes into an area and tells the other through the connection, which so knows
//! that both mean the same memory (`session.md` 2.5).

use super::{AreaError, HEADER, Region};

/// A random number of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u128);

/// Where in an area a token is, and in how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPlace {
    /// The first byte.
    pub index: u32,
    /// Little-endian bytes, the rest zeros.
    pub bytes: u32,
}

impl TokenPlace {
    /// Bytes xpra writes.
    const BYTES: u32 = 128;
    /// Bytes it reads at most.
    const MAX_BYTES: u32 = 512;

    /// The place 3.1 uses, and 6.x accepts: at the end.
    pub const fn in_area(size: u32) -> Self {
        Self {
            index: size.saturating_sub(Self::BYTES),
            bytes: Self::BYTES,
        }
    }

    /// A place that a peer chose; `None` when it cannot hold a token, or would hide the positions.
    pub fn new(index: i64, bytes: i64) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|index| *index >= HEADER)?;
        let bytes = u32::try_from(bytes).ok()?;
        (16..=Self::MAX_BYTES)
            .contains(&bytes)
            .then_some(Self { index, bytes })
    }
}

impl Token {
    /// A new one.
    pub fn random() -> Result<Self, AreaError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| AreaError::Io(error.to_string()))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }

    /// Writes it.
    pub fn write(self, region: &Region, place: TokenPlace) -> Result<(), AreaError> {
        let mut bytes = vec![0; place.bytes as usize];
        for (to, from) in bytes.iter_mut().zip(self.0.to_le_bytes()) {
            *to = from;
        }
        region.write(place.index, &bytes)
    }

    /// Whether it is there.
    pub fn verify(self, region: &Region, place: TokenPlace) -> Result<(), AreaError> {
        let mut bytes = vec![0; place.bytes as usize];
        region.read(place.index, &mut bytes)?;
        let expected = self.0.to_le_bytes().into_iter().chain(std::iter::repeat(0));
        if self.0 != 0 && bytes.into_iter().zip(expected).all(|(a, b)| a == b) {
            Ok(())
        } else {
            Err(AreaError::Token)
        }
    }
}
