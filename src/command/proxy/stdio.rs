//! Standard input and output as asynchronous streams that do not need a thread.
//!
//! tokio's read in a thread which cannot be interrupted, so a program that is done would wait for one more key; and
//! they copy every byte once more. sshd gives sockets or pipes, which can be polled.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Standard input or output.
pub(super) enum Standard {
    /// A pipe, a socket or a terminal. Whether it blocks is a property it shares with other processes, and is put back.
    Polled { file: AsyncFd<OwnedFd>, flags: OFlags },
    /// Something that is always ready, such as a file.
    Ready(OwnedFd),
}

impl Standard {
    pub(super) fn input() -> io::Result<Self> {
        Self::new(io::stdin().as_fd().try_clone_to_owned()?)
    }

    pub(super) fn output() -> io::Result<Self> {
        Self::new(io::stdout().as_fd().try_clone_to_owned()?)
    }

    #[expect(unsafe_code, reason = "tokio wants a promise about the descriptor")]
    fn new(file: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&file)?;
        fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
        // SAFETY: an `OwnedFd` always returns the descriptor it owns and closes it only when dropped.
        match unsafe { AsyncFd::register(file) } {
            Ok(file) => Ok(Self::Polled { file, flags }),
            Err(error) => {
                let (file, error) = error.into_parts();
                fcntl_setfl(&file, flags)?;
                match error.kind() {
                    // epoll takes no files
                    io::ErrorKind::PermissionDenied => Ok(Self::Ready(file)),
                    _ => Err(error),
                }
            }
        }
    }
}

impl Drop for Standard {
    fn drop(&mut self) {
        if let Self::Polled { file, flags } = self {
            // nothing can be done about a failure
            let _restored = fcntl_setfl(file.get_ref(), *flags);
        }
    }
}

impl AsyncRead for Standard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Polled { file, .. } => loop {
                let mut guard = ready!(file.poll_read_ready(cx))?;
                let space = buf.initialize_unfilled();
                match guard.try_io(|file| Ok(rustix::io::read(file.get_ref(), space)?)) {
                    Ok(Ok(read)) => {
                        buf.advance(read);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_would_block) => {}
                }
            },
            Self::Ready(file) => {
                let read = rustix::io::read(&*file, buf.initialize_unfilled())?;
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Standard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Polled { file, .. } => loop {
                let mut guard = ready!(file.poll_write_ready(cx))?;
                match guard.try_io(|file| Ok(rustix::io::write(file.get_ref(), buf)?)) {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(result) => return Poll::Ready(result),
                    Err(_would_block) => {}
                }
            },
            Self::Ready(file) => Poll::Ready(Ok(rustix::io::write(&*file, buf)?)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
