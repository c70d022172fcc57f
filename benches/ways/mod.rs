//! Connections of every kind, for all benches that measure them.

#![allow(clippy::unwrap_used, reason = "a bench: a panic is a failed run")]

pub(crate) mod bare;
pub(crate) mod keys;
pub(crate) mod ours;
pub(crate) mod pair;
