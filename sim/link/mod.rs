//! One direction of a link as a plain data structure: packets in, packets out, time as an argument.
//!
//! [`Bottleneck`] is a byte-exact virtual queue: a bounded queue (drop-tail or CoDel) before a serializer whose rate
//! may change, then a line with a delay. The simulated paths of `sim/tcp` consist of two of them, and the TUN emulator
//! of `netem/` moves real packets through the same two. Times are computed, not waited for: whoever asks late gets
//! late packets, but the next ones are not later for it.

mod codel;
mod queue;
mod rate;
mod rng;
#[cfg(test)]
mod tests;

pub(crate) use self::queue::{Aqm, Bottleneck, Shape};
pub(crate) use self::rate::Rate;
pub(crate) use self::rng::Rng;

/// Nanoseconds since the beginning of the world.
pub(crate) type Nanos = u64;

/// A second.
pub(crate) const SECOND: Nanos = 1_000_000_000;
/// A millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000_000;

/// The whole part, 0 for what is below.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.clamp(0.0, 9e15) as u64
}
