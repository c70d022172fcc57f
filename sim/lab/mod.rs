//! Picture latency on the links of `netem/profiles.toml`, in simulated time.
//!
//! The library's own server and client, unchanged, over a [`Network`](crate::tcp::Network): one thread, tokio's
//! stopped clock, which is moved from event to event to the nanosecond. turmoil is not used here: its grain is a
//! millisecond and it knows no rate. [`play`] gives an [`Outcome`](crate::outcome::Outcome), the same in every run
//! of a seed.

mod client;
mod fault;
mod noise;
mod play;
mod source;
mod stage;
mod stream;

pub(crate) use self::fault::Fault;
#[allow(unused_imports, reason = "shared with `cargo netem`, which uses other parts")]
pub(crate) use self::noise::Noise;
pub(crate) use self::play::{Played, Setup, play};
