//! The ring of shared memory: nothing in use is handed out again, whatever the order of things.

use proptest::prelude::*;
use std::collections::VecDeque;
use xpra::mmap::{HEADER, MIN_SIZE, Region, RingReader, RingWriter, Span, place};

/// What happens to a ring.
#[derive(Clone, Debug)]
enum Step {
    Reserve(u32),
    /// The oldest so many pictures are released at once.
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..MIN_SIZE / 3).prop_map(Step::Reserve),
        (1..200_000u32).prop_map(Step::Reserve),
        (1..4usize).prop_map(Step::Release),
    ];
    proptest::collection::vec(step, 1..200)
}

fn apart(a: Span, b: Span) -> bool {
    a.end() <= u64::from(b.offset) || b.end() <= u64::from(a.offset)
}

proptest! {
    #[test]
    fn pieces_in_use_never_overlap(steps in steps()) {
        let region = Region::anonymous(MIN_SIZE).unwrap();
        let copy = region.file().try_clone_to_owned().unwrap();
        let mut writer = RingWriter::new(Region::sealed(copy).unwrap()).unwrap();
        let mut reader = RingReader::new(region);
        let mut used: VecDeque<Span> = VecDeque::new();
        for step in steps {
            match step {
                Step::Reserve(len) => match writer.reserve(u64::from(len)) {
                    Ok(span) => {
                        prop_assert!(span.offset >= HEADER && span.end() <= u64::from(MIN_SIZE));
                        prop_assert_eq!(span.len, len);
                        prop_assert!(used.iter().all(|other| apart(*other, span)), "{} in {:?}", span, used);
                        used.push_back(span);
                    }
                    // an empty ring has room for a third of itself at least, wherever it stands
                    Err(error) => prop_assert!(!used.is_empty(), "{}", error),
                },
                Step::Release(count) => {
                    let count = count.min(used.len());
                    if let Some(last) = used.drain(..count).next_back() {
                        reader.release(&[last]).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn any_positions_give_a_place_inside(
        size in HEADER..=u32::MAX,
        start in any::<u32>(),
        end in any::<u32>(),
        len in any::<u32>(),
        comfort in any::<u64>(),
    ) {
        let (start, end) = (start.clamp(HEADER, size), end.clamp(HEADER, size));
        if let Some(offset) = place(size, start, end, len, comfort) {
            let span = Span { offset, len };
            prop_assert!(offset >= HEADER && span.end() <= u64::from(size));
            // what lies between the positions is the reader's
            let taken = |from: u32, to: u32| Span { offset: from, len: to - from };
            let theirs = if start <= end {
                vec![taken(start, end)]
            } else {
                vec![taken(start, size), taken(HEADER, end)]
            };
            prop_assert!(theirs.into_iter().all(|other| other.len == 0 || apart(other, span)));
            // equal positions would mean an empty ring
            prop_assert!(span.end() != u64::from(start));
        }
    }
}
