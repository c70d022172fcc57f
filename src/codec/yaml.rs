//! YAML with the types of version 1.1 (`wire.md` 2.4).

use bytes::Bytes;

use super::{EncodeError, Limits, Value, ValueError};

/// The value of the one document `input` holds.
pub(super) fn decode(_input: &Bytes, _limits: &Limits) -> Result<Value, ValueError> {
    Err(ValueError::Syntax { line: 1 })
}

/// Appends `value` as a document in block style.
pub(super) fn encode(_value: &Value, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
    Err(EncodeError::Type)
}

/// Appends the list of `items` as a document in block style.
pub(super) fn encode_list<'a>(
    _items: impl Iterator<Item = &'a Value>,
    _out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    Err(EncodeError::Type)
}
