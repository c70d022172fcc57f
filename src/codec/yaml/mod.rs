//! YAML with the types of version 1.1 (`wire.md` 2.4): the readable coding of xpra 6.

mod base64;
mod read;
mod schema;
mod write;

pub(super) use read::decode;
pub(super) use write::{encode, encode_list};
