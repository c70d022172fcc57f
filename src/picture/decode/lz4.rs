//! Unpacking LZ4 blocks of pixels.
//!
//! `lz4_flex` copies a match that overlaps itself byte by byte, and a match at a distance of one pixel is what every run of
//! equal pixels becomes: flat ground came out at 1.4 GB/s. Here such runs are filled 16 bytes at a time. The format: a
//! token whose halves are the lengths of literals and match (15: more bytes follow), the literals, the distance of the
//! match in two bytes; the block ends after literals.

/// A match is at least this long; the token counts from here.
const MIN_MATCH: usize = 4;
/// Short copies move this many bytes whatever their length, as long as there is room: no loop, no call.
const STEP: usize = 16;

/// Unpacks `block` into `out` and returns how many bytes came out; `None` when the block is damaged or holds more than
/// `out` does. Bytes behind the unpacked ones may be overwritten.
pub(super) fn unpack(block: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut input = block;
    let mut done = 0;
    loop {
        let (&token, rest) = input.split_first()?;
        input = rest;

        let literals = length(usize::from(token >> 4), &mut input)?;
        let (run, rest) = input.split_at_checked(literals)?;
        match (
            input.first_chunk::<STEP>(),
            out.get_mut(done..)?.first_chunk_mut::<STEP>(),
        ) {
            (Some(from), Some(to)) if literals <= STEP => *to = *from,
            _ => out.get_mut(done..done + literals)?.copy_from_slice(run),
        }
        done += literals;
        input = rest;
        if input.is_empty() {
            return Some(done);
        }

        let (&distance, rest) = input.split_first_chunk::<2>()?;
        input = rest;
        let distance = usize::from(u16::from_le_bytes(distance));
        let len = length(usize::from(token & 15), &mut input)?.checked_add(MIN_MATCH)?;
        repeat(out, done, distance, len)?;
        done += len;
    }
}

/// The length that starts with `short` in the token.
fn length(short: usize, input: &mut &[u8]) -> Option<usize> {
    if short < 15 {
        return Some(short);
    }
    let more = input.iter().position(|&byte| byte != 255)?;
    let (_, rest) = input.split_at_checked(more)?;
    let (&last, rest) = rest.split_first()?;
    *input = rest;
    // `more` counts bytes that are there, so this cannot overflow.
    Some(15 + more * 255 + usize::from(last))
}

/// Copies the `len` bytes that lie `distance` before `at` to `at`, where they may overlap.
fn repeat(out: &mut [u8], at: usize, distance: usize, len: usize) -> Option<()> {
    let start = at.checked_sub(distance).filter(|_| distance != 0)?;
    let (before, after) = out.split_at_mut_checked(at)?;
    let pattern = before.get(start..)?;
    if len > after.len() {
        return None;
    }
    if let (Some(from), Some(to)) = (pattern.first_chunk::<STEP>(), after.first_chunk_mut::<STEP>())
        && len <= STEP
    {
        *to = *from;
    } else if let (Some(from), Some(to)) = (pattern.get(..len), after.get_mut(..len)) {
        to.copy_from_slice(from);
    } else if let Ok(&[a, b, c, d]) = <&[u8; 4]>::try_from(pattern) {
        let pixels = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
        let room = after.len().min(len.next_multiple_of(STEP));
        let (steps, rest) = after.get_mut(..room)?.as_chunks_mut::<STEP>();
        steps.fill(pixels);
        rest.iter_mut().zip(pixels).for_each(|(to, from)| *to = from);
    } else {
        // Each copy doubles what there is of the pattern.
        let (mut to, end) = (at, at + len);
        while to < end {
            let part = (to - start).min(end - to);
            out.copy_within(start..start + part, to);
            to += part;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::samples;
    use lz4_flex::block::{compress, decompress_into};
    use proptest::prelude::*;

    #[test]
    fn unpacks_what_lz4_packs() {
        for pixels in [
            samples::text(333, 120),
            samples::flat(64, 64),
            samples::photo(99, 50),
            samples::noise(50, 50),
        ] {
            let mut out = vec![0; pixels.len()];
            assert_eq!(unpack(&compress(&pixels), &mut out), Some(pixels.len()));
            assert!(out == pixels);
        }
    }

    #[test]
    fn refuses_damage() {
        let mut out = [0; 64];
        assert_eq!(unpack(&[], &mut out), None);
        assert_eq!(unpack(&[0x10], &mut out), None, "a literal is missing");
        assert_eq!(unpack(&[0x10, 7, 0, 0], &mut out), None, "distance 0");
        assert_eq!(unpack(&[0x10, 7, 2, 0], &mut out), None, "before the start");
        assert_eq!(
            unpack(&[0x1f, 7, 1, 0, 255, 255, 0, 0], &mut out),
            None,
            "longer than the place"
        );
        assert_eq!(
            unpack(&[0xf0, 255, 255, 255], &mut out),
            None,
            "a length without end"
        );
        assert_eq!(unpack(&[0x10, 7], &mut out), Some(1));
    }

    proptest! {
        #[test]
        fn agrees_with_lz4_flex(block in prop::collection::vec(any::<u8>(), 0..200), room in 0usize..600) {
            let (mut ours, mut theirs) = (vec![0; room], vec![0; room]);
            let (a, b) = (unpack(&block, &mut ours), decompress_into(&block, &mut theirs).ok());
            prop_assert_eq!(a, b);
            if let Some(len) = a {
                prop_assert_eq!(&ours[..len], &theirs[..len]);
            }
        }

        #[test]
        fn unpacks_patterns(pattern in prop::collection::vec(any::<u8>(), 1..40), len in 0usize..3000) {
            let bytes: Vec<u8> = pattern.iter().copied().cycle().take(len).collect();
            let mut out = vec![0; len];
            prop_assert_eq!(unpack(&compress(&bytes), &mut out), Some(len));
            prop_assert_eq!(out, bytes);
        }
    }
}
