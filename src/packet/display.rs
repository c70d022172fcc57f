//! The client's screen as servers want it described (`session.md` 1.5 and 1.7).

use crate::codec::Value;
use crate::types::Size;

/// Dots per inch of a screen that does not say how large its pixels are.
pub const DPI: u32 = 96;

/// The list of screens of a client that has one screen with one monitor: name, size in pixels and in millimetres,
/// monitors, work area.
pub fn screens(size: Size) -> Value {
    let Size { w, h } = size;
    let [mm_w, mm_h] = [w, h].map(|pixels| u64::from(pixels) * 254 / u64::from(DPI * 10));
    let monitor: [Value; 7] = [
        "monitor".into(),
        0.into(),
        0.into(),
        w.into(),
        h.into(),
        mm_w.into(),
        mm_h.into(),
    ];
    let screen: [Value; 10] = [
        "screen".into(),
        w.into(),
        h.into(),
        mm_w.into(),
        mm_h.into(),
        Value::List(vec![monitor.into()]),
        0.into(),
        0.into(),
        w.into(),
        h.into(),
    ];
    Value::List(vec![screen.into()])
}

/// What follows the name in a client's `desktop_size`: 6.x resizes nothing unless all of it is there.
pub(super) fn desktop_size(size: Size, refresh_rate: u32) -> [Value; 11] {
    let Size { w, h } = size;
    [
        w.into(),
        h.into(),
        screens(size),
        1.into(),
        Value::List(Vec::new()),
        w.into(),
        h.into(),
        DPI.into(),
        DPI.into(),
        refresh_rate.into(),
        Value::map(),
    ]
}
