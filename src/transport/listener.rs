//! Accepting links.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::acceptor::{Acceptor, verdict};
use super::error::AcceptError;
use super::socket::Socket;
use super::unix::SocketFile;
use super::{Link, LinkInfo, TransportKind, Tuning};
use crate::address::Options;
use crate::system;

/// Connections the kernel may queue for us.
pub(super) const BACKLOG: i32 = 128;

/// The pause after the first failure for want of something; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A socket that accepts links. Dropping it removes its file, if it has one that is still its own.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    local: String,
    file: Option<SocketFile>,
    kind: TransportKind,
    options: Options,
    tuning: Tuning,
}

/// What a listener is, beside its socket.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kind: TransportKind,
    pub(super) options: Options,
    pub(super) tuning: Tuning,
    pub(super) file: Option<SocketFile>,
}

impl Listener {
    /// Starts to listen on a bound socket that does not block.
    pub(super) fn new(socket: socket2::Socket, facts: Facts) -> io::Result<Self> {
        Self::over(Acceptor::new(socket)?, facts)
    }

    /// What listens already.
    pub(super) fn over(acceptor: Acceptor, facts: Facts) -> io::Result<Self> {
        let Facts {
            kind,
            options,
            tuning,
            file,
        } = facts;
        let local = acceptor.local()?;
        let tuning = tuning.with(&options);
        Ok(Self {
            acceptor,
            local,
            file,
            kind,
            options,
            tuning,
        })
    }

    /// Waits for the next peer. Dropping the future loses nobody.
    ///
    /// Lack of descriptors or memory is waited out, so that a crowd cannot stop the server; an error is final.
    pub async fn accept(&self) -> Result<Link, AcceptError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.acceptor.accept().await {
                Ok(socket) => match self.link(socket) {
                    Some(link) => return Ok(link),
                    None => continue,
                },
                Err(error) => error,
            };
            match verdict(&error) {
                Failure::Peer => {}
                Failure::Shortage => {
                    tracing::warn!("cannot accept on {}: {error}; waiting", self.local);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Failure::Final => {
                    return Err(AcceptError {
                        place: self.local.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
    }

    /// The link over an accepted socket; `None` for a peer that may not come in.
    fn link(&self, socket: Socket) -> Option<Link> {
        if self.address().is_some() {
            socket.tune(&self.tuning);
        }
        let info = socket.info(self.kind, self.to_string());
        if self.is_for_owner() && !is_owner(&info) {
            tracing::warn!(
                "refused on {}: {:?} is not the owner",
                self.local,
                info.credentials
            );
            return None;
        }
        Some(Link::new(socket, info))
    }

    /// `auth=peercred` without a list lets in nobody but the owner (`endpoints.md` h.4).
    fn is_for_owner(&self) -> bool {
        self.options.get("auth") == Some("peercred")
    }

    /// Updates the time of the socket's file, which keeps cleaners of temporary files away. `Ok(false)` when the file
    /// is gone or is no longer ours; listeners without a file are always fine.
    pub fn touch(&self) -> io::Result<bool> {
        self.file.as_ref().map_or(Ok(true), SocketFile::touch)
    }

    /// Where it listens: `IP:PORT`, a path, `@NAME`, or vsock's `CID:PORT`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Which protocol the bind option said is spoken here.
    pub const fn kind(&self) -> TransportKind {
        self.kind
    }

    /// The options of the bind value.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The IP address and port, with the port the kernel chose; `None` for other transports.
    pub fn address(&self) -> Option<SocketAddr> {
        self.acceptor.address()
    }

    /// The path of the socket's file.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(SocketFile::path)
    }

    /// True when other machines can reach it, be they virtual.
    pub fn is_exposed(&self) -> bool {
        let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        self.address().is_some_and(|address| !loopback(address.ip())) || self.acceptor.is_exposed()
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.local.starts_with('@') {
            f.write_str(&self.local)
        } else {
            write!(f, "{}://{}", self.kind, self.local)
        }
    }
}

/// Whether the kernel says that the peer is run by who runs us.
fn is_owner(info: &LinkInfo) -> bool {
    info.credentials
        .is_some_and(|peer| peer.uid == system::effective_user_id())
}

/// Whose fault it is that a connection was not accepted.
pub(super) enum Failure {
    /// Nothing will be accepted here any more.
    Final,
    /// That one peer's: take the next.
    Peer,
    /// The machine is short of something.
    Shortage,
}
