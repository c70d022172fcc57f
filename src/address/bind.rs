//! The values of `--bind`, `--bind-tcp` and their kin (`endpoints.md` a.1, a.2, b.2).

use std::fmt;
use std::path::PathBuf;

use super::TransportKind;
use super::error::{AddressError, Problem};
use super::options::{Options, split_top_level};
use super::parse::{check_host, redact, vsock_cid, vsock_port};

/// The default of `--min-port`.
pub const DEFAULT_MIN_PORT: u16 = 1024;

/// Something to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Which protocol is spoken there.
    pub kind: TransportKind,
    /// Where.
    pub place: Place,
    /// The `,key=value` options that follow.
    pub options: Options,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `@NAME`: an abstract unix socket.
    Abstract(String),
    /// The usual sockets of a session.
    Auto {
        /// With the abstract one.
        with_abstract: bool,
    },
    /// `DIR/`: a socket named after host and display in it.
    Directory(PathBuf),
    /// A host and a port; port 0 lets the kernel choose.
    Ip(BindHost, u16),
    /// A unix socket named `HOST-NAME` in the first socket directory.
    Name(String),
    /// Nowhere.
    None,
    /// An absolute path (or a directory, should it be one).
    Path(PathBuf),
    /// A Windows named pipe.
    Pipe(String),
    /// A vsock context id and port.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

/// The host part of an IP bind value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindHost {
    /// `*`: every address, of both families when possible.
    Any,
    /// A name or an address, IPv6 without brackets.
    Host(String),
}

impl Bind {
    /// Parses the value of the bind option of that kind ([`TransportKind::Socket`] for plain `--bind`).
    ///
    /// Ports below `min_port` are refused, port 0 never is (as in 3.x: the kernel chooses). A path is taken as it
    /// stands: `~` and `$VARIABLES` are the caller's to expand.
    pub fn parse(kind: TransportKind, text: &str, min_port: u16) -> Result<Self, AddressError> {
        let (place, options) = split_top_level(text.trim());
        // as clients write it
        let pipe = place
            .strip_prefix("named-pipe:")
            .filter(|_| kind == TransportKind::Socket);
        let (kind, place) = match pipe {
            Some(pipe) => (TransportKind::NamedPipe, pipe.trim_start_matches('/')),
            None => (kind, place),
        };
        let parsed = match kind {
            TransportKind::Socket => local(place),
            TransportKind::Vsock => vsock(place),
            TransportKind::NamedPipe => pipe_name(place),
            _ => ip(kind, place, min_port),
        };
        parsed
            .and_then(|place| {
                Ok(Self {
                    kind,
                    place,
                    options: Options::from_list(options)?,
                })
            })
            .map_err(|problem| AddressError {
                address: redact(place),
                problem,
            })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Abstract(name) => write!(f, "@{name}"),
            Place::Auto { with_abstract: true } => f.write_str("auto"),
            Place::Auto { with_abstract: false } => f.write_str("noabstract"),
            Place::Directory(path) | Place::Path(path) => path.display().fmt(f),
            Place::Ip(BindHost::Any, port) => write!(f, "{}://*:{port}", self.kind),
            Place::Ip(BindHost::Host(host), port) if host.contains(':') => {
                write!(f, "{}://[{host}]:{port}", self.kind)
            }
            Place::Ip(BindHost::Host(host), port) => write!(f, "{}://{host}:{port}", self.kind),
            Place::Name(name) => f.write_str(name),
            Place::Pipe(name) => write!(f, "named-pipe://{name}"),
            Place::None => f.write_str("none"),
            Place::Vsock { cid, port } => write!(f, "vsock://{}:{}", super::Any(*cid), super::Any(*port)),
        }
    }
}

fn local(text: &str) -> Result<Place, Problem> {
    match text {
        "" | "none" => return Ok(Place::None),
        "auto" => return Ok(Place::Auto { with_abstract: true }),
        "noabstract" => return Ok(Place::Auto { with_abstract: false }),
        _ => {}
    }
    if let Some(name) = text.strip_prefix('@') {
        return check_name(name, "-_").map(Place::Abstract);
    }
    if text.starts_with('/') {
        let path = PathBuf::from(text);
        return Ok(if text.ends_with('/') {
            Place::Directory(path)
        } else {
            Place::Path(path)
        });
    }
    if text.contains('/') {
        return Err(Problem::RelativePath(text.to_owned()));
    }
    check_name(text.trim_start_matches(':'), "-_.").map(Place::Name)
}

fn check_name(name: &str, also: &str) -> Result<String, Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Problem::Name(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// `[HOST]:PORT`: the port is what follows the last colon, so IPv6 needs no brackets here.
fn ip(kind: TransportKind, text: &str, min_port: u16) -> Result<Place, Problem> {
    let missing = Problem::Missing("the port", "write [HOST]:PORT");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => return Err(missing),
    };
    let port = match (port, kind.default_port()) {
        ("", Some(default)) => default,
        ("", None) => return Err(Problem::NotBindable(kind)),
        (port, _) => port
            .parse()
            .map_err(|_| Problem::Port(port.to_owned(), 0, 65535))?,
    };
    if port != 0 && port < min_port {
        return Err(Problem::PortTooLow { port, min: min_port });
    }
    let host = match host {
        "*" => BindHost::Any,
        "" => BindHost::Host("127.0.0.1".to_owned()),
        host => {
            let plain = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host);
            check_host(plain)?;
            BindHost::Host(plain.to_owned())
        }
    };
    Ok(Place::Ip(host, port))
}

/// A pipe of this machine: its name, with or without what precedes it there.
fn pipe_name(text: &str) -> Result<Place, Problem> {
    let name = text.strip_prefix(r"\\.\pipe\").unwrap_or(text);
    let plain = name.strip_prefix(r"Xpra\").unwrap_or(name);
    check_name(plain, "-_.").map(|_| Place::Pipe(name.to_owned()))
}

fn vsock(text: &str) -> Result<Place, Problem> {
    let (cid, port) = text
        .split_once(':')
        .ok_or(Problem::Missing("the port", "write CID:PORT"))?;
    Ok(Place::Vsock {
        cid: vsock_cid(cid)?,
        port: vsock_port(port)?,
    })
}
