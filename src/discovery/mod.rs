//! Finding sessions on this machine: which directories hold their sockets, which of them answer, and which one a user
//! means (`endpoints.md` b.1, b.5 to b.7); and on the network ([`mdns`]).
//!
//! The environment is read once, into an [`Environment`]; everything else is a function of it and of the file system.

mod environment;
pub mod mdns;
mod places;
mod resolve;
mod session;
#[cfg_attr(windows, path = "pipes.rs")]
mod sessions;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use self::environment::Environment;
pub use self::places::Places;
pub use self::resolve::{DiscoveryError, resolve};
pub use self::session::{Session, SocketId};
pub use self::sessions::target;
pub use crate::transport::{SessionState, probe_socket};
