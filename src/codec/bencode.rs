//! bencode as xpra 3 speaks it (`wire.md` 2.3).

use super::integer::{self, MAX_DECIMAL};
use super::rencode::put_length;
use super::tape::{Node, Span, Writer};
use super::{EncodeError, Limits, Value, ValueError};

/// A length is at most ten digits.
const MAX_LENGTH_TEXT: usize = 10;
/// Deeper values are a mistake of ours.
const MAX_DEPTH: usize = 512;

/// Appends the nodes of the value at the start of `body` and returns the bytes it takes.
pub(super) fn read(body: &[u8], limits: &Limits, nodes: &mut Vec<Node>) -> Result<usize, ValueError> {
    let mut reader = Reader {
        rest: body,
        tape: Writer::new(body, limits, nodes)?,
    };
    reader.value()?;
    Ok(body.len() - reader.rest.len())
}

struct Reader<'a> {
    rest: &'a [u8],
    tape: Writer<'a>,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<(), ValueError> {
        self.tape.count(1)?;
        match self.rest {
            [] => Err(ValueError::Truncated),
            [b'i', rest @ ..] => {
                self.rest = rest;
                self.int()
            }
            [b'0'..=b'9', ..] => self.string(Node::Bytes).map(drop),
            [b'u', rest @ ..] => {
                self.rest = rest;
                let bytes = self.string(Node::Text)?;
                std::str::from_utf8(bytes).map(drop).map_err(|_| ValueError::Utf8)
            }
            [b'l', rest @ ..] => {
                self.rest = rest;
                self.list()
            }
            [b'd', rest @ ..] => {
                self.rest = rest;
                self.dict()
            }
            [code, ..] => Err(ValueError::TypeCode(*code)),
        }
    }

    fn list(&mut self) -> Result<(), ValueError> {
        let place = self.tape.open()?;
        let mut len = 0;
        while !self.at_end() {
            self.value()?;
            len += 1;
        }
        self.tape.close(place, Node::List, len);
        Ok(())
    }

    fn dict(&mut self) -> Result<(), ValueError> {
        let place = self.tape.open()?;
        let mut len = 0;
        while !self.at_end() {
            if matches!(self.rest, [b'l' | b'd', ..]) {
                return Err(ValueError::Unhashable);
            }
            self.value()?;
            self.value()?;
            len += 1;
        }
        self.tape.close(place, Node::Map, len);
        Ok(())
    }

    fn int(&mut self) -> Result<(), ValueError> {
        let start = self.rest;
        let text = self.until(b'e', MAX_DECIMAL, ValueError::Integer)?;
        if !std::str::from_utf8(text).is_ok_and(integer::is_canonical) {
            return Err(ValueError::Integer);
        }
        self.tape.push_decimal(start, text.len())
    }

    fn string(&mut self, kind: impl FnOnce(Span) -> Node) -> Result<&'a [u8], ValueError> {
        let text = self.until(b':', MAX_LENGTH_TEXT, ValueError::Length)?;
        let (first, digits) = text.split_first().ok_or(ValueError::Length)?;
        if !text.iter().all(u8::is_ascii_digit) || (*first == b'0' && !digits.is_empty()) {
            return Err(ValueError::Length);
        }
        let len = integer::length(*first, digits)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ValueError::Truncated)?;
        self.tape.push(kind(self.tape.span(self.rest, len)));
        self.rest = rest;
        Ok(bytes)
    }

    /// The bytes before `delimiter`, which is taken too; `too_long` when there are more than `max`.
    fn until(&mut self, delimiter: u8, max: usize, too_long: ValueError) -> Result<&'a [u8], ValueError> {
        let window = self.rest.get(..=max).unwrap_or(self.rest);
        let Some(end) = memchr::memchr(delimiter, window) else {
            return Err(if window.len() <= max {
                ValueError::Truncated
            } else {
                too_long
            });
        };
        let (bytes, rest) = self.rest.split_at_checked(end).ok_or(ValueError::Truncated)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(bytes)
    }

    fn at_end(&mut self) -> bool {
        if let [b'e', rest @ ..] = self.rest {
            self.rest = rest;
            return true;
        }
        false
    }
}

/// Appends `value`: text and bytes are strings, booleans are integers, floats and null have no form.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put(value, out, MAX_DEPTH)
}

/// Appends the list of `items`.
pub(super) fn encode_list<'a>(
    items: impl Iterator<Item = &'a Value>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_list(items, out, MAX_DEPTH)
}

fn put(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), EncodeError> {
    let depth = depth.checked_sub(1).ok_or(EncodeError::Depth)?;
    match value {
        Value::Null | Value::Float(_) => return Err(EncodeError::Type),
        Value::Bool(value) => put_int(&u8::from(*value).to_string(), out),
        Value::Int(value) => put_int(&value.to_string(), out),
        Value::BigInt(digits) => {
            if digits.len() > MAX_DECIMAL || !integer::is_canonical(digits) {
                return Err(EncodeError::Integer);
            }
            put_int(digits, out);
        }
        Value::Bytes(bytes) => put_string(bytes, out),
        Value::Text(text) => put_string(text.as_bytes(), out),
        Value::List(items) => put_list(items.iter(), out, depth)?,
        Value::Map(pairs) => {
            out.push(b'd');
            for (key, value) in pairs {
                put(key, out, depth)?;
                put(value, out, depth)?;
            }
            out.push(b'e');
        }
    }
    Ok(())
}

fn put_list<'a>(
    items: impl Iterator<Item = &'a Value>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), EncodeError> {
    out.push(b'l');
    for item in items {
        put(item, out, depth)?;
    }
    out.push(b'e');
    Ok(())
}

fn put_int(digits: &str, out: &mut Vec<u8>) {
    out.push(b'i');
    out.extend_from_slice(digits.as_bytes());
    out.push(b'e');
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), b':', out);
    out.extend_from_slice(bytes);
}
