//! From which figure on something is a cause, and on whose authority: nothing else in the diagnosis is a matter of taste.
//!
//! Times are milliseconds.

/// A path whose shortest round trip takes this long is far: up to a tenth of a second an answer feels immediate (Miller
/// 1968, Nielsen 1993).
pub(super) const FAR: f64 = 100.0;

/// Added by load, less than so much, and the grade: those of DSLReports' and Waveform's bufferbloat tests.
pub(super) const GRADES: [(f64, &str); 6] = [
    (5.0, "A+"),
    (30.0, "A"),
    (60.0, "B"),
    (200.0, "C"),
    (400.0, "D"),
    (f64::INFINITY, "F"),
];

/// From a C on a queue is too long: there calls and games suffer, says Waveform.
pub(super) const BLOATED: f64 = 60.0;

/// Nine of ten round trips of an idle path lie this far apart: more than a picture of 60 a second is late by chance (our
/// own choice; ITU-T Y.1541 allows 50 ms between the shortest and all but one of a thousand).
pub(super) const UNSTEADY: f64 = 20.0;

/// What the network, or the server, then adds to the shortest round trip in the mean, for it to be what is unsteady (our
/// own choice: a quarter of [`UNSTEADY`], as of one stall in four round trips).
pub(super) const STALLS: f64 = 5.0;

/// This share of segments is sent again: from 1 % on TCP cannot use a link of 100 ms for more than 1.4 Mbit/s (Mathis et al.
/// 1997: segment / (round trip · √loss)).
pub(super) const LOSSY: f64 = 0.01;

/// Fewer segments that are sent again may be chance (our own choice).
pub(super) const AGAIN: f64 = 5.0;

/// A process that answers this late in the mean is busy, however steadily: a picture of 60 a second (our own choice; an idle one of ours
/// takes less than 1).
pub(super) const BUSY: f64 = 16.0;

/// One picture in five takes this long to encode or decode, which is longer than a picture of 30 a second lasts (our own
/// choice; most pictures are small and tell nothing).
pub(super) const SLOW: f64 = 33.0;

/// Fewer pictures tell nothing of one in five (our own choice).
pub(super) const PICTURES: f64 = 5.0;
