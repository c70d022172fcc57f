//! UTF-8 that comes in pieces.

/// The longest character.
const LONGEST: usize = 4;

/// Says at the first wrong byte that text is none, wherever it is cut.
#[derive(Debug)]
pub(super) struct Utf8 {
    /// The beginning of a character whose rest has not come.
    cut: [u8; LONGEST],
    len: usize,
}

impl Utf8 {
    pub(super) const fn new() -> Self {
        Self {
            cut: [0; LONGEST],
            len: 0,
        }
    }

    /// True when nothing is missing.
    pub(super) const fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece; false when it cannot be part of a text.
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> bool {
        while let (false, [byte, rest @ ..]) = (self.is_complete(), piece) {
            self.keep(&[*byte]);
            match std::str::from_utf8(self.cut.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
            piece = rest;
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                self.keep(piece.get(error.valid_up_to()..).unwrap_or_default());
                true
            }
            Err(_) => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(space) = self.cut.get_mut(self.len..end) {
            space.copy_from_slice(bytes);
            self.len = end;
        }
    }
}
