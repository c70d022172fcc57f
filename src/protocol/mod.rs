//! LAYER 3: one connection as a state machine without I/O, clock or threads.
//!
//! [`Connection`] takes the bytes of a stream and gives [`Event`]s, takes [`Packet`](crate::packet::Packet)s and
//! gives bytes. Every call that needs the time is told it. Both roles and both dialects of `wire.md` 8 are here:
//! a server learns the dialect from the first record, a client opens in the one it is told and learns from the
//! refusal ([`CloseReason::Refused`]) that it should try the other.

mod close;
mod connection;
mod encryption;
mod keepalive;
mod ledger;
mod negotiate;
mod stats;
#[cfg(test)]
mod tests;

pub use close::{CloseReason, TimedOut};
pub use connection::{Connection, ConnectionConfig, Event};
pub use encryption::{Encryption, EncryptionError};
pub use keepalive::Keepalive;
pub use ledger::Ledger;
pub use negotiate::{NegotiationError, VERSION_G3, VERSION_G6, network_capabilities};
pub use stats::{Queued, Stats};

/// Disconnect reasons: constant texts that both ends compare exactly (`endpoints.md` j.4).
pub mod reason {
    /// No echo of our pings.
    pub const CLIENT_PING_TIMEOUT: &str = "client ping timeout";
    /// No hello in time.
    pub const LOGIN_TIMEOUT: &str = "login timeout";
    /// Malformed or unexpected packets.
    pub const PROTOCOL_ERROR: &str = "protocol error";
    /// The versions do not fit.
    pub const VERSION_ERROR: &str = "version error";
    /// Packets are not encrypted as they have to be.
    pub const ENCRYPTION_ERROR: &str = "encryption error";
    /// A control command went wrong.
    pub const CONTROL_COMMAND_ERROR: &str = "control command error";
    /// Wrong credentials.
    pub const AUTHENTICATION_FAILED: &str = "authentication failed";
    /// Not allowed here.
    pub const PERMISSION_ERROR: &str = "permission error";
    /// Our own fault.
    pub const SERVER_ERROR: &str = "server error";
    /// The connection cannot be used as asked.
    pub const CONNECTION_ERROR: &str = "connection error";
    /// All is well.
    pub const DONE: &str = "done";
    /// The server ends, its applications stay.
    pub const SERVER_EXIT: &str = "server exit";
    /// Another server takes over.
    pub const SERVER_UPGRADE: &str = "server upgrade";
    /// The server ends.
    pub const SERVER_SHUTDOWN: &str = "server shutdown";
    /// The client asked for it.
    pub const CLIENT_REQUEST: &str = "client request";
    /// Somebody asked for all clients to go.
    pub const DETACH_REQUEST: &str = "detach request";
    /// Another client took over.
    pub const NEW_CLIENT: &str = "new client";
    /// Nobody used it for too long.
    pub const IDLE_TIMEOUT: &str = "idle timeout";
    /// Another client holds it.
    pub const SESSION_BUSY: &str = "session busy";
    /// The client leaves.
    pub const CLIENT_EXIT: &str = "client exit";

    /// Whether a reason means that something went wrong (`session.md` f).
    pub fn is_error(reason: &str) -> bool {
        reason.contains("error")
            || (reason.contains("timeout") && reason != IDLE_TIMEOUT)
            || reason == AUTHENTICATION_FAILED
    }
}
