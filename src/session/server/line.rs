//! [`Line`]: a client's way to the screen thread.

use crate::session::mailbox::Outbox;
use crate::session::screen::{ClientId, ScreenCommand, ScreenMessage};
use tokio::sync::mpsc;

/// Sends commands in the name of one client and knows how many are not done yet, so that no client can fill the
/// screen thread's inbox faster than the display works it off.
pub(super) struct Line {
    pub(super) client: ClientId,
    outbox: Outbox<ScreenCommand>,
    sink: mpsc::UnboundedSender<ScreenMessage>,
    /// Weight sent since the last mark.
    unmarked: usize,
    /// Marks that were not reached yet.
    marks: usize,
}

impl Line {
    /// Weight after which a mark is set.
    const STRETCH: usize = 64;
    /// Marks that may be ahead.
    const MAX_MARKS: usize = 4;

    pub(super) const fn new(
        client: ClientId,
        outbox: Outbox<ScreenCommand>,
        sink: mpsc::UnboundedSender<ScreenMessage>,
    ) -> Self {
        Self {
            client,
            outbox,
            sink,
            unmarked: 0,
            marks: 0,
        }
    }

    /// Sends a command; false when the screen thread is gone.
    pub(super) fn send(&mut self, command: ScreenCommand) -> bool {
        self.unmarked += match command {
            ScreenCommand::Keymap(..) | ScreenCommand::ClipboardGive(_, Some(_)) => Self::STRETCH,
            _ => 1,
        };
        let sent = self.outbox.send(command);
        if self.unmarked >= Self::STRETCH && self.outbox.send(ScreenCommand::Reach(self.sink.clone())) {
            self.unmarked = 0;
            self.marks += 1;
        }
        sent
    }

    /// A mark was reached.
    pub(super) const fn reached(&mut self) {
        self.marks = self.marks.saturating_sub(1);
    }

    /// False while enough is on the way.
    pub(super) const fn is_free(&self) -> bool {
        self.marks < Self::MAX_MARKS
    }

    /// Where the screen thread's answers go.
    pub(super) fn sink(&self) -> mpsc::UnboundedSender<ScreenMessage> {
        self.sink.clone()
    }
}
