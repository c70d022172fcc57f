//! What tells this process to end, or to read again what may have changed.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The number of `SIGINT`.
pub(super) const INTERRUPT: i32 = 2;

/// The number of `SIGTERM`.
pub(super) const TERMINATE: i32 = 15;

/// The signals a client leaves on.
#[derive(Debug)]
pub(super) struct Farewell {
    interrupt: Signal,
    terminate: Signal,
}

impl Farewell {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one; returns its number.
    pub(super) async fn recv(&mut self) -> i32 {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
        }
    }
}

/// Resolves when the user or the system wants the process to end.
pub(super) async fn asked_to_end() {
    let signal = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signal(SignalKind::interrupt()) => {}
        () = signal(SignalKind::terminate()) => {}
        () = signal(SignalKind::hangup()), if ends_with_terminal() => {}
    }
}

/// Whether the process goes when its terminal does. Without one, `SIGHUP` tells it to read its certificates again.
fn ends_with_terminal() -> bool {
    io::stderr().is_terminal()
}

/// The orders to read again what may have changed.
pub(super) fn hangups() -> Option<Signal> {
    let hangups = || signal(SignalKind::hangup()).ok();
    if ends_with_terminal() { None } else { hangups() }
}
