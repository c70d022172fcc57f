//! Which bytes of an area are whose (`session.md` 2.1).
//!
//! The reader's position moves only to the end of what it is told to release, so a writer is free to place pictures
//! where it likes between the two positions. Ours never splits one, so that a display can write it in one go, and goes
//! back to the front when nothing is outstanding and a few pictures have room there: the same few pages stay in the
//! caches. It never lets the positions meet by filling the ring, as 6.x does, since equal positions mean an empty one.

use super::region::{Position, Region};
use super::{AreaError, HEADER};
use crate::types::Span;

/// Where `len` bytes in one piece may go in a ring of an area of `size` bytes, `start` and `end` being valid positions.
/// An empty ring is begun anew when `comfort` bytes have room in front.
pub const fn place(size: u32, start: u32, end: u32, len: u32, comfort: u64) -> Option<u32> {
    if len == 0 || len > size {
        return None;
    }
    let before = if end < start { start - end } else { start - HEADER };
    if end < start {
        return if len < before { Some(end) } else { None };
    }
    let behind = size - end;
    let fits_behind = len <= behind && len < behind + before;
    let fits_before = len < before;
    let begin_anew = start == end && before as u64 >= comfort;
    if fits_before && (begin_anew || !fits_behind) {
        Some(HEADER)
    } else if fits_behind {
        Some(end)
    } else {
        None
    }
}

/// The writing end of a ring.
#[derive(Debug)]
pub struct RingWriter {
    region: Region,
    /// As in the area, which a peer could change.
    end: u32,
    /// What it was before the newest pieces.
    before: u32,
    /// The largest piece so far.
    largest: u32,
}

impl RingWriter {
    /// So many pictures have room in front before the ring is begun anew. No more than that is ever on its way, which
    /// also protects readers of 3.1: they release a picture first and look at it then.
    const COMFORT: u64 = 2;

    /// Begins to write into an area.
    pub fn new(region: Region) -> Result<Self, AreaError> {
        let end = region.load(Position::End)?;
        Ok(Self {
            region,
            end,
            before: end,
            largest: 0,
        })
    }

    /// Takes so many bytes in one piece each, all of them or none.
    pub fn reserve_all(&mut self, lens: impl IntoIterator<Item = u64>) -> Result<Vec<Span>, AreaError> {
        let before = self.end;
        let spans = lens.into_iter().map(|len| self.reserve(len)).collect();
        self.before = before;
        if matches!(spans, Err(AreaError::Full(_))) {
            self.cancel()?;
        }
        spans
    }

    /// Takes back what was reserved last, of which the reader was not told.
    pub fn cancel(&mut self) -> Result<(), AreaError> {
        self.end = self.before;
        self.region.store(Position::End, self.end)
    }

    /// Takes `len` bytes in one piece.
    pub fn reserve(&mut self, len: u64) -> Result<Span, AreaError> {
        self.before = self.end;
        let start = self.region.load(Position::Start)?;
        let full = || AreaError::Full(len);
        let wanted = u32::try_from(len).map_err(|_| full())?;
        self.largest = self.largest.max(wanted);
        let comfort = u64::from(self.largest) * Self::COMFORT;
        let offset = place(self.region.size(), start, self.end, wanted, comfort).ok_or_else(full)?;
        self.end = offset + wanted;
        self.region.store(Position::End, self.end)?;
        Ok(Span { offset, len: wanted })
    }

    /// Copies pixels into what was reserved.
    pub fn write(&self, offset: u32, bytes: &[u8]) -> Result<(), AreaError> {
        self.region.write(offset, bytes)
    }

    /// Where the bytes are.
    pub const fn region(&self) -> &Region {
        &self.region
    }
}

/// The reading end of a ring.
#[derive(Debug)]
pub struct RingReader {
    region: Region,
}

impl RingReader {
    /// Begins to read from an area.
    pub const fn new(region: Region) -> Self {
        Self { region }
    }

    /// Bytes of all pieces together; an error when one is not inside the ring.
    pub fn check(&self, spans: &[Span]) -> Result<u64, AreaError> {
        let size = self.region.size();
        let outside = |span: &&Span| span.offset < HEADER || span.end() > u64::from(size);
        match spans.iter().find(outside) {
            Some(span) => Err(AreaError::Outside { span: *span, size }),
            None => Ok(spans.iter().map(|span| u64::from(span.len)).sum()),
        }
    }

    /// Copies out `out.len()` bytes from `skip` on of what the pieces hold one after the other.
    pub fn read(&self, spans: &[Span], skip: u64, out: &mut [u8]) -> Result<(), AreaError> {
        self.check(spans)?;
        let (mut skip, mut out) = (skip, out);
        for span in spans {
            let len = u64::from(span.len);
            if skip >= len {
                skip -= len;
                continue;
            }
            let here = usize::try_from(len - skip).unwrap_or(usize::MAX).min(out.len());
            let (now, later) = out.split_at_mut(here);
            self.region
                .read(span.offset + u32::try_from(skip).unwrap_or(0), now)?;
            (skip, out) = (0, later);
        }
        match (out.is_empty(), spans.last()) {
            (true, _) => Ok(()),
            (false, last) => Err(AreaError::Outside {
                span: last.copied().unwrap_or(Span { offset: 0, len: 0 }),
                size: self.region.size(),
            }),
        }
    }

    /// Gives back these pieces and all before them.
    pub fn release(&mut self, spans: &[Span]) -> Result<(), AreaError> {
        self.check(spans)?;
        match spans.last().and_then(|span| u32::try_from(span.end()).ok()) {
            Some(end) => self.region.store(Position::Start, end),
            None => Ok(()),
        }
    }

    /// Where the bytes are.
    pub const fn region(&self) -> &Region {
        &self.region
    }
}
