//! Where a session is: what a user types to connect ([`Address`]) and what a server is told to listen on
//! ([`Bind`]). Only text in and values out: no I/O, no environment, no name lookup (`endpoints.md` a.1 to a.3).

mod bind;
mod closest;
mod error;
mod options;
mod parse;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use self::bind::{Bind, BindHost, DEFAULT_MIN_PORT, Place};
pub use self::closest::closest;
pub use self::error::{AddressError, Problem};
pub use self::options::{Options, is_safe as is_safe_option};
pub use self::secret::{Credentials, Secret};

/// The vsock context id that stands for "any" (`VMADDR_CID_ANY`).
pub const VSOCK_CID_ANY: u32 = u32::MAX;

/// The vsock port that stands for "any" (`VMADDR_PORT_ANY`).
pub const VSOCK_PORT_ANY: u32 = u32::MAX;

/// A way to carry the bytes of a session, under the name URLs and options give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// A Windows named pipe.
    NamedPipe,
    /// QUIC.
    Quic,
    /// A unix domain socket, in the file system or abstract.
    Socket,
    /// SSH.
    Ssh,
    /// TLS over TCP.
    Ssl,
    /// Plain TCP.
    Tcp,
    /// A virtual machine socket.
    Vsock,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl TransportKind {
    /// The name in URLs: `tcp` of `tcp://host/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NamedPipe => "named-pipe",
            Self::Quic => "quic",
            Self::Socket => "socket",
            Self::Ssh => "ssh",
            Self::Ssl => "ssl",
            Self::Tcp => "tcp",
            Self::Vsock => "vsock",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port meant when none is given; `None` for kinds without IP ports. (`endpoints.md` a.1, the modern
    /// table: 3.x clients used 14500 for all but ssh.)
    pub const fn default_port(self) -> Option<u16> {
        Some(match self {
            Self::Tcp | Self::Quic => 14500,
            Self::Ssl | Self::Wss => 443,
            Self::Ws => 80,
            Self::Ssh => 22,
            Self::NamedPipe | Self::Socket | Self::Vsock => return None,
        })
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a user gave to name a session: where it is, who to be there, and how to connect.
///
/// `Display` is the string to show (`MODE://[USER@]HOST[:PORT]/[DISPLAY]`): it never holds a password or options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where the session is.
    pub target: Target,
    /// The user name and password of the URL.
    pub credentials: Credentials,
    /// The options of the URL's query, in order.
    pub options: Options,
    /// What to tell the user: options that are unknown or were not allowed.
    pub warnings: Vec<String>,
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// An abstract unix socket, without the `@`: xpra's `xpra/NAME`, or `NAME` itself.
    Abstract(String),
    /// The only live session of this user.
    Auto,
    /// A display of this machine, as written: `:10`, `wayland-1`.
    Display(String),
    /// A Windows named pipe.
    NamedPipe(String),
    /// A host and a port, and what to ask of it.
    Remote(Remote),
    /// A session of this machine by its name.
    Session(String),
    /// A unix socket, absolute path.
    Socket(PathBuf),
    /// A virtual machine's socket.
    Vsock {
        /// Context id, [`VSOCK_CID_ANY`] for any.
        cid: u32,
        /// Port, [`VSOCK_PORT_ANY`] for any.
        port: u32,
    },
}

/// A session reached through a host name and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// One of the kinds that have a default port.
    pub kind: TransportKind,
    /// A name, an IPv4 address, or an IPv6 address without brackets (perhaps with `%interface`).
    pub host: String,
    /// The port; for ssh the SSH server's.
    pub port: u16,
    /// What follows the host: the display without its colon, a session name or, for websockets, a path. Often empty.
    pub path: String,
}

impl Address {
    /// An address of that place, as nobody in particular.
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            credentials: Credentials {
                username: None,
                password: None,
            },
            options: Options::new(),
            warnings: Vec::new(),
        }
    }

    /// The kind of transport that leads there; `None` while only discovery can tell.
    pub const fn kind(&self) -> Option<TransportKind> {
        match &self.target {
            Target::Auto | Target::Display(_) | Target::Session(_) => None,
            Target::Abstract(_) | Target::Socket(_) => Some(TransportKind::Socket),
            Target::NamedPipe(_) => Some(TransportKind::NamedPipe),
            Target::Remote(remote) => Some(remote.kind),
            Target::Vsock { .. } => Some(TransportKind::Vsock),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse::address(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = UserPrefix(self.credentials.username.as_deref());
        match &self.target {
            Target::Abstract(name) => write!(f, "@{name}"),
            Target::Auto => Ok(()),
            Target::Display(name) | Target::Session(name) => f.write_str(name),
            Target::NamedPipe(name) => write!(f, "named-pipe://{name}"),
            Target::Remote(remote) => {
                write!(
                    f,
                    "{}://{user}{}/{}",
                    remote.kind,
                    remote.authority(),
                    encode_path(&remote.path)
                )
            }
            Target::Socket(path) => {
                write!(
                    f,
                    "socket://{user}{}",
                    options::encode(path.as_os_str().as_encoded_bytes(), b"%?#")
                )
            }
            Target::Vsock { cid, port } => write!(f, "vsock://{user}{}:{}", Any(*cid), Any(*port)),
        }
    }
}

impl Remote {
    /// `HOST[:PORT]`: brackets around IPv6, the port only when it is not the default.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.kind.default_port() == Some(self.port) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// The user name as it stands before a host, or nothing.
struct UserPrefix<'a>(Option<&'a str>);

impl fmt::Display for UserPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(user) => write!(f, "{}@", options::encode(user.as_bytes(), b"%?#:/@")),
            None => Ok(()),
        }
    }
}

/// A vsock number, by name when it means any.
struct Any(u32);

impl fmt::Display for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u32::MAX {
            f.write_str("any")
        } else {
            self.0.fmt(f)
        }
    }
}

/// A path that parses back to itself: what would end it or start options is escaped.
fn encode_path(path: &str) -> String {
    options::encode(path.as_bytes(), b"%?#,=")
}
