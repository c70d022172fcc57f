//! xpra's network stack in Rust, with the server and the client that use it.

pub mod address;
pub mod codec;
pub mod command;
pub mod discovery;
pub mod display;
pub mod picture;
pub mod transport;
pub mod types;
