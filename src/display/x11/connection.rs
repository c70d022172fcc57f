//! The connection to an X server: opening it, waiting on it, and what its errors mean to us.

use crate::display::DisplayError;
use crate::system;
use rustix::net::AddressFamily;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectionError, ReplyOrIdError};
use x11rb::protocol::{Event, xproto};
use x11rb::rust_connection::RustConnection;

/// Whatever a request can fail with. Our X11 code passes it up as it is; [`Connection::fault`] names it for
/// everyone else.
pub(crate) type Fault = ReplyOrIdError;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    x: RustConnection,
    screen: usize,
    display: String,
}

impl Connection {
    /// Opens a display, that of the environment when none is named.
    pub(crate) fn open(display: Option<&str>) -> Result<Self, DisplayError> {
        let named = || display.map_or_else(|| std::env::var("DISPLAY").unwrap_or_default(), str::to_owned);
        let error = |reason: String| DisplayError::Open {
            display: named(),
            reason,
        };
        let (x, screen) = RustConnection::connect(display).map_err(|e| error(e.to_string()))?;
        if x.setup().roots.get(screen).is_none() {
            return Err(error(format!("no screen {screen}")));
        }
        Ok(Self {
            x,
            screen,
            display: named(),
        })
    }

    /// The connection itself, to send requests through.
    pub(crate) const fn x(&self) -> &RustConnection {
        &self.x
    }

    /// The name it was opened by.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    /// The screen it was opened on, as it was then.
    pub(crate) fn screen(&self) -> &xproto::Screen {
        #[expect(clippy::indexing_slicing, reason = "`open` saw that there is such a screen")]
        &self.x.setup().roots[self.screen]
    }

    /// The root window.
    pub(crate) fn root(&self) -> xproto::Window {
        self.screen().root
    }

    /// True when file descriptors can be passed to the server.
    pub(crate) fn is_local(&self) -> bool {
        rustix::net::getsockname(self.x.stream()).is_ok_and(|a| a.address_family() == AddressFamily::UNIX)
    }

    /// Names an error for those who do not know X11.
    pub(crate) fn fault(&self, fault: impl Into<Fault>) -> DisplayError {
        match fault.into() {
            Fault::ConnectionError(ConnectionError::UnsupportedExtension) => self.missing("such extension"),
            Fault::ConnectionError(e) => DisplayError::Lost {
                display: self.display.clone(),
                reason: e.to_string(),
            },
            Fault::X11Error(e) => DisplayError::Request(match &e.extension_name {
                Some(extension) => format!("{:?} in {extension} request {}", e.error_kind, e.minor_opcode),
                None => format!("{:?} in {}", e.error_kind, e.request_name.unwrap_or("a request")),
            }),
            Fault::IdsExhausted => DisplayError::Request("no resource identifier is left".to_owned()),
        }
    }

    /// The display lacks something.
    pub(crate) fn missing(&self, what: &str) -> DisplayError {
        DisplayError::Unsupported {
            display: self.display.clone(),
            missing: what.to_owned(),
        }
    }

    /// The next event that has already arrived. Errors of requests nobody waits for are logged and dropped.
    pub(crate) fn next_event(&self) -> Result<Option<Event>, ConnectionError> {
        loop {
            match self.x.poll_for_event()? {
                Some(Event::Error(e)) => tracing::debug!("display {}: {e:?}", self.display),
                event => return Ok(event),
            }
        }
    }

    /// Sends what is buffered, then blocks until the server sent something, `wake` is readable or the timeout is
    /// over. Only for when [`next_event`](Self::next_event) has just said that there is none: events that were
    /// read while waiting for a reply do not end this.
    pub(crate) fn wait(
        &self,
        wake: BorrowedFd<'_>,
        timeout: Option<Duration>,
    ) -> Result<(), ConnectionError> {
        self.x.flush()?;
        system::readable([self.x.stream().as_fd(), wake], timeout)?;
        Ok(())
    }
}
