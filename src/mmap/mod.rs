//! LAYER 3 shared memory: pixels beside the stream (`session.md` b).
//!
//! An area is a file or an anonymous one that both ends of a connection can reach. It begins with two positions, the
//! rest is a ring of pixels. The server writes pixels into it and sends their place ([`Span`]) in a draw packet; the
//! client uses them there and then moves the first position past them, which releases them. The packet is what wakes
//! the other side and what orders its reads after our writes: nobody polls the area.
//!
//! * [`Region`]: the bytes, and the only code that touches them.
//! * [`RingWriter`], [`RingReader`]: which bytes are whose.
//! * [`Token`]: the proof that both ends look at the same area.
//! * [`NamedFile`], [`open_file`]: files that xpra's peers can open too.
//!
//! # Two kinds, and what a hostile peer can do to each
//!
//! A peer that truncates a file makes every access to a mapping of the lost pages a SIGBUS, which would end the
//! process and all its other sessions.
//!
//! * An **anonymous** area is a memfd, sealed against shrinking before it is passed to the peer, and refused when one
//!   comes without that seal or from another file system than the kernel's own memory. No page of it can go away, so
//!   it is mapped.
//! * A **file** is never mapped. Positions, tokens, and pixels where they have to be copied go through `pread` and
//!   `pwrite`, for which a lost page is an error or a hole. A process-wide signal handler that maps zeros over the
//!   hole would make copies twice as fast, but its state is global, it must chain to whatever else handles the signal,
//!   and it would serve only the rare case: where the display takes the area's descriptor, it reads or writes the
//!   pixels itself (X servers survive truncation), and what is left to us is a few bytes for each picture.
//!
//! Either way the bytes may change while we look at them. So they are copied out before they are understood, no
//! reference into an area exists, positions are checked each time they are read, and what only we write is remembered
//! on our side instead of read back.

mod error;
#[cfg(unix)]
mod file;
#[cfg_attr(windows, path = "absent.rs")]
mod region;
mod ring;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod token;

pub use error::AreaError;
#[cfg(unix)]
pub use file::{NamedFile, Trust, open_file, sweep};
pub use region::Region;
#[cfg(windows)]
pub use region::{NamedFile, Trust, open_file, sweep};
pub use ring::{RingReader, RingWriter, place};
pub use token::{Token, TokenPlace};

pub use crate::types::Span;

/// Bytes of the two positions, and so the first position of the ring.
pub const HEADER: u32 = 8;

/// The smallest area xpra accepts (`session.md` 2.3).
pub const MIN_SIZE: u32 = 64 << 20;

/// Bytes of an area for a screen of `pixels`: room for several windows of it (`session.md` 2.3). Pages that are never
/// used cost nothing.
pub fn size_for(pixels: u64) -> u32 {
    const LEAST: u64 = 256 << 20;
    const MOST: u64 = 1 << 30;
    const PAGE: u64 = 4096;
    let ring = pixels.saturating_mul(4 * 8).clamp(LEAST, MOST);
    u32::try_from((ring + u64::from(HEADER)).next_multiple_of(PAGE)).unwrap_or(u32::MAX)
}
