//! rencodeplus and its ancestor rencode (`wire.md` 2.1, 2.2): one table of type codes, two views of strings.
//!
//! `PLUS` selects rencodeplus, which tells text from bytes and sends floats in 64 bits. Plain rencode decodes every
//! string to bytes and sends floats in 32 bits.

use bytes::Bytes;
use compact_str::CompactString;

use super::integer::{self, MAX_DECIMAL};
use super::{EncodeError, Limits, Value, ValueError};

const INT_POS_MAX: u8 = 43;
const FLOAT64: u8 = 44;
const DIGIT_0: u8 = b'0';
const DIGIT_1: u8 = b'1';
const DIGIT_9: u8 = b'9';
const LIST: u8 = 59;
const DICT: u8 = 60;
const DECIMAL: u8 = 61;
const INT8: u8 = 62;
const INT16: u8 = 63;
const INT32: u8 = 64;
const INT64: u8 = 65;
const FLOAT32: u8 = 66;
const TRUE: u8 = 67;
const FALSE: u8 = 68;
const NULL: u8 = 69;
const INT_NEG: u8 = 70;
const INT_NEG_MAX: u8 = 101;
const DICT_FIXED: u8 = 102;
const DICT_FIXED_MAX: u8 = 126;
const END: u8 = 127;
const STRING_FIXED: u8 = 128;
const STRING_FIXED_MAX: u8 = 191;
const LIST_FIXED: u8 = 192;

/// The reference cannot read shorter ones and never writes them (`wire.md` 2.1).
const MIN_DECIMAL: usize = 18;
/// A length is at most ten digits; the rest is for blanks and zeros.
const MAX_LENGTH_TEXT: usize = 32;
/// Deeper values are a mistake of ours.
const MAX_DEPTH: usize = 512;

/// The value at the start of `input` and the bytes it takes.
pub(super) fn decode<const PLUS: bool>(input: &Bytes, limits: &Limits) -> Result<(Value, usize), ValueError> {
    let mut reader = Reader::<PLUS> {
        source: input,
        rest: input,
        depth: limits.depth,
        items: limits.items,
    };
    let value = reader.value()?;
    let used = reader.position();
    Ok((value, used))
}

struct Reader<'a, const PLUS: bool> {
    source: &'a Bytes,
    rest: &'a [u8],
    /// Levels that may still be opened.
    depth: usize,
    /// Values that may still be read.
    items: usize,
}

impl<'a, const PLUS: bool> Reader<'a, PLUS> {
    fn value(&mut self) -> Result<Value, ValueError> {
        let code = self.byte()?;
        Ok(match code {
            0..=INT_POS_MAX => Value::Int(i64::from(code)),
            INT_NEG..=INT_NEG_MAX => Value::Int(i64::from(INT_NEG) - 1 - i64::from(code)),
            INT8 => Value::Int(i64::from(i8::from_be_bytes(self.array()?))),
            INT16 => Value::Int(i64::from(i16::from_be_bytes(self.array()?))),
            INT32 => Value::Int(i64::from(i32::from_be_bytes(self.array()?))),
            INT64 => Value::Int(i64::from_be_bytes(self.array()?)),
            STRING_FIXED..=STRING_FIXED_MAX => {
                let bytes = self.take(usize::from(code - STRING_FIXED))?;
                self.string(bytes)?
            }
            DIGIT_0..=DIGIT_9 => self.long_string(code)?,
            LIST_FIXED.. => self.nested(|reader| reader.list(usize::from(code - LIST_FIXED)))?,
            DICT_FIXED..=DICT_FIXED_MAX => {
                self.nested(|reader| reader.dict(usize::from(code - DICT_FIXED)))?
            }
            LIST => self.nested(Self::open_list)?,
            DICT => self.nested(Self::open_dict)?,
            TRUE => Value::Bool(true),
            FALSE => Value::Bool(false),
            NULL => Value::Null,
            FLOAT64 => Value::Float(f64::from_be_bytes(self.array()?)),
            FLOAT32 => Value::Float(f64::from(f32::from_be_bytes(self.array()?))),
            DECIMAL => self.decimal()?,
            _ => return Err(ValueError::TypeCode(code)),
        })
    }

    fn list(&mut self, len: usize) -> Result<Value, ValueError> {
        self.count(len)?;
        // At most 63, so what is reserved here is small even when the items never come.
        let mut items = Vec::with_capacity(len.min(self.rest.len()));
        for _ in 0..len {
            items.push(self.value()?);
        }
        Ok(Value::List(items))
    }

    fn open_list(&mut self) -> Result<Value, ValueError> {
        let mut items = Vec::new();
        while !self.at_end()? {
            self.count(1)?;
            items.push(self.value()?);
        }
        Ok(Value::List(items))
    }

    fn dict(&mut self, len: usize) -> Result<Value, ValueError> {
        self.count(2 * len)?;
        let mut pairs = Vec::with_capacity(len.min(self.rest.len()));
        for _ in 0..len {
            pairs.push((self.key()?, self.value()?));
        }
        Ok(Value::Map(pairs))
    }

    fn open_dict(&mut self) -> Result<Value, ValueError> {
        let mut pairs = Vec::new();
        while !self.at_end()? {
            self.count(2)?;
            pairs.push((self.key()?, self.value()?));
        }
        Ok(Value::Map(pairs))
    }

    fn key(&mut self) -> Result<Value, ValueError> {
        let key = self.value()?;
        if key.is_hashable() {
            Ok(key)
        } else {
            Err(ValueError::Unhashable)
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, ValueError>,
    ) -> Result<Value, ValueError> {
        self.depth = self.depth.checked_sub(1).ok_or(ValueError::Depth)?;
        let value = read(self)?;
        self.depth += 1;
        Ok(value)
    }

    fn string(&self, bytes: &'a [u8]) -> Result<Value, ValueError> {
        if PLUS {
            CompactString::from_utf8(bytes)
                .map(Value::Text)
                .map_err(|_| ValueError::Utf8)
        } else {
            Ok(self.bytes(bytes))
        }
    }

    fn bytes(&self, bytes: &'a [u8]) -> Value {
        Value::Bytes(if bytes.is_empty() {
            Bytes::new()
        } else {
            self.source.slice_ref(bytes)
        })
    }

    fn long_string(&mut self, first: u8) -> Result<Value, ValueError> {
        if !PLUS && first < DIGIT_1 {
            return Err(ValueError::TypeCode(first));
        }
        // The digit already taken belongs to the length.
        let text = self.source.get(self.position() - 1..).unwrap_or_default();
        let delimiter = |byte: &u8| *byte == b':' || (PLUS && *byte == b'/');
        let end =
            text.iter()
                .take(MAX_LENGTH_TEXT)
                .position(delimiter)
                .ok_or(if text.len() < MAX_LENGTH_TEXT {
                    ValueError::Truncated
                } else {
                    ValueError::Length
                })?;
        let (digits, rest) = text.split_at(end);
        let (delimiter, rest) = rest.split_first().ok_or(ValueError::Truncated)?;
        let len = integer::length(digits)?;
        self.rest = rest;
        let bytes = self.take(len)?;
        if *delimiter == b'/' {
            Ok(self.bytes(bytes))
        } else {
            self.string(bytes)
        }
    }

    fn decimal(&mut self) -> Result<Value, ValueError> {
        let window = self.rest.get(..=MAX_DECIMAL).unwrap_or(self.rest);
        let Some(end) = memchr::memchr(END, window) else {
            let cut = window.len() <= MAX_DECIMAL;
            return Err(if cut {
                ValueError::Truncated
            } else {
                ValueError::Integer
            });
        };
        let digits = self.take(end)?;
        self.byte()?;
        if end < MIN_DECIMAL {
            Err(ValueError::Integer)
        } else {
            integer::lenient(digits)
        }
    }

    fn at_end(&mut self) -> Result<bool, ValueError> {
        match self.rest {
            [END, rest @ ..] => {
                self.rest = rest;
                Ok(true)
            }
            [] => Err(ValueError::Truncated),
            _ => Ok(false),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), ValueError> {
        self.items = self.items.checked_sub(values).ok_or(ValueError::Items)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, ValueError> {
        let (byte, rest) = self.rest.split_first().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ValueError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn position(&self) -> usize {
        self.source.len() - self.rest.len()
    }
}

/// Appends `value` in its smallest form.
pub(super) fn encode<const PLUS: bool>(value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put::<PLUS>(value, out, MAX_DEPTH)
}

/// Appends the list of `items`.
pub(super) fn encode_list<'a, const PLUS: bool>(
    items: impl ExactSizeIterator<Item = &'a Value>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    put_list::<PLUS>(items, out, MAX_DEPTH)
}

fn put<const PLUS: bool>(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), EncodeError> {
    let depth = depth.checked_sub(1).ok_or(EncodeError::Depth)?;
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(true) => out.push(TRUE),
        Value::Bool(false) => out.push(FALSE),
        Value::Int(value) => put_int(*value, out),
        Value::BigInt(digits) => put_decimal(digits, out)?,
        Value::Float(value) if PLUS => {
            out.push(FLOAT64);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Float(value) => {
            out.push(FLOAT32);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rencode sends 32 bits, wire.md 2.2"
            )]
            out.extend_from_slice(&(*value as f32).to_be_bytes());
        }
        Value::Bytes(bytes) if PLUS => {
            put_length(bytes.len(), b'/', out);
            out.extend_from_slice(bytes);
        }
        Value::Bytes(bytes) => put_string(bytes, out),
        Value::Text(text) => put_string(text.as_bytes(), out),
        Value::List(items) => put_list::<PLUS>(items.iter(), out, depth)?,
        Value::Map(pairs) => {
            let fixed = fixed_code(DICT_FIXED, pairs.len(), 24);
            out.push(fixed.unwrap_or(DICT));
            for (key, value) in pairs {
                put::<PLUS>(key, out, depth)?;
                put::<PLUS>(value, out, depth)?;
            }
            if fixed.is_none() {
                out.push(END);
            }
        }
    }
    Ok(())
}

fn put_list<'a, const PLUS: bool>(
    items: impl ExactSizeIterator<Item = &'a Value>,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), EncodeError> {
    let fixed = fixed_code(LIST_FIXED, items.len(), 63);
    out.push(fixed.unwrap_or(LIST));
    for item in items {
        put::<PLUS>(item, out, depth)?;
    }
    if fixed.is_none() {
        out.push(END);
    }
    Ok(())
}

fn put_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(value) {
        match small {
            0..=43 => out.push(small.unsigned_abs()),
            -32..=-1 => out.push(INT_NEG - 1 + small.unsigned_abs()),
            _ => out.extend_from_slice(&[INT8, small.to_be_bytes()[0]]),
        }
    } else if let Ok(value) = i16::try_from(value) {
        let [a, b] = value.to_be_bytes();
        out.extend_from_slice(&[INT16, a, b]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        out.extend_from_slice(&[INT32, a, b, c, d]);
    } else {
        out.push(INT64);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn put_decimal(digits: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Ok(value) = digits.parse() {
        put_int(value, out);
        return Ok(());
    }
    if digits.len() > MAX_DECIMAL || !integer::is_canonical(digits) {
        return Err(EncodeError::Integer);
    }
    out.push(DECIMAL);
    out.extend_from_slice(digits.as_bytes());
    out.push(END);
    Ok(())
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    match fixed_code(STRING_FIXED, bytes.len(), 63) {
        Some(code) => out.push(code),
        None => put_length(bytes.len(), b':', out),
    }
    out.extend_from_slice(bytes);
}

pub(super) fn put_length(len: usize, delimiter: u8, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = len;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        #[expect(clippy::cast_possible_truncation, reason = "below ten")]
        let last = (rest % 10) as u8;
        *digit = b'0' + last;
        start = index;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
    out.push(delimiter);
}

/// The code of a string, list or dictionary of `len`, when it fits the code.
fn fixed_code(base: u8, len: usize, max: u8) -> Option<u8> {
    u8::try_from(len)
        .ok()
        .filter(|len| *len <= max)
        .map(|len| base + len)
}
