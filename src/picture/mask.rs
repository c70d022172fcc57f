//! Sets of cells in a grid, one 64-bit word a row, and the few rectangles that cover them tightly.
//!
//! A word a row makes every question cheap: what changed in a band is an OR, how far it reaches is a count of zeros.

/// A rectangle of cells: columns and rows, ends excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl Cells {
    /// Number of cells.
    const fn area(self) -> u64 {
        (self.right - self.left) as u64 * (self.bottom - self.top) as u64
    }
}

/// The columns `left..right` as a word.
pub(super) const fn span(left: u32, right: u32) -> u64 {
    below(right) & !below(left)
}

/// The longest run of set bits, as first column and one past the last; empty for an empty word.
pub(super) const fn longest_run(word: u64) -> (u32, u32) {
    let (mut best, mut rest) = ((0, 0), word);
    while rest != 0 {
        let left = rest.trailing_zeros();
        let right = left + (!(rest >> left)).trailing_zeros();
        if right - left > best.1 - best.0 {
            best = (left, right);
        }
        rest &= !below(right);
    }
    best
}

/// Covers all set cells of `rows` with at most `limit` rectangles (at least one when anything is set). A rectangle is cut
/// in two where that leaves out most cells, as long as it leaves out `worth` or more: below that, one more packet costs
/// more than the pixels. The rectangles never overlap.
pub(super) fn rectangles(rows: &[u64], limit: usize, worth: u64) -> Vec<Cells> {
    let whole = Cells {
        left: 0,
        right: 64,
        top: 0,
        bottom: rows.len(),
    };
    let Some(first) = tighten(rows, whole) else {
        return Vec::new();
    };
    let mut scratch = Vec::new();
    let mut pieces = vec![(first, best_cut(rows, first, &mut scratch))];
    while pieces.len() < limit {
        let best = pieces
            .iter_mut()
            .max_by_key(|(_, cut)| cut.map_or(0, |cut| cut.saved));
        let Some(slot) = best else { break };
        let Some(cut) = slot.1.filter(|cut| cut.saved >= worth) else {
            break;
        };
        *slot = (cut.one, best_cut(rows, cut.one, &mut scratch));
        let other = best_cut(rows, cut.other, &mut scratch);
        pieces.push((cut.other, other));
    }
    let mut cells: Vec<_> = pieces.into_iter().map(|(cells, _)| cells).collect();
    cells.sort_unstable_by_key(|cells| (cells.top, cells.left));
    cells
}

/// Two parts that hold all set cells of a rectangle, and how many cells of it neither holds.
#[derive(Clone, Copy)]
struct Cut {
    one: Cells,
    other: Cells,
    saved: u64,
}

/// The cut of `cells` that leaves out most.
fn best_cut(rows: &[u64], cells: Cells, scratch: &mut Vec<u64>) -> Option<Cut> {
    let across = cut_across(rows, cells, scratch);
    gaps(rows, cells)
        .filter_map(|column| cut_down(rows, cells, column))
        .chain(across)
        .max_by_key(|cut| cut.saved)
}

/// The best cut between two rows, found in one pass from each end.
fn cut_across(rows: &[u64], cells: Cells, tops: &mut Vec<u64>) -> Option<Cut> {
    let inside = rows.get(cells.top..cells.bottom)?;
    let columns = span(cells.left, cells.right);
    tops.clear();
    let (mut seen, mut last) = (0u64, 0u64);
    tops.extend(inside.iter().zip(1u64..).map(|(row, count)| {
        if row & columns != 0 {
            seen |= row & columns;
            last = count;
        }
        width(seen) * last
    }));
    let (mut seen, mut last, mut best) = (0u64, 0u64, None);
    for ((index, row), count) in inside.iter().enumerate().rev().zip(1u64..) {
        if row & columns != 0 {
            seen |= row & columns;
            last = count;
        }
        let Some(top) = index.checked_sub(1).and_then(|above| tops.get(above)) else {
            break;
        };
        let total = top + width(seen) * last;
        if best.is_none_or(|(_, least)| total < least) {
            best = Some((index, total));
        }
    }
    let (index, total) = best?;
    let row = cells.top + index;
    Some(Cut {
        one: tighten(rows, Cells { bottom: row, ..cells })?,
        other: tighten(rows, Cells { top: row, ..cells })?,
        saved: cells.area().saturating_sub(total),
    })
}

/// The cut left and right of `column`.
fn cut_down(rows: &[u64], cells: Cells, column: u32) -> Option<Cut> {
    let one = tighten(
        rows,
        Cells {
            right: column,
            ..cells
        },
    )?;
    let other = tighten(
        rows,
        Cells {
            left: column,
            ..cells
        },
    )?;
    Some(Cut {
        one,
        other,
        saved: cells.area().saturating_sub(one.area() + other.area()),
    })
}

/// The first column of each run of columns in which no row of `cells` has anything.
fn gaps(rows: &[u64], cells: Cells) -> impl Iterator<Item = u32> + use<> {
    let used = rows
        .get(cells.top..cells.bottom)
        .unwrap_or_default()
        .iter()
        .fold(0, |all, row| all | row);
    let free = !used & span(cells.left, cells.right);
    let mut starts = free & !(free << 1);
    std::iter::from_fn(move || {
        let column = starts.trailing_zeros();
        starts &= starts.wrapping_sub(1);
        (column < 64).then_some(column)
    })
}

/// The smallest rectangle with the same set cells; `None` when there are none.
fn tighten(rows: &[u64], cells: Cells) -> Option<Cells> {
    let columns = span(cells.left, cells.right);
    let inside = rows.get(cells.top..cells.bottom)?;
    let first = inside.iter().position(|row| row & columns != 0)?;
    let last = inside.iter().rposition(|row| row & columns != 0)?;
    let used = inside.get(first..=last)?.iter().fold(0, |all, row| all | row) & columns;
    Some(Cells {
        left: used.trailing_zeros(),
        right: 64 - used.leading_zeros(),
        top: cells.top + first,
        bottom: cells.top + last + 1,
    })
}

/// Columns from the first to the last set one.
const fn width(word: u64) -> u64 {
    if word == 0 {
        0
    } else {
        (64 - word.leading_zeros() - word.trailing_zeros()) as u64
    }
}

/// The lowest `n` bits.
const fn below(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs() {
        assert_eq!(longest_run(0), (0, 0));
        assert_eq!(longest_run(u64::MAX), (0, 64));
        assert_eq!(longest_run(0b1110_0110), (5, 8));
        assert_eq!(longest_run(1 << 63), (63, 64));
        assert_eq!(span(0, 64), u64::MAX);
        assert_eq!(span(62, 64), 3 << 62);
    }

    #[test]
    fn separate_changes_stay_separate() {
        let mut rows = vec![0u64; 100];
        rows[3] = 0b11;
        rows[90] = 1 << 40;
        rows[91] = 1 << 40;
        let found = rectangles(&rows, 16, 8);
        assert_eq!(
            found,
            [
                Cells {
                    left: 0,
                    right: 2,
                    top: 3,
                    bottom: 4
                },
                Cells {
                    left: 40,
                    right: 41,
                    top: 90,
                    bottom: 92
                }
            ]
        );
        assert_eq!(
            rectangles(&rows, 1, 8),
            [Cells {
                left: 0,
                right: 41,
                top: 3,
                bottom: 92
            }]
        );
        // Two columns side by side in the same rows.
        let rows = vec![1 | 1 << 63; 50];
        assert_eq!(rectangles(&rows, 16, 8).len(), 2);
        assert!(rectangles(&[0; 9], 16, 8).is_empty());
    }

    proptest! {
        #[test]
        fn cover_everything_once(
            rows in prop::collection::vec(prop_oneof![Just(0u64), any::<u64>(), (0u32..64).prop_map(|b| 1 << b)], 0..80),
            limit in 1usize..20,
        ) {
            let found = rectangles(&rows, limit, 4);
            prop_assert!(found.len() <= limit);
            let mut covered = vec![0u64; rows.len()];
            for cells in &found {
                for row in &mut covered[cells.top..cells.bottom] {
                    prop_assert_eq!(*row & span(cells.left, cells.right), 0, "overlap");
                    *row |= span(cells.left, cells.right);
                }
            }
            for (row, covered) in rows.iter().zip(&covered) {
                prop_assert_eq!(row & !covered, 0);
            }
        }
    }
}
