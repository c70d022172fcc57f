//! Named pipes of Windows (`endpoints.md` f.2). Elsewhere there are none, and `pipe/absent.rs` takes this file's place.
//!
//! **Whose they are.** A pipe's name is anybody's to take, and so is another instance of a pipe that others may write
//! to. A listener insists on being the first, so it notices who was faster; only its own user is in the access list
//! (what Windows gives by default lets everybody read), and other machines are refused, both unless `remote=yes`.
//!
//! **The end of one direction.** Pipes know none. Ours consist of messages but are read as bytes: nobody can tell,
//! except that an empty message is a read of nothing, which is what readers everywhere take for the end. Pipes of
//! xpra's servers swallow it.

mod security;

use std::io::{self, IoSlice};
use std::os::windows::io::AsRawHandle;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{
    ClientOptions, NamedPipeClient, NamedPipeServer, PipeMode, ServerOptions,
};
use tokio::sync::Mutex;
use tokio::time::sleep;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_PIPE_BUSY};
use windows_sys::Win32::System::Pipes::{PIPE_READMODE_BYTE, SetNamedPipeHandleState};

use self::security::Access;
use super::ListenOptions;
use super::acceptor::Acceptor;
use super::error::ListenError;
use super::listener::{Facts, Listener};
use super::socket::Socket;
use crate::address::{Bind, Place};

/// Where this machine's pipes are, and among them xpra's.
const LOCAL: &str = r"\\.\pipe\";
const XPRA: &str = r"Xpra\";

/// Bytes the system keeps each way, and the most that is written at once.
const BUFFER: u32 = 65536;

/// The pause between two looks at a server that is busy with another client's arrival.
const BUSY: Duration = Duration::from_millis(10);

/// The path of the pipe a user names: `NAME`, `HOST/NAME`, or the whole path.
fn path(name: &str) -> String {
    let prefixed = |name: &str| match name.get(..XPRA.len()) {
        Some(start) if start.eq_ignore_ascii_case(XPRA) => name.to_owned(),
        _ => format!("{XPRA}{name}"),
    };
    match name.split_once('/') {
        _ if name.starts_with(r"\\") => name.to_owned(),
        Some((host, name)) => format!(r"\\{host}\pipe\{}", prefixed(name)),
        None => format!("{LOCAL}{}", prefixed(name)),
    }
}

/// Whether that is the whole path of a pipe of this machine.
pub(super) fn is_local(path: &str) -> bool {
    path.starts_with(LOCAL)
}

/// Connects to the pipe of that name.
pub(super) async fn connect(name: &str) -> io::Result<Socket> {
    let path = path(name);
    let client = loop {
        match ClientOptions::new().open(&path) {
            Err(error) if is_code(&error, ERROR_PIPE_BUSY) => sleep(BUSY).await,
            result => break result?,
        }
    };
    if is_local(&path) && security::is_strangers(client.as_raw_handle()) {
        tracing::warn!("{path} was made by another user: what is typed is shown to them");
    }
    Ok(Socket::Pipe(PipeStream {
        end: End::Client(client),
        name: name.to_owned(),
        is_local: is_local(&path),
        is_shut: false,
    }))
}

/// Listens on the pipe of the bind value.
pub(super) fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    let Place::Pipe(name) = &bind.place else {
        return Err(ListenError::Unsupported { kind: bind.kind });
    };
    let path = path(name);
    let failed = |error: &io::Error| ListenError::failed(&path, error);
    if !is_local(&path) {
        let error = io::Error::new(
            io::ErrorKind::InvalidInput,
            "a pipe is made on this machine: give its name",
        );
        return Err(failed(&error));
    }
    let remote = bind.options.flag("remote").unwrap_or(false);
    let access = Access::new(remote).map_err(|error| failed(&error))?;
    if let Some(error) = in_the_way(&path) {
        return Err(error);
    }
    let first = match create(&path, &access, remote, true) {
        // somebody was faster
        Err(error) if is_code(&error, ERROR_ACCESS_DENIED) => return Err(ListenError::PipeTaken { path }),
        result => result.map_err(|error| failed(&error))?,
    };
    let pipe = Pipe {
        name: name.clone(),
        path: path.clone(),
        access,
        remote,
        next: Mutex::new(Some(first)),
    };
    let facts = Facts {
        kind: bind.kind,
        options: bind.options.clone(),
        tuning: options.tuning.clone(),
        file: None,
    };
    let listener = Listener::over(Acceptor::Pipe(pipe), facts).map_err(|error| failed(&error))?;
    Ok(vec![listener])
}

/// What is wrong when the name is taken: by a server of this user, or who knows. Being the first is insisted on all the
/// same, but not every system that runs Windows' programs sees to it.
fn in_the_way(path: &str) -> Option<ListenError> {
    let path = path.to_owned();
    match ClientOptions::new().open(&path) {
        Ok(client) if !security::is_strangers(client.as_raw_handle()) => {
            Some(ListenError::AlreadyExists { place: path })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(ListenError::PipeTaken { path }),
    }
}

fn is_code(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

fn create(path: &str, access: &Access, remote: bool, first: bool) -> io::Result<NamedPipeServer> {
    let mut options = ServerOptions::new();
    options
        .first_pipe_instance(first)
        .reject_remote_clients(!remote)
        .pipe_mode(PipeMode::Message)
        .in_buffer_size(BUFFER)
        .out_buffer_size(BUFFER);
    let mut attributes = access.attributes();
    // SAFETY: `attributes` is what the call wants, and like the descriptor of `access` it points to outlives the call.
    #[expect(unsafe_code, reason = "an access list of our own")]
    let server = unsafe { options.create_with_security_attributes_raw(path, (&raw mut attributes).cast()) }?;
    let mode = PIPE_READMODE_BYTE;
    // SAFETY: the handle is open for as long as `server` lives; the pointer is to a number alive for the call, the
    // others may be null.
    #[expect(unsafe_code, reason = "tokio reads messages as messages")]
    let set = unsafe {
        SetNamedPipeHandleState(
            server.as_raw_handle(),
            &raw const mode,
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    match set {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(server),
    }
}

/// A pipe that takes clients.
#[derive(Debug)]
pub(super) struct Pipe {
    name: String,
    path: String,
    access: Access,
    remote: bool,
    /// The instance for the next client. There is one at any time, so nobody else can take the name.
    next: Mutex<Option<NamedPipeServer>>,
}

impl Pipe {
    /// Waits for the next client. Dropping the future loses nobody.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        let mut next = self.next.lock().await;
        let instance = match next.take() {
            Some(instance) => next.insert(instance),
            None => next.insert(self.create()?),
        };
        let connected = instance.connect().await;
        // before this one is given away, or dropped because its client is gone
        let after = self.create();
        let instance = std::mem::replace(&mut *next, after.ok());
        connected?;
        let instance = instance.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Socket::Pipe(PipeStream {
            end: End::Server(instance),
            name: self.name.clone(),
            is_local: !self.remote,
            is_shut: false,
        }))
    }

    fn create(&self) -> io::Result<NamedPipeServer> {
        create(&self.path, &self.access, self.remote, false)
    }

    /// Its name among xpra's pipes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether other machines may connect.
    pub(super) const fn is_remote(&self) -> bool {
        self.remote
    }
}

/// One end of a connected pipe.
#[derive(Debug)]
pub(super) struct PipeStream {
    end: End,
    name: String,
    is_local: bool,
    is_shut: bool,
}

#[derive(Debug)]
enum End {
    Client(NamedPipeClient),
    Server(NamedPipeServer),
}

impl PipeStream {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn is_local(&self) -> bool {
        self.is_local
    }

    fn write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.end {
            End::Client(client) => Pin::new(client).poll_write(cx, buf),
            End::Server(server) => Pin::new(server).poll_write(cx, buf),
        }
    }
}

impl AsyncRead for PipeStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = match &mut self.get_mut().end {
            End::Client(client) => Pin::new(client).poll_read(cx, buf),
            End::Server(server) => Pin::new(server).poll_read(cx, buf),
        };
        match read {
            // what others call the end
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for PipeStream {
    /// An empty message would be the end.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let part = buf.get(..BUFFER as usize).unwrap_or(buf);
        match part.is_empty() {
            true => Poll::Ready(Ok(0)),
            false => self.get_mut().write(cx, part),
        }
    }

    /// Joins small slices, as the system takes one.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let filled = || bufs.iter().filter(|buf| !buf.is_empty());
        match filled().next() {
            Some(first) if filled().nth(1).is_none() || first.len() >= BUFFER as usize => {
                self.poll_write(cx, first)
            }
            _ => {
                let bytes = filled().flat_map(|buf| buf.iter().copied());
                let joined: Vec<u8> = bytes.take(BUFFER as usize).collect();
                self.poll_write(cx, &joined)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // what was taken is on its way
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = self.get_mut();
        if pipe.is_shut {
            return Poll::Ready(Ok(()));
        }
        let written = std::task::ready!(pipe.write(cx, &[]));
        pipe.is_shut = true;
        Poll::Ready(match written {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map(drop),
        })
    }
}

#[cfg(test)]
mod tests;
