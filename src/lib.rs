//! xpra's network stack in Rust, with the server and the client that use it.

pub mod address;
pub mod codec;
pub mod command;
pub mod delivery;
pub mod discovery;
pub mod display;
pub mod packet;
pub mod picture;
pub mod protocol;
pub mod session;
pub mod transport;
pub mod types;
