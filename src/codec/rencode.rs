//! rencodeplus and its ancestor rencode (`wire.md` 2.1, 2.2): one table of type codes, two views of strings.
//!
//! `PLUS` selects rencodeplus, which tells text from bytes and sends floats in 64 bits. Plain rencode decodes every
//! string to bytes and sends floats in 32 bits.

use super::integer::{self, MAX_DECIMAL};
use super::tape::{Node, Writer};
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

/// Appends the nodes of the value at the start of `body` and returns the bytes it takes.
pub(super) fn read<const PLUS: bool>(
    body: &[u8],
    limits: &Limits,
    nodes: &mut Vec<Node>,
) -> Result<usize, ValueError> {
    let mut reader = Reader::<PLUS> {
        tape: Writer::new(body, limits, nodes)?,
        dicts: 0,
    };
    let rest = reader.read(body)?;
    Ok(body.len() - rest.len())
}

/// Its functions take the bytes that are left and return those left after the value.
struct Reader<'a, const PLUS: bool> {
    tape: Writer<'a>,
    /// Dictionaries so far.
    dicts: usize,
}

type Rest<'a> = Result<&'a [u8], ValueError>;

impl<const PLUS: bool> Reader<'_, PLUS> {
    /// The values that packets are full of; it is part of the loops over lists and dictionaries.
    #[inline(always)]
    fn read<'a>(&mut self, input: &'a [u8]) -> Rest<'a> {
        let (&code, rest) = input.split_first().ok_or(ValueError::Truncated)?;
        match code {
            0..=INT_POS_MAX => self.tape.push(Node::Int(i64::from(code))),
            INT_NEG..=INT_NEG_MAX => self
                .tape
                .push(Node::Int(i64::from(INT_NEG) - 1 - i64::from(code))),
            STRING_FIXED..=STRING_FIXED_MAX => return self.string(rest, usize::from(code - STRING_FIXED)),
            INT16 => return self.number(rest, |bytes| Node::Int(i16::from_be_bytes(bytes).into())),
            _ => return self.read_other(code, rest),
        }
        Ok(rest)
    }

    #[inline(never)]
    fn read_other<'a>(&mut self, code: u8, input: &'a [u8]) -> Rest<'a> {
        match code {
            INT8 => self.number(input, |bytes| Node::Int(i8::from_be_bytes(bytes).into())),
            INT32 => self.number(input, |bytes| Node::Int(i32::from_be_bytes(bytes).into())),
            INT64 => self.number(input, |bytes| Node::Int(i64::from_be_bytes(bytes))),
            FLOAT64 => self.number(input, |bytes| Node::Float(f64::from_be_bytes(bytes))),
            FLOAT32 => self.number(input, |bytes| Node::Float(f32::from_be_bytes(bytes).into())),
            TRUE => self.constant(input, Node::Bool(true)),
            FALSE => self.constant(input, Node::Bool(false)),
            NULL => self.constant(input, Node::Null),
            DECIMAL => self.decimal(input),
            DIGIT_0 if !PLUS => Err(ValueError::TypeCode(code)),
            DIGIT_0..=DIGIT_9 => self.long_string(code, input),
            LIST_FIXED.. => self.list(usize::from(code - LIST_FIXED), input),
            DICT_FIXED..=DICT_FIXED_MAX => self.dict(usize::from(code - DICT_FIXED), input),
            LIST => self.open_list(input),
            DICT => self.open_dict(input),
            _ => Err(ValueError::TypeCode(code)),
        }
    }

    fn list<'a>(&mut self, len: usize, input: &'a [u8]) -> Rest<'a> {
        let place = self.open(len, input)?;
        let mut rest = input;
        for _ in 0..len {
            rest = self.read(rest)?;
        }
        self.tape.close(place, Node::List, len);
        Ok(rest)
    }

    fn dict<'a>(&mut self, len: usize, input: &'a [u8]) -> Rest<'a> {
        let place = self.open(2 * len, input)?;
        self.dicts += 1;
        let mut rest = input;
        for _ in 0..len {
            rest = self.pair(rest)?;
        }
        self.tape.close(place, Node::Map, len);
        Ok(rest)
    }

    fn open_list<'a>(&mut self, input: &'a [u8]) -> Rest<'a> {
        let place = self.tape.open()?;
        let mut rest = input;
        let mut len = 0;
        while rest.first() != Some(&END) {
            self.tape.count(1)?;
            rest = self.read(rest)?;
            len += 1;
        }
        self.tape.close(place, Node::List, len);
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn open_dict<'a>(&mut self, input: &'a [u8]) -> Rest<'a> {
        let place = self.tape.open()?;
        self.dicts += 1;
        let mut rest = input;
        let mut len = 0;
        while rest.first() != Some(&END) {
            self.tape.count(2)?;
            rest = self.pair(rest)?;
            len += 1;
        }
        self.tape.close(place, Node::Map, len);
        Ok(rest.get(1..).unwrap_or_default())
    }

    #[inline(always)]
    fn pair<'a>(&mut self, input: &'a [u8]) -> Rest<'a> {
        let dicts = self.dicts;
        let rest = self.read(input)?;
        if self.dicts != dicts {
            return Err(ValueError::Unhashable);
        }
        self.read(rest)
    }

    /// Opens a level for `len` values, of which each takes a byte or more.
    fn open(&mut self, len: usize, input: &[u8]) -> Result<usize, ValueError> {
        let place = self.tape.open()?;
        if len > input.len() {
            return Err(ValueError::Truncated);
        }
        self.tape.count(len)?;
        Ok(place)
    }

    #[inline(always)]
    fn string<'a>(&mut self, input: &'a [u8], len: usize) -> Rest<'a> {
        let (bytes, rest) = input.split_at_checked(len).ok_or(ValueError::Truncated)?;
        let span = self.tape.span(input, len);
        if !PLUS {
            self.tape.push(Node::Bytes(span));
        } else if is_ascii(input, len) || is_utf8(bytes) {
            self.tape.push(Node::Text(span));
        } else {
            return Err(ValueError::Utf8);
        }
        Ok(rest)
    }

    /// A length whose first digit was the code, a delimiter and so many bytes.
    fn long_string<'a>(&mut self, first: u8, input: &'a [u8]) -> Rest<'a> {
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
            return self.string(rest, len);
        }
        let after = rest.get(len..).ok_or(ValueError::Truncated)?;
        self.constant(after, Node::Bytes(self.tape.span(rest, len)))
    }

    fn decimal<'a>(&mut self, input: &'a [u8]) -> Rest<'a> {
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
        self.tape.push_decimal(input, end)?;
        Ok(input.get(end + 1..).unwrap_or_default())
    }

    #[inline(always)]
    fn number<'a, const N: usize>(&mut self, input: &'a [u8], node: impl Fn([u8; N]) -> Node) -> Rest<'a> {
        let (bytes, rest) = input.split_first_chunk().ok_or(ValueError::Truncated)?;
        self.constant(rest, node(*bytes))
    }

    #[inline(always)]
    fn constant<'a>(&mut self, rest: &'a [u8], node: Node) -> Rest<'a> {
        self.tape.push(node);
        Ok(rest)
    }
}

/// True when the first `len` bytes are ASCII. Words are read past them, into what follows: names are short, and
/// the bytes of their last word are not worth a loop.
#[inline(always)]
fn is_ascii(input: &[u8], len: usize) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (mut rest, mut left) = (input, len);
    while let Some((word, after)) = rest.split_first_chunk() {
        let high = u64::from_le_bytes(*word) & HIGH;
        if left <= 8 {
            return left == 0 || high << (64 - 8 * left) == 0;
        }
        if high != 0 {
            return false;
        }
        (rest, left) = (after, left - 8);
    }
    rest.get(..left).is_some_and(<[u8]>::is_ascii)
}

#[inline(never)]
fn is_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
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
