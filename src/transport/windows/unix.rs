//! Unix domain sockets, which this system's programs do not use: named pipes take their place. `--bind=NAME` makes a
//! pipe, and so does `--bind=auto`, with the display for its name.
#![expect(clippy::unused_async, reason = "as where there are some")]

use std::convert::Infallible;
use std::io;
use std::path::Path;

use super::error::ListenError;
use super::listener::Listener;
use super::socket::Socket;
use super::{ListenOptions, TransportKind, pipe};
use crate::address::{Bind, Place};

/// The pipe of a session without a display (`endpoints.md` f.2).
const MAIN: &str = "Main";

const ABSENT: &str = "there are no unix sockets on Windows: use named-pipe://NAME";

/// Connects to the pipe that takes the socket's place.
pub(super) async fn connect(path: &Path) -> io::Result<Socket> {
    match path.to_str() {
        Some(path) if pipe::is_local(path) => pipe::connect(path).await,
        _ => absent(),
    }
}

/// Says what to use instead.
pub(super) async fn connect_abstract(_: &str) -> io::Result<Socket> {
    absent()
}

fn absent() -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, ABSENT))
}

/// Makes the pipe the bind value stands for.
pub(super) async fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let name = match &bind.place {
        Place::None => return Ok(Vec::new()),
        Place::Name(name) => name.clone(),
        Place::Auto { .. } if options.names.display.is_empty() => MAIN.to_owned(),
        Place::Auto { .. } => options.names.display.clone(),
        _ => {
            let error = io::Error::new(io::ErrorKind::Unsupported, format!("{ABSENT}, or --bind=NAME"));
            return Err(ListenError::failed(bind, &error));
        }
    };
    let bind = Bind {
        kind: TransportKind::NamedPipe,
        place: Place::Pipe(name),
        options: bind.options.clone(),
    };
    pipe::listen(&bind, options)
}

/// The file of a bound socket: there are none.
#[derive(Debug)]
pub(super) struct SocketFile(Infallible);

impl SocketFile {
    pub(super) const fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(super) const fn touch(&self) -> io::Result<bool> {
        match self.0 {}
    }
}
