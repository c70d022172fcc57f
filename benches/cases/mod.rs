//! Work that is measured, under one name for all who measure it: criterion times it, valgrind counts its instructions,
//! `cargo bench-gate` compares both with an older commit.
//!
//! A name is `layer/operation/case`. A case `limit-…` is what the machine can do at most with as many bytes; it is
//! timed beside the others and compared with nothing. What goes through the kernel, `transport/…`, is timed and not
//! counted: how often one end waits for the other is never the same twice.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the samples are ours, and a panic is a failed run"
)]

pub(crate) mod cipher;
pub(crate) mod codec;
pub(crate) mod mmap;
pub(crate) mod picture;

use std::hint::black_box;

use criterion::{Criterion, Throughput};

/// Whether this is `cargo bench`: `cargo test --benches` only wants to know that it runs.
pub(crate) fn is_bench() -> bool {
    std::env::args().any(|word| word == "--bench")
}

/// Something to measure. Nothing is prepared before it is asked for.
pub(crate) struct Case {
    pub(crate) name: String,
    make: Box<dyn FnOnce() -> Work>,
}

/// What a case does each time.
pub(crate) struct Work {
    /// How much it works on.
    pub(crate) bytes: u64,
    pub(crate) run: Box<dyn FnMut()>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, make: impl FnOnce() -> Work + 'static) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
        }
    }

    /// A copy of so many bytes.
    pub(crate) fn copy(name: impl Into<String>, bytes: usize) -> Self {
        Self::new(name, move || {
            let (from, mut to) = (vec![7_u8; bytes], vec![0; bytes]);
            Work::new(bytes, move || {
                black_box(&mut to).copy_from_slice(black_box(&from))
            })
        })
    }

    pub(crate) fn is_limit(&self) -> bool {
        self.name.contains("/limit-")
    }

    pub(crate) fn prepare(self) -> Work {
        (self.make)()
    }
}

impl Work {
    pub(crate) fn new(bytes: usize, run: impl FnMut() + 'static) -> Self {
        Self {
            bytes: bytes as u64,
            run: Box::new(run),
        }
    }
}

/// Times them with criterion, in groups `layer/operation`.
pub(crate) fn time(criterion: &mut Criterion, cases: Vec<Case>) {
    for case in cases {
        let name = case.name.clone();
        let (group, id) = name.rsplit_once('/').unwrap_or(("", &name));
        let mut work = case.prepare();
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Bytes(work.bytes));
        group.bench_function(id, |bencher| bencher.iter(&mut work.run));
        group.finish();
    }
}
