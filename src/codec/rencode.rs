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
/// Deeper values are a mistake of ours.
const MAX_DEPTH: usize = 512;

/// Puts the value at the start of `input` into `place`, which is null, and returns the bytes it takes.
pub(super) fn decode<const PLUS: bool>(
    input: &Bytes,
    limits: &Limits,
    place: &mut Value,
) -> Result<usize, ValueError> {
    let mut reader = Reader::<PLUS> {
        source: input,
        depth: limits.depth,
        items: limits.items,
    };
    let rest = reader.read(input, place)?;
    Ok(input.len() - rest.len())
}

/// Reads values, each right into its place, since moving one costs more than reading it.
///
/// Its functions take the bytes that are left and return those left after them.
struct Reader<'a, const PLUS: bool> {
    source: &'a Bytes,
    /// Levels that may still be opened.
    depth: usize,
    /// Values that may still be read.
    items: usize,
}

type Rest<'a> = Result<&'a [u8], ValueError>;

impl<'a, const PLUS: bool> Reader<'a, PLUS> {
    /// The values that packets are full of; it is part of the loops over lists and dictionaries.
    #[inline(always)]
    fn read(&mut self, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        let (&code, rest) = input.split_first().ok_or(ValueError::Truncated)?;
        match code {
            0..=INT_POS_MAX => set(place, Value::Int(i64::from(code))),
            INT_NEG..=INT_NEG_MAX => set(place, Value::Int(i64::from(INT_NEG) - 1 - i64::from(code))),
            STRING_FIXED..=STRING_FIXED_MAX => {
                return self.string(rest, usize::from(code - STRING_FIXED), place);
            }
            INT16 => {
                let (bytes, rest) = rest.split_first_chunk().ok_or(ValueError::Truncated)?;
                set(place, Value::Int(i64::from(i16::from_be_bytes(*bytes))));
                return Ok(rest);
            }
            _ => return self.read_other(code, rest, place),
        }
        Ok(rest)
    }

    #[inline(never)]
    fn read_other(&mut self, code: u8, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        match code {
            INT8 => number(input, place, |bytes| {
                Value::Int(i64::from(i8::from_be_bytes(bytes)))
            }),
            INT32 => number(input, place, |bytes| {
                Value::Int(i64::from(i32::from_be_bytes(bytes)))
            }),
            INT64 => number(input, place, |bytes| Value::Int(i64::from_be_bytes(bytes))),
            FLOAT64 => number(input, place, |bytes| Value::Float(f64::from_be_bytes(bytes))),
            FLOAT32 => number(input, place, |bytes| {
                Value::Float(f64::from(f32::from_be_bytes(bytes)))
            }),
            TRUE => Ok(constant(input, place, Value::Bool(true))),
            FALSE => Ok(constant(input, place, Value::Bool(false))),
            NULL => Ok(input),
            DECIMAL => decimal(input, place),
            DIGIT_0 if !PLUS => Err(ValueError::TypeCode(code)),
            DIGIT_0..=DIGIT_9 => self.long_string(code, input, place),
            LIST_FIXED.. => self.list(usize::from(code - LIST_FIXED), input, place),
            DICT_FIXED..=DICT_FIXED_MAX => self.dict(usize::from(code - DICT_FIXED), input, place),
            LIST => self.open_list(input, place),
            DICT => self.open_dict(input, place),
            _ => Err(ValueError::TypeCode(code)),
        }
    }

    fn list(&mut self, len: usize, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        self.enter(len, input)?;
        let mut items = Vec::with_capacity(len);
        items.resize_with(len, Value::default);
        let mut rest = input;
        for place in &mut items {
            rest = self.read(rest, place)?;
        }
        self.depth += 1;
        Ok(constant(rest, place, Value::List(items)))
    }

    fn dict(&mut self, len: usize, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        self.enter(2 * len, input)?;
        let mut pairs = Vec::with_capacity(len);
        pairs.resize_with(len, Default::default);
        let mut rest = input;
        for pair in &mut pairs {
            rest = self.pair(rest, pair)?;
        }
        self.depth += 1;
        Ok(constant(rest, place, Value::Map(pairs)))
    }

    fn open_list(&mut self, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        self.enter(0, input)?;
        let mut items = Vec::new();
        let mut rest = input;
        while rest.first() != Some(&END) {
            self.count(1)?;
            rest = self.read(rest, items.push_mut(Value::Null))?;
        }
        self.depth += 1;
        Ok(constant(
            rest.get(1..).unwrap_or_default(),
            place,
            Value::List(items),
        ))
    }

    fn open_dict(&mut self, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        self.enter(0, input)?;
        let mut pairs = Vec::new();
        let mut rest = input;
        while rest.first() != Some(&END) {
            self.count(2)?;
            pairs.resize_with(pairs.len() + 1, Default::default);
            if let Some(pair) = pairs.last_mut() {
                rest = self.pair(rest, pair)?;
            }
        }
        self.depth += 1;
        Ok(constant(
            rest.get(1..).unwrap_or_default(),
            place,
            Value::Map(pairs),
        ))
    }

    fn pair(&mut self, input: &'a [u8], (key, value): &mut (Value, Value)) -> Rest<'a> {
        let rest = self.read(input, key)?;
        if !key.is_hashable() {
            return Err(ValueError::Unhashable);
        }
        self.read(rest, value)
    }

    /// Opens a level for `len` values, of which each takes a byte or more.
    fn enter(&mut self, len: usize, input: &[u8]) -> Result<(), ValueError> {
        self.depth = self.depth.checked_sub(1).ok_or(ValueError::Depth)?;
        if len > input.len() {
            return Err(ValueError::Truncated);
        }
        self.count(len)
    }

    fn count(&mut self, values: usize) -> Result<(), ValueError> {
        self.items = self.items.checked_sub(values).ok_or(ValueError::Items)?;
        Ok(())
    }

    fn string(&self, input: &'a [u8], len: usize, place: &mut Value) -> Rest<'a> {
        let (bytes, rest) = input.split_at_checked(len).ok_or(ValueError::Truncated)?;
        if PLUS {
            let text = std::str::from_utf8(bytes).map_err(|_| ValueError::Utf8)?;
            set(place, Value::Text(CompactString::new(text)));
        } else {
            set(place, self.bytes(bytes));
        }
        Ok(rest)
    }

    fn bytes(&self, bytes: &'a [u8]) -> Value {
        Value::Bytes(if bytes.is_empty() {
            Bytes::new()
        } else {
            self.source.slice_ref(bytes)
        })
    }

    /// A length whose first digit was the code, a delimiter and so many bytes.
    fn long_string(&self, first: u8, input: &'a [u8], place: &mut Value) -> Rest<'a> {
        let delimiter = |byte: &u8| *byte == b':' || (PLUS && *byte == b'/');
        let Some(end) = input.iter().take(integer::MAX_LENGTH).position(delimiter) else {
            let cut = input.len() < integer::MAX_LENGTH;
            return Err(if cut {
                ValueError::Truncated
            } else {
                ValueError::Length
            });
        };
        let (digits, rest) = input.split_at(end);
        let (delimiter, rest) = rest.split_first().ok_or(ValueError::Truncated)?;
        let len = integer::length(first, digits)?;
        if *delimiter == b':' {
            return self.string(rest, len, place);
        }
        let (bytes, rest) = rest.split_at_checked(len).ok_or(ValueError::Truncated)?;
        Ok(constant(rest, place, self.bytes(bytes)))
    }
}

fn number<'a, const N: usize>(
    input: &'a [u8],
    place: &mut Value,
    value: impl Fn([u8; N]) -> Value,
) -> Rest<'a> {
    let (bytes, rest) = input.split_first_chunk().ok_or(ValueError::Truncated)?;
    Ok(constant(rest, place, value(*bytes)))
}

fn decimal<'a>(input: &'a [u8], place: &mut Value) -> Rest<'a> {
    let window = input.get(..=MAX_DECIMAL).unwrap_or(input);
    let Some(end) = memchr::memchr(END, window) else {
        let cut = window.len() <= MAX_DECIMAL;
        return Err(if cut {
            ValueError::Truncated
        } else {
            ValueError::Integer
        });
    };
    if end < MIN_DECIMAL {
        return Err(ValueError::Integer);
    }
    let (digits, rest) = input.split_at(end);
    Ok(constant(
        rest.get(1..).unwrap_or_default(),
        place,
        integer::lenient(digits)?,
    ))
}

fn constant<'a>(rest: &'a [u8], place: &mut Value, value: Value) -> &'a [u8] {
    set(place, value);
    rest
}

/// Fills a place that is null still.
fn set(place: &mut Value, value: Value) {
    // There is nothing to drop, and without the check the value is built right in its place.
    std::mem::forget(std::mem::replace(place, value));
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
