//! Finds areas whose old content moved up or down, so that a `scroll` packet can replace their pixels.
//!
//! Works on the hashes of a [`Fingerprint`] (old) and a [`Scan`] (new) alone, in a few passes over the rows:
//!
//! 1. *Vote.* In the busiest column of each part every changed segment looks for its hash among the old ones. Hashes that occur more
//!    than once (blank lines, repeated text) have no say. Each hit votes for its distance.
//! 2. *Verify.* For a distance with enough votes, every segment is compared with the old one that far away.
//! 3. *Collect.* Neighbouring rows with about the same run of equal segments become one move. A run that narrows for some
//!    rows (the ends of a scroll bar) only costs those rows.

use super::Move;
use super::fingerprint::{Fingerprint, Scan};
use super::mask::{Cells, longest_run, span};
use crate::types::Rect;
use std::collections::HashMap;

/// Columns that vote.
const VOTERS: u32 = 4;
/// Votes a distance needs: lines of text are about this high, and chance never gives as many.
const MIN_VOTES: u32 = 12;
/// Distances tried, for panes that scroll by different amounts at once.
const MAX_DISTANCES: usize = 3;
/// Moves returned at most.
const MAX_MOVES: usize = 24;
/// Changed pixels a single move must replace, else it is not worth its 30 bytes and the breaking up of the rest.
const MIN_MOVE: u64 = 4096;
/// Changed pixels all moves must replace, else an extra packet does not pay.
const MIN_TOTAL: u64 = 16_384;

/// Moves and what remains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scroll {
    /// The moves, all relative to the picture before them, for one `scroll` packet.
    pub moves: Vec<Move>,
    /// The rectangles to send as pixels afterwards; together with the targets of the moves they hold every change.
    pub rest: Vec<Rect>,
}

/// Looks for moves, with tables it keeps.
#[derive(Debug, Default)]
pub struct ScrollFinder {
    /// Hash to row; [`REPEATED`] when it occurs more than once.
    rows: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// Votes for each distance, the largest upward one first.
    votes: Vec<u32>,
    /// What changed and is not moved yet.
    left: Vec<u64>,
    /// Segments equal to the old ones at the distance looked at.
    equal: Vec<u64>,
}

/// Stands for a row number when a hash does not say which row it is.
const REPEATED: u32 = u32::MAX;

impl ScrollFinder {
    /// A finder without tables: they grow with the first scan.
    pub fn new() -> Self {
        Self::default()
    }

    /// The moves that replace most of what `scan` found changed since `known`; `None` when they would not pay.
    pub fn find(&mut self, known: &Fingerprint, scan: &Scan) -> Option<Scroll> {
        let segment = u64::from(scan.segment());
        let changed: u64 = scan.masks().iter().map(|row| u64::from(row.count_ones())).sum();
        if changed * segment < MIN_TOTAL {
            return None;
        }
        self.vote(known, scan);
        self.left.clear();
        self.left.extend_from_slice(scan.masks());
        let mut moves = Vec::new();
        let mut gained = 0;
        for _ in 0..MAX_DISTANCES {
            let Some(distance) = self.elect(scan) else { break };
            self.verify(known, scan, distance);
            gained += self.collect(scan, distance, &mut moves);
        }
        (gained * segment >= MIN_TOTAL).then(|| Scroll {
            rest: self.rest(scan, &moves),
            moves,
        })
    }

    /// What is left, apart where the largest move was and beside it: what moves there and what changes here would make
    /// one large rectangle of both.
    fn rest(&self, scan: &Scan, moves: &[Move]) -> Vec<Rect> {
        let largest = moves.iter().map(|step| step.rect).max_by_key(|rect| rect.area());
        let column = |x: i64| u32::try_from(x).unwrap_or(0) / scan.segment().max(1);
        let edges = largest.map(|rect| (column(rect.x.into()), column(rect.right() - 1) + 1));
        let (left, right) = edges.unwrap_or_default();
        let strips = [span(0, left), span(left, right), span(right, 64)];
        let inside = |strip| self.left.iter().map(|row| row & strip).collect::<Vec<_>>();
        strips
            .into_iter()
            .flat_map(|strip| scan.rectangles(&inside(strip)))
            .collect()
    }

    /// Counts how often each distance would explain a changed segment.
    fn vote(&mut self, known: &Fingerprint, scan: &Scan) {
        let (top, height) = extent(scan);
        self.votes.clear();
        self.votes.resize(2 * height as usize, 0);
        for column in busiest(scan) {
            self.rows.clear();
            for y in 0..height {
                if let Some(&hash) = known.known_row(top + y, column, column + 1).first() {
                    self.rows
                        .entry(hash)
                        .and_modify(|row| *row = REPEATED)
                        .or_insert(y);
                }
            }
            for (y, mask) in (0..height).zip(scan.masks()) {
                let Some(hash) = scan.row(top + y, column, column + 1).first() else {
                    continue;
                };
                let source = self.rows.get(hash).copied().unwrap_or(REPEATED);
                if mask >> column & 1 == 0 || source == REPEATED {
                    continue;
                }
                if let Some(votes) = self.votes.get_mut((height + y - source) as usize) {
                    *votes += 1;
                }
            }
        }
    }

    /// The distance with most votes, which it loses; `None` when none has enough.
    fn elect(&mut self, scan: &Scan) -> Option<i32> {
        let (_, height) = extent(scan);
        let (index, votes) = self
            .votes
            .iter_mut()
            .enumerate()
            .max_by_key(|(_, votes)| **votes)?;
        if std::mem::take(votes) < MIN_VOTES {
            return None;
        }
        Some(i32::try_from(index).ok()? - i32::try_from(height).ok()?)
    }

    /// Compares every segment with the old one `distance` rows above it.
    fn verify(&mut self, known: &Fingerprint, scan: &Scan, distance: i32) {
        let (left, right) = scan.columns();
        let (top, height) = extent(scan);
        self.equal.clear();
        self.equal.extend((top..top + height).map(|y| {
            let Some(source) = y.checked_add_signed(-distance) else {
                return 0;
            };
            let old = known.known_row(source, left, right);
            let new = scan.row(y, left, right);
            // An unknown segment is never equal: it is 0 in both.
            let bits = old.iter().zip(new).rev().fold(0, |bits, (old, new)| {
                bits << 1 | u64::from(old == new && *new != 0)
            });
            if old.len() == new.len() { bits << left } else { 0 }
        }));
    }

    /// Turns runs of equal segments into moves, takes what they replace out of `left`, and returns how many segments
    /// that was.
    fn collect(&mut self, scan: &Scan, distance: i32, moves: &mut Vec<Move>) -> u64 {
        let mut gained = 0;
        let mut top = 0;
        while top < self.equal.len() && moves.len() < MAX_MOVES {
            let (columns, bottom) = self.group(top);
            let useful = self
                .useful(top, bottom, columns)
                .filter(|(_, gain)| gain * u64::from(scan.segment()) >= MIN_MOVE)
                .and_then(|(cells, gain)| Some((source(scan.pixels(cells)?, distance)?, cells, gain)));
            if let Some((step, cells, gain)) = useful {
                moves.push(step);
                gained += gain;
                let rows = self.left.get_mut(cells.top..cells.bottom).unwrap_or_default();
                rows.iter_mut()
                    .for_each(|row| *row &= !span(cells.left, cells.right));
            }
            top = bottom;
        }
        gained
    }

    /// The rows from `top` on that share most of their longest run of equal segments: the shared run and one past the last
    /// row.
    fn group(&self, top: usize) -> (u64, usize) {
        let rows = self.equal.get(top..).unwrap_or_default();
        let mut shared = rows.first().map_or(0, |&row| run(row));
        for (row, bottom) in rows.iter().zip(top..).skip(1) {
            let own = run(*row);
            let common = run(own & shared);
            // Break when the row would narrow the group, or the group the row, by more than a quarter.
            let widest = own.count_ones().max(shared.count_ones());
            if common.count_ones() * 4 < widest * 3 {
                return (shared, bottom);
            }
            if widest != 0 {
                shared = common;
            }
        }
        (shared, self.equal.len())
    }

    /// The part of a group that replaces changed segments, and how many those are.
    fn useful(&self, top: usize, bottom: usize, columns: u64) -> Option<(Cells, u64)> {
        let rows = self.left.get(top..bottom)?;
        let first = rows.iter().position(|row| row & columns != 0)?;
        let last = rows.iter().rposition(|row| row & columns != 0)?;
        let used = rows.iter().fold(0, |all, row| all | row) & columns;
        let gain = rows
            .iter()
            .map(|row| u64::from((row & columns).count_ones()))
            .sum();
        let cells = Cells {
            left: used.trailing_zeros(),
            right: 64 - used.leading_zeros(),
            top: top + first,
            bottom: top + last + 1,
        };
        Some((cells, gain))
    }
}

/// First row and number of rows of a scan.
fn extent(scan: &Scan) -> (u32, u32) {
    (u32::try_from(scan.area().y).unwrap_or(0), scan.area().h)
}

/// The column with most changes of each part of the scan, so that a film does not outvote what scrolls beside it.
fn busiest(scan: &Scan) -> impl Iterator<Item = u32> {
    let mut counts = [0u32; 64];
    for mask in scan.masks() {
        for (bit, count) in counts.iter_mut().enumerate() {
            *count += u32::from(mask >> bit & 1 == 1);
        }
    }
    let (left, right) = scan.columns();
    let part = (right - left).div_ceil(VOTERS).max(1);
    (left..right).step_by(part as usize).filter_map(move |first| {
        let columns = (first..right.min(first + part)).rev();
        let counts = columns.filter_map(|column| Some((*counts.get(column as usize)?, column)));
        let (changes, column) = counts.max_by_key(|(changes, _)| *changes)?;
        (changes > 0).then_some(column)
    })
}

/// The longest run of set bits alone.
const fn run(row: u64) -> u64 {
    let (left, right) = longest_run(row);
    span(left, right)
}

/// The move that fills `target` from `distance` rows above.
fn source(target: Rect, distance: i32) -> Option<Move> {
    let y = target.y.checked_sub(distance)?;
    Some(Move {
        rect: Rect { y, ..target },
        dx: 0,
        dy: distance,
    })
}
