//! [`Unconfirmed`]: where pictures went of which it is not known that they arrived.

use crate::types::Rect;
use std::collections::VecDeque;

/// The places of pictures that were sent, in the order of their numbers, until the client says that it has them.
#[derive(Debug, Default)]
pub struct Unconfirmed {
    sent: VecDeque<(u64, Rect)>,
}

impl Unconfirmed {
    /// Pictures remembered one by one; beyond, the two oldest become one.
    const MAX: usize = 256;

    /// A picture goes there. Its number is larger than those before.
    pub fn add(&mut self, sequence: u64, rect: Rect) {
        self.sent.push_back((sequence, rect));
        if self.sent.len() > Self::MAX
            && let Some((_, oldest)) = self.sent.pop_front()
            && let Some((_, next)) = self.sent.front_mut()
        {
            *next = next.union(oldest);
        }
    }

    /// The client has this one and all before: it takes them in order.
    pub fn confirm(&mut self, sequence: u64) {
        while self.sent.front().is_some_and(|(sent, _)| *sent <= sequence) {
            self.sent.pop_front();
        }
    }

    /// The places of all that may be lost; nothing is on the way any more.
    pub fn lose(&mut self) -> impl Iterator<Item = Rect> {
        self.sent.drain(..).map(|(_, rect)| rect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_confirmed_is_not_lost() {
        let mut sent = Unconfirmed::default();
        let at = |x: u64| Rect::new(i32::try_from(x).unwrap(), 0, 1, 1);
        (1..=5).for_each(|n| sent.add(n, at(n)));
        sent.confirm(3);
        sent.confirm(2);
        assert!(sent.lose().eq([at(4), at(5)]));
        assert_eq!(sent.lose().count(), 0);
    }

    #[test]
    fn a_client_that_confirms_nothing_costs_little_and_loses_no_place() {
        let mut sent = Unconfirmed::default();
        let at = |x: u64| Rect::new(i32::try_from(x).unwrap(), 0, 1, 1);
        (1..=1000).for_each(|n| sent.add(n, at(n)));
        // of those that became one none is known to be there until the last of them is
        sent.confirm(700);
        let lost: Vec<_> = sent.lose().collect();
        assert_eq!(lost.len(), Unconfirmed::MAX);
        assert_eq!(lost[0], Rect::new(1, 0, 745, 1));
        assert_eq!(lost[1..], (746..=1000).map(at).collect::<Vec<_>>());
    }
}
