//! [`Codel`]: drops at the head of a queue that does not empty (RFC 8289).

use super::{MILLISECOND, Nanos};

/// Time in the queue that is tolerated.
const TARGET: Nanos = 5 * MILLISECOND;
/// How long it is tolerated to be longer.
const INTERVAL: Nanos = 100 * MILLISECOND;
/// A queue of no more than this is no queue.
const ONE_PACKET: u64 = 1514;

/// The state of one queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codel {
    /// When the time in the queue will have been too long for an interval.
    due: Option<Nanos>,
    dropping: bool,
    next: Nanos,
    count: u32,
    last_count: u32,
}

impl Codel {
    /// Whether the packet at the head, which waited for `sojourn`, is to be dropped; `backlog` is what is behind it.
    pub(crate) fn drops(&mut self, sojourn: Nanos, now: Nanos, backlog: u64) -> bool {
        let above = self.is_above(sojourn, now, backlog);
        if self.dropping {
            if !above {
                self.dropping = false;
                return false;
            }
            if now < self.next {
                return false;
            }
            self.count += 1;
            self.next = law(self.next, self.count);
            return true;
        }
        if !above {
            return false;
        }
        self.dropping = true;
        let recent = now.saturating_sub(self.next) < 16 * INTERVAL;
        let delta = self.count - self.last_count;
        self.count = if recent && delta > 1 { delta } else { 1 };
        self.last_count = self.count;
        self.next = law(now, self.count);
        true
    }

    fn is_above(&mut self, sojourn: Nanos, now: Nanos, backlog: u64) -> bool {
        if sojourn < TARGET || backlog <= ONE_PACKET {
            self.due = None;
            return false;
        }
        now >= *self.due.get_or_insert(now + INTERVAL)
    }
}

/// When the next drop is due: sooner the more there were.
fn law(from: Nanos, count: u32) -> Nanos {
    // in thousandths, so that the square root is one of whole numbers and the same everywhere
    from + INTERVAL * 1000 / u64::from(count).saturating_mul(1_000_000).isqrt().max(1)
}
