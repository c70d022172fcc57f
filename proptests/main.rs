//! Properties that hold for every input; a failing one is kept beside its source.

#![expect(clippy::unwrap_used, reason = "a test target: a panic is a failed test")]

mod auth;
mod cipher;
mod codec;
mod delivery;
mod mmap;
mod packet;
mod protocol;
mod strategies;
mod websocket;
