//! Which window the server believes to have the keyboard.

use crate::types::WindowId;
use std::time::{Duration, Instant};

/// How long the loss of the focus is kept back: moving between our own windows loses it for a moment, and saying so
/// would close menus (`session.md` 1.5).
const GRACE: Duration = Duration::from_millis(20);

/// Keeps the server's idea of the focus.
#[derive(Debug, Default)]
pub(super) struct Focus {
    told: Option<WindowId>,
    lost: Option<Instant>,
}

impl Focus {
    /// The focus moved; the window to tell the server at once.
    pub(super) fn moved(&mut self, to: Option<WindowId>, now: Instant) -> Option<WindowId> {
        match to {
            None => {
                self.lost = self.told.map(|_| self.lost.unwrap_or(now));
                None
            }
            Some(id) => {
                self.lost = None;
                (self.told.replace(id) != Some(id)).then_some(id)
            }
        }
    }

    /// The window is gone, and the server knows it.
    pub(super) fn forget(&mut self, id: WindowId) {
        if self.told == Some(id) {
            *self = Self::default();
        }
    }

    /// When [`is_lost`](Self::is_lost) should be asked.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lost.map(|at| at + GRACE)
    }

    /// Whether it is time to tell the server that no window has the focus; true once.
    pub(super) fn is_lost(&mut self, now: Instant) -> bool {
        let lost = self.deadline().is_some_and(|at| now >= at);
        if lost {
            *self = Self::default();
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: WindowId = WindowId(1);
    const B: WindowId = WindowId(2);

    #[test]
    fn moving_between_our_windows_never_says_that_none_has_it() {
        let (mut focus, now) = (Focus::default(), Instant::now());
        assert_eq!(focus.moved(Some(A), now), Some(A));
        assert_eq!(focus.moved(Some(A), now), None);
        assert_eq!(focus.moved(None, now), None);
        assert!(!focus.is_lost(now + GRACE / 2));
        assert_eq!(focus.moved(Some(B), now + GRACE / 2), Some(B));
        assert_eq!(focus.deadline(), None);
        assert!(!focus.is_lost(now + GRACE * 2));
    }

    #[test]
    fn a_lasting_loss_is_said_once() {
        let (mut focus, now) = (Focus::default(), Instant::now());
        focus.moved(Some(A), now);
        focus.moved(None, now);
        focus.moved(None, now + GRACE / 2);
        assert_eq!(focus.deadline(), Some(now + GRACE));
        assert!(focus.is_lost(now + GRACE));
        assert!(!focus.is_lost(now + GRACE));
        assert_eq!(focus.moved(Some(A), now), Some(A));
    }

    #[test]
    fn the_focus_of_a_window_that_is_gone_is_not_missed() {
        let (mut focus, now) = (Focus::default(), Instant::now());
        focus.moved(Some(A), now);
        focus.forget(A);
        focus.moved(None, now);
        assert_eq!(focus.deadline(), None);
    }
}
