//! [`Route`]: which address of this machine its kernel speaks to a peer from, and when that is another.

use super::LinkInfo;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
#[cfg(not(target_os = "linux"))]
use std::time::Duration;

/// The way of a connection over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    local: IpAddr,
    peer: SocketAddr,
}

impl Route {
    /// That of a link; `None` where it is not over IP, or does not leave the machine.
    pub fn of(info: &LinkInfo) -> Option<Self> {
        let local: SocketAddr = info.local.parse().ok()?;
        let peer = info.peer.parse().ok()?;
        let local = local.ip();
        (!info.is_local).then_some(Self { local, peer })
    }

    /// Resolves when a new connection would take another way: the address is gone, or the network.
    pub async fn changed(self) -> io::Result<()> {
        let mut changes = Changes::new()?;
        while self.is_taken() {
            changes.next().await?;
        }
        Ok(())
    }

    /// Whether a new connection would take this way.
    fn is_taken(&self) -> bool {
        source(self.peer).is_ok_and(|local| local.to_canonical() == self.local.to_canonical())
    }
}

/// The address that the kernel would speak from. Nothing is sent.
fn source(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

/// News of addresses and routes (rtnetlink(7)).
#[cfg(target_os = "linux")]
struct Changes(tokio::io::unix::AsyncFd<socket2::Socket>);

#[cfg(target_os = "linux")]
impl Changes {
    /// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE`.
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

    fn new() -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with};
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, Self::GROUPS))?;
        super::socket::register(socket.into()).map(Self)
    }

    /// Waits for something to happen. What it was does not matter.
    async fn next(&mut self) -> io::Result<()> {
        use std::io::Read as _;
        let mut ready = self.0.readable_mut().await?;
        let mut waste = [0; 16 << 10];
        loop {
            match ready.get_inner().read(&mut waste) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    return Ok(());
                }
                // more happened than there was room for
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Looks now and then.
#[cfg(not(target_os = "linux"))]
struct Changes;

#[cfg(not(target_os = "linux"))]
impl Changes {
    const INTERVAL: Duration = Duration::from_secs(2);

    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> io::Result<()> {
        tokio::time::sleep(Self::INTERVAL).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_route_that_is_taken_lasts() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let local = source(peer).unwrap();
        let route = Route { local, peer };
        let lasts = tokio::time::timeout(std::time::Duration::from_millis(50), route.changed()).await;
        assert!(lasts.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_gone_is_noticed_at_once() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let local = IpAddr::from([192, 0, 2, 1]);
        Route { local, peer }.changed().await.unwrap();
    }
}
