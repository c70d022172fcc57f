//! Decompression of LZO1X in the container of python-lzo, which xpra 3 may use (`wire.md` 1.3, 3).

use super::CompressionError;

/// What the container `data` holds, at most `max` bytes.
pub(super) fn decompress(data: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    let ([0xf0 | 0xf1, a, b, c, d], block) = data.split_first_chunk().ok_or(CompressionError::Corrupt)?
    else {
        return Err(CompressionError::Corrupt);
    };
    let size =
        usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).map_err(|_| CompressionError::TooLarge)?;
    if size > max {
        return Err(CompressionError::TooLarge);
    }
    let mut stream = Stream {
        rest: block,
        out: Vec::new(),
        size,
    };
    stream.run()?;
    // The block must end the container and give just what it claims.
    if stream.out.len() != size || !stream.rest.is_empty() {
        Err(CompressionError::Corrupt)
    } else {
        Ok(stream.out)
    }
}

struct Stream<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    /// The bytes that may come out.
    size: usize,
}

impl Stream<'_> {
    /// Follows the instructions until the one that ends the block.
    fn run(&mut self) -> Result<(), CompressionError> {
        // How many literals came last, 4 for a long run: it selects the meaning of the instructions below 16.
        let mut literals = 0;
        if let Some(first @ 18..) = self.rest.first().copied() {
            self.byte()?;
            let len = first - 17;
            self.literals(len.into())?;
            literals = len.min(4);
        }
        loop {
            let code = self.byte()?;
            let (distance, len, trailing) = match code {
                0..=15 if literals == 0 => {
                    let len = self.length(code, 15)? + 3;
                    self.literals(len)?;
                    literals = 4;
                    continue;
                }
                0..=15 if literals == 4 => (self.near(code >> 2, 2)? + 2048, 3, code & 3),
                0..=15 => (self.near(code >> 2, 2)?, 2, code & 3),
                16..=31 => {
                    let len = self.length(code & 7, 7)? + 2;
                    let (far, trailing) = self.far()?;
                    let distance = (usize::from(code & 8) << 11) + far;
                    if distance == 0 {
                        return Ok(());
                    }
                    (distance + 16384, len, trailing)
                }
                32..=63 => {
                    let len = self.length(code & 31, 31)? + 2;
                    let (far, trailing) = self.far()?;
                    (far + 1, len, trailing)
                }
                64..=127 => (
                    self.near(code >> 2 & 7, 3)?,
                    usize::from(code >> 5 & 1) + 3,
                    code & 3,
                ),
                128.. => (
                    self.near(code >> 2 & 7, 3)?,
                    usize::from(code >> 5 & 3) + 5,
                    code & 3,
                ),
            };
            self.copy(distance, len)?;
            self.literals(trailing.into())?;
            literals = trailing;
        }
    }

    /// A length of a code: zero means that more bytes tell what comes on top of `max`.
    fn length(&mut self, code: u8, max: usize) -> Result<usize, CompressionError> {
        if code != 0 {
            return Ok(code.into());
        }
        let mut len = max;
        loop {
            match self.byte()? {
                0 => len += 255,
                last => return Ok(len + usize::from(last)),
            }
        }
    }

    /// A distance of one byte and `bits` low bits.
    fn near(&mut self, low: u8, bits: u32) -> Result<usize, CompressionError> {
        Ok((usize::from(self.byte()?) << bits) + usize::from(low) + 1)
    }

    /// Fourteen bits of distance and the number of literals that follow the match.
    fn far(&mut self) -> Result<(usize, u8), CompressionError> {
        let (low, high) = (self.byte()?, self.byte()?);
        Ok((usize::from(u16::from_le_bytes([low, high]) >> 2), low & 3))
    }

    fn byte(&mut self) -> Result<u8, CompressionError> {
        let (byte, rest) = self.rest.split_first().ok_or(CompressionError::Corrupt)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn literals(&mut self, len: usize) -> Result<(), CompressionError> {
        let (literals, rest) = self.rest.split_at_checked(len).ok_or(CompressionError::Corrupt)?;
        self.room(len)?;
        self.rest = rest;
        self.out.extend_from_slice(literals);
        Ok(())
    }

    /// Repeats `len` bytes from `distance` bytes back; they may overlap what they produce.
    fn copy(&mut self, distance: usize, len: usize) -> Result<(), CompressionError> {
        self.room(len)?;
        let start = self
            .out
            .len()
            .checked_sub(distance)
            .ok_or(CompressionError::Corrupt)?;
        let mut left = len;
        while left > 0 {
            let piece = left.min(self.out.len() - start);
            self.out.extend_from_within(start..start + piece);
            left -= piece;
        }
        Ok(())
    }

    fn room(&self, len: usize) -> Result<(), CompressionError> {
        if len <= self.size - self.out.len() {
            Ok(())
        } else {
            Err(CompressionError::Corrupt)
        }
    }
}
