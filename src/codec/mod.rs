//! LAYER 1: bytes to values and back.

mod value;

pub use value::Value;
