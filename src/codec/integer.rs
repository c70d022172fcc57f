//! Decimal integers: of any length up to a bound, read as leniently as the reference does.

use compact_str::CompactString;

use super::{Value, ValueError};

/// The most characters of a decimal we read or write, the sign included (`wire.md` 2.1).
pub(super) const MAX_DECIMAL: usize = 63;

/// The integer written as `text`: blanks around it, a sign, leading zeros and single `_` between digits are taken.
pub(super) fn lenient(text: &[u8]) -> Result<Value, ValueError> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut canonical = CompactString::default();
    let mut separated = true;
    for &byte in digits {
        match byte {
            b'_' if !separated => separated = true,
            b'0'..=b'9' => {
                separated = false;
                if byte != b'0' || !canonical.is_empty() {
                    canonical.push(char::from(byte));
                }
            }
            _ => return Err(ValueError::Integer),
        }
    }
    if separated {
        return Err(ValueError::Integer);
    }
    Ok(from_digits(negative, canonical))
}

/// The integer of these digits, none of them a leading zero.
pub(super) fn from_digits(negative: bool, mut digits: CompactString) -> Value {
    if digits.is_empty() {
        return Value::Int(0);
    }
    if negative {
        digits.insert(0, '-');
    }
    digits.parse().map_or(Value::BigInt(digits), Value::Int)
}

/// The most characters of a length after its first digit: nine digits, the rest for blanks and zeros.
pub(super) const MAX_LENGTH: usize = 31;

/// The length written as `first` and `rest`; it must fit 31 bits (`wire.md` 2.1).
pub(super) fn length(first: u8, rest: &[u8]) -> Result<usize, ValueError> {
    let mut value = usize::from(first.wrapping_sub(b'0'));
    // Nine digits cannot overflow.
    if rest.len() > 8 || value > 9 {
        return lenient_length(first, rest);
    }
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return lenient_length(first, rest);
        }
        value = value * 10 + usize::from(digit);
    }
    Ok(value)
}

#[cold]
fn lenient_length(first: u8, rest: &[u8]) -> Result<usize, ValueError> {
    match lenient(&[&[first], rest].concat()) {
        Ok(Value::Int(value)) if value <= i64::from(i32::MAX) => {
            usize::try_from(value).map_err(|_| ValueError::Length)
        }
        _ => Err(ValueError::Length),
    }
}

/// True for an optional minus and digits without leading zeros.
pub(super) fn is_canonical(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading = digits.starts_with('0') && text != "0";
    !digits.is_empty() && !leading && digits.bytes().all(|byte| byte.is_ascii_digit())
}
