//! What coding, decoding and comparing pictures of 1280x720 costs: `cargo bench --bench picture`.

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod cases;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use xpra::types::Size;

fn pictures(criterion: &mut Criterion) {
    cases::time(criterion, cases::picture::cases(Size::new(1280, 720)));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = pictures
}
criterion_main!(benches);
