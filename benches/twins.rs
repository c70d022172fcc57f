//! One case at a time, for `cargo bench-gate`: its twin of an older commit is measured in turns with it.
//!
//! `--list` names the cases, `--count NAME` does one a fixed number of times under valgrind, `--time NAME` prints how
//! many nanoseconds it takes. Pictures are small here, because valgrind is slow.

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod cases;
#[allow(dead_code, reason = "shared with the transport bench, which uses other parts")]
#[path = "transport/cases.rs"]
mod connections;
#[path = "gate/twin.rs"]
mod twin;
#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod ways;

use clap::Parser;
use xpra::types::Size;

use crate::cases::Case;
use crate::twin::Options;

fn main() {
    twin::run(&Options::parse(), all());
}

/// What the gate compares: all that is deterministic, and of what goes through the kernel one size of block.
fn all() -> Vec<Case> {
    let mut cases = cases::codec::cases();
    cases.extend(cases::cipher::cases());
    cases.extend(cases::mmap::cases());
    cases.extend(cases::picture::cases(Size::new(320, 180)));
    let of_one_size = |case: &Case| ["-64KiB", "-64B"].iter().any(|end| case.name.ends_with(end));
    cases.extend(connections::cases().into_iter().filter(of_one_size));
    cases.retain(|case| !case.is_limit() && !case.name.ends_with("-noise"));
    cases
}
