//! vsock: sockets between a virtual machine and its host, or two of its machines (`endpoints.md` f.1).
//!
//! tokio-vsock makes the sockets; the streams and the listener over them are those of all transports.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use tokio_vsock::{VsockAddr, VsockListener, VsockStream};

use super::error::ListenError;
use super::listener::{Facts, Listener};
use super::socket::Socket;
use super::{ConnectOptions, ListenOptions};
use crate::address::{Bind, Place, VSOCK_CID_ANY, VSOCK_PORT_ANY};

/// Those options with vsock's bounds: a machine that does not run never answers, and nothing is far away.
pub(super) fn bounded(options: &ConnectOptions) -> ConnectOptions {
    ConnectOptions {
        timeout: options.timeout.min(options.vsock_timeout),
        attempt_timeout: options.vsock_timeout,
        ..options.clone()
    }
}

/// Connects to a port of the machine with that context id.
pub(super) async fn connect(cid: u32, port: u32) -> io::Result<Socket> {
    if cid == VSOCK_CID_ANY || port == VSOCK_PORT_ANY {
        let message =
            "say which machine and port: vsock://CID:PORT, where CID is a number, 'host' or 'local'";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    match VsockStream::connect(VsockAddr::new(cid, port)).await {
        Ok(stream) => Socket::new(OwnedFd::from(stream).into()),
        Err(error) => Err(explained(error, cid, port)),
    }
}

/// Listens on the port of the bind value: the kernel chooses one if it says any.
pub(super) fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let Place::Vsock { cid, port } = bind.place else {
        return Err(ListenError::Unsupported { kind: bind.kind });
    };
    let facts = Facts {
        kind: bind.kind,
        options: bind.options.clone(),
        tuning: options.tuning.clone(),
        file: None,
    };
    let listener = VsockListener::bind(VsockAddr::new(cid, port))
        .and_then(|listener| Listener::new(OwnedFd::from(listener).into(), facts))
        .map_err(|error| ListenError::failed(bind, &explained(error, cid, port)))?;
    if port == VSOCK_PORT_ANY {
        tracing::info!("allocated {listener}");
    }
    Ok(vec![listener])
}

/// `CID:PORT`, with words for wildcards.
pub(super) fn describe(cid: u32, port: u32) -> String {
    let any = |number: u32, wildcard: u32| match number {
        number if number == wildcard => "any".to_owned(),
        number => number.to_string(),
    };
    format!("{}:{}", any(cid, VSOCK_CID_ANY), any(port, VSOCK_PORT_ANY))
}

/// The kernel's verdict in words that say what to do. The kind stays, except that "reset" here means "refused".
fn explained(error: io::Error, cid: u32, port: u32) -> io::Error {
    let Some(errno) = Errno::from_io_error(&error) else {
        return error;
    };
    let (kind, text) = match errno {
        Errno::ACCESS => (
            error.kind(),
            "vsock ports below 1024 are for root: choose another".to_owned(),
        ),
        Errno::ADDRNOTAVAIL => (
            error.kind(),
            format!("context id {cid} is not this machine's: write auto:{port}"),
        ),
        Errno::AFNOSUPPORT => (
            io::ErrorKind::Unsupported,
            "this kernel has no vsock and no /dev/vsock: load its modules with 'modprobe vsock_loopback' \
             or, on a host, 'modprobe vhost_vsock'"
                .to_owned(),
        ),
        Errno::CONNREFUSED | Errno::CONNRESET => (
            io::ErrorKind::ConnectionRefused,
            format!("nobody listens on port {port} of context id {cid}"),
        ),
        Errno::NODEV => (
            error.kind(),
            format!(
                "no machine has the context id {cid}, or nothing here leads to it: is it running, and does it \
                 have a vsock device?"
            ),
        ),
        Errno::TIMEDOUT => (
            error.kind(),
            format!("context id {cid} does not answer: is that machine running?"),
        ),
        _ => return error,
    };
    io::Error::new(kind, text)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::transport::{ConnectError, connect as connect_to};
    use std::time::{Duration, Instant};

    #[test]
    fn verdicts_say_what_to_do() {
        for (errno, kind, words) in [
            (
                Errno::AFNOSUPPORT,
                Some(io::ErrorKind::Unsupported),
                "no /dev/vsock",
            ),
            (
                Errno::CONNRESET,
                Some(io::ErrorKind::ConnectionRefused),
                "nobody listens on port 9 of context id 7",
            ),
            (Errno::NODEV, None, "no machine has the context id 7"),
            (
                Errno::TIMEDOUT,
                Some(io::ErrorKind::TimedOut),
                "context id 7 does not answer",
            ),
            (
                Errno::ADDRNOTAVAIL,
                Some(io::ErrorKind::AddrNotAvailable),
                "write auto:9",
            ),
            (
                Errno::ADDRINUSE,
                Some(io::ErrorKind::AddrInUse),
                "Address already in use",
            ),
        ] {
            let told = explained(errno.into(), 7, 9);
            assert!(told.to_string().contains(words), "{told}");
            assert!(kind.is_none_or(|kind| told.kind() == kind), "{told:?}");
        }
    }

    #[tokio::test]
    async fn wildcards_are_nothing_to_connect_to() {
        let start = Instant::now();
        for text in ["vsock:any:1234", "vsock:local:any"] {
            let refused = connect_to(&text.parse().unwrap(), &ConnectOptions::default()).await;
            let Err(ConnectError::Failed { reason, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert!(reason.starts_with("say which machine and port"), "{reason}");
        }
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
