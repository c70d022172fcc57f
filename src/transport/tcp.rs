//! TCP: every address of a name, both families, tried side by side (RFC 8305).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket2::{Domain, SockAddr, Type};
use tokio::net::lookup_host;
use tokio::time::sleep;

use super::error::{ConnectError, ListenError};
use super::listener::{Facts, Listener};
use super::socket::Socket;
use super::{Link, ListenOptions, TransportKind, Tuning};
use crate::address::{Bind, BindHost, Place};

/// How long an address may stay silent before the next is tried too (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses tried of one name: more only delay the verdict.
const MAX_ADDRESSES: usize = 16;

/// The addresses of `host`, in the order to try them.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |reason: String| ConnectError::Lookup {
        host: host.to_owned(),
        reason,
    };
    let addresses: Vec<_> = lookup_host((host, port))
        .await
        .map_err(|error| failed(error.to_string()))?
        .collect();
    if addresses.is_empty() {
        Err(failed("it has no address".to_owned()))
    } else {
        Ok(interleave(addresses))
    }
}

/// Alternates between the families, beginning with that of the first address (RFC 8305 section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    one.dedup();
    other.dedup();
    let mut others = other.into_iter();
    let mut order: Vec<_> = one
        .into_iter()
        .flat_map(|address| [Some(address), others.next()])
        .flatten()
        .collect();
    order.extend(others);
    order.truncate(MAX_ADDRESSES);
    order
}

/// Connects to whichever of `addresses` answers first. The next is tried when one has failed or been silent for a
/// quarter of a second; tries that are under way go on.
pub(super) async fn connect(addresses: &[SocketAddr], tuning: &Tuning) -> io::Result<Socket> {
    let mut waiting = addresses.iter();
    let mut tries = FuturesUnordered::new();
    let mut failures = Failures::default();
    loop {
        let started = waiting.next().is_some_and(|address| {
            tries.push(attempt(*address));
            true
        });
        if tries.is_empty() {
            return Err(failures.into_error());
        }
        tokio::select! {
            biased;
            Some((address, result)) = tries.next() => match result {
                Ok(socket) => {
                    socket.tune(tuning);
                    return Ok(socket);
                }
                Err(error) => failures.add(address, error),
            },
            () = sleep(STAGGER), if started => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> (SocketAddr, io::Result<Socket>) {
    (address, Socket::connect(&SockAddr::from(address)).await)
}

/// Connects to whichever of `addresses` answers first and makes a link of it, for callers that have addresses already.
pub async fn connect_any(addresses: &[SocketAddr], tuning: &Tuning) -> io::Result<Link> {
    let socket = connect(addresses, tuning).await?;
    let peer = socket.info(TransportKind::Tcp, String::new()).peer;
    let info = socket.info(TransportKind::Tcp, format!("tcp://{peer}/"));
    Ok(Link::new(socket, info))
}

/// What went wrong with each address.
#[derive(Default)]
struct Failures(Vec<(SocketAddr, io::Error)>);

impl Failures {
    fn add(&mut self, address: SocketAddr, error: io::Error) {
        self.0.push((address, error));
    }

    /// One error for all, of the kind of the last.
    fn into_error(self) -> io::Error {
        let kind = self
            .0
            .last()
            .map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        let reasons: Vec<_> = self
            .0
            .iter()
            .map(|(address, error)| format!("{address}: {error}"))
            .collect();
        io::Error::new(kind, reasons.join(", "))
    }
}

/// Listens on every address the bind value stands for, all with the same port.
pub(super) async fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let Place::Ip(host, port) = &bind.place else {
        return Err(ListenError::Unsupported { kind: bind.kind });
    };
    let mut sockets = match host {
        BindHost::Any => bind_any(*port),
        BindHost::Host(host) => {
            let lookup = |error: io::Error| ListenError::Lookup {
                host: host.clone(),
                reason: error.to_string(),
            };
            let mut addresses: Vec<_> = lookup_host((host.as_str(), *port))
                .await
                .map_err(lookup)?
                .collect();
            addresses.dedup();
            bind_all(&addresses)
        }
    }
    .map_err(|error| ListenError::failed(bind, &error))?;
    let listener = |socket| {
        let facts = Facts {
            kind: bind.kind,
            options: bind.options.clone(),
            tuning: options.tuning.clone(),
            file: None,
        };
        Listener::new(socket, facts).map_err(|error| ListenError::failed(bind, &error))
    };
    let listeners: Vec<_> = sockets.drain(..).map(listener).collect::<Result<_, _>>()?;
    for listener in listeners.iter().filter(|_| *port == 0) {
        tracing::info!("allocated {listener}");
    }
    Ok(listeners)
}

/// The wildcard: one dual-stack socket if the system has them, else one of each family it has.
fn bind_any(port: u16) -> io::Result<Vec<socket2::Socket>> {
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let dual = |socket: &socket2::Socket| socket.set_only_v6(false);
    match bind_one(v6, dual) {
        Ok(socket) => Ok(vec![socket]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => match bind_one(v6, |socket| socket.set_only_v6(true)) {
            Ok(socket) => {
                let port = port_of(&socket)?;
                Ok(vec![
                    bind_one(SocketAddr::new(v4.ip(), port), |_| Ok(()))?,
                    socket,
                ])
            }
            Err(_) => Ok(vec![bind_one(v4, |_| Ok(()))?]),
        },
    }
}

/// All of `addresses` that this machine has; an error when that is none, or when one is taken.
fn bind_all(addresses: &[SocketAddr]) -> io::Result<Vec<socket2::Socket>> {
    let mut sockets = Vec::new();
    let mut missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let port = sockets.first().map_or_else(|| Ok(address.port()), port_of)?;
        match bind_one(SocketAddr::new(address.ip(), port), |_| Ok(())) {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => missing = error,
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() {
        Err(missing)
    } else {
        Ok(sockets)
    }
}

fn bind_one(
    address: SocketAddr,
    prepare: impl Fn(&socket2::Socket) -> io::Result<()>,
) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    prepare(&socket)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn port_of(socket: &socket2::Socket) -> io::Result<u16> {
    Ok(socket
        .local_addr()?
        .as_socket()
        .map(|address| address.port())
        .unwrap_or_default())
}
