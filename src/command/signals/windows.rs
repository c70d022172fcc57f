//! What tells this process to end: keys of its console, and the system that closes it.

use std::convert::Infallible;
use std::io;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// What Ctrl-C counts as.
pub(super) const INTERRUPT: i32 = 2;

/// What everything else counts as.
pub(super) const TERMINATE: i32 = 15;

/// What a client leaves on.
#[derive(Debug)]
pub(super) struct Farewell {
    interrupt: CtrlC,
    breaks: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Farewell {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            breaks: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for one; returns its number.
    pub(super) async fn recv(&mut self) -> i32 {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.breaks.recv() => TERMINATE,
            _ = self.close.recv() => TERMINATE,
            _ = self.shutdown.recv() => TERMINATE,
        }
    }
}

/// Resolves when the user or the system wants the process to end.
pub(super) async fn asked_to_end() {
    match Farewell::new() {
        Ok(mut farewell) => drop(farewell.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// The orders to read again what may have changed: there is no signal for it.
pub(super) struct Hangups(Infallible);

impl Hangups {
    pub(super) async fn recv(&mut self) -> Option<()> {
        match self.0 {}
    }
}

/// None ever come.
pub(super) const fn hangups() -> Option<Hangups> {
    None
}
