//! What can be wrong with an address, in words that say what to do about it.

use super::TransportKind;

/// Text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid address '{address}': {problem}")]
pub struct AddressError {
    /// The text, without user, password and options.
    pub address: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A vsock context id that is neither a number nor a known name.
    #[error("'{0}' is not a vsock context id: give a number, 'any', 'host', 'hypervisor' or 'local'")]
    ContextId(String),
    /// Not a display name.
    #[error("'{0}' is not a display: give a number such as ':10'")]
    Display(String),
    /// Not a host.
    #[error("'{0}' is not a host: give a name, an IPv4 address, or an IPv6 address in brackets")]
    Host(String),
    /// A name with characters it may not have.
    #[error("'{0}' is not a socket name: use letters, digits, '-', '_' and '.'")]
    Name(String),
    /// A part is missing.
    #[error("{0} is missing: {1}")]
    Missing(&'static str, &'static str),
    /// An option that is not `key=value`.
    #[error("'{0}' is not an option: write key=value")]
    Option(String),
    /// Not a port.
    #[error("'{0}' is not a port: give a number from {1} to {2}")]
    Port(String, u32, u32),
    /// A port below the lowest allowed.
    #[error("port {port} is below {min}, the lowest allowed: choose another or lower --min-port")]
    PortTooLow {
        /// The port.
        port: u16,
        /// The value of `--min-port`.
        min: u16,
    },
    /// A socket path that is not absolute.
    #[error("'{0}' is not an absolute path: start it with '/'")]
    RelativePath(String),
    /// Not the name of a transport.
    #[error("'{0}' is not a kind of connection: use tcp, ssl, ws, wss, ssh, vsock, socket or named-pipe")]
    UnknownKind(String),
    /// A kind of transport this does not speak.
    #[error("'{0}' connections are not supported: {1}")]
    Unsupported(String, &'static str),
    /// A kind that cannot be bound like this.
    #[error("{0} cannot be listened on")]
    NotBindable(TransportKind),
}
