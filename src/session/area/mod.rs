//! Agreeing on shared memory in the hellos, and pixels through it (`session.md` b).
//!
//! The client [offers](Offer) up to two areas: a file, which xpra of any generation can open, and an anonymous one,
//! which travels as a descriptor beside the first byte of the connection and which only servers of our kind ask for.
//! The server takes [one of them](accept), proves it with a token of its own, and says so in its hello.
//!
//! 3.1 reads and writes flat keys (`mmap_file`), 6.x a dictionary for each direction (`mmap: {read: {file}}`, named
//! from the speaker's point of view). Both are said in both dialects.

mod claim;
mod offer;
mod pictures;
mod server;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use offer::{Offer, Placement};
pub use pictures::{Area, Captured};
pub(crate) use server::{Accepted, accept};
